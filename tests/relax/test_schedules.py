"""Schedules: the right θ at every step, exactly 0 at the end, at every layer, and after a resumed run."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from equiaudit import Symmetry, relax, schedules
from equiaudit.groups import O
from equiaudit.relaxation import RelaxationError, Relaxed
from equiaudit.relaxation.vector_neurons import VNLinear

# most of these runs step a schedule without any training; test_end_of_run.py holds what is said then
pytestmark = [
    pytest.mark.filterwarnings("ignore:the relaxation of .* was never trained"),
    pytest.mark.filterwarnings("ignore:the last step takes away levels"),
]


def handle(**options) -> Relaxed:
    return relax(nn.Sequential(VNLinear(4, 6), VNLinear(6, 1)), Symmetry(O(3), "vector", "vector"), **options)


@pytest.mark.parametrize("total", [1, 2, 3, 7, 10, 100])
def test_the_triangle_is_the_papers_and_ends_at_zero(total: int) -> None:
    relaxed = handle()
    schedule = schedules.triangle(relaxed, total)
    values = [relaxed.theta, *(schedule.step() for _ in range(total))]
    assert values == pytest.approx([2 * e / total if e <= total / 2 else 2 - 2 * e / total for e in range(total + 1)])
    assert values[-1] == 0.0  # the released code ends at 2/E
    assert list(relaxed.thetas.values()) == [0.0, 0.0]
    assert schedule.step() == 0.0


def test_peaks() -> None:
    relaxed = handle()
    schedule = schedules.triangle(relaxed, 4, peak=0.5)
    assert [schedule.step() for _ in range(4)] == [0.25, 0.5, 0.25, 0.0]
    schedule = schedules.cosine(relaxed, 4, peak=0.5)
    assert relaxed.theta == 0.5
    assert [schedule.step() for _ in range(4)] == pytest.approx(
        [(1 + math.cos(math.pi * e / 4)) / 4 for e in (1, 2, 3, 4)]
    )
    schedule = schedules.constant(relaxed, 3, peak=0.5)
    assert [schedule.step() for _ in range(3)] == [0.5, 0.5, 0.0]


def test_theta_reaches_every_layer() -> None:
    relaxed = handle()
    schedule = schedules.triangle(relaxed, 4)
    schedule.step()
    assert dict(relaxed.thetas) == {"0": 0.5, "1": 0.5}


def test_a_layer_that_theta_does_not_reach_is_found_at_the_end() -> None:
    relaxed = handle()
    schedule = schedules.triangle(relaxed, 2)
    schedule.step()
    # a copy put in place of a layer, as some trainers do: the handle's buffers are no longer the model's
    import copy

    relaxed.module[1] = copy.deepcopy(relaxed.module[1])
    with pytest.raises(RelaxationError, match="the schedule is over and theta is not 0 at 1: 1"):
        schedule.step()


@pytest.mark.parametrize("total", [0, -1, 2.5, True])
def test_a_wrong_total_is_refused(total: object) -> None:
    with pytest.raises(ValueError, match="total must be a whole number of steps, 1 or more"):
        schedules.triangle(handle(), total)


def test_layers_that_were_not_trained_are_named() -> None:
    relaxed = handle()
    schedule = schedules.triangle(relaxed, 4)
    nn.init.ones_(relaxed.relaxations["0"].weight)
    assert schedule.idle == ("1",)


@pytest.mark.parametrize("make", ["triangle", "cosine", "constant", "learned", "dual_ascent"])
def test_a_resumed_schedule_goes_on(make: str) -> None:
    relaxed, other = handle(learned=1.0), handle(learned=1.0)
    schedule, resumed = getattr(schedules, make)(relaxed, 6), getattr(schedules, make)(other, 6)
    for _ in range(2):
        schedule.step()
    resumed.load_state_dict(schedule.state_dict())
    assert other.theta == relaxed.theta
    assert [resumed.step() for _ in range(4)] == [schedule.step() for _ in range(4)]
    assert resumed.state_dict() == schedule.state_dict()
    assert other.theta == 0
    with pytest.raises(ValueError, match="the state is of a schedule with total=6, this one has 5"):
        getattr(schedules, make)(other, 5).load_state_dict(schedule.state_dict())


def test_levels_must_be_learned() -> None:
    for make in (schedules.dual_ascent, schedules.learned):
        with pytest.raises(RelaxationError, match=r"0 has no learned level: relax\(model, …, learned=1\.0\)"):
            make(handle(), 5)
    with pytest.raises(ValueError, match="rate must be positive, got 0"):
        schedules.dual_ascent(handle(learned=1.0), 5, rate=0)
    with pytest.raises(ValueError, match="pull must not be negative, got -1"):
        schedules.learned(handle(learned=1.0), 5, pull=-1)


def test_multipliers_follow_the_levels() -> None:
    relaxed = handle(learned=1.0)
    schedule = schedules.dual_ascent(relaxed, 5, rate=0.1)
    assert float(schedule.penalty().detach()) == 0
    schedule.step()
    relaxed.relaxations["0"].level.data.fill_(-0.5)
    schedule.step()
    assert schedule.multipliers == pytest.approx({"0": 0.15, "1": 0.2})
    assert float(schedule.penalty().detach()) == pytest.approx(0.15 * 0.5 + 0.2)


def train(schedule, relaxed: Relaxed, target, steps: int) -> None:
    optimizer = torch.optim.Adam(relaxed.module.parameters(), lr=0.02)
    for _ in range(steps):
        x = torch.randn(64, 4, 3)
        loss = (relaxed(x) - target(x)).square().mean() + schedule.penalty()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def symmetric(x: torch.Tensor) -> torch.Tensor:
    return x[:, :1] - 0.5 * x[:, 1:2]


def tilted(x: torch.Tensor) -> torch.Tensor:
    return symmetric(x) * torch.tensor([1.0, 1.0, 3.0])


def test_dual_ascent_takes_the_levels_to_zero_on_symmetric_data() -> None:
    relaxed = handle(learned=1.0, init="default")
    schedule = schedules.dual_ascent(relaxed, 400, rate=0.05)
    train(schedule, relaxed, symmetric, 399)
    assert max(map(abs, schedule.levels.values())) < 0.1
    schedule.step()
    assert relaxed.theta == 0


def test_elastic_bounds_give_way_where_the_data_are_not_symmetric() -> None:
    found = {}
    for name, target in {"symmetric": symmetric, "tilted": tilted}.items():
        torch.manual_seed(0)
        relaxed = handle(learned=1.0, init="default")
        schedule = schedules.dual_ascent(relaxed, 400, rate=0.05, elastic=0.5)
        train(schedule, relaxed, target, 400)
        found[name] = max(map(abs, schedule.levels.values()))
        assert relaxed.theta == 1.0
    assert found["symmetric"] < 0.1 < 0.2 < found["tilted"]


def test_a_learned_level_moves_from_either_start() -> None:
    for options in ({"learned": 1.0, "init": "zeros"}, {"learned": 0.0, "init": "normal(1e-1)"}):
        relaxed = handle(**options)
        schedule = schedules.learned(relaxed, 50, pull=0.0)
        before = [p.detach().clone() for p in relaxed.new_parameters()]
        train(schedule, relaxed, tilted, 20)
        assert all(not torch.equal(a, b.detach()) for a, b in zip(before, relaxed.new_parameters(), strict=True))
        assert schedule.idle == ()


def test_the_pull_takes_levels_down() -> None:
    ends = []
    for pull in (0.0, 1.0):
        torch.manual_seed(0)
        relaxed = handle(learned=1.0, init="default")
        schedule = schedules.learned(relaxed, 1000, pull=pull)
        train(schedule, relaxed, symmetric, 150)
        ends.append(max(map(abs, schedule.levels.values())))
    assert ends[1] < 0.1 < ends[0]
