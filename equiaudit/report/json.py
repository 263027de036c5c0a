"""Audits as a JSON report, written and read back; builtins only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from equiaudit._version import __version__
from equiaudit.records import SCHEMA_VERSION, Audit


@dataclass(frozen=True)
class Report:
    """Several audits with where and when they ran; ``nodeids`` name the tests that they come from, or None."""

    audits: tuple[Audit, ...]
    nodeids: tuple[str | None, ...] = ()
    created: str = ""
    equiaudit_version: str = __version__
    environment: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: ``schema_version``, ``equiaudit_version``, ``created``, ``environment``, ``records``."""
        nodeids = self.nodeids or (None,) * len(self.audits)
        return {
            "schema_version": SCHEMA_VERSION,
            "equiaudit_version": self.equiaudit_version,
            "created": self.created,
            "environment": dict(self.environment),
            "records": [{"nodeid": n, **a.to_dict()} for n, a in zip(nodeids, self.audits, strict=True)],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """The report that ``to_dict`` wrote.

        Raises:
            ValueError: not a report, or one of a schema that this version can't read.
        """
        if not isinstance(data, Mapping) or "records" not in data or "schema_version" not in data:
            raise ValueError("expected an equiaudit report: a JSON object with 'schema_version' and 'records'")
        if data["schema_version"] != SCHEMA_VERSION:
            raise ValueError(
                f"this report has schema version {data['schema_version']}, and equiaudit {__version__} reads "
                f"{SCHEMA_VERSION}: it was written by equiaudit {data.get('equiaudit_version', 'unknown')}; use that one"
            )
        records = [dict(r) for r in data["records"]]
        nodeids = tuple(r.pop("nodeid", None) for r in records)
        return cls(
            tuple(Audit.from_dict(r) for r in records),
            nodeids,
            data.get("created", ""),
            data.get("equiaudit_version", ""),
            data.get("environment", {}),
        )


def make_report(audits: Sequence[Audit], nodeids: Sequence[str | None] | None = None) -> Report:
    """A report of these audits, created now; its environment is what all of them share.

    >>> from equiaudit import Audit, Verdict
    >>> report = make_report([Audit(Verdict.EXACT, label="net", environment={"torch": "2.13", "seed": 1})])
    >>> report.environment["torch"], report.to_dict()["records"][0]["verdict"]
    ('2.13', 'EXACT')
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Report(tuple(audits), tuple(nodeids or (None,) * len(audits)), now, __version__, shared(audits))


def shared(audits: Sequence[Audit]) -> dict[str, Any]:
    """What the environments of all audits have in common."""
    first = audits[0].environment if audits else {}
    return {k: v for k, v in first.items() if all(k in a.environment and a.environment[k] == v for a in audits)}


def write_json(audits: Sequence[Audit], path: str | Path, nodeids: Sequence[str | None] | None = None) -> Path:
    """Write a JSON report and return its path; numbers that are not finite become null."""
    path = Path(path)
    text = json.dumps(make_report(audits, nodeids).to_dict(), indent=1, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def read_json(path: str | Path) -> Report:
    """Read a JSON report.

    Raises:
        ValueError: the file is no report that this version can read; the message says why.
    """
    try:
        return Report.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None
