"""Audits as Markdown, for the summary of a CI job: counts, a table of what fails, what changed."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

from equiaudit.records import Audit, Verdict
from equiaudit.report.baseline import Change, Comparison
from equiaudit.report.json import Record, Report, make_report
from equiaudit.report.order import urgency
from equiaudit.report.text import number

ROWS = 100
"""Rows of a table that are shown at most: a job summary holds one megabyte."""
TEXTS = 10
"""Failures whose whole text is shown."""
_SPECIAL = re.compile(r"([\\`*_\[\]#|~$@:])")


def render_markdown(
    found: Report | Sequence[Audit | Record], baseline: Comparison | None = None, title: str = "Equivariance"
) -> str:
    """The summary as GitHub and GitLab render it; text from the user's code can't become markup.

    >>> print(render_markdown([Audit(Verdict.EXACT, error=1e-16, floor=1e-14, label="net")]))
    ## Equivariance
    <BLANKLINE>
    1 audit: 1 EXACT. None failed.
    <BLANKLINE>
    """
    report = make_report(found)
    failed = sorted((r for r in report.records if r.failed), key=urgency)
    lines = [f"## {escape(title)}", "", f"{counts(report)}. {len(failed) or 'None'} failed.", ""]
    lines += [f"Interrupted: {escape(report.interrupted)}.", ""] if report.interrupted else []
    lines += [f"A process died in {code(nodeid)}; audits of that test are lost.\n" for nodeid in report.crashed]
    lines += [f"A process died in {code(nodeid)}, which was tried again.\n" for nodeid in report.retried]
    if failed:
        lines += ["| verdict | error | floor | layer | audit | test |", "|---|---|---|---|---|---|"]
        lines += [_row(r) for r in failed[:ROWS]]
        lines += [f"\n{len(failed) - ROWS} more are in the report.", ""] if len(failed) > ROWS else [""]
        for record in failed[:TEXTS]:
            name = html.escape(f"{record.origin or ''} {record.audit.label}".strip())
            lines += [f"<details><summary>{name}</summary>\n", *_fenced(str(record.audit)), "\n</details>\n"]
        left = len(failed) - TEXTS
        lines += [f"The full text of {left} more failure{'s' * (left > 1)} is in the report.", ""] if left > 0 else []
    if baseline is not None:
        lines += _changes(baseline)
    return "\n".join(lines)


def append_markdown(
    found: Report | Sequence[Audit | Record], path: str | Path, baseline: Comparison | None = None
) -> Path:
    """Append the summary to a file, as ``$GITHUB_STEP_SUMMARY`` wants it; returns its path."""
    path = Path(path)
    with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(render_markdown(found, baseline) + "\n")
    return path


def counts(report: Report) -> str:
    """How many audits, and of each verdict: "3 audits: 2 EXACT, 1 BROKEN (1 expected)".

    >>> counts(make_report([Record(Audit(Verdict.BROKEN), nodeid="a", outcome="xfailed")]))
    '1 audit: 1 BROKEN (1 expected)'
    """
    audits = [r.audit for r in report.records]
    words = []
    for verdict in Verdict:
        those = [r for r in report.records if r.audit.verdict is verdict]
        expected = sum(r.expected for r in those)
        if those:
            words.append(f"{len(those)} {verdict}" + (f" ({expected} expected)" if expected else ""))
    many = f"{len(audits)} audit{'s' * (len(audits) != 1)}"
    return f"{many}: {', '.join(words)}" if words else many


def change_line(change: Change) -> str:
    """What happened to one error, in words.

    >>> change_line(Change("test_a.py::test_b", "net", "grew", 1e-3, 2e-3, 1e-12))
    '1.0e-03 before, 2.0e-03 now (2 times)'
    """
    if change.status == "new":
        return f"{number(change.now)} now, not in the baseline"
    if change.status == "unused":
        return f"{number(change.before)} before, no longer measured"
    times = f" ({change.times:.3g} times)" if change.times is not None and change.status != "same" else ""
    note = f"; {change.note}" if change.note else ""
    return f"{number(change.before)} before, {number(change.now)} now{times}{note}"


def escape(text: str) -> str:
    """Text as itself, on one line: HTML and Markdown in it mean nothing.

    >>> escape("<script>|a_b")
    '&lt;script&gt;\\\\|a\\\\_b'
    """
    plain = "".join(c if c.isprintable() else " " for c in text)
    return _SPECIAL.sub(r"\\\1", html.escape(plain, quote=False))


def code(text: str) -> str:
    """Text in a code element, whatever is in it; a column of a table may hold it."""
    return f"<code>{escape(text)}</code>"


def _row(record: Record) -> str:
    audit = record.audit
    cells = [audit.verdict.value, number(audit.error), number(audit.floor), escape(audit.first_bad_layer or "")]
    return "| " + " | ".join([*cells, escape(audit.label), code(record.origin or "")]) + " |"


def _fenced(text: str) -> list[str]:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", text, fence]


def _changes(baseline: Comparison) -> list[str]:
    shown = [c for c in baseline.changes if c.status != "same"]
    same = len(baseline.changes) - len(shown)
    lines = [f"### Against {code(baseline.path)}", ""]
    lines += [f"{same} as before, {len(baseline.grew)} grew; {baseline.unseen} did not run.", ""]
    if shown:
        lines += ["| | error | audit | test |", "|---|---|---|---|"]
        for c in shown[:ROWS]:
            lines.append(f"| {c.status} | {escape(change_line(c))} | {escape(c.label)} | {code(c.nodeid)} |")
        lines += [f"\n{len(shown) - ROWS} more are in the report.", ""] if len(shown) > ROWS else [""]
    return lines
