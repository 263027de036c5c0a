"""Audits as a JSON report, written and read back; builtins only."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from equiaudit._version import __version__
from equiaudit.records import SCHEMA_VERSION, Audit, Cause

ORIGIN = ("nodeid", "factory", "case", "phase", "outcome", "audits", "tries")
"""Entries of a record that are not the audit's."""
UNHARMED = ("passed", "xfailed", "xpassed", "skipped")
"""Outcomes of tests that do not fail a run: what such a test measured, it expected."""


@dataclass(frozen=True)
class Record:
    """One audit and where it came from: ``nodeid`` of a test, or ``factory`` and ``case`` of the command line.

    Of a test: ``phase`` is "setup", "call", "teardown" or "fixture" (one that several tests share), ``outcome`` what became of
    the test (of a fixture: of its setup), ``audits`` how many audits this one stands for (the worst of them), and ``tries``
    how often the test was run.
    """

    audit: Audit
    nodeid: str | None = None
    factory: str | None = None
    case: str | None = None
    phase: str | None = None
    outcome: str | None = None
    audits: int = 1
    tries: int = 1

    @property
    def origin(self) -> str | None:
        """Where it came from, for a person."""
        return self.nodeid or " ".join(t for t in (self.factory, self.case) if t) or None

    @property
    def expected(self) -> bool:
        """Whether the audit does not pass, in a test (or in the setup of a shared fixture) that did not fail."""
        return not self.audit.passed and self.outcome in UNHARMED

    @property
    def failed(self) -> bool:
        """Whether the audit does not pass, and nobody expected that."""
        return not self.audit.passed and not self.expected

    @property
    def status(self) -> str:
        """What ``error`` is: "measured", "not finite" (null in JSON) or "no number" (the audit ended before there was one)."""
        error = self.audit.error
        if self.audit.cause == Cause.NOT_FINITE or (error is not None and not math.isfinite(error)):
            return "not finite"
        return "no number" if error is None else "measured"

    def to_dict(self) -> dict[str, Any]:
        """The audit's own entries after those that say where it came from; ``nodeid`` is always there."""
        names = {k: getattr(self, k) for k in ORIGIN[1:] if getattr(self, k) not in (None, 1)}
        return {"nodeid": self.nodeid, **names, "status": self.status, **self.audit.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """The record that ``to_dict`` wrote."""
        rest = {k: v for k, v in data.items() if k != "status"}
        names = {k: rest.pop(k) for k in ORIGIN if k in rest}
        audit = Audit.from_dict(rest)
        if data.get("status") == "not finite" and audit.cause != Cause.NOT_FINITE:
            audit = replace(audit, error=math.nan)  # JSON has no word for it
        return cls(audit, **names)


@dataclass(frozen=True)
class Report:
    """Several records, with when they were written and by which version; ``environment`` is what all audits share.

    ``crashed`` names tests during which a process died, ``retried`` those that ended when they were tried again;
    ``interrupted`` says why a run ended early.
    """

    records: tuple[Record, ...]
    created: str = ""
    equiaudit_version: str = __version__
    crashed: tuple[str, ...] = ()
    interrupted: str = ""
    retried: tuple[str, ...] = ()

    @property
    def audits(self) -> tuple[Audit, ...]:
        """The audits alone."""
        return tuple(r.audit for r in self.records)

    @property
    def environment(self) -> dict[str, Any]:
        """The entries that are the same in all environments."""
        every = [a.environment for a in self.audits]
        return {k: v for k, v in every[0].items() if all(k in e and e[k] == v for e in every)} if every else {}

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: ``schema_version``, ``equiaudit_version``, ``created``, ``environment``, ``records``.

        ``crashed``, ``retried`` and ``interrupted`` stand before the records where there is something to say.
        """
        trouble = {
            "crashed": list(self.crashed),
            "retried": list(self.retried),
            "interrupted": self.interrupted,
        }
        return {
            "schema_version": SCHEMA_VERSION,
            "equiaudit_version": self.equiaudit_version,
            "created": self.created,
            "environment": self.environment,
            **{k: v for k, v in trouble.items() if v},
            "records": [r.to_dict() for r in self.records],
        }

    @classmethod
    def from_dict(cls, data: Any) -> Report:
        """The report that ``to_dict`` wrote.

        Raises:
            ValueError: not a report, or one of a schema that this version can't read.
        """
        if not isinstance(data, Mapping) or "records" not in data or "schema_version" not in data:
            raise ValueError("expected an equiaudit report: a JSON object with 'schema_version' and 'records'")
        if data["schema_version"] != SCHEMA_VERSION:
            raise ValueError(
                f"expected schema version {SCHEMA_VERSION}, got {data['schema_version']}: the report was written by "
                f"equiaudit {data.get('equiaudit_version', 'unknown')}, this is {__version__}; read it with the former"
            )
        records = tuple(Record.from_dict(r) for r in data["records"])
        return cls(
            records,
            data.get("created", ""),
            data.get("equiaudit_version", ""),
            tuple(data.get("crashed", ())),
            data.get("interrupted", ""),
            tuple(data.get("retried", ())),
        )


def make_report(found: Report | Sequence[Audit | Record]) -> Report:
    """A report of audits (or records of them), created now; a report stays as it is.

    >>> from equiaudit import Audit, Verdict
    >>> report = make_report([Audit(Verdict.EXACT, label="net", environment={"torch": "2.13"})])
    >>> report.environment, report.to_dict()["records"][0]["verdict"]
    ({'torch': '2.13'}, 'EXACT')
    """
    if isinstance(found, Report):
        return found
    records = tuple(r if isinstance(r, Record) else Record(r) for r in found)
    return Report(records, datetime.now(UTC).isoformat(timespec="seconds"))


def to_text(found: Report | Sequence[Audit | Record]) -> str:
    """The report as JSON text; numbers that are not finite are null."""
    return json.dumps(make_report(found).to_dict(), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(found: Report | Sequence[Audit | Record], path: str | Path) -> Path:
    """Write a JSON report and return its path."""
    path = Path(path)
    # A label may hold what UTF-8 cannot; this writes it as JSON spells it.
    path.write_text(to_text(found), encoding="utf-8", errors="backslashreplace")
    return path


def read_json(path: str | Path) -> Report:
    """Read a JSON report, whoever wrote it: this, the command line or pytest.

    Raises:
        ValueError: the file is no report that this version can read; the message says why.
    """
    try:
        return Report.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None
