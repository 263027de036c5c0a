"""Collects the records of all tests and what became of each test; runs where the report is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from equiaudit.report.json import Record
from pytest_equiaudit.carrying import badness, read_records

PHASES = ("setup", "call", "teardown")


@dataclass
class Test:
    """One test: its records so far, its outcome, and how often it was tried."""

    __test__ = False  # pytest looks for tests here when the folder is collected

    records: list[Record] = field(default_factory=list)
    outcome: str = "unknown"
    tries: int = 0


class Ledger:
    """Filled from the reports of tests, in whatever order and from however many processes they come."""

    def __init__(self) -> None:
        self.tests: dict[str, Test] = {}
        self.fixtures: dict[str, list[Record]] = {}
        self.crashed: list[str] = []

    def add(self, report: Any) -> None:
        """Take what a report carries; the setup of a rerun makes what came before void."""
        test = self.tests.setdefault(report.nodeid, Test())
        if report.when == "setup":
            test.records, test.outcome = [], "unknown"
            test.tries += 1
        if report.when not in PHASES:  # xdist's word that the process died
            self.crashed.append(report.nodeid)
            test.outcome = "crashed"
            return
        records = read_records(report)
        test.records += [r for r in records if r.phase != "fixture"]
        shared: dict[str, list[Record]] = {}
        for record in records:
            if record.phase == "fixture" and record.nodeid is not None:
                shared.setdefault(record.nodeid, []).append(record)
        for nodeid, new in shared.items():
            # Every process sets the fixture up for itself: the same audits again, of which the worse are kept.
            old = self.fixtures.get(nodeid)
            if old is None or worst(new) >= worst(old):
                self.fixtures[nodeid] = new
        test.outcome = merged(test.outcome, report)

    def records(self) -> tuple[Record, ...]:
        """All records, by nodeid; equal labels of one test are numbered."""
        found: list[Record] = []
        every: dict[str, tuple[list[Record], str | None, int]] = {
            nodeid: (t.records, t.outcome, t.tries) for nodeid, t in self.tests.items()
        }
        every |= {nodeid: (records, None, 1) for nodeid, records in self.fixtures.items()}
        for _, (records, outcome, tries) in sorted(every.items()):
            named = numbered(records)
            found += [replace(r, outcome=outcome, tries=tries) for r in named]
        return tuple(found)


def worst(records: Iterable[Record]) -> tuple[int, float]:
    """How bad the worst of them is."""
    return max((badness(r.audit) for r in records), default=(-1, 0.0))


def numbered(records: Iterable[Record]) -> list[Record]:
    """The records with a number after a label that came before: ``net``, ``net #2``, ``net #3``."""
    taken: set[str] = set()
    found = []
    for record in records:
        label, n = record.audit.label, 1
        while label in taken:
            n += 1
            label = f"{record.audit.label} #{n}"
        taken.add(label)
        found.append(record if n == 1 else replace(record, audit=replace(record.audit, label=label)))
    return found


def merged(outcome: str, report: Any) -> str:
    """The outcome of a test after one more report of it."""
    expected = hasattr(report, "wasxfail")
    if report.outcome == "rerun":
        return "rerun"
    if report.failed:
        return "failed" if report.when == "call" else "error"
    if report.skipped:
        return outcome if outcome == "failed" else "xfailed" if expected else "skipped"
    if report.when == "call" and outcome == "unknown":
        return "xpassed" if expected else "passed"
    return outcome
