"""The line that an audit prints gives its number, its place and its verdict again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import equiaudit
from equiaudit import Symmetry, Verdict, audit, replay
from equiaudit.groups import SO, E, Group, Permutations

CLOUD = torch.randn(8, 3, generator=torch.Generator().manual_seed(2))
SQUARE = torch.tensor([[1.0, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]])
TURNS = Symmetry(SO(3), "vector", "vector")


def nearest(x: Tensor) -> Tensor:
    d = torch.cdist(x, x) + 1e3 * torch.eye(len(x), dtype=x.dtype)
    return x[d.argmin(-1)] - x


def far(x: Tensor) -> Tensor:
    return x - x.clamp(-100, 100).mean(0)


def with_zero_bias() -> nn.Module:
    net = nn.Linear(3, 3)
    nn.init.eye_(net.weight)
    nn.init.zeros_(net.bias)
    return net


CASES = {
    "given": (torch.tanh, CLOUD, TURNS, {}),
    "twin": (lambda x: x + 0.1, CLOUD, Symmetry(E(3), "points", "vector"), {}),
    "large shift": (far, CLOUD, Symmetry(E(3), "points", "vector"), {}),
    "tie": (nearest, SQUARE, TURNS, {}),
    "hidden": (with_zero_bias(), CLOUD, TURNS, {}),
    "perturbed": (with_zero_bias(), CLOUD, TURNS, {"perturb": True}),
    "several": (
        lambda x: x * torch.arange(1, 9)[:, None],
        CLOUD,
        [TURNS, Symmetry(Permutations(), "nodes", "nodes")],
        {},
    ),
    "samples": (lambda x: x - x.mean(0), torch.randn(4, 5, 3), Symmetry(SO(3), "vector", "vector", batch=0), {}),
    "own precision": (torch.tanh, CLOUD, TURNS, {"reference": False}),
    "quick": (torch.tanh, CLOUD, TURNS, {"effort": "quick", "seed": 5, "tolerance": 1e-3}),
    "forward": (
        nn.Tanh(),
        {"x": CLOUD},
        Symmetry(SO(3), {"x": "vector"}, "vector"),
        {"forward": lambda m, d: m(d["x"])},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_printed_line_gives_the_same_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    model, inputs, symmetry, options = CASES[name]
    found = audit(model, inputs, symmetry, **options)
    assert found.verdict is Verdict.BROKEN
    assert found.replay.startswith('equiaudit.replay(model, inputs, symmetry, "')
    names = {
        "equiaudit": equiaudit,
        "model": model,
        "inputs": inputs,
        "symmetry": symmetry,
        "forward": options.get("forward"),
    }
    again = eval(found.replay, names)
    assert (again.verdict, again.error) == (found.verdict, found.error)
    assert (again.worst.leaf, again.worst.index) == (found.worst.leaf, found.worst.index)
    assert (again.worst.expected, again.worst.got) == (found.worst.expected, found.worst.got)
    assert (again.worst.on, again.worst.element) == (found.worst.on, found.worst.element)
    if found.cause == "discontinuity":
        assert again.cause == found.cause
    assert {"tie": "discontinuity", "hidden": "hidden by parameter"}.get(name) in (None, found.cause)


def test_low_precision_is_replayed_as_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)

    class Coarse(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.dtype == torch.float64 else x.half().float()

    found = audit(Coarse(), CLOUD, TURNS)
    assert found.cause == "low precision"
    again = eval(found.replay, {"equiaudit": equiaudit, "model": Coarse(), "inputs": CLOUD, "symmetry": TURNS})
    assert again.verdict is Verdict.BROKEN
    assert again.error == pytest.approx(found.error, rel=0.01)  # the scale is measured in float32 here
    assert again.worst.got == found.worst.got


def test_another_seed_makes_another_twin() -> None:
    element = SO(3).turn("z", 1 / 8)
    numbers = {(on, seed): replay(torch.tanh, CLOUD, TURNS, element, on=on, seed=seed).error
               for on in ("given", "twin") for seed in (0, 1)}  # fmt: skip
    assert len({numbers["given", 0], numbers["twin", 0], numbers["twin", 1]}) == 3


def test_a_repaired_model_passes_and_says_what_was_tried() -> None:
    again = replay(lambda x: 2 * x, CLOUD, TURNS, SO(3).turn("z", 1 / 4))
    assert again.verdict is Verdict.EXACT
    assert again.untested == ("all other elements: this is a replay",)
    assert again.effort == "replay"


def test_a_tolerance_counts() -> None:
    assert replay(torch.tanh, CLOUD, TURNS, "SO(3).turn('z', 1/8)", tolerance=10).verdict is Verdict.APPROXIMATE


def test_a_group_of_ones_own_is_read_by_its_name() -> None:
    shear = Group("shears", [[[0.0, 1.0], [0.0, 0.0]]])
    symmetry = Symmetry(shear, "vector", "vector")
    found = audit(lambda x: x.tanh(), torch.randn(6, 2), symmetry)
    assert found.worst.element.startswith("shears.exp(")
    again = replay(lambda x: x.tanh(), torch.randn(6, 2), symmetry, found.worst.element, on=found.worst.on)
    assert again.verdict is Verdict.BROKEN


def test_code_that_a_report_broke_over_lines_is_read() -> None:
    again = replay(torch.tanh, CLOUD, TURNS, "(SO(3).turn('z', 1/8) @\n    SO(3).turn('x', 1/8))")
    assert again.worst.element == "SO(3).turn('z', 1/8) @ SO(3).turn('x', 1/8)"


@pytest.mark.parametrize(
    ("element", "options", "message"),
    [
        ("", {}, r"no element to replay: expected code such as SO\(3\)\.identity\(\), got ''"),
        ("SO(2).exp(1.0)", {}, r"SO\(2\)\.exp\(1\.0\) is an element of SO\(2\), and the symmetry is one of SO\(3\)"),
        ("open('x')", {}, "calling open is not allowed"),
        ("[SO(3).identity(), SO(3).identity()]", {}, "2 elements for 1 samples; give one"),
        ("SO(3).identity()", {"on": "moon"}, "on must be 'given' or 'twin', got 'moon'"),
        ("SO(3).identity()", {"which": 1}, "which=1: there are 1 symmetries, numbered from 0"),
        ("SO(3).identity()", {"perturb": "some"}, "perturb must be False, True or 'hiding', got 'some'"),
        ("SO(3).turn('z', 1/4)", {"perturb": "hiding"}, "no trainable parameter is zero or constant"),
    ],
)
def test_what_can_not_be_replayed_is_said(element: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replay(torch.tanh, CLOUD, TURNS, element, **options)


def test_the_model_is_left_as_it_was() -> None:
    net = with_zero_bias()
    net.train()
    replay(net, CLOUD, TURNS, "SO(3).turn('z', 1/8)", perturb="hiding")
    assert net.training
    assert not net.bias.any()
    assert net.bias.requires_grad
