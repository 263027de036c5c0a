"""Audits made by hand: a report needs neither a model nor torch."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from equiaudit.records import Audit, Check, Cost, LeafResult, Method, Verdict, Worst
from equiaudit.report.baseline import STATUSES, Change, Comparison
from equiaudit.report.json import Record, Report

ELEMENT = "E(3).translation(0.5, 1.0, 0.25) @ E(3).generator('inversion')"
BROKEN = Audit(
    Verdict.BROKEN,
    error=2.8e-4,
    floor=2.0e-11,
    sensitivity=0.05,
    worst=Worst(ELEMENT, "forces", (0, 1), 4.1e-4, 2.8e-4, 1.5, -0.25),
    checks=(
        Check("rotations", "finite", Verdict.BROKEN, 1.3e-4, 2.0e-11, leaf="forces", elements=1),
        Check("translations", "finite", Verdict.EXACT, 0.0, 2.0e-11, leaf="forces", elements=1),
        Check("float32 as it runs", "sanity", Verdict.EXACT, 3.0e-7, None, note="rounding"),
    ),
    leaves=(
        LeafResult("energy", (), "float64", "Scalar()", Verdict.EXACT, 1e-15, 2e-11, 8.5, 9e-15, 0.1),
        LeafResult("forces", (9, 3), "float64", "Vector()", Verdict.BROKEN, 2.8e-4, 2e-11, 1.4, 4.1e-4, 0.05),
    ),
    untested=("reflections",),
    notes=("unchecked outputs: charges",),
    layers=(
        {"layer": "embed", "class": "Embedding", "error": 0.0, "floor": 1e-14, "verdict": "ok", "note": ""},
        {"layer": "mix", "class": "Linear", "error": 3e-3, "floor": 1e-14, "verdict": "first", "note": "a bias?"},
        {"layer": "read", "class": "Linear", "error": None, "floor": None, "verdict": "unknown", "note": "no tensor"},
    ),
    first_bad_layer="mix",
    method=Method("torch.func.jvp", 2e-12, {}, "a float64 copy", "rounding noise in every operation"),
    cost=Cost({"float64": 20, "own": 2}, 3, 6, 0.5),
    label="leaky",
    symmetry="Symmetry(E(3), inputs='points', outputs={'energy': 'invariant', 'forces': 'vector'})",
    environment={"torch": "2.13.0", "device": "cpu", "dtype": "float32"},
)  # fmt: skip


@pytest.fixture
def make() -> Callable[..., Audit]:
    """A broken audit with something in every field, or that with other fields."""
    return lambda **fields: replace(BROKEN, **fields)


HOSTILE = (
    """</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 2">"'&{{ 7 * 7 }}{% raw %}"""
    """<!-- --> $\\frac$ ]]> javascript:alert(1) \u202eexe.gnp\u2066 \x00\x07\x1b[31m \ud800"""
)


def filled(cls: type, text: str) -> Any:
    """A record with the text in every field that takes one, also in those that are added one day."""
    hints = typing.get_type_hints(cls)
    return cls(**{entry.name: _value(hints[entry.name], text) for entry in dataclasses.fields(cls)})


def _value(hint: Any, text: str) -> Any:
    options = typing.get_args(hint)
    if hint is str or (str in options and type(None) in options):
        return text
    if hint is Verdict:
        return Verdict.BROKEN
    if typing.get_origin(hint) is tuple:
        return (_value(options[0], text),)
    if typing.get_origin(hint) is Mapping:
        return {text: text, "layer": text, "class": text, "error": 0.5, "floor": 1e-9, "verdict": text, "note": text}
    for option in (hint, *options):
        if dataclasses.is_dataclass(option):
            return filled(option, text)
    return {bool: False, int: 2}.get(hint, 0.5)


@pytest.fixture
def hostile_text() -> str:
    """Text that would do harm, or break a page, wherever it is not escaped."""
    return HOSTILE


@pytest.fixture
def hostile_page(hostile_text) -> str:
    """A page of records that hold the text wherever text can be, compared with a baseline that does so too."""
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    from equiaudit.report.html import render_html

    audit = filled(Audit, hostile_text)
    tried = tuple(replace(t, angle=30.0 * n, shift=None) for t in audit.tried for n in range(1, 8))
    audit = replace(audit, cost=Cost({hostile_text: 3}, 2, 2, 0.5), tried=tried)
    record = replace(filled(Record, hostile_text), audit=audit, audits=2, tries=3)
    other = replace(record, nodeid=None, audit=replace(audit, verdict=Verdict.INVALID, label=hostile_text + "2"))
    exact = replace(record, nodeid=hostile_text + "3", audit=replace(audit, verdict=Verdict.EXACT))
    report = replace(filled(Report, hostile_text), records=(record, other, exact))
    changes = tuple(
        Change(hostile_text + status * (status != "grew"), hostile_text, status, 1e-9, 0.5, 1e-12, hostile_text)
        for status in STATUSES
    )
    return render_html(report, title=hostile_text, baseline=Comparison(hostile_text, changes, 1))
