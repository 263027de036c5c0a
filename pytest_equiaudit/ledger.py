"""Collects the records of all tests and what became of each test; runs where the report is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from equiaudit.report.json import Record
from equiaudit.report.order import badness
from pytest_equiaudit.carrying import read_records

PHASES = ("setup", "call", "teardown")


@dataclass
class Test:
    """One test: its records so far, its outcome, how often it was tried, and whether a try is under way."""

    __test__ = False  # pytest looks for tests here when the folder is collected

    records: list[Record] = field(default_factory=list)
    outcome: str = "unknown"
    tries: int = 0
    begun: bool = False

    def begin(self) -> None:
        """A try: what came before is void."""
        self.records, self.outcome, self.begun = [], "unknown", True
        self.tries += 1


class Ledger:
    """Filled from the reports of tests, in whatever order and from however many processes they come."""

    def __init__(self) -> None:
        self.tests: dict[str, Test] = {}
        self.died: set[str] = set()
        # By name, then by the test that asked first: every process sets a fixture up for itself.
        self._fixtures: dict[str, dict[str, list[Record]]] = {}

    def add(self, report: Any) -> None:
        """Take what a report carries; the setup of a rerun makes what came before void."""
        test = self.tests.setdefault(report.nodeid, Test())
        if report.when not in PHASES:  # xdist's word that the process died
            self._die(report.nodeid, test)
            return
        if report.when == "setup":
            test.begin()
            if test.tries > 1:
                self._forget_failed_fixtures(report.nodeid)
        self._take(report.nodeid, read_records(report))
        test.outcome = merged(test.outcome, report)
        test.begun = report.when != "teardown"

    def interrupt(self, nodeid: str, records: Iterable[Record]) -> None:
        """Take the records of a test that was interrupted, for which there is no report."""
        self._take(nodeid, records)
        self.tests[nodeid].outcome = "interrupted"

    def fixture(self, name: str) -> list[Record]:
        """The records of a fixture: of several processes those that ended worse."""
        return max(self._fixtures.get(name, {}).values(), key=worst, default=[])

    @property
    def crashed(self) -> tuple[str, ...]:
        """Tests during which a process died and that were not tried again: their audits are lost."""
        return tuple(sorted(n for n in self.died if self.tests[n].outcome == "crashed"))

    @property
    def retried(self) -> tuple[str, ...]:
        """Tests during which a process died and that ended when they were tried again."""
        return tuple(sorted(self.died - set(self.crashed)))

    def records(self) -> tuple[Record, ...]:
        """All records, by nodeid; equal labels of one test are numbered."""
        found: dict[str, list[Record]] = {
            nodeid: [replace(r, outcome=t.outcome, tries=t.tries) for r in numbered(t.records)]
            for nodeid, t in self.tests.items()
        }
        found |= {name: numbered(self.fixture(name)) for name in self._fixtures}
        return tuple(record for _, records in sorted(found.items()) for record in records)

    def _take(self, nodeid: str, records: Iterable[Record]) -> None:
        test = self.tests.setdefault(nodeid, Test())
        shared: dict[str, list[Record]] = {}
        for record in records:
            if record.phase == "fixture" and record.nodeid is not None:
                shared.setdefault(record.nodeid, []).append(record)
            else:
                test.records.append(record)
        for name, new in shared.items():
            self._fixtures.setdefault(name, {})[nodeid] = new

    def _die(self, nodeid: str, test: Test) -> None:
        test.tries += not test.begun  # the reports of that try, its setup's too, died with the process
        test.outcome, test.begun = "crashed", False
        self.died.add(nodeid)

    def _forget_failed_fixtures(self, nodeid: str) -> None:
        for sources in self._fixtures.values():
            if any(r.outcome == "error" for r in sources.get(nodeid, ())):
                del sources[nodeid]


def worst(records: Iterable[Record]) -> tuple[bool, tuple[int, float]]:
    """How bad the worst of them is; a setup that failed is worse than any."""
    records = tuple(records)
    return any(r.outcome == "error" for r in records), max((badness(r.audit) for r in records), default=(-1, 0.0))


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
    if getattr(report, "context", None) is not None:
        return outcome  # a subtest; the test itself has the last word
    if report.skipped:
        return outcome if outcome == "failed" else "xfailed" if expected else "skipped"
    if report.when == "call" and outcome == "unknown":
        return "xpassed" if expected else "passed"
    return outcome
