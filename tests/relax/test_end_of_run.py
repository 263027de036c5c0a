"""The end of a run says which W took no part, and how far a level fell."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from equiaudit import Symmetry, project, relax, schedules
from equiaudit.groups import O
from equiaudit.relaxation.vector_neurons import VNLinear

CLAIM = Symmetry(O(3), "vector", "vector")


class ByForward(nn.Module):
    """Uses a layer's forward, so that no hook runs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = VNLinear(4, 3), VNLinear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a.forward(x))


def run(relaxed, optimizer, schedule, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        (relaxed(torch.randn(8, 4, 3)) - 1).square().mean().backward()
        optimizer.step()
        schedule.step()


def test_a_w_whose_hook_never_ran_is_named() -> None:
    relaxed = relax(ByForward(), CLAIM)
    optimizer = torch.optim.Adam(relaxed.module.parameters())
    schedule = schedules.triangle(relaxed, 4)
    with pytest.warns(
        UserWarning, match="the relaxation of a was never trained: its W did not change, because the optim"
    ):
        run(relaxed, optimizer, schedule, 4)
    with pytest.warns(UserWarning, match="the relaxation of a was never trained"):
        schedule.finish()
    _, report = project(relaxed, inputs=torch.randn(8, 4, 3), confirm=None)
    assert any(note.startswith("a was not called on these inputs") for note in report.notes)
    assert any(note.startswith("the relaxation of a was never trained") for note in report.notes)


def test_a_late_relaxation_is_named() -> None:
    model = nn.Sequential(VNLinear(4, 3), VNLinear(3, 2))
    optimizer = torch.optim.Adam(model.parameters())
    relaxed = relax(model, CLAIM)
    with pytest.warns(UserWarning, match="the relaxation of 0, 1 was never trained"):
        run(relaxed, optimizer, schedules.triangle(relaxed, 2), 2)
    assert any("0, 1 was never trained" in note for note in project(relaxed)[1].notes)


def test_the_model_itself_has_a_name() -> None:
    relaxed = relax(VNLinear(2, 2))
    with pytest.warns(UserWarning, match="the relaxation of the model itself was never trained"):
        schedules.triangle(relaxed, 1).step()


def test_elastic_runs_are_checked_too() -> None:
    relaxed = relax(VNLinear(2, 2), learned=1.0)
    with pytest.warns(UserWarning, match="was never trained"):
        schedules.dual_ascent(relaxed, 1, elastic=1.0).step()


@pytest.mark.parametrize("make", [schedules.learned, schedules.dual_ascent])
def test_a_level_that_did_not_come_down_is_said(make) -> None:
    relaxed = relax(VNLinear(2, 2), learned=1.0)
    schedule = make(relaxed, 2)
    nn.init.ones_(relaxed.relaxations[""].weight)
    schedule.step()
    with pytest.warns(
        UserWarning, match=r"levels that had not come down: the model itself: 1 \(\|level W\| 6\); give more"
    ):
        schedule.step()
    relaxed = relax(VNLinear(2, 2), learned=1.0)
    schedule = make(relaxed, 1)
    nn.init.ones_(relaxed.relaxations[""].weight)
    relaxed.relaxations[""].level.data.fill_(0.01)
    schedule.step()  # no warning
