"""Layers: classes, unittest, the fixture, hypothesis."""

import unittest

import pytest
import torch
from torch import nn

from equiaudit import InvalidError, Symmetry, VacuousError, assert_equivariant
from equiaudit.groups import SO, Cyclic, Permutations

TURNS = Symmetry(SO(3), "vector", "vector")
VECTORS = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))


class TestLinear:
    pytestmark = pytest.mark.equi(effort="quick")

    def test_scalar_multiple(self):
        assert assert_equivariant(lambda x: 3 * x, VECTORS, TURNS, label="times three").effort == "quick"

    def test_full_matrix(self):
        torch.manual_seed(0)
        assert_equivariant(nn.Linear(3, 3), VECTORS, TURNS)

    @pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
    def test_scales(self, scale):
        assert_equivariant(lambda x: scale * x, VECTORS, TURNS, label=f"times {scale:g}")


class TestImages(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)
        self.image = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(3))
        self.quarter = Symmetry(Cyclic(4), "image", "image")

    def test_mean_filter(self):
        assert_equivariant(nn.AvgPool2d(3, 1, 1), self.image, self.quarter)

    def test_random_filter(self):
        assert_equivariant(nn.Conv2d(1, 1, 3, padding=1), self.image, self.quarter)

    @unittest.skip("later")
    def test_later(self):
        raise AssertionError

    @unittest.expectedFailure
    def test_known(self):
        assert_equivariant(nn.Conv2d(1, 1, 3, padding=1), self.image, self.quarter, label="known")


class TestSets(unittest.TestCase):
    def test_sum(self):
        assert_equivariant(lambda x: x.sum(0), VECTORS, Symmetry(Permutations(), "nodes", "invariant"), label="sum")

    def test_order(self):
        for power in (1, 2):
            with self.subTest(power=power):
                weights = torch.arange(4.0)[:, None] ** power
                claim = Symmetry(Permutations(), "nodes", "invariant")
                assert_equivariant(lambda x, w=weights: (w * x).sum(0), VECTORS, claim, label=f"power {power}")


def test_zero_is_vacuous():
    with pytest.raises(VacuousError):
        assert_equivariant(lambda x: 0 * x, VECTORS, TURNS, label="zero")


def test_nan_is_invalid():
    with pytest.raises(InvalidError):
        assert_equivariant(lambda x: x / 0 * 0, VECTORS, TURNS, label="nan")


def test_nan_fails():
    assert_equivariant(lambda x: x * float("nan"), VECTORS, TURNS, label="nan")


@pytest.mark.equi(effort="thorough", seed=7)
def test_fixture(equi):
    found = equi.assert_equivariant(lambda x: x * x.norm(dim=-1, keepdim=True), VECTORS, TURNS, label="norm")
    assert (found.seed, found.effort) == (7, "thorough")


def test_in_teardown(request):
    request.addfinalizer(lambda: assert_equivariant(lambda x: -x, VECTORS, TURNS, label="late"))


try:
    from hypothesis import given
    from hypothesis import strategies as st
except ImportError:
    pass
else:

    @given(scale=st.integers(1, 9))
    def test_any_scale(equi, scale):
        equi.assert_equivariant(lambda x: scale * x, VECTORS, TURNS, label="any scale", effort="quick")

    @given(shift=st.integers(0, 9))
    def test_any_shift(shift):
        assert_equivariant(lambda x: x + shift, VECTORS, TURNS, label="any shift", effort="quick")
