"""A potential: functions, parameters, fixtures, skips and expected failures."""

import pytest
import torch

from equiaudit import NotEquivariantError, Symmetry, assert_equivariant, assert_invariant, audit
from equiaudit.groups import SO, E, T


def test_forces(potential, positions, rigid):
    assert_equivariant(potential, positions, rigid)


def test_energy_alone(potential, positions):
    assert_invariant(potential.energy, positions, Symmetry(E(3), "points"), label="energy")


@pytest.mark.parametrize("atoms", [2, 3, 8])
def test_sizes(potential, rigid, atoms):
    x = torch.randn(atoms, 3, generator=torch.Generator().manual_seed(atoms))
    assert_equivariant(potential, x, rigid, label=f"{atoms} atoms")


@pytest.mark.parametrize("group", [SO(3), T(3)], ids=["turns", "<script>alert(1)</script>"])
def test_parts(potential, positions, group):
    assert_equivariant(potential.energy, positions, Symmetry(group, "points", "invariant"))


def test_leak(leaky, positions, rigid):
    assert_equivariant(leaky, positions, rigid)


@pytest.mark.equi(tolerance=0.5)
def test_leak_within_a_tolerance(leaky, positions, rigid):
    assert_equivariant(leaky, positions, rigid)


@pytest.mark.xfail(reason="known leak", strict=True)
def test_known_leak(leaky, positions, rigid):
    assert_equivariant(leaky, positions, rigid)


def test_that_the_leak_is_found(leaky, positions, rigid):
    with pytest.raises(NotEquivariantError):
        assert_equivariant(leaky, positions, rigid, label="found")


@pytest.mark.skip(reason="no data here")
def test_large(potential):
    raise AssertionError


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu(potential, positions, rigid):
    assert_equivariant(potential.cuda(), positions.cuda(), rigid)


def test_two_audits(potential, positions, rigid):
    for effort in ("quick", "default"):
        audit(potential, positions, rigid, effort=effort)


def test_nothing_to_audit():
    assert 1 + 1 == 2


def test_another_failure(potential, positions, rigid):
    assert_equivariant(potential, positions, rigid, label="before the failure")
    raise ValueError("not about symmetry")
