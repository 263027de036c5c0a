"""The elements that an audit tried, as points of "error against angle"."""

from __future__ import annotations

import math

import pytest
import torch

from equiaudit import Audit, Symmetry, audit
from equiaudit.groups import SE, SO, Cyclic, Dihedral, E, Lorentz, Permutations, parse
from equiaudit.measure.sweep import rotation_angle, shift_length

TURNS = Symmetry(SO(3), "vector", "vector")


def stretched(x: torch.Tensor) -> torch.Tensor:
    """Keeps turns about z."""
    return x * torch.tensor([1.0, 1.0, 1.1], dtype=x.dtype)


def test_the_worst_generator_is_swept() -> None:
    found = audit(stretched, torch.randn(8, 3), TURNS)
    swept = [t for t in found.tried if t.sweep]
    assert {t.sweep for t in swept} <= {"rotations x", "rotations y"}
    assert [t.angle for t in swept] == pytest.approx([30.0 * k for k in range(1, 12)])
    at = {round(t.angle): t.error for t in swept}
    # diag(1, 1, 1.1) conjugated by a turn θ about x differs by 0.1 sin θ in the Frobenius norm, times √2
    assert at[30] / at[90] == pytest.approx(math.sin(math.radians(30)), rel=0.3)
    assert at[180] < 1e-12
    assert not any(t.within for t in swept if t.angle != 180.0)


def test_a_sweep_along_a_good_generator_stays_at_rounding() -> None:
    found = audit(stretched, torch.randn(8, 3), TURNS, per_generator=True)
    swept = {name: [t for t in found.tried if t.sweep == name] for name in ("rotations x", "rotations z")}
    assert all(t.within and t.error < 1e-14 for t in swept["rotations z"])
    assert max(t.error for t in swept["rotations x"]) > 0.05


def test_an_exact_audit_is_not_swept_unless_asked() -> None:
    found = audit(lambda x: 2 * x, torch.randn(8, 3), TURNS)
    assert found.tried
    assert not any(t.sweep for t in found.tried)
    quick = audit(stretched, torch.randn(8, 3), TURNS, effort="quick")
    assert not any(t.sweep for t in quick.tried)


def test_all_elements_of_a_broken_finite_group() -> None:
    found = audit(lambda x: x.flip(-1).cumsum(-1), torch.randn(1, 1, 8, 8), Symmetry(Dihedral(4), "image", "image"))
    assert {t.element for t in found.tried} == {repr(g) for g in Dihedral(4).elements()[1:]}
    assert {t.improper for t in found.tried} == {False, True}


def test_translations_are_swept_in_units_of_the_radius() -> None:
    found = audit(lambda x: x**2, torch.randn(8, 3), Symmetry(E(3), "points", "points"), per_generator=True)
    shifts = [t.shift for t in found.tried if t.sweep == "translations x"]
    assert len(shifts) == 5
    assert shifts == sorted(shifts)


def test_boosts_stay_small() -> None:
    found = audit(lambda x: x**2, torch.randn(8, 4), Symmetry(Lorentz(), "vector", "vector"), per_generator=True)
    boosts = [t for t in found.tried if t.sweep and t.sweep.startswith("boosts")]
    assert boosts
    assert max(abs(max(parse(t.element).coordinates, key=abs)) for t in boosts) <= 2.0


def test_relabellings_have_no_angle() -> None:
    found = audit(lambda x: x.cumsum(0), torch.randn(8, 3), Symmetry(Permutations(), "nodes", "nodes"))
    assert found.tried
    assert all(t.angle is None and t.sweep is None for t in found.tried)


def test_tried_elements_survive_json() -> None:
    found = audit(stretched, torch.randn(8, 3), TURNS)
    assert Audit.from_dict(found.to_dict()).tried == found.tried


def test_angles() -> None:
    assert rotation_angle(Cyclic(8).element_at(3)) == (pytest.approx(135.0), False)
    assert rotation_angle(E(3).generator("inversion")) == (0.0, True)
    assert rotation_angle(SE(3).turn("z", 1 / 3)) == (pytest.approx(120.0), False)
    assert shift_length(SO(3).identity()) is None


def test_rows_and_sweeps_call_a_generator_alike() -> None:
    found = audit(stretched, torch.randn(8, 3), TURNS, per_generator=True)
    rows = {c.part.removeprefix("Lie derivative, ") for c in found.checks if c.kind == "lie"}
    assert {t.sweep for t in found.tried if t.sweep} == {"rotations x", "rotations y", "rotations z"} <= rows
