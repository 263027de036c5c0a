"""Bars of a table, in per cent of a log axis: the floor, the error, and what was allowed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from equiaudit.records import Audit, Check, Verdict
from equiaudit.report.plots import Row, axis, place, power

LAYERS = 24
"""Rows of a layer table that are shown at most."""
LIE = "Lie derivative, "


@dataclass(frozen=True)
class Axis:
    """Whole decades from ``lo`` to ``hi``."""

    lo: int
    hi: int

    def at(self, value: float | None) -> float | None:
        """Where a value stands, in per cent from the left; zero is at the left end."""
        return (
            None if value is None else round(100 * (place(value, self.lo, self.hi) - self.lo) / (self.hi - self.lo), 1)
        )

    @property
    def step(self) -> int:
        """Decades between two labels."""
        return max(1, math.ceil((self.hi - self.lo) / 5))

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Labels and where they stand; the left end, which also stands for zero, has none.

        >>> Axis(-12, 0).ticks
        ((25.0, '10⁻⁹'), (50.0, '10⁻⁶'), (75.0, '10⁻³'), (100.0, '1'))
        """
        return tuple((self.at(10.0**d) or 0.0, power(d)) for d in range(self.hi, self.lo, -self.step))[::-1]


@dataclass(frozen=True)
class Bar:
    """An error beside its floor and what was allowed, in per cent of the axis; None where there is no number."""

    error: float | None
    floor: float | None
    allowed: float | None = None
    zero: bool = False


@dataclass(frozen=True)
class CheckRow:
    """A check, what it is called below the heading of its section, and its bar."""

    check: Check
    part: str
    bar: Bar


@dataclass(frozen=True)
class LayerRow:
    """A layer, its bar, and what was said of it."""

    layer: str
    kind: str
    error: float | None
    verdict: str
    note: str
    first: bool
    bar: Bar


@dataclass(frozen=True)
class Table:
    """Rows in named sections, on one axis."""

    axis: Axis
    sections: tuple[tuple[str, tuple[Any, ...]], ...]
    left_out: int = 0

    @property
    def grid(self) -> float:
        """The distance of the fine upright lines, in per cent."""
        return round(100 * self.axis.step / (self.axis.hi - self.axis.lo), 3)


def check_table(audit: Audit) -> Table:
    """Every check beside its floor: elements of the group first, then the derivative along each generator."""
    scale = _axis((Row("", c.error, c.floor, c.verdict) for c in audit.checks), audit.tolerance)
    parts: dict[str, list[CheckRow]] = {"Elements of the group": [], "Lie derivative, by generator": []}
    for check in audit.checks:
        of_lie = check.kind == "lie"
        allowed = audit.tolerance if check.kind != "sanity" else None
        row = CheckRow(check, check.part.replace(LIE, "") if of_lie else check.part, _bar(scale, check, allowed))
        parts["Lie derivative, by generator" if of_lie else "Elements of the group"].append(row)
    return Table(scale, tuple((name, tuple(rows)) for name, rows in parts.items() if rows))


def layer_table(audit: Audit) -> Table:
    """The layers around the first that breaks the symmetry."""
    names = [str(row.get("layer", "")) for row in audit.layers]
    first = names.index(audit.first_bad_layer) if audit.first_bad_layer in names else 0
    start = max(0, min(first - LAYERS // 3, len(names) - LAYERS))
    shown = audit.layers[start : start + LAYERS]
    scale = _axis(Row("", row.get("error"), row.get("floor"), Verdict.EXACT) for row in shown)
    rows = tuple(_layer_row(scale, row, audit.first_bad_layer) for row in shown)
    return Table(scale, (("", rows),) if rows else (), len(names) - len(rows))


def _layer_row(scale: Axis, row: Mapping[str, Any], first: str | None) -> LayerRow:
    error = row.get("error")
    return LayerRow(
        str(row.get("layer", "")),
        str(row.get("class") or ""),
        error,
        str(row.get("verdict") or "unknown"),
        str(row.get("note") or ""),
        bool(first) and row.get("layer") == first,
        Bar(scale.at(error), scale.at(row.get("floor")), None, error == 0),
    )


def _bar(scale: Axis, check: Check, allowed: float | None) -> Bar:
    return Bar(scale.at(check.error), scale.at(check.floor), scale.at(allowed) if allowed else None, check.error == 0)


def _axis(rows: Iterable[Row], tolerance: float | None = None) -> Axis:
    return Axis(*(axis([r for r in rows if r.error is not None], tolerance) or (-16, 0)))
