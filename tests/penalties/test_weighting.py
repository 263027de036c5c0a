"""Weights: sums, adaptation, steps without the penalty, checkpoints."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from equiaudit import weighting


def run(weight: Any, steps: int, rate: float = 0.05) -> tuple[float, float]:
    """Descend (x − 1)² under a penalty x²: at the end x, and the weight."""
    x = torch.zeros((), requires_grad=True)
    for _ in range(steps):
        task, penalty = (x - 1).square(), x.square()
        loss = weight(task, penalty)
        weight.step(task, penalty)
        (slope,) = torch.autograd.grad(loss, x)
        x.data -= rate * slope
    return float(x.detach()), weight.weight


def test_constant_weighs_as_it_says() -> None:
    x, _ = run(weighting.Constant(3.0), 400)
    assert x == pytest.approx(1 / 4, abs=1e-6)


def test_dual_ascent_reaches_the_target() -> None:
    x, weight = run(weighting.DualAscent(target=0.09, rate=0.2), 4000)
    assert x == pytest.approx(0.3, abs=1e-3)
    assert weight == pytest.approx(7 / 3, abs=2e-2)  # the multiplier: (1 − x) / x
    idle, none = run(weighting.DualAscent(target=2.0, rate=0.2), 1000)
    assert (round(idle, 3), none) == (1.0, 0.0)
    _, capped = run(weighting.DualAscent(target=0.0, rate=1.0, maximum=1.5), 1000)
    assert capped == 1.5


def test_a_penalty_that_is_not_finite_changes_no_weight() -> None:
    weight = weighting.DualAscent(target=0.1, weight=0.5)
    weight.step(penalty=float("nan"))
    assert weight.weight == 0.5


def test_gradnorm_balances_the_pull_on_the_last_layer() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(4, 1)
    x = torch.randn(32, 4)
    weight = weighting.GradNorm(layer.parameters(), rate=0.05, alpha=0.0)

    def losses() -> tuple[Tensor, Tensor]:
        y = layer(x)
        return (y - 1).square().mean(), 1000 * y.square().mean()

    for _ in range(400):
        weight.step(*losses())
    pulls = []
    for loss, w in zip(losses(), weight.weights, strict=True):
        grads = torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True)
        pulls.append(w * float(torch.cat([g.flatten() for g in grads]).norm()))
    assert sum(weight.weights) == pytest.approx(2.0)
    assert 0.3 < pulls[0] / pulls[1] < 3.0
    assert weight.weight < 0.01


def test_gradnorm_leaves_the_weights_alone_where_nothing_pulls() -> None:
    layer = nn.Linear(2, 1)
    weight = weighting.GradNorm(layer.parameters())
    y = layer(torch.ones(1, 2)).sum()
    for penalty in (torch.zeros(()), 0 * y, y * float("nan"), (y * 0).sqrt()):
        for _ in range(3):
            weight.step(y.square(), penalty)
        assert weight.weights == [1.0, 1.0]
    weight.step(y.square(), 3 * y.square())
    assert weight.weights[1] < 1


@pytest.mark.parametrize("name", ["task", "penalty"])
def test_gradnorm_names_a_loss_that_does_not_reach_the_parameters(name: str) -> None:
    layer, other = nn.Linear(2, 1), nn.Linear(2, 1)
    losses = {"task": layer, "penalty": layer} | {name: other}
    weight = weighting.GradNorm(layer.parameters())
    with pytest.raises(ValueError, match=f"the {name} does not depend on the parameters .* task and penalty share"):
        weight.step(*(m(torch.ones(1, 2)).square().sum() for m in losses.values()))


@pytest.mark.parametrize(
    "make",
    [
        lambda every, _: weighting.Constant(0.5, every=every),
        lambda every, _: weighting.DualAscent(0.0, rate=0.1, every=every),
        lambda every, x: weighting.GradNorm(x, every=every),
    ],
)
def test_every_third_step_and_checkpoints(make: Any) -> None:
    calls = [0]
    x = torch.ones(1, requires_grad=True)

    def penalty() -> Tensor:
        calls[0] += 1
        return x.square().sum()

    weight = make(3, x)
    losses = []
    for n in range(7):
        task = (x - 2).square().sum()
        loss = weight(task, penalty)
        weight.step(task)
        losses.append(loss)
        if n == 3:
            state = json.loads(json.dumps(weight.state_dict()))
    assert calls[0] == 3
    resumed = make(3, x)
    resumed.load_state_dict(state)
    for n in range(4, 7):
        task = (x - 2).square().sum()
        assert torch.equal(resumed(task, penalty), losses[n])
        resumed.step(task)
    assert resumed.state_dict() == weight.state_dict()


def test_a_skipped_step_counts_k_times_when_it_is_due() -> None:
    weight = weighting.Constant(0.5, every=4)
    total = 0.0
    for _ in range(8):
        total += float(weight(torch.tensor(0.0), lambda: torch.tensor(3.0)))
        weight.step()
    assert total == pytest.approx(8 * 0.5 * 3.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weighting.Constant(-1.0), "weight must be a finite number of at least 0, got -1.0"),
        (lambda: weighting.Constant(1.0, every=0), "every must be a whole number of at least 1, got 0"),
        (lambda: weighting.DualAscent(target=-1.0), "target must be at least 0"),
        (lambda: weighting.DualAscent(target=1.0).step(), r"needs the penalty of this step: step\(penalty=value\)"),
        (lambda: weighting.GradNorm([torch.ones(1)]), "parameters that require them; none were given"),
        (lambda: weighting.GradNorm(torch.ones(1, requires_grad=True)).step(1.0, 2.0), "both losses with their graphs"),
    ],
)
def test_messages(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
