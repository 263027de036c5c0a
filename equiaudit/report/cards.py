"""One record as the page shows it: words, bars and charts, and which records need attention first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from equiaudit.records import Audit, Verdict
from equiaudit.report import order, text
from equiaudit.report.angles import Chart, charts
from equiaudit.report.bars import Table, check_table, layer_table
from equiaudit.report.baseline import Change
from equiaudit.report.changes import Changes
from equiaudit.report.curves import plot_chart
from equiaudit.report.json import Record

REAL = (Verdict.BROKEN, Verdict.APPROXIMATE)
PARTS = 4
"""Names of broken parts in a row of the table; the article has all."""


@dataclass(frozen=True)
class Card:
    """One audit as the templates want it."""

    record: Record
    key: str
    group: str
    headline: str
    facts: Mapping[str, str]
    breaks: str
    element: str
    sampled: bool
    checks: Table
    layers: Table
    charts: tuple[tuple[Chart, str], ...]
    change: Change | None
    method: str
    cost: str
    environment: Mapping[str, Any]

    @property
    def audit(self) -> Audit:
        """What was found."""
        return self.record.audit

    @property
    def name(self) -> str:
        """The label of the audit."""
        return self.audit.label or "the model"

    @property
    def inputs(self) -> str:
        """The minimal input as code, "" where none was sought."""
        return (self.audit.worst.inputs or "") if self.audit.worst else ""

    @property
    def open(self) -> bool:
        """Whether the reader sees everything at once: an exact audit waits to be asked."""
        return self.audit.verdict is not Verdict.EXACT


def make_card(
    record: Record, key: str, shared: Mapping[str, Any], changes: Changes | None, room: Iterator[int]
) -> Card:
    """The card of a record.

    Args:
        record: the audit and where it came from.
        key: the id of its article.
        shared: entries of the environment that all records have; they are shown once.
        changes: against the baseline, None without one.
        room: counts down with every chart; below 1 no more are drawn.
    """
    audit = record.audit
    element = audit.worst.element if audit.worst and audit.verdict in REAL else ""
    one = text.shortened(element).partition(" for the first sample;")
    return Card(
        record,
        key,
        text.groups(audit),
        text.headline(audit),
        dict(text.facts(audit)),
        breaks(audit),
        one[0],
        bool(one[1]),
        check_table(audit),
        layer_table(audit),
        tuple((c, plot_chart(c, f"{key}c{n}") if next(room) > 0 else "") for n, c in enumerate(charts(audit))),
        changes.of(record) if changes else None,
        text.method(audit),
        text.cost(audit),
        {k: v for k, v in audit.environment.items() if k not in shared},
    )


def breaks(audit: Audit) -> str:
    """What broke and where it begins, in a few words.

    >>> breaks(Audit(Verdict.BROKEN, cause="discontinuity", first_bad_layer="mix"))
    'discontinuity; first in mix'
    >>> from equiaudit.records import Check
    >>> breaks(Audit(Verdict.BROKEN, checks=(Check("E(3): rotations", "finite", Verdict.BROKEN),)))
    'broken: rotations'
    """
    if audit.verdict not in REAL:
        return "" if audit.passed else audit.cause or ""
    parts = [c.part.rpartition(": ")[2] for c in audit.checks if c.verdict in REAL and c.kind != "lie"]
    more = f" and {len(parts) - PARTS} more" if len(parts) > PARTS else ""
    said = f"broken: {', '.join(parts[:PARTS])}{more}" if parts else audit.cause or ""
    first = f"first in {audit.first_bad_layer}" if audit.first_bad_layer else ""
    return "; ".join(t for t in (said, first) if t)


def urgency(record: Record, changes: Changes | None) -> tuple[Any, ...]:
    """A sort key: failures that nobody expected, what grew, then by verdict and by how far the error exceeds its floor."""
    change = changes.of(record) if changes else None
    failed, *rest = order.urgency(record)
    return failed, change is None or change.status != "grew", *rest
