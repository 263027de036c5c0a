"""Audits made by hand: a report needs neither a model nor torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from equiaudit.records import Audit, Check, Cost, LeafResult, Method, Verdict, Worst

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
