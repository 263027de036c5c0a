"""Audits as one HTML file that opens anywhere: no network, light and dark, phone and paper."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equiaudit.records import Audit, Verdict
from equiaudit.report import text
from equiaudit.report.json import Record, Report, make_report
from equiaudit.report.optional import load
from equiaudit.report.plots import Row, axis, place, plot_errors

TEMPLATES = Path(__file__).parent / "templates"
LAYERS = 200
"""Rows of a layer table that are shown at most."""
URGENT = (Verdict.INVALID, Verdict.BROKEN, Verdict.VACUOUS, Verdict.APPROXIMATE, Verdict.EXACT)
"""The order of the articles: what needs attention first. The table keeps the order in which the audits were given."""


@dataclass(frozen=True)
class Bar:
    """One layer: its error and floor, where they stand on a log axis in per cent, and what was said of it."""

    layer: str
    kind: str
    error: float | None
    floor: float | None
    width: float
    mark: float | None
    verdict: str
    note: str
    first: bool


@dataclass(frozen=True)
class View:
    """One audit as the template wants it: the audit, words made from it, and figures."""

    audit: Audit
    key: str
    origin: str | None
    group: str
    headline: str
    facts: Mapping[str, str]
    wide: str
    narrow: str
    bars: tuple[Bar, ...]
    method: str
    cost: str
    environment: Mapping[str, Any]


def render_html(audits: Report | Sequence[Audit | Record], title: str = "Equivariance audits") -> str:
    """The page as a string; ``audits`` may be a report that was read back from JSON.

    Raises:
        ImportError: jinja2 or matplotlib is missing; the message is the line that installs it.
    """
    report = make_report(audits)
    jinja2, markupsafe = load("jinja2"), load("markupsafe")
    load("matplotlib")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,  # labels come from anywhere
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = lambda value: markupsafe.Markup(scientific(value))
    script = environment.get_template("report.js").render()
    overview = [Row(a.label or "the model", a.error, a.floor, a.verdict) for a in report.audits]
    views = [_view(record, f"a{n}", report.environment) for n, record in enumerate(report.records, 1)]
    return environment.get_template("report.html.j2").render(
        title=title,
        report=report,
        views=views,
        articles=sorted(views, key=lambda view: URGENT.index(view.audit.verdict)),
        counts=[(v, sum(a.verdict is v for a in report.audits)) for v in Verdict],
        overview={
            "wide": markupsafe.Markup(plot_errors(overview, key="o")),
            "narrow": markupsafe.Markup(plot_errors(overview, narrow=True, key="on")),
        },
        markup=markupsafe.Markup,
        style=markupsafe.Markup(environment.get_template("report.css").render()),
        script=markupsafe.Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def write_html(audits: Report | Sequence[Audit | Record], path: str | Path, title: str = "Equivariance audits") -> Path:
    """Write one self-contained HTML file and return its path.

    Args:
        audits: audits, or a ``Report`` as ``read_json`` gives it.
        path: of the file to write.
        title: the heading of the page.

    Raises:
        ImportError: jinja2 or matplotlib is missing; the message is the line that installs it.

    >>> import tempfile
    >>> import matplotlib  # of the report extra, as jinja2 is
    >>> from equiaudit import Audit, Verdict
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_html([Audit(Verdict.EXACT, label="net")], folder + "/report.html").read_text()
    >>> "net is equivariant under its symmetry" in page
    True
    """
    path = Path(path)
    path.write_text(render_html(audits, title), encoding="utf-8")
    return path


def scientific(value: float | None) -> str:
    """A number with two digits, in HTML.

    >>> scientific(2.84e-11), scientific(0.5), scientific(0.0), scientific(None)
    ('2.8×10<sup>−11</sup>', '0.5', '0', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0 or 0.01 <= abs(value) < 1000:
        return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits}×10<sup>{int(power)}</sup>".replace("-", "−")


def _view(record: Record, key: str, shared: Mapping[str, Any]) -> View:
    audit = record.audit
    rows = [Row(c.part, c.error, c.floor, c.verdict) for c in audit.checks]
    return View(
        audit,
        key,
        record.origin,
        text.groups(audit),
        text.headline(audit),
        dict(text.facts(audit)),
        plot_errors(rows, audit.tolerance, key=key),
        plot_errors(rows, audit.tolerance, narrow=True, key=f"{key}n"),
        _bars(audit),
        text.method(audit),
        text.cost(audit),
        {k: v for k, v in audit.environment.items() if k not in shared},
    )


def _bars(audit: Audit) -> tuple[Bar, ...]:
    names = [str(row.get("layer", "")) for row in audit.layers]
    first = names.index(audit.first_bad_layer) if audit.first_bad_layer in names else 0
    start = max(0, min(first - LAYERS // 2, len(names) - LAYERS))
    shown = audit.layers[start : start + LAYERS]
    found = [Row("", row.get("error"), row.get("floor"), Verdict.EXACT) for row in shown]
    lo, hi = axis(found) or (0, 1)

    def at(value: float | None) -> float | None:
        return None if value is None else round(100 * (place(value, lo, hi) - lo) / (hi - lo), 1)

    return tuple(
        Bar(
            str(row.get("layer", "")),
            str(row.get("class") or ""),
            row.get("error"),
            row.get("floor"),
            at(row.get("error")) or 0.0,
            at(row.get("floor")),
            str(row.get("verdict") or "unknown"),
            str(row.get("note") or ""),
            bool(audit.first_bad_layer) and row.get("layer") == audit.first_bad_layer,
        )
        for row in shown
    )
