"""Audits as one HTML file that opens anywhere: no network, light and dark, phone and paper."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from equiaudit.records import Audit, Verdict
from equiaudit.report.baseline import Comparison
from equiaudit.report.cards import make_card, urgency
from equiaudit.report.changes import ARROWS, changes_of
from equiaudit.report.json import Record, Report, make_report
from equiaudit.report.optional import load
from equiaudit.report.plots import Row, plot_errors, power

TEMPLATES = Path(__file__).parent / "templates"
WORST = 30
"""Lines of the figure above the table."""
LISTED = 100
"""Rows of the table that are shown until a reader asks for all."""
CHARTS = 60
"""Charts that are drawn, those of the worst audits: a page with thousands would take minutes to write."""
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def render_html(
    audits: Report | Sequence[Audit | Record],
    title: str = "Equivariance audits",
    *,
    baseline: Comparison | None = None,
) -> str:
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
        finalize=lambda value: visible(value) if type(value) is str else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = scientific
    script = environment.get_template("report.js").render()
    changes = changes_of(baseline)
    records = sorted(report.records, key=lambda record: urgency(record, changes))
    room: Iterator[int] = count(CHARTS, -1)
    shared = report.environment
    cards = [make_card(record, f"a{n}", shared, changes, room) for n, record in enumerate(records, 1)]
    rows = [Row(c.name, c.audit.error, c.audit.floor, c.audit.verdict) for c in cards][:WORST]
    return environment.get_template("report.html.j2").render(
        title=title,
        report=report,
        cards=cards,
        targets={(c.record.nodeid, c.audit.label): c.key for c in cards},
        failed=sum(r.failed for r in report.records),
        expected=sum(r.expected for r in report.records),
        counts=[(v, n) for v in reversed(Verdict) if (n := sum(a.verdict is v for a in report.audits))],
        groups=sorted({c.group for c in cards}),
        changes=changes,
        arrows=ARROWS,
        listed=LISTED,
        overview={
            "wide": markupsafe.Markup(plot_errors(rows, key="o")) if len(cards) > 1 else "",
            "narrow": markupsafe.Markup(plot_errors(rows, narrow=True, key="on")) if len(cards) > 1 else "",
            "left_out": max(0, len(cards) - WORST),
        },
        drawn=CHARTS,
        markup=markupsafe.Markup,
        style=markupsafe.Markup(environment.get_template("report.css").render()),
        script=markupsafe.Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def write_html(
    audits: Report | Sequence[Audit | Record],
    path: str | Path,
    title: str = "Equivariance audits",
    *,
    baseline: Comparison | None = None,
) -> Path:
    """Write one self-contained HTML file and return its path.

    Args:
        audits: audits, or a ``Report`` as ``read_json`` gives it.
        path: of the file to write.
        title: the heading of the page.
        baseline: what changed against a baseline, as ``compare`` gives it.

    Raises:
        ImportError: jinja2 or matplotlib is missing; the message is the line that installs it.

    >>> import tempfile
    >>> import matplotlib  # of the report extra, as jinja2 is
    >>> from equiaudit import Audit, Verdict
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_html([Audit(Verdict.EXACT, label="net")], folder + "/report.html").read_text("utf-8")
    >>> "net is equivariant under its symmetry" in page
    True
    """
    path = Path(path)
    path.write_text(render_html(audits, title, baseline=baseline), encoding="utf-8")
    return path


def scientific(value: float | None) -> str:
    """A number with two digits, for a person.

    >>> scientific(2.84e-11), scientific(0.5), scientific(0.0), scientific(None)
    ('2.8×10⁻¹¹', '0.5', '0', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0 or 0.01 <= abs(value) < 1000:
        return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits}×{power(int(exponent))}".replace("-", "−")


def visible(text: str) -> str:
    """The text with every character spelt out that can't be seen, or that would reorder what is beside it.

    >>> visible("safe\\u202egnp.exe")
    'safe\\\\u202egnp.exe'
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
