"""Writes the files of a run; a file that can't be written costs a warning, never the results of the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from equiaudit.report.baseline import Baseline, Comparison, read_baseline, updated, write_baseline
from equiaudit.report.json import Report, write_json
from pytest_equiaudit.options import Settings


class Refused(Exception):
    """A file that is not written on purpose."""


def write_files(
    report: Report,
    comparison: Comparison | None,
    settings: Settings,
    unused: Callable[[str], bool],
    uncollected: Sequence[str] = (),
) -> tuple[list[Path], list[str]]:
    """Write what was asked for; returns what was written, and a sentence for each thing that was not."""
    from equiaudit.report.markdown import append_markdown

    def page(path: Path) -> Any:
        from equiaudit.report.html import write_html

        return write_html(report, path, title="Equivariance audits of the tests", **_baseline(comparison, write_html))

    def baseline(path: Path) -> Any:
        if uncollected:
            raise Refused(
                f"{', '.join(uncollected[:3])} could not be collected, so nobody knows which audits there are"
            )
        old = read_baseline(path) if path.exists() else Baseline()
        return write_baseline(updated(old, report, unused), path)

    tasks: list[tuple[Path | None, Callable[[Path], Any]]] = [
        (settings.html, page),
        (settings.json, lambda path: write_json(report, path)),
        (settings.markdown, lambda path: append_markdown(report, path, comparison)),
        (settings.baseline if settings.update else None, baseline),
    ]
    written, troubles = [], []
    for path, write in tasks:
        if path is None:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path)
            written.append(path)
        except Exception as problem:  # whatever a disk or a template does, the tests have run
            troubles.append(f"{path} was not written: {_said(problem)}")
    return written, troubles


def _said(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    if isinstance(problem, (ImportError, Refused)):
        return str(problem)
    return f"{type(problem).__name__}: {problem}"


def _baseline(comparison: Comparison | None, write: Callable[..., Any]) -> dict[str, Any]:
    return {"baseline": comparison} if comparison is not None else {}
