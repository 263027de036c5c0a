"""A chart as inline SVG: a log axis of errors, the floor as a band, one line per generator; a circle for the plane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from equiaudit.records import Tried, Verdict
from equiaudit.report.angles import Chart, Kind, along
from equiaudit.report.plots import INKS, TONES, place, power, short, to_svg

STYLES = ("-", (0, (4, 2)), (0, (1.2, 1.6)), (0, (6, 2, 1, 2)))
"""Of the lines, one after another: colour says the verdict."""
MOST = 24
"""Lines that are drawn; their table has all."""


def plot_chart(chart: Chart, key: str = "c") -> str:
    """A chart as an ``<svg>`` element; ``key`` keeps the ids of several figures on one page apart."""
    draw = _circle if chart.kind is Kind.CIRCLE else _plane
    return to_svg(lambda figure_class: draw(figure_class, chart), key)


def _plane(figure_class: Any, chart: Chart) -> Any:
    figure = figure_class(figsize=(296 / 72, 190 / 72))
    axes = figure.add_axes((0.115, 0.16, 0.85, 0.70))
    lo, hi = chart.decades
    axes.set_ylim(lo, hi)
    xs = [along(t, chart.kind) for t in chart.points]
    if chart.kind is Kind.SHIFT:
        left, right = math.floor(math.log10(min(xs)) - 0.05), math.ceil(math.log10(max(xs)) + 0.05)
        axes.set_xlim(left, right)
        every = max(1, math.ceil((right - left) / 6))
        axes.set_xticks(range(left, right + 1, every), [power(d) for d in range(left, right + 1, every)])
        label = "length of the shift, in the units of the input"
    else:
        end, step = (360, 60) if max(xs) > 180 else (180, 30)
        axes.set_xlim(0, end)
        axes.set_xticks(range(0, end + 1, step), [f"{d}°" for d in range(0, end + 1, step)])
        label = "angle of rotation"
    every = max(1, math.ceil((hi - lo) / 6))
    axes.set_yticks(range(hi, lo - 1, -every), [power(d) for d in range(hi, lo - 1, -every)])
    _soften(axes)
    _subdivide(axes.axhline, lo, hi)
    axes.grid(True, color=INKS["line"], linewidth=0.6)
    if chart.floor is not None and chart.floor > 10**lo:
        axes.axhspan(lo, place(chart.floor, lo, hi), color=INKS["band"], linewidth=0, zorder=0.5)
        axes.axhline(place(chart.floor, lo, hi), color=INKS["muted"], linewidth=0.9, zorder=0.6)
    axes.set_xlabel(label, color=INKS["muted"], labelpad=3)

    def at(t: Tried) -> tuple[float, float]:
        x = along(t, chart.kind)
        return (math.log10(x) if chart.kind is Kind.SHIFT else x), place(t.error, lo, hi)

    _mark(axes, chart, at, stems=False)
    _legend(axes, chart, figure)
    return figure


def _circle(figure_class: Any, chart: Chart) -> Any:
    figure = figure_class(figsize=(296 / 72, 244 / 72))
    axes = figure.add_axes((0.2, 0.08, 0.6, 0.728), projection="polar")
    lo, hi = chart.decades
    axes.set_ylim(lo, hi)
    axes.set_thetagrids(range(0, 360, 45), [f"{d}°" for d in range(0, 360, 45)])
    every = max(1, math.ceil((hi - lo) / 3))
    axes.set_yticks(range(hi, lo, -every), [power(d) for d in range(hi, lo, -every)])
    axes.set_rlabel_position(22.5)
    _soften(axes)
    axes.tick_params(axis="x", pad=3)
    axes.grid(True, color=INKS["line"], linewidth=0.6)
    if chart.floor is not None and chart.floor > 10**lo:
        turn = [2 * math.pi * k / 90 for k in range(91)]
        axes.fill(turn, [place(chart.floor, lo, hi)] * 91, color=INKS["band"], linewidth=0, zorder=0.5)
        axes.plot(turn, [place(chart.floor, lo, hi)] * 91, color=INKS["muted"], linewidth=0.9, zorder=0.6)
    _mark(axes, chart, lambda t: (math.radians(along(t, chart.kind)), place(t.error, lo, hi)), stems=True)
    _legend(axes, chart, figure)
    return figure


def _mark(axes: Any, chart: Chart, at: Any, stems: bool) -> None:
    for n, (_, points) in enumerate(chart.curves[:MOST]):
        xs, ys = zip(*map(at, points), strict=True)
        colour = _tone(chart, points)
        axes.plot(xs, ys, color=colour, linestyle=STYLES[n % len(STYLES)], linewidth=1.4, zorder=3)
        for tone, some in _by_tone(chart, points):
            xs, ys = zip(*map(at, some), strict=True)
            axes.plot(xs, ys, "o", color=tone, markersize=3.4, markeredgewidth=0, clip_on=False, zorder=4)
    for improper in (False, True):
        for tone, some in _by_tone(chart, [t for t in chart.loose if t.improper is improper]):
            places = [at(t) for t in some]
            if stems:
                for x, y in places:
                    axes.plot((x, x), (axes.get_ylim()[0], y), color=tone, linewidth=1.2, zorder=3)
            axes.plot(
                *zip(*places, strict=True), "^" if improper else "o", color=tone, markerfacecolor="none",
                markersize=5.2, markeredgewidth=1.2, linestyle="none", clip_on=False, zorder=4,
            )  # fmt: skip


def _tone(chart: Chart, points: Sequence[Tried]) -> str:
    return TONES[Verdict.EXACT if all(t.within for t in points) else chart.verdict]


def _by_tone(chart: Chart, points: Sequence[Tried]) -> list[tuple[str, list[Tried]]]:
    """The points within the floor and those above it, each with their colour."""
    groups = [[t for t in points if t.within], [t for t in points if not t.within]]
    return [(_tone(chart, group), group) for group in groups if group]


def _soften(axes: Any) -> None:
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, colors=INKS["muted"], pad=4)
    axes.set_axisbelow(True)


def _subdivide(line: Any, lo: int, hi: int) -> None:
    """Fine lines at 2, 5 of a decade where there are few decades."""
    if hi - lo <= 2:
        for decade in range(lo, hi):
            for digit in (2, 5):
                line(decade + math.log10(digit), color=INKS["line"], linewidth=0.4, zorder=0)


def _legend(axes: Any, chart: Chart, figure: Any) -> None:
    ink = INKS["muted"]
    entries = [
        (axes.plot([], [], color=ink, linestyle=STYLES[n % len(STYLES)], linewidth=1.4)[0], name)
        for n, (name, _) in enumerate(chart.curves[:4])
    ]
    for improper, marker, name in (
        (False, "o", "other element" if chart.curves else "one element"),
        (True, "^", "with a reflection"),
    ):
        if any(t.improper is improper for t in chart.loose):
            hollow = axes.plot([], [], marker, color=ink, markerfacecolor="none", markersize=5.2, linestyle="none")[0]
            entries.append((hollow, name))
    if not entries:
        return
    legend = figure.legend(
        *zip(*((line, short(name, 24)) for line, name in entries), strict=True),
        loc="upper center", bbox_to_anchor=(0.5, 1.02), ncols=3, frameon=False, labelcolor=INKS["ink"],
        handlelength=1.8, handletextpad=0.5, columnspacing=1.3, borderpad=0.2,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
