"""What a person reads: the whole text of each verdict, the lines that a failure must have, their width."""

from __future__ import annotations

import ast
import re

import pytest

from equiaudit.groups import E, parse
from equiaudit.records import Audit, Check, Cost, Method, Verdict, Worst
from equiaudit.report.text import WIDTH, facts, groups, headline, number, render, summary

FAILURE = """\
BROKEN: leaky is not equivariant under E(3)

  error     2.8e-04   residual over the scale of the output
  floor     2.0e-11   the smallest error that could be told from rounding
  allowed   up to the floor; give tolerance= or atol= to allow more
  real      yes, not rounding: 1.4e+07 times the floor
  element   E(3).translation(0.5, 1.0, 0.25) @ E(3).generator('inversion')
  worst at  forces[0, 1]: 1.5 in f(x), -0.25 in g⁻¹·f(g·x); no entry is more than 4.1e-04 off
  layer     mix is the first that breaks it
  suspect   turns break and shifts do not: components are treated one by one (a bias, ReLU or LayerNorm on
            vectors), or in another order or convention
  replay    pytest "tests/test_net.py::test_forces"

  part                verdict    error    floor  where
  rotations           BROKEN   1.3e-04  2.0e-11  forces
  translations        EXACT          0  2.0e-11  forces
  float32 as it runs  -        3.0e-07        -  not a check: its own rounding

  layer    error    floor
  embed        0  1.0e-14
  mix    3.0e-03  1.0e-14  first: a bias?
  read         -        -  unknown: no tensor

  note      unchecked outputs: charges
  untested  reflections

  forwards: 20 in float64, 2 in own; JVPs: 3; 0.50 s; effort default; seed 0
  measured on a float64 copy; derivative by torch.func.jvp (cross-check off by 2.0e-12)"""


def test_a_failure_reads_like_this(make):
    assert render(make(replay='pytest "tests/test_net.py::test_forces"')) == FAILURE


def test_str_is_the_same_text(make):
    assert str(make()) == render(make())


@pytest.mark.parametrize(
    "name", ["error", "floor", "allowed", "real", "element", "worst at", "layer", "suspect", "replay"]
)
def test_a_failure_names_everything_that_it_must(make, name):
    """Number, floor, allowed value, real or rounding, element, leaf and index, layer, replay."""
    found = dict(facts(make()))
    assert found[name]
    assert f"\n  {name:<10}" in render(make())


def test_without_a_line_of_its_own_the_replay_is_a_call(make):
    line = dict(facts(make(seed=7)))["replay"]
    call = ast.parse(line, mode="eval").body
    assert isinstance(call, ast.Call)
    assert repr(parse(call.args[3].value)) == make().worst.element
    assert "seed=7" in line
    assert dict(facts(make(worst=None, effort="quick")))["replay"] == (
        "equiaudit.audit(model, inputs, symmetry, effort='quick', seed=0)"
    )


@pytest.mark.parametrize(
    ("fields", "first"),
    [
        ({"verdict": Verdict.EXACT}, "EXACT: net is equivariant under SO(3): indistinguishable from rounding"),
        (
            {"verdict": Verdict.APPROXIMATE},
            "APPROXIMATE: net is equivariant under SO(3) within the given tolerance, not exactly",
        ),
        ({"verdict": Verdict.BROKEN}, "BROKEN: net is not equivariant under SO(3)"),
        ({"verdict": Verdict.VACUOUS}, "VACUOUS: the test of net under SO(3) could not have failed"),
        ({"verdict": Verdict.INVALID}, "INVALID: net under SO(3): there is no meaningful number"),
        ({"verdict": Verdict.EXACT, "label": ""}, "EXACT: the model is equivariant under SO(3): indistinguishable"),
    ],
)
def test_each_verdict_has_its_headline(fields, first):
    audit = Audit(**{"label": "net", "symmetry": "Symmetry(SO(3), inputs='vector', outputs='vector')", **fields})
    assert render(audit).startswith(first)


def test_an_audit_without_a_number_says_why_and_how_to_see_it_again():
    audit = Audit(
        Verdict.INVALID,
        cause="not finite",
        reason="f(x) has NaN in output[0, 0] (18 of 18 entries)",
        label="net",
        symmetry="Symmetry(O(3), inputs='vector', outputs='vector')",
        method=Method(reference="a float64 copy"),
        cost=Cost({"float64": 1}, seconds=0.01),
    )
    assert (
        render(audit)
        == """\
INVALID: net under O(3): there is no meaningful number
  f(x) has NaN in output[0, 0] (18 of 18 entries)

  cause     not finite
  replay    equiaudit.audit(model, inputs, symmetry, seed=0)

  forwards: 1 in float64; JVPs: 0; 0.01 s; effort default; seed 0
  measured on a float64 copy"""
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tolerance": 0.01}, "0.01 relative (tolerance=)"),
        ({"atol": 1e-3}, "0.001 absolute (atol=)"),
        ({"tolerance": 0.01, "atol": 1e-3}, "0.01 relative (tolerance=) or 0.001 absolute (atol=)"),
        ({}, "up to the floor; give tolerance= or atol= to allow more"),
        (
            {"verdict": Verdict.EXACT, "cause": "float32 constants"},
            "the floor, and what the rounding of stored constants explains",
        ),
    ],
)
def test_what_was_allowed(make, fields, said):
    assert dict(facts(make(**fields)))["allowed"] == said


