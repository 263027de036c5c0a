"""Audits as records on the reports of a test, which cross to another process, to JUnit and to pytest-html."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from equiaudit.ambient import command
from equiaudit.records import Audit
from equiaudit.report.cleaning import cleaned, printable
from equiaudit.report.json import Record
from equiaudit.report.lines import pytest_line
from equiaudit.report.order import badness
from equiaudit.report.text import number

if TYPE_CHECKING:
    from pytest_equiaudit.recording import Heard

PROPERTY = "equiaudit"
"""Name of the JUnit properties, and of the attribute of a report that carries records: JSON, which crosses to any process."""


@dataclass
class Fold:
    """Many audits of one name under ``@given``: the worst passing one, the last failing one, and how many there were."""

    kept: Audit
    audits: int = 1
    failing: int = 0
    largest: float = 0.0

    @classmethod
    def of(cls, audit: Audit) -> Fold:
        """The first."""
        return cls(audit, 1, not audit.passed, audit.error or 0.0)

    def add(self, audit: Audit) -> None:
        """A failing one takes the place of all before: hypothesis ends with the smallest that fails."""
        self.audits += 1
        self.failing += not audit.passed
        self.largest = max(self.largest, audit.error or 0.0)
        if not audit.passed or (self.kept.passed and badness(audit) > badness(self.kept)):
            self.kept = audit

    def result(self) -> Audit:
        """The kept one, with a note that counts the others."""
        if self.audits == 1:
            return self.kept
        if self.failing:
            note = (
                f"the last of {self.failing} that failed among {self.audits} examples, which hypothesis shrank; "
                f"the largest error was {number(self.largest)}"
            )
        else:
            note = f"the worst of {self.audits} examples"
        return replace(self.kept, notes=(*self.kept.notes, note))


def make_records(heard: Iterable[Heard], nodeid: str, phase: str) -> list[Record]:
    """Records of what was heard in one phase of a test."""
    records = []
    for one in heard:
        audit, fixture = one.audit, one.fixture
        if fixture and not audit.passed:
            place = fixture.partition("::fixture ")[0]
            audit = replace(audit, replay=pytest_line(audit, place, command(place)))
        audit = replace(cleaned(audit), label=printable(audit.label))
        where = (printable(fixture), "fixture") if fixture else (nodeid, phase)
        records.append(Record(audit, where[0], phase=where[1], outcome=one.outcome, audits=one.audits))
    return records


def attach(report: pytest.TestReport, records: Sequence[Record], *, wanted: bool, extras: bool) -> None:
    """Put records on a report for those who read it: this plugin at the end of the run, and pytest-html."""
    if wanted:
        setattr(report, PROPERTY, json.dumps([r.to_dict() for r in records]))
    if extras:
        # pytest-html takes these from the reports; a plain dict is what its own functions make.
        report.extras = [*getattr(report, "extras", []), *map(extra, records)]  # type: ignore[attr-defined]


def read_records(report: Any) -> list[Record]:
    """What ``attach`` put on a report, possibly in another process."""
    text = getattr(report, PROPERTY, None)
    return [Record.from_dict(data) for data in json.loads(text)] if text else []


def in_one_line(record: Record) -> str:
    """A record as the value of a JUnit property.

    >>> from equiaudit.records import Verdict
    >>> in_one_line(Record(Audit(Verdict.BROKEN, error=0.5, floor=1e-12, label="net", first_bad_layer="mix")))
    'net: BROKEN, error 5.0e-01, floor 1.0e-12, layer mix'
    """
    audit = record.audit
    words = [f"{audit.label}: {audit.verdict}"]
    words += [f"error {number(audit.error)}", f"floor {number(audit.floor)}"] if audit.error is not None else []
    words += [audit.cause] if audit.cause else []
    words += [f"layer {audit.first_bad_layer}"] if audit.first_bad_layer else []
    words += [f"worst of {record.audits}"] if record.audits > 1 else []
    return ", ".join(words)


def extra(record: Record) -> Mapping[str, Any]:
    """The text of an audit as pytest-html shows it in the row of the test."""
    name = f"audit {record.audit.label}"
    return {
        "name": name,
        "format_type": "text",
        "content": str(record.audit),
        "mime_type": "text/plain",
        "extension": "txt",
    }
