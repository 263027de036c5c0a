"""The section at the end of a run: what fails first, in lines that fit a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from equiaudit.records import Verdict
from equiaudit.report.baseline import Comparison
from equiaudit.report.json import Record, Report
from equiaudit.report.markdown import change_line, counts
from equiaudit.report.order import urgency
from equiaudit.report.text import number

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


@dataclass(frozen=True)
class View:
    """How a reader sees the run: ``width`` is None where nothing is cut; ``name`` and ``command`` are a test's from here."""

    verbosity: int = 0
    width: int | None = None
    name: Callable[[str], str] = str
    command: Callable[[str], str] = str


def summary_lines(report: Report, view: View) -> list[Line]:
    """Counts, then audits, the worst first: all with -v, only those that fail with -q."""
    verbosity = view.verbosity
    records = sorted(report.records, key=urgency)
    failed = [r for r in records if r.failed]
    lines = [Line(f"{counts(report)}; {len(failed) or 'none'} failed", BAD if failed else GOOD)]
    lines += [Line(f"a process died in {nodeid}: its audits are lost", BAD) for nodeid in report.crashed]
    tries = {r.nodeid: f" (tries: {r.tries})" for r in report.records if r.tries > 1}
    lines += [
        Line(f"a process died in {nodeid}, which was tried again{tries.get(nodeid, '')}", WARN)
        for nodeid in report.retried
    ]
    if verbosity < 0:
        shown = failed
    else:
        shown = records if verbosity > 0 else records[: max(SHOWN, len(failed))]
    layer = max((len(r.audit.first_bad_layer or "") for r in shown), default=0)
    layer = layer if view.width is None else min(LAYER, layer)
    if shown:
        layer = max(layer, 5) if layer else 0
        head = _columns("verdict", "error", "floor", "layer" if layer else "", layer)
        lines.append(Line(f"{head}test and audit", {"bold": True}))
    lines += [Line(line_of(r, view, layer), BAD if r.failed else {} if r.expected else GOOD) for r in shown]
    left = len(records) - len(shown)
    if left and verbosity >= 0:
        lines.append(Line(f"... {left} more that did not fail; -v shows all", {}))
    if failed:
        lines += more_lines(failed, view)
    return lines


def line_of(record: Record, view: View, layer: int = LAYER) -> str:
    """Verdict, error, floor, layer, test and label; on a narrow terminal the middle of a long test name is left out."""
    audit = record.audit
    bad_layer = shorten(audit.first_bad_layer or "", layer).replace("\n", " ")
    head = _columns(audit.verdict.value, number(audit.error), number(audit.floor), bad_layer, layer)
    notes = [f"{record.audits} examples"] if record.audits > 1 else []
    notes += [f"tries: {record.tries}"] if record.tries > 1 else []
    notes += ["expected"] if record.expected else []
    notes += [audit.cause] if audit.cause and not audit.passed else []
    tail = f" ({', '.join(notes)})" if notes else ""
    name = view.name(record.origin or "")
    if view.width is None:
        return f"{head}{name} {audit.label}{tail}"
    label = f" {shorten(audit.label, LAYER)}{tail}"
    room = max(view.width, NARROWEST) - 1 - len(head) - len(label)
    return head + shorten(name, max(room, SHORTEST)) + label


def more_lines(failed: Sequence[Record], view: View) -> list[Line]:
    """How to see more of the first failure."""
    above = any(r.outcome in ("failed", "error") for r in failed)
    said = "Each failed test above shows its audit in full. " if above else ""
    place = (failed[0].nodeid or "").partition("::fixture ")[0]
    return [Line(f"{said}Run the first of them again with:", {}), Line(f"  {view.command(place)}", {})]


def baseline_lines(comparison: Comparison, verbosity: int, updated: bool) -> list[Line]:
    """What changed against the baseline: all that grew, and what is new or unused."""
    kept = [(s, len(comparison.having(s))) for s in ("grew", "shrank", "same", "new", "unused")]
    said = ", ".join(f"{n} {status}" + standing(comparison, status) for status, n in kept if n) or "nothing to compare"
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


def standing(comparison: Comparison, status: str) -> str:
    """Which of the audits that are as they were do not pass: being in the baseline makes no failure a pass."""
    if status != "same":
        return ""
    verdicts = [c.verdict for c in comparison.having(status) if c.verdict is not None and not c.verdict.passed]
    each = [f"{verdicts.count(v)} {v}" for v in Verdict if v in verdicts]
    return f" ({', '.join(each)}, as in the baseline)" if each else ""


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
