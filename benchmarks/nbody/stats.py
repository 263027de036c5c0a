"""Paired comparison of two arms over the seeds that both have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Paired:
    """The change of the error against a baseline, as a share: −0.1 is ten per cent lower."""

    seeds: int
    change: float
    low: float
    high: float
    effect: float
    """Mean over standard deviation of the paired log-ratios (Cohen's d_z)."""
    p: float
    """Of a two-sided paired t-test on log errors."""


def compare(arm: Mapping[int, float], baseline: Mapping[int, float], level: float = 0.95) -> Paired | None:
    """The geometric mean of arm / baseline over common seeds, with its t-interval; None with fewer than three.

    >>> found = compare({0: 0.9, 1: 1.8, 2: 2.75}, {0: 1.0, 1: 2.0, 2: 3.0})
    >>> round(found.change, 3), found.low < -0.09 < found.high
    (-0.094, True)
    """
    common = sorted(set(arm) & set(baseline))
    if len(common) < 3:
        return None
    ratios = np.log([arm[s] / baseline[s] for s in common])
    mean, spread = ratios.mean(), ratios.std(ddof=1)
    if spread == 0:
        return Paired(len(common), *(float(np.expm1(mean)),) * 3, effect=float("nan"), p=float("nan"))
    half = stats.t.ppf(0.5 + level / 2, len(common) - 1) * spread / len(common) ** 0.5
    low, change, high = (float(np.expm1(mean + k * half)) for k in (-1, 0, 1))
    return Paired(len(common), change, low, high, float(mean / spread), float(stats.ttest_1samp(ratios, 0.0).pvalue))


def holm(values: Sequence[float]) -> list[float]:
    """p-values that allow for the number of comparisons (Holm 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(values)
    out, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        out[index] = largest
    return out
