"""Thresholds of ``rules.py``: a model on either side, so that a constant that is changed is seen."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from equiaudit import Symmetry, Verdict, audit
from equiaudit.groups import SO, E
from equiaudit.measure.rules import ACCUSE, AMPLITUDES

CLOUD = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
INVARIANT = Symmetry(SO(3), "vector", "invariant")
U = 2.0**-53


def somewhere(x: Tensor) -> Tensor:
    """Between −1 and 1, by the thousandths of x: what no noise probe changes, and every element does."""
    return ((x.detach() * 1000).floor().sum() % 101) / 50 - 1


@pytest.mark.parametrize(("size", "expected"), [(16.0, Verdict.EXACT), (4000.0, Verdict.BROKEN)])
@pytest.mark.parametrize("seed", range(4))
def test_sixteen_u_are_no_violation_and_four_thousand_are(size: float, expected: Verdict, seed: int) -> None:
    """DOUBLE.safety: the floor is 64 times a noise of some u."""
    found = audit(
        lambda v: v.norm(dim=-1) * (1 + size * U * somewhere(v)), CLOUD, INVARIANT, seed=seed, derivative="off"
    )
    assert found.verdict is expected, str(found)


@pytest.mark.parametrize(("leak", "expected"), [(1e-12, Verdict.EXACT), (1e-10, Verdict.BROKEN)])
def test_what_no_probe_looked_at_is_accepted_up_to_its_limit(leak: float, expected: Verdict) -> None:
    """ACCEPT: the leak shows far away alone, where no noise is measured unless the residual asks for it."""

    def model(p: Tensor) -> Tensor:
        return (p - p.mean(0)).norm(dim=-1).sum() * (1 + leak * (p.mean(0).norm() > 100))

    found = audit(model, CLOUD, Symmetry(E(3), "points", "invariant"), derivative="off")
    assert found.verdict is expected, str(found)


@pytest.mark.parametrize(("steep", "expected"), [(1e8, Verdict.EXACT), (3e10, Verdict.VACUOUS)])
def test_a_loud_error_is_never_exact(steep: float, expected: Verdict) -> None:
    """LOUD: rounding is amplified to 1e-8 of the output, or to 1e-5."""
    found = audit(lambda v: torch.sin(steep * v.norm(dim=-1)), CLOUD, INVARIANT, derivative="off")
    assert found.verdict is expected, str(found)
    assert (found.error or 0.0) < 1e-6


def test_a_clear_violation_is_accused_after_a_few_probes() -> None:
    """CLEAR, ACCUSE: three probes decide, not all of them."""
    found = audit(lambda v: v[:, 0], CLOUD, INVARIANT, effort="quick", derivative="off", reference=False)
    assert found.verdict is Verdict.BROKEN
    per_trial = {"probes": found.cost.probes, "most": len(AMPLITUDES)}
    assert ACCUSE <= found.cost.probes <= 2 * ACCUSE, per_trial


def test_a_row_that_a_probe_happens_to_miss_has_the_floor_of_the_others() -> None:
    """The median in the floor: seven rows lose digits in a sum, the eighth by what noise does not reach."""

    def model(v: Tensor) -> Tensor:
        lost = (v.norm(dim=-1) + 1e5) - 1e5
        missed = v[0].norm() * (1 + 2e-11 * somewhere(v))
        return torch.cat([missed[None], lost[1:]])

    for seed in range(4):
        found = audit(model, CLOUD, INVARIANT, seed=seed, derivative="off")
        assert found.verdict is Verdict.EXACT, str(found)
