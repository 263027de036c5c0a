"""Which of the elements that were tried make a chart: error against angle, around the circle, and against shift."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from equiaudit.records import Audit, Tried, Verdict
from equiaudit.ties import first_largest

EXHAUSTIVE = "all elements"
"""The ``sweep`` of the elements of a finite group: points, with nothing between them."""
ENOUGH = {"angle": 4, "circle": 3, "shift": 4}
"""Different angles or shifts below which a chart says no more than the table of checks."""
REACH = 3
"""Decades between the smallest violation and the floor up to which the axis goes down to the floor."""
_PLANAR = re.compile(r"(Cyclic|Dihedral)\(|S?[OE]\(2\)")


class Kind(StrEnum):
    """What a chart has along its axis: the angle, the angle around a circle (groups of the plane), or the shift."""

    ANGLE = "angle"
    CIRCLE = "circle"
    SHIFT = "shift"


@dataclass(frozen=True)
class Chart:
    """Elements to be drawn: ``curves`` are sweeps along one generator each, ``loose`` is everything else.

    ``verdict`` colours what is above the floor.
    """

    kind: Kind
    curves: tuple[tuple[str, tuple[Tried, ...]], ...]
    loose: tuple[Tried, ...]
    verdict: Verdict

    @property
    def points(self) -> tuple[Tried, ...]:
        """Every element that the chart shows, in the order of its table."""
        return tuple(t for _, curve in self.curves for t in curve) + self.loose

    @property
    def floor(self) -> float | None:
        """The largest floor among the points: above it no point is rounding."""
        return max((t.floor for t in self.points if t.floor is not None), default=None)

    @property
    def decades(self) -> tuple[int, int]:
        """The error axis. It leaves the floor out where that is far below every point: the shape would be lost."""
        errors = [t.error for t in self.points if t.error]
        real = [t.error for t in self.points if t.error and not t.within]
        low = min(real or errors or [1e-16])
        if self.floor and (len(real) < len(self.points) or math.log10(low / self.floor) <= REACH):
            low = min(low, self.floor / 10)
        lo, hi = math.floor(math.log10(low)), math.ceil(math.log10(max([*errors, self.floor or 0, low])))
        return lo, max(hi, lo + 1)

    @property
    def title(self) -> str:
        """The heading of the figure."""
        along = "shift" if self.kind is Kind.SHIFT else "angle"
        return f"Error against {along}" + (", one line per generator" if len(self.curves) > 1 else "")

    @property
    def text(self) -> str:
        """What the chart shows, for a reader who can't see it."""
        unit = "" if self.kind is Kind.SHIFT else "°"
        worst = first_largest(self.points, lambda t: t.error or 0.0)
        within = sum(t.within for t in self.points)
        floor = f", floor {self.floor:.1e}" if self.floor is not None else ""
        return (
            f"{self.title}: {len(self.points)} elements, {within} of them at or below the floor; "
            f"the largest error is {worst.error or 0.0:.1e} at {along(worst, self.kind):.4g}{unit}{floor}. "
            "The table below has every point."
        )


def charts(audit: Audit) -> tuple[Chart, ...]:
    """The charts of an audit: none where too few elements were tried to show a shape.

    >>> turns = [Tried("x", "SO(3).turn('x', 1/8)", "twin", "y", 0.1, 1e-9, False, 45.0 * k, None) for k in range(1, 6)]
    >>> [chart.kind.value for chart in charts(Audit(Verdict.BROKEN, tried=tuple(turns)))]
    ['angle']
    """
    known = [t for t in audit.tried if t.error is not None and math.isfinite(t.error)]
    pure = [t for t in known if t.shift and not t.angle and not t.improper]
    # Where shifts break by themselves, an element that turns and shifts says nothing about turns.
    mixed = not all(t.within for t in pure)
    turns = [t for t in known if t.angle is not None and (t.angle or t.improper) and not (mixed and t.shift)]
    planar = [t for t in turns if _PLANAR.match(t.element)]
    spatial = [t for t in turns if not _PLANAR.match(t.element)]
    found = ((Kind.CIRCLE, planar), (Kind.ANGLE, spatial), (Kind.SHIFT, pure))
    return tuple(
        Chart(kind, *_split(points, kind), audit.verdict)
        for kind, points in found
        if len({round(along(t, kind), 6) for t in points}) >= ENOUGH[kind.value]
    )


def along(one: Tried, kind: Kind) -> float:
    """Where an element stands along the axis: degrees, or the length of its translation."""
    return (one.shift if kind is Kind.SHIFT else one.angle) or 0.0


def _split(points: Sequence[Tried], kind: Kind) -> tuple[tuple[tuple[str, tuple[Tried, ...]], ...], tuple[Tried, ...]]:
    names = dict.fromkeys(t.sweep for t in points if t.sweep and t.sweep != EXHAUSTIVE)
    curves = [(str(name), _sorted((t for t in points if t.sweep == name), kind)) for name in names]
    return tuple(curves), _sorted((t for t in points if t.sweep not in names), kind)


def _sorted(points: Iterable[Tried], kind: Kind) -> tuple[Tried, ...]:
    return tuple(sorted(points, key=lambda t: (t.improper, along(t, kind))))
