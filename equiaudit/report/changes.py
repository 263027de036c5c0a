"""A comparison with a baseline as the page shows it: counts, and the change of each record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from equiaudit.report.baseline import Change, Comparison
from equiaudit.report.json import Record

ARROWS = {"grew": "▲", "shrank": "▼", "new": "+", "unused": "−", "same": "="}
LISTED = ("grew", "new", "unused", "shrank")
"""What is listed above the table; the rest is in the table."""
MOST = 50
"""Entries of one list; the table has the others."""


@dataclass(frozen=True)
class Changes:
    """The changes of a report, found by record."""

    comparison: Comparison
    by_key: Mapping[tuple[str, str], Change]

    def of(self, record: Record) -> Change | None:
        """The change of one record, None where the baseline says nothing."""
        return self.by_key.get((record.nodeid or "", record.audit.label))

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """How many of each status, worst first; only those that occur."""
        found = ((status, len(self.comparison.having(status))) for status in (*LISTED, "same"))
        return tuple((status, count) for status, count in found if count)

    @property
    def lists(self) -> tuple[tuple[str, tuple[Change, ...], int], ...]:
        """Status, its first changes, and how many more there are."""
        every = ((status, self.comparison.having(status)) for status in LISTED)
        return tuple((status, found[:MOST], max(0, len(found) - MOST)) for status, found in every if found)


def changes_of(comparison: Comparison | None) -> Changes | None:
    """The changes by record; None where there is no baseline."""
    return None if comparison is None else Changes(comparison, {c.key: c for c in comparison.changes})