def test_an_approximate_audit_is_called_real_and_a_pass_has_nothing_to_replay(make):
    found = dict(facts(make(verdict=Verdict.APPROXIMATE, tolerance=0.01)))
    assert "not rounding" in found["real"]
    assert "element" in found
    assert "replay" not in found
    exact = dict(facts(make(verdict=Verdict.EXACT, error=1e-15)))
    assert not {"real", "element", "worst at", "replay"} & exact.keys()


def test_a_floor_of_zero_is_not_divided_by(make):
    assert dict(facts(make(floor=0.0)))["real"] == "yes, not rounding: the floor is 0"


LONG = "a sentence that goes on, " * 12
PER_SAMPLE = f"[{', '.join([repr(E(3).sample(0))] * 3)}]"


@pytest.mark.parametrize(
    "element",
    ["Permutations().permute(" + ", ".join(map(str, range(60))) + ")", PER_SAMPLE],
    ids=["permutation", "samples"],
)
def test_lines_stay_within_the_width_and_an_element_over_several_lines_still_evaluates(make, element):
    audit = make(
        reason=LONG,
        notes=(LONG,),
        untested=(LONG,),
        worst=Worst(element, "forces", (0,), 1.0, 1.0),
        checks=(Check("rotations", "finite", Verdict.BROKEN, 1.0, 1e-11, note=LONG),),
        layers=({"layer": "mix", "error": 1.0, "floor": 1e-14, "verdict": "first", "note": LONG},),
        replay="replay " + LONG,
    )
    lines = render(audit).splitlines()
    assert [line for line in lines if len(line) > WIDTH and not line.startswith("  replay")] == []
    start = next(n for n, line in enumerate(lines) if line.startswith("  element"))
    end = next(n for n, line in enumerate(lines) if line.startswith("  worst at"))
    assert end - start > 1
    code = "\n".join(line[12:] for line in lines[start:end])
    assert ast.dump(ast.parse(code, mode="eval")) == ast.dump(ast.parse(element, mode="eval"))


def test_a_long_product_gets_brackets(make):
    element = " @ ".join([repr(E(3).sample(n)) for n in range(3)])
    lines = render(make(worst=Worst(element, "forces", (0,), 1.0, 1.0))).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("  element"))
    end = next(n for n, line in enumerate(lines) if line.startswith("  worst at"))
    code = "\n".join(line[12:] for line in lines[start:end])
    assert ast.dump(ast.parse(code, mode="eval")) == ast.dump(ast.parse(element, mode="eval"))


def test_only_layers_around_the_first_broken_one_are_shown(make):
    layers = tuple(
        {"layer": f"body.{n}", "error": 1e-3, "floor": 1e-14, "verdict": "ok", "note": ""} for n in range(30)
    )
    text = render(make(layers=layers, first_bad_layer="body.17"))
    shown = [line.split()[0] for line in text.splitlines() if line.startswith("  body.")]
    assert shown == [f"body.{n}" for n in range(13, 22)]
    assert "  … 13 before" in text
    assert "  … 8 after" in text


def test_groups_of_several_symmetries(make):
    rigid, relabel = "Symmetry(E(3), inputs='points', outputs='vector')", "Symmetry(Permutations(), inputs='nodes')"
    audit = make(symmetry=f"{rigid}; {relabel}")
    assert groups(audit) == "E(3) and Permutations()"
    assert headline(audit) == "leaky is not equivariant under E(3) and Permutations()"
    assert groups(make(symmetry="")) == "its symmetry"


def test_a_summary_is_one_line(make):
    assert summary(make(cause="structure")) == "BROKEN      error 2.8e-04  floor 2.0e-11  leaky (structure)"


def test_numbers():
    assert [number(x) for x in (None, 0.0, 1.24e-9, 3)] == ["-", "0", "1.2e-09", "3.0e+00"]


def test_a_replay_of_one_element_suspects_nothing(make):
    assert "suspect" in dict(facts(make()))
    assert "suspect" not in dict(facts(make(effort="replay")))


def test_a_very_long_list_of_elements_shows_the_first_and_says_where_the_others_are(make):
    element = "[" + ", ".join(f"SO(3).exp({k}.5, 0.25, 0.125)" for k in range(64)) + "]"
    text = render(make(worst=Worst(element, "forces", (0,), 1.0, 1.0)))
    assert "SO(3).exp(0.5, 0.25, 0.125) for the first sample; audit.worst.element has all" in " ".join(text.split())
    assert "63.5" not in text.partition("replay")[0]


def test_rows_that_are_no_checks_of_their_own_say_so():
    rows = (
        Check("Permutations(): permutations", "finite", Verdict.BROKEN, 0.1, 1e-14, leaf="x"),
        Check("Permutations(): shuffle", "finite", Verdict.BROKEN, 0.1, 1e-14, leaf="x"),
        Check("E(3): float32 as it runs", "finite", Verdict.EXACT, 3.7e-5, None, note="rounding"),
    )
    text = str(Audit(Verdict.BROKEN, checks=rows))
    assert "    of these, shuffle" in text
    assert re.search(r"E\(3\): float32 as it runs +- +3\.7e-05 +- +not a check: its own rounding", text)


def test_a_text_is_one_that_any_file_can_hold():
    assert "\\ud800" in str(Audit(Verdict.BROKEN, label="\ud800", reason="\x00"))
