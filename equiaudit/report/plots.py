"""Figures of a report as inline SVG: coloured by the page's own style sheet, so that they follow light and dark."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from equiaudit.records import Verdict
from equiaudit.report.optional import load

# Stand-ins that are replaced by the variables of the style sheet: a figure has no colour of its own.
INKS = {name: f"#0000{n:02x}" for n, name in enumerate(("ink", "muted", "line", "band", "allowed"), 1)}
TONES = {verdict: f"#0001{n:02x}" for n, verdict in enumerate(Verdict, 1)}
MARKERS = {
    Verdict.EXACT: "o",
    Verdict.APPROXIMATE: "D",
    Verdict.BROKEN: "X",
    Verdict.VACUOUS: "s",
    Verdict.INVALID: "v",
}
SIZE = 8.5
_CHARACTER = 4.7
"""Points that a character of a label takes, about."""


@dataclass(frozen=True)
class Row:
    """One line of a figure: what it is called, its error beside its floor, and the verdict."""

    name: str
    error: float | None
    floor: float | None
    verdict: Verdict


def plot_errors(rows: Sequence[Row], tolerance: float | None = None, *, narrow: bool = False, key: str = "p") -> str:
    """Errors beside their floors on a log axis, as an ``<svg>`` element; "" where no row has a number.

    Below its floor a row is shaded: there an error can't be told from rounding. ``narrow`` is for a phone: labels stand
    above the rows. ``key`` keeps the ids of several figures on one page apart.
    """
    rows = [r for r in rows if r.error is not None]
    limits = axis(rows, tolerance)
    if limits is None:
        return ""
    lo, hi = limits
    return to_svg(lambda figure_class: _draw(figure_class, rows, tolerance, lo, hi, narrow), key)


def to_svg(draw: Callable[[Any], Any], key: str) -> str:
    """What ``draw(Figure)`` draws, as an ``<svg>`` element; matplotlib's settings are neither used nor changed."""
    mpl = load("matplotlib")
    figures = load("matplotlib.figure")
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph that matplotlib's own font lacks: the page has another
        mpl.rcdefaults()
        mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": key, "font.size": SIZE})
        figure = draw(figures.Figure)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return inline(out.getvalue(), key)


def axis(rows: Sequence[Row], tolerance: float | None = None) -> tuple[int, int] | None:
    """The decades that an axis spans, or None where nothing is to be shown.

    >>> axis([Row("a", 2e-4, 3e-11, Verdict.BROKEN)])
    (-12, -3)
    """
    values = [v for r in rows for v in (r.error, r.floor, tolerance) if v is not None and v > 0 and math.isfinite(v)]
    if not values:
        return None
    lo, hi = math.floor(math.log10(min(values))) - 1, math.ceil(math.log10(max(values)))
    return lo, max(hi, lo + 3)


def _draw(figure_class: Any, rows: Sequence[Row], tolerance: float | None, lo: int, hi: int, narrow: bool) -> Any:
    width, step = (250.0, 30.0) if narrow else (520.0, 20.0)
    left = 6.0 if narrow else min(max(len(short(r.name)) for r in rows) * _CHARACTER + 14, 230.0)
    top, bottom = 4.0, 34.0
    height = top + bottom + step * len(rows)
    figure = figure_class(figsize=(width / 72, height / 72))
    axes = figure.add_axes((left / width, bottom / height, (width - left - 10) / width, 1 - (top + bottom) / height))
    axes.set_xlim(lo, hi)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    every = max(1, math.ceil((hi - lo) / (5 if narrow else 9)))
    for decade in range(hi, lo - 1, -every):
        axes.axvline(decade, color=INKS["line"], linewidth=0.6, zorder=0)
        axes.annotate(
            power(decade), (decade, 0), (0, -5), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="center", va="top", color=INKS["muted"], parse_math=False,
        )  # fmt: skip
    if tolerance:
        axes.axvline(math.log10(tolerance), color=INKS["allowed"], linewidth=1.2, dashes=(4, 2), zorder=1)
    for n, row in enumerate(rows):
        _line(axes, row, n, lo, hi, narrow)
    axes.set_yticks([])
    axes.set_xticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    axes.annotate(
        "error, relative to the scale of the output", (0.5, 0), (0, -19), xycoords="axes fraction",
        textcoords="offset points", ha="center", va="top", color=INKS["muted"],
    )  # fmt: skip
    return figure


def _line(axes: Any, row: Row, n: int, lo: int, hi: int, narrow: bool) -> None:
    y, half = (n + 0.2, 0.16) if narrow else (n, 0.28)
    floor = place(row.floor, lo, hi) if row.floor is not None else None
    if floor is not None:
        axes.fill_betweenx((y - half, y + half), lo, floor, color=INKS["band"], linewidth=0, zorder=1)
        axes.plot((floor, floor), (y - half, y + half), color=INKS["muted"], linewidth=1.0, zorder=2)
    colour = TONES[row.verdict]
    x = place(row.error, lo, hi)
    if floor is not None and x > floor:
        # above the floor and still exact: the rounding of stored constants explains it
        style = (0, (1.5, 2.5)) if row.verdict is Verdict.EXACT else "-"
        axes.plot((floor, x), (y, y), color=colour, linewidth=1.2, linestyle=style, zorder=2)
    axes.plot(
        (x,), (y,), marker=MARKERS[row.verdict], color=colour, markersize=6, markeredgewidth=0, clip_on=False, zorder=4
    )
    if row.error == 0:
        axes.annotate("0", (x, y), (7, 0), textcoords="offset points", va="center", color=INKS["muted"], zorder=5)
    text, where, align = (
        short(row.name, 44 if narrow else 46),
        (0, n - 0.24) if narrow else (0, n),
        "left" if narrow else "right",
    )
    axes.annotate(
        text, where, (0 if narrow else -8, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
        ha=align, va="center", color=INKS["ink"], parse_math=False, annotation_clip=False,
    )  # fmt: skip


def place(value: float | None, lo: float, hi: float) -> float:
    """Where a value stands on the log axis; zero, and whatever is smaller than the axis shows, at its left end."""
    if value is None or not value > 0:
        return lo
    return min(max(math.log10(value), lo), hi) if math.isfinite(value) else hi


def power(decade: int) -> str:
    """10 to an integer power, as a label: "10⁻³"."""
    return "10" + str(decade).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")) if decade else "1"


def short(name: str, most: int = 46) -> str:
    """A name on one line, cut where it is long; what can't be printed is left out."""
    name = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return name if len(name) <= most else name[: most - 1] + "…"


def inline(svg: str, key: str) -> str:
    """An SVG document as an element of a page: no prologue, no metadata, no namespaces, ids of its own, no colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'(<svg[^>]*?)\swidth="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{key}-", svg)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg)
    svg = re.sub(r'style="([^"]*)"', _restyle, svg)
    return re.sub(r"\n\s*", "\n", svg).strip()


def _restyle(style: re.Match[str]) -> str:
    text = re.sub(r"\s*font-family: [^;]*;?", "", style[1])
    for name, colour in INKS.items():
        text = text.replace(colour, f"var(--{name})")
    for verdict, colour in TONES.items():
        text = text.replace(colour, f"var(--{verdict.value.lower()})")
    return f'style="{text}"'
