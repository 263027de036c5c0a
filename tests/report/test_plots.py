"""Figures: errors stand where they belong on the axis, in the page's own colours, and leave matplotlib as it was."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib")
import matplotlib

from equiaudit.records import Verdict
from equiaudit.report.plots import Row, axis, place, plot_errors

ROWS = [
    Row("rotations", 1e-4, 1e-11, Verdict.BROKEN),
    Row("translations", 0.0, 1e-11, Verdict.EXACT),
    Row("as it runs", 1e-7, None, Verdict.EXACT),
]


def markers(svg: str) -> list[tuple[str, float]]:
    """Verdict and horizontal place of every marker."""
    tree = ElementTree.fromstring(svg)
    found = []
    for use in tree.iter("use"):
        verdict = re.search(r"fill: var\(--(exact|approximate|broken|vacuous|invalid)\)", use.get("style", ""))
        if verdict:
            found.append((verdict[1], float(use.get("x"))))
    return found


@pytest.mark.parametrize("narrow", [False, True])
def test_errors_stand_at_their_logarithm(narrow):
    svg = plot_errors(ROWS, narrow=narrow)
    (broken, far), (exact, zero), (_, middle) = markers(svg)
    assert (broken, exact) == ("broken", "exact")
    lo, _ = axis(ROWS)
    assert (middle - zero) / (far - zero) == pytest.approx((-7 - lo) / (-4 - lo), abs=1e-3)


def test_no_colour_is_left_but_the_pages_own():
    svg = plot_errors(ROWS, tolerance=1e-3)
    assert re.findall(r"#[0-9a-f]{6}", svg) == []
    assert "var(--allowed)" in svg
    assert "var(--allowed)" not in plot_errors(ROWS)


def test_figures_on_one_page_keep_their_ids_apart():
    a, b = (set(re.findall(r'id="([^"]*)"', plot_errors(ROWS, key=key))) for key in ("a", "b"))
    assert a
    assert not a & b


def test_a_figure_is_the_same_every_time():
    assert plot_errors(ROWS, key="a") == plot_errors(ROWS, key="a")


@pytest.mark.parametrize(
    "name", ["$\\frac{1}$", "a < b & c --> d", "漢字", "line\nbreak\x00", "x" * 300, 'style="font: 1px ', ""]
)
def test_any_name_is_shown_as_it_is(name):
    svg = plot_errors([Row(name, 1e-4, 1e-11, Verdict.BROKEN)])
    text = [t.text or "" for t in ElementTree.fromstring(svg).iter("text")]
    shown = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    assert any(t == shown or (t.endswith("…") and shown.startswith(t[:-1])) for t in text) or not shown


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_a_number_that_is_not_finite_does_not_stop_it(error):
    assert plot_errors([*ROWS, Row("odd", error, 1e-11, Verdict.INVALID)]).startswith("<svg")


def test_nothing_to_show():
    assert plot_errors([]) == ""
    assert plot_errors([Row("none", None, None, Verdict.INVALID)]) == ""
    assert plot_errors([Row("zero", 0.0, None, Verdict.EXACT)]) == ""


def test_the_settings_of_matplotlib_are_not_used_and_not_changed():
    with matplotlib.rc_context({"font.size": 30, "text.usetex": True, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        assert plot_errors(ROWS) == plot_errors(ROWS)
        assert "<text" in plot_errors(ROWS)
        assert dict(matplotlib.rcParams) == before


def test_places_outside_the_axis_are_held_at_its_ends():
    assert place(1e-30, -10, 0) == place(0.0, -10, 0) == place(None, -10, 0) == -10
    assert place(math.inf, -10, 0) == place(1e9, -10, 0) == 0
    assert place(1e-4, -10, 0) == pytest.approx(-4)
