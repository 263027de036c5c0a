"""The section at the end of a run: what fails first, in lines that fit a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from equiaudit.records import Audit
from equiaudit.report.baseline import Comparison
from equiaudit.report.json import Record, Report
from equiaudit.report.markdown import change_line, counts
from equiaudit.report.text import number
from pytest_equiaudit.carrying import badness

SHOWN = 10
"""Passing audits that are shown without -v: the ones nearest to their floor."""
LAYER = 18
NARROWEST = 60
SHORTEST = 20
"""A test's name keeps this many characters, also where the line then wraps."""
BAD, GOOD, WARN = {"red": True}, {"green": True}, {"yellow": True}


@dataclass(frozen=True)
class Line:
    """A line and its colours; without colour it says the same."""

    text: str
    colour: dict[str, bool]


def summary_lines(report: Report, verbosity: int, width: int) -> list[Line]:
    """Counts, then audits, the worst first: all with -v, only those that fail with -q."""
    records = sorted(report.records, key=urgency)
    failed = [r for r in records if r.failed]
    lines = [Line(f"{counts(report)}; {len(failed) or 'none'} failed", BAD if failed else GOOD)]
    lines += [Line(f"a process died in {nodeid}: its audits are lost", BAD) for nodeid in report.crashed]
    if verbosity < 0:
        shown = failed
    else:
        shown = records if verbosity > 0 else records[: max(SHOWN, len(failed))]
    layer = min(LAYER, max((len(r.audit.first_bad_layer or "") for r in shown), default=0))
    if shown:
        layer = max(layer, 5) if layer else 0
        head = _columns("verdict", "error", "floor", "layer" if layer else "", layer)
        lines.append(Line(f"{head}test and audit", {"bold": True}))
    lines += [Line(line_of(r, width, layer), BAD if r.failed else {} if r.expected else GOOD) for r in shown]
    left = len(records) - len(shown)
    if left and verbosity >= 0:
        lines.append(Line(f"... {left} more that did not fail; -v shows all", {}))
    if failed:
        lines += more_lines(failed[0])
    return lines


def urgency(record: Record) -> tuple[bool, int, float, str]:
    """Orders records: failures first, then the verdict, then the error in units of the floor."""
    rank, times = badness(record.audit)
    return not record.failed, -rank, -times, record.nodeid or ""


def line_of(record: Record, width: int, layer: int = LAYER) -> str:
    """Verdict, error, floor, layer, test and label; the middle of a long test name is left out."""
    audit = record.audit
    bad_layer = shorten(audit.first_bad_layer or "", layer)
    head = _columns(audit.verdict.value, number(audit.error), number(audit.floor), bad_layer, layer)
    notes = [f"{record.audits} examples"] if record.audits > 1 else []
    notes += [f"tries: {record.tries}"] if record.tries > 1 else []
    notes += ["expected"] if record.expected else []
    notes += [audit.cause] if audit.cause and not audit.passed else []
    tail = f" ({', '.join(notes)})" if notes else ""
    label = f" {shorten(audit.label, LAYER)}{tail}"
    room = max(width, NARROWEST) - 1 - len(head) - len(label)
    return head + shorten(record.origin or "", max(room, SHORTEST)) + label


def more_lines(record: Record) -> list[Line]:
    """How to see more of the first failure."""
    found = [Line("Each failed test above shows its audit in full. Run the first of them again with:", {})]
    nodeid = (record.nodeid or "").partition("::fixture ")[0]
    return [*found, Line(f'  pytest "{nodeid}"' + seed_of(record.audit), {})]


def seed_of(audit: Audit) -> str:
    """The option that gives the same draws again, where it is not the default."""
    return f" --equi-seed {audit.seed}" if audit.seed else ""


def baseline_lines(comparison: Comparison, verbosity: int, updated: bool) -> list[Line]:
    """What changed against the baseline: all that grew, and what is new or unused."""
    kept = [(s, len(comparison.having(s))) for s in ("grew", "shrank", "same", "new", "unused")]
    said = ", ".join(f"{n} {status}" for status, n in kept if n) or "nothing to compare"
    said += f", {comparison.unseen} not run" if comparison.unseen else ""
    bad = bool(comparison.grew) and not updated
    lines = [Line(f"baseline {comparison.path}: {said}", BAD if bad else GOOD)]
    for change in comparison.changes:
        if change.status == "same" or (change.status != "grew" and verbosity < 0):
            continue
        colour = (BAD if bad else WARN) if change.status == "grew" else {}
        lines.append(Line(f"  {change.status:<7} {change.nodeid} {change.label}: {change_line(change)}", colour))
    if bad:
        lines.append(Line("The run fails because an error grew. To accept it, add --equi-update-baseline.", BAD))
    elif not updated and (comparison.having("new") or comparison.having("unused")):
        lines.append(
            Line("New and unused entries fail nothing; --equi-update-baseline brings the file up to date.", {})
        )
    return lines


def file_lines(written: Iterable[Path], troubles: Sequence[str], here: Path) -> list[Line]:
    """Where the report went, and what was not written."""
    names = [str(p.relative_to(here)) if p.is_relative_to(here) else str(p) for p in written]
    lines = [Line(f"wrote {', '.join(names)}", {})] if names else []
    return lines + [Line(f"warning: {text}", WARN) for text in troubles]


def shorten(text: str, room: int) -> str:
    """The text, or its two ends: the end of a test's name says the most.

    >>> shorten("tests/models/test_forces.py::test_rotation", 30)
    'tests/mod....py::test_rotation'
    """
    if len(text) <= room:
        return text
    left = max((room - 3) // 3, 0)
    return text[:left] + "..." + text[-(room - 3 - left) :]


def _columns(verdict: str, error: str, floor: str, layer: str, width: int) -> str:
    return f"{verdict:<11} {error:>7} {floor:>7}  " + (f"{layer:<{width}}  " if width else "")
