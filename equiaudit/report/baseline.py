"""A baseline: the errors that a team has accepted, in a file that is committed, and what changed against it."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equiaudit.records import Verdict
from equiaudit.report.json import Record, Report
from equiaudit.report.lines import shell

BASELINE_VERSION = 1
RATIO = 1.1
"""How many times its old value an error may reach before it counts as grown."""
STATUSES = ("grew", "new", "unused", "shrank", "same")
"""What needs attention first."""
ANEW = "restore the file, or delete it and make it anew with --equi-update-baseline"

Key = tuple[str, str]


@dataclass(frozen=True)
class Mark:
    """What the file keeps of one audit: enough to tell growth from noise."""

    verdict: Verdict
    error: float | None = None
    floor: float | None = None


@dataclass(frozen=True)
class Baseline:
    """Marks by (nodeid, label), and where they were measured."""

    marks: Mapping[Key, Mark] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """One audit against its baseline.

    ``verdict`` is that of this run, None where it has no such audit;
    ``before`` and ``now`` are errors relative to the scale of the output, None where there was no number or no such audit;
    ``floor`` is the larger floor of the two: below it no difference is claimed. ``status`` is "grew" (fails the run),
    "shrank", "same", "new" (not in the file) or "unused" (in the file, and its test no longer makes it).
    """

    nodeid: str
    label: str
    status: str
    before: float | None = None
    now: float | None = None
    floor: float | None = None
    note: str = ""
    verdict: Verdict | None = None

    @property
    def key(self) -> Key:
        """(nodeid, label), as in the report."""
        return self.nodeid, self.label

    @property
    def times(self) -> float | None:
        """How many times the old error, or the floor where that was larger; None without two numbers.

        >>> Change("test_a.py::test_b", "net", "grew", before=1e-14, now=0.25, floor=0.125).times
        2.0
        """
        if self.before is None or self.now is None:
            return None
        old = max(self.before, self.floor or 0.0)
        return self.now / old if old else None


@dataclass(frozen=True)
class Comparison:
    """All changes against one baseline, those that need attention first; ``unseen`` counts entries that did not run."""

    path: str
    changes: tuple[Change, ...] = ()
    unseen: int = 0

    @property
    def grew(self) -> tuple[Change, ...]:
        """What fails the run."""
        return self.having("grew")

    def having(self, status: str) -> tuple[Change, ...]:
        """The changes with this status."""
        return tuple(c for c in self.changes if c.status == status)

    def find(self, nodeid: str | None, label: str) -> Change | None:
        """The change of one record, or None."""
        return next((c for c in self.changes if c.key == (nodeid, label)), None)


def compare(
    baseline: Baseline,
    records: Iterable[Record],
    path: str = "",
    *,
    ratio: float = RATIO,
    unused: Callable[[str], bool] = lambda nodeid: True,
) -> Comparison:
    """Hold records against a baseline.

    An error e with floor φ is known to ±φ. It grew if e > e₀ + φ₀ + φ, more than both floors explain, and
    e > ``ratio``·e₀, more than another machine or release explains. It shrank if the same holds the other way round.

    Args:
        baseline: as ``read_baseline`` gives it.
        records: of this run; those without a nodeid are left out.
        path: of the file, for messages.
        ratio: at least 1.
        unused: whether an entry of this nodeid that was not recorded is unused. A test that did not run says nothing.

    Returns:
        A ``Comparison``.

    >>> from equiaudit.records import Audit
    >>> old = Baseline({("test_a.py::test_b", "net"): Mark(Verdict.APPROXIMATE, 1e-3, 1e-12)})
    >>> now = Record(Audit(Verdict.APPROXIMATE, error=2e-3, floor=1e-12, label="net"), nodeid="test_a.py::test_b")
    >>> compare(old, [now]).grew[0].times
    2.0
    """
    left = dict(baseline.marks)
    changes = []
    for record in records:
        if record.nodeid is None:
            continue
        key = record.nodeid, record.audit.label
        changes.append(_change(key, left.pop(key, None), mark(record), ratio))
    unseen = 0
    for (nodeid, label), old in left.items():
        if unused(nodeid):
            changes.append(Change(nodeid, label, "unused", before=old.error, floor=old.floor))
        else:
            unseen += 1
    changes.sort(key=lambda c: (STATUSES.index(c.status), -(c.times or math.inf), c.key))
    return Comparison(path, tuple(changes), unseen)


def mark(record: Record) -> Mark:
    """What a baseline keeps of a record."""
    audit = record.audit
    return Mark(audit.verdict, _finite(audit.error), _finite(audit.floor))


def updated(baseline: Baseline, report: Report, unused: Callable[[str], bool] = lambda nodeid: True) -> Baseline:
    """The baseline with this run's records in place of theirs, and without what is unused; what did not run stays.

    >>> updated(Baseline({("a", "net"): Mark(Verdict.EXACT)}), Report(()), unused=lambda nodeid: False).marks
    {('a', 'net'): Mark(verdict=<Verdict.EXACT: 'EXACT'>, error=None, floor=None)}
    """
    new = {(r.nodeid, r.audit.label): mark(r) for r in report.records if r.nodeid is not None}
    kept = {key: old for key, old in baseline.marks.items() if key not in new and not unused(key[0])}
    return Baseline({**kept, **new}, report.environment or baseline.environment)


def write_baseline(baseline: Baseline, path: str | Path) -> Path:
    """Write a baseline, sorted and without a date, so that a diff shows what changed; returns its path."""
    path = Path(path)
    entries: dict[str, dict[str, Any]] = {}
    for (nodeid, label), one in sorted(baseline.marks.items()):
        row = {"verdict": one.verdict.value, "error": _short(one.error), "floor": _short(one.floor)}
        entries.setdefault(nodeid, {})[label] = row
    data = {"baseline_version": BASELINE_VERSION, "environment": dict(baseline.environment), "entries": entries}
    replace_text(path, json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    return path


def read_baseline(path: str | Path) -> Baseline:
    """Read a baseline; a whole JSON report will do as well.

    Raises:
        FileNotFoundError: there is none; the message says how to make one.
        ValueError: the file is neither a baseline nor a report that this version can read.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"there is no baseline {path}; make one: pytest --equi-baseline {shell(str(path))} --equi-update-baseline"
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except ValueError as problem:
        raise ValueError(f"{path}: expected a baseline, which is JSON: {problem}; {ANEW}") from None
    if isinstance(data, Mapping) and "records" in data:
        return _from_report(path, data)
    if not isinstance(data, Mapping) or not isinstance(data.get("entries"), Mapping):
        raise ValueError(f"{path}: expected a baseline (a JSON object with 'entries') or an equiaudit report")
    if data.get("baseline_version") != BASELINE_VERSION:
        raise ValueError(
            f"{path}: expected baseline version {BASELINE_VERSION}, got {data.get('baseline_version')!r}; {ANEW}"
        )
    try:
        marks = {
            (nodeid, label): Mark(Verdict(row["verdict"]), _number(row["error"]), _number(row["floor"]))
            for nodeid, rows in data["entries"].items()
            for label, row in rows.items()
        }
        return Baseline(marks, dict(data.get("environment", {})))
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise ValueError(
            f"{path}: expected entries with a 'verdict', an 'error' and a 'floor', which are numbers or null, and an "
            f"'environment', which is an object ({problem!r}); {ANEW}"
        ) from None


