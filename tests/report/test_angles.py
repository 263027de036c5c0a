"""Charts of what was tried: which elements make one, what its axis spans, and where every point stands."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from equiaudit.records import Audit, Tried, Verdict
from equiaudit.report.angles import Kind, charts

FLOOR = 1e-11


def turned(degrees: float, error: float, name: str = "rotations x", group: str = "SO(3)", **fields) -> Tried:
    fields = {"sweep": name, "angle": degrees, "shift": None, **fields}
    return Tried(name, f"{group}.exp(…)", "twin", "y", error, FLOOR, error <= FLOOR, **fields)


def shifted(length: float, error: float, name: str = "translations x") -> Tried:
    return Tried(name, "T(3).exp(…)", "twin", "y", error, FLOOR, error <= FLOOR, 0.0, length, sweep=name)


def audit(*tried: Tried, verdict: Verdict = Verdict.BROKEN) -> Audit:
    return Audit(verdict, tried=tried)


TURNS = tuple(turned(30.0 * k, 0.01 * math.sin(math.radians(15.0 * k))) for k in range(1, 12))


def test_a_sweep_in_space_is_a_curve_over_the_angle():
    (chart,) = charts(audit(*TURNS))
    assert chart.kind is Kind.ANGLE
    assert [(name, len(points)) for name, points in chart.curves] == [("rotations x", 11)]
    assert chart.loose == ()
    assert chart.verdict is Verdict.BROKEN


@pytest.mark.parametrize("group", ["Cyclic(8)", "Dihedral(4)", "SO(2)", "O(2)", "SE(2)", "E(2)"])
def test_groups_of_the_plane_go_round_a_circle(group):
    (chart,) = charts(audit(*(turned(90.0 * k, 0.1, group=group) for k in range(1, 4))))
    assert chart.kind is Kind.CIRCLE


@pytest.mark.parametrize("group", ["SO(3)", "E(3)", "Octahedral()"])
def test_groups_of_space_do_not(group):
    (chart,) = charts(audit(*(turned(30.0 * k, 0.1, group=group) for k in range(1, 5))))
    assert chart.kind is Kind.ANGLE


def test_few_elements_make_no_chart():
    assert charts(audit(*TURNS[:3])) == ()
    assert charts(audit(TURNS[0], *[TURNS[0]] * 9)) == ()
    assert charts(audit(turned(90.0, 0.1, group="Cyclic(4)"), turned(180.0, 0.1, group="Cyclic(4)"))) == ()
    assert charts(audit(*(shifted(1.0, 0.1) for _ in range(9)))) == ()


def test_the_elements_of_a_finite_group_are_points_and_not_a_line():
    points = [turned(90.0 * k, 0.1, "all elements", "Dihedral(4)", improper=bool(k % 2)) for k in range(4)]
    (chart,) = charts(audit(*points, turned(270.0, 0.1, "random element", "Dihedral(4)", sweep=None)))
    assert chart.curves == ()
    assert [t.improper for t in chart.loose] == [False, False, True, True]  # the identity is no element of a chart


def test_shifts_are_shown_against_their_length():
    (chart,) = charts(audit(*(shifted(10.0**k, 0.1) for k in range(-3, 2))))
    assert chart.kind is Kind.SHIFT
    assert len(chart.curves) == 1


def test_an_element_that_also_shifts_says_nothing_about_turns_where_shifts_break():
    both = turned(77.0, 300.0, "random element", sweep=None, shift=1500.0)
    held, broke = (tuple(shifted(10.0**k, error) for k in range(-3, 2)) for error in (1e-15, 0.1))
    assert both in charts(audit(*TURNS, both, *held))[0].loose
    assert both not in charts(audit(*TURNS, both, *broke))[0].loose


def test_the_axis_leaves_out_a_floor_that_is_far_below_and_keeps_one_that_is_near():
    (far,) = charts(audit(*TURNS))
    assert far.decades == (-3, -2)
    near = [turned(30.0 * k, 3e-9) for k in range(1, 6)]
    assert charts(audit(*near))[0].decades == (-12, -8)
    held = turned(180.0, 1e-16)
    assert charts(audit(*TURNS, held))[0].decades == (-12, -2)


def test_an_error_without_a_number_is_no_point():
    odd = [turned(33.0, math.nan), turned(34.0, math.inf)]
    (chart,) = charts(audit(*TURNS, *odd))
    assert len(chart.points) == len(TURNS)


def test_the_text_says_what_the_figure_shows():
    (chart,) = charts(audit(*TURNS, turned(90.0, 1e-16, "rotations y")))
    assert "one line per generator" in chart.title
    assert "12 elements, 1 of them at or below the floor" in chart.text
    assert "the largest error is 1.0e-02 at 180°" in chart.text
    assert "floor 1.0e-11" in chart.text


def points(svg: str) -> list[tuple[str, float, float]]:
    """Colour and place of every marker of a figure."""
    found = []
    for use in ElementTree.fromstring(svg).iter("use"):
        colour = re.search(
            r"(?:fill|stroke): var\(--(exact|approximate|broken|vacuous|invalid)\)", use.get("style", "")
        )
        if colour:
            found.append((colour[1], float(use.get("x")), float(use.get("y"))))
    return found


class TestFigures:
    @pytest.fixture(autouse=True)
    def _needs(self):
        pytest.importorskip("matplotlib")

    def test_points_stand_at_their_angle_and_the_logarithm_of_their_error(self):
        from equiaudit.report.curves import plot_chart

        tried = [turned(a, e) for a, e in ((60.0, 1e-1), (120.0, 1e-3), (180.0, 1e-2), (360.0, 1e-1))]
        (chart,) = charts(audit(*tried))
        (_, x1, y1), (_, x2, y2), (_, x3, y3), (_, x4, _) = points(plot_chart(chart))
        assert x2 - x1 == pytest.approx(x3 - x2)
        assert x4 - x3 == pytest.approx(3 * (x3 - x2))
        assert y2 - y1 == pytest.approx(2 * (y3 - y1))

    def test_on_a_circle_a_quarter_turn_points_up_and_a_larger_error_stands_further_out(self):
        from equiaudit.report.curves import plot_chart

        tried = [turned(a, e, "all elements", "Cyclic(4)") for a, e in ((90.0, 1e-1), (180.0, 1e-2), (270.0, 1e-1))]
        (chart,) = charts(audit(*tried))
        (_, x1, y1), (_, x2, y2), (_, x3, y3) = points(plot_chart(chart))
        middle = (y1 + y3) / 2
        assert x1 == pytest.approx(x3)
        assert y1 < middle < y3  # SVG counts from the top
        assert y2 == pytest.approx(middle)
        assert 0 <= x1 - x2 < middle - y1

    def test_what_holds_and_what_breaks_have_their_own_colours(self):
        from equiaudit.report.curves import plot_chart

        (chart,) = charts(audit(*TURNS, *(turned(30.0 * k, 1e-15, "rotations z") for k in range(1, 12))))
        colours = [colour for colour, _, _ in points(plot_chart(chart))]
        assert (colours.count("broken"), colours.count("exact")) == (11, 11)
        assert re.findall(r"#[0-9a-f]{6}", plot_chart(chart)) == []

    def test_the_floor_is_a_band_where_it_is_on_the_axis(self):
        from equiaudit.report.curves import plot_chart

        (far,) = charts(audit(*TURNS))
        (near,) = charts(audit(*TURNS, turned(180.0, 1e-16)))
        assert "var(--band)" not in plot_chart(far)
        assert "var(--band)" in plot_chart(near)

    @pytest.mark.parametrize("name", ["$\\frac{1}$", "a < b & c --> d", "漢字\x00", "_hidden", "x" * 300, ""])
    def test_any_name_of_a_generator_can_be_drawn(self, name):
        from equiaudit.report.curves import plot_chart

        (chart,) = charts(audit(*(turned(30.0 * k, 0.1, name) for k in range(1, 6))))
        svg = plot_chart(chart)
        ElementTree.fromstring(svg)
        assert svg.count("<text") < 40
