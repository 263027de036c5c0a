"""The worst of several that are equal up to rounding is the first, whatever the last bits are."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from equiaudit import Symmetry, audit
from equiaudit.groups import SO, O
from equiaudit.ties import TIED, first_argmax, first_largest, first_smallest

pytestmark = pytest.mark.rounding
CLOUD = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_last_bit_decides_nothing_and_a_real_difference_does(sign: int) -> None:
    """On either side of the threshold."""
    equal, larger = 1.0 + sign * TIED / 2, 1.0 + 2 * TIED
    assert first_largest([1.0, equal], size=float) == 1.0
    assert first_largest([1.0, larger], size=float) == larger
    assert first_smallest([1.0, equal], size=float) == 1.0
    assert first_smallest([larger, 1.0], size=float) == 1.0
    assert first_argmax(torch.tensor([1.0, equal], dtype=torch.float64)) == 0
    assert first_argmax(torch.tensor([1.0, larger], dtype=torch.float64)) == 1


def test_what_is_not_a_number_is_the_largest_and_a_rank_comes_first() -> None:
    assert math.isnan(first_largest([math.inf, math.nan, 1.0], size=float)) is False  # both count as infinite
    assert math.isnan(first_largest([1.0, math.nan], size=float))
    assert first_argmax(torch.tensor([1.0, math.nan, math.inf])) == 1
    assert first_largest([("a", 2.0), ("b", 1.0)], size=lambda i: i[1], rank=lambda i: i[0] == "b") == ("b", 1.0)
    with pytest.raises(ValueError, match="empty"):
        first_largest([], size=float)


class Rounded(nn.Module):
    """Adds the same to every entry, but for a last bit that ``place`` gets more: planted rounding."""

    def __init__(self, place: int, amount: float = 0.25) -> None:
        super().__init__()
        self.place, self.amount = place, amount

    def forward(self, x: Tensor) -> Tensor:
        y = 2 * x + self.amount
        last_bit = torch.zeros(y.numel(), dtype=y.dtype)
        last_bit[self.place] = 4 * torch.finfo(y.dtype).eps
        return y + last_bit.view_as(y)


def test_the_worst_entry_does_not_depend_on_rounding() -> None:
    """The inversion moves a constant offset by the same in all eighteen entries."""
    claim = Symmetry(O(3), "vector", "vector")
    found = [audit(Rounded(place), CLOUD, claim, label="net") for place in (0, 7, 17)]
    assert len({(f.worst.element, f.worst.leaf, f.worst.index) for f in found if f.worst}) == 1
    assert len({tuple((c.part, c.element, c.verdict) for c in f.checks) for f in found}) == 1
    assert found[0].worst is not None
    assert found[0].worst.index == (0, 0)


def test_the_worst_leaf_is_the_first_of_equal_ones() -> None:
    class Two(nn.Module):
        def __init__(self, more: float) -> None:
            super().__init__()
            self.more = more

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            wrong = x * torch.tensor([1.0, 1.0, 2.0], dtype=x.dtype)
            return {"first": wrong, "second": wrong * (1 + self.more)}

    claim = Symmetry(SO(3), "vector", {"first": "vector", "second": "vector"})
    for more in (0.0, 1e-15, -1e-15):
        worst = audit(Two(more), CLOUD, claim).worst
        assert worst is not None
        assert "first" in worst.leaf
