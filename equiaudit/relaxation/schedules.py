"""Schedules for θ: the paper's triangle, cosine, constant, and adaptive ones; all but elastic ones end at exactly 0."""

from __future__ import annotations

import math

from equiaudit.relaxation.adaptive import DualAscent, LearnedLevels
from equiaudit.relaxation.relaxed import Relaxed
from equiaudit.relaxation.schedule import Schedule

__all__ = ["DualAscent", "LearnedLevels", "Schedule", "constant", "cosine", "dual_ascent", "learned", "triangle"]


def triangle(relaxed: Relaxed, total: int, *, peak: float = 1.0) -> Schedule:
    """θ(e) = 2e/E up to E/2, then 2 − 2e/E (Pertigkiozoglou et al. 2024), times ``peak``; θ(E) = 0 exactly.

    >>> from equiaudit.relaxation import relax
    >>> from equiaudit.relaxation.vector_neurons import VNLinear
    >>> schedule = triangle(relax(VNLinear(2, 2)), 4)
    >>> [schedule.theta, *(schedule.step() for _ in range(3))]
    [0.0, 0.5, 1.0, 0.5]
    """
    return Schedule(relaxed, total, "triangle", lambda e, n: peak * min(2 * e / n, 2 - 2 * e / n))


def cosine(relaxed: Relaxed, total: int, *, peak: float = 1.0) -> Schedule:
    """θ(e) = peak · (1 + cos(π e/E)) / 2: from the peak down to exactly 0."""
    return Schedule(relaxed, total, "cosine", lambda e, n: peak * (1 + math.cos(math.pi * e / n)) / 2)


def constant(relaxed: Relaxed, total: int, *, peak: float = 1.0) -> Schedule:
    """θ(e) = peak until the last step, which sets 0."""
    return Schedule(relaxed, total, "constant", lambda e, n: peak)


def dual_ascent(
    relaxed: Relaxed, total: int, *, rate: float = 0.01, elastic: float | None = None, bound_rate: float | None = None
) -> DualAscent:
    """Levels γ_i that the layers learn, pushed to 0 by multipliers that grow as long as they are not (ACE).

    Add ``schedule.penalty()`` to the loss of every step, and call ``schedule.step()`` after the optimizer's. Needs
    ``relax(…, learned=1.0)``. With ``elastic`` the levels may stay within bounds u_i that cost elastic · u_i² / 2 (data that
    are symmetric in part); the run then does not end at 0.

    >>> from equiaudit.relaxation import relax
    >>> from equiaudit.relaxation.vector_neurons import VNLinear
    >>> schedule = dual_ascent(relax(VNLinear(2, 2), learned=1.0), total=3, rate=0.1)
    >>> schedule.step(), schedule.multipliers
    (1.0, {'': 0.1})

    Source: arXiv 2505.13631 (ACE), its primal-dual updates with |γ_i| in place of γ_i, and its resilient ones.
    """
    return DualAscent(relaxed, total, rate, elastic, bound_rate)


def learned(relaxed: Relaxed, total: int, *, pull: float = 0.01) -> LearnedLevels:
    """Levels γ_i that the layers learn from the loss, pulled to 0 by pull · Σ γ_i².

    Add ``schedule.penalty()`` to the loss of every step. Needs ``relax(…, learned=1.0)``. In the spirit of RECM (arXiv
    2602.02853), which learns a level for each layer, without its recurrence.

    >>> from equiaudit.relaxation import relax
    >>> from equiaudit.relaxation.vector_neurons import VNLinear
    >>> float(learned(relax(VNLinear(2, 2), learned=0.5), total=3, pull=0.1).penalty().detach())
    0.025...
    """
    return LearnedLevels(relaxed, total, pull)