def _from_report(path: Path, data: Mapping[str, Any]) -> Baseline:
    try:
        found = updated(Baseline(), Report.from_dict(data))
        for one in found.marks.values():
            _number(one.error), _number(one.floor)
        return Baseline(found.marks, dict(found.environment))
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        said = str(problem) if isinstance(problem, ValueError) else f"a record is not one of equiaudit ({problem!r})"
        raise ValueError(f"{path}: {said}") from None


def replace_text(path: Path, text: str) -> None:
    """Write a file in one step: whatever happens meanwhile, it holds the old text or the new one."""
    path = path.resolve()  # a link stays a link
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8", errors="backslashreplace")  # a device
        return
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(text, encoding="utf-8", errors="backslashreplace")
        if path.exists():
            shutil.copymode(path, new)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"expected a number from 0 up or null, got {value!r}")
    return float(value)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"JSON has no {name}")


def _change(key: Key, old: Mark | None, new: Mark, ratio: float) -> Change:
    floors = [f for f in ((old.floor if old else None), new.floor) if f is not None]
    floor = max(floors, default=None)
    if old is None:
        return Change(*key, "new", now=new.error, floor=floor, verdict=new.verdict)
    note = "" if old.verdict is new.verdict else f"{old.verdict} before, {new.verdict} now"
    if old.error is None or new.error is None:
        # Without a number the verdict decides: a pass that turned into a failure is worse than any error.
        status = "same" if old.verdict.passed == new.verdict.passed else "shrank" if new.verdict.passed else "grew"
    elif _more(new.error, old.error, sum(floors), ratio):
        status = "grew"
    else:
        status = "shrank" if _more(old.error, new.error, sum(floors), ratio) else "same"
    return Change(*key, status, old.error, new.error, floor, note, new.verdict)


def _more(a: float, b: float, noise: float, ratio: float) -> bool:
    return a - b > noise and a > ratio * b


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _short(value: float | None) -> float | None:
    """Three digits: more would change with every run, and the diff with them."""
    return None if value is None else float(f"{value:.3g}")
