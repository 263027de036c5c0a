"""Which of several is called the worst: ties are broken by order, not by the last bit.

Two entries of a residual that mathematics makes equal differ in their last bits, in another way on every processor. So
the worst is the first of those within ``TIED`` of the largest: reports, replays and baselines then name the same
element, entry and layer on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
TIED = 1e-6
"""Relative difference up to which two sizes count as equal: far above float64 rounding, far below what anybody reads."""


def first_largest(items: Iterable[T], size: Callable[[T], float], rank: Callable[[T], Any] | None = None) -> T:
    """The first of the items whose size is within ``TIED`` of the largest.

    Args:
        items: in the order that breaks ties; at least one.
        size: a number that is not negative; NaN counts as infinite.
        rank: compared first and exactly, such as a verdict; only items of the highest rank are looked at.

    >>> first_largest([("a", 1.0), ("b", 1.0 + 1e-9), ("c", 0.5)], size=lambda item: item[1])
    ('a', 1.0)
    """
    candidates = list(items)
    if rank is not None:
        top = max(map(rank, candidates))
        candidates = [item for item in candidates if rank(item) == top]
    sizes = [math.inf if math.isnan(s := float(size(item))) else s for item in candidates]
    least = _least_tied(max(sizes))
    return next(item for item, s in zip(candidates, sizes, strict=True) if s >= least)


def first_smallest(items: Iterable[T], size: Callable[[T], float]) -> T:
    """The first of the items whose size is that of the smallest, up to ``TIED``; at least one item.

    >>> first_smallest([("a", 2.0), ("b", 1.0), ("c", 1.0 - 1e-9)], size=lambda item: item[1])
    ('b', 1.0)
    """
    candidates = list(items)
    sizes = [float(size(item)) for item in candidates]
    least = min(sizes)
    return next(item for item, s in zip(candidates, sizes, strict=True) if _least_tied(s) <= least)


def first_argmax(values: Tensor) -> int:
    """The flat index of the first entry within ``TIED`` of the largest; NaN counts as infinite.

    Args:
        values: not negative, any shape, at least one entry.

    >>> import torch
    >>> first_argmax(torch.tensor([0.5, 1.0, 1.0 + 1e-7]))
    1
    """
    flat = values.flatten().nan_to_num(nan=math.inf, posinf=math.inf)
    return int((flat >= _least_tied(float(flat.max()))).nonzero()[0])


def _least_tied(largest: float) -> float:
    return largest if math.isinf(largest) else largest * (1 - TIED)
