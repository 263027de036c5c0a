"""``confirm_equivariant``: rare faults are caught, counterexamples are minimal, nothing is left behind."""

from __future__ import annotations

import math
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import equiaudit
from equiaudit import Symmetry, Verdict, confirm_equivariant, equivariance_error, replay
from equiaudit.groups import SO, Cyclic, Group, O, Permutations
from equiaudit.records import Audit
from equiaudit.strategies import trying
from tests.strategies.models import FAULTS, POINTS, VECTORS, angles, pairs, points, vectors

SEEDS = range(4)
SLOW = {"band", "cone", "far", "angles", "pairs"}
"""Faults that are rare enough to take a search of seconds."""
TO_VECTORS = Symmetry(O(3), "vector", "vector")


def row(found: Audit) -> Any:
    (check,) = [c for c in found.checks if c.kind == "hypothesis"]
    return check


# -- faults in rare poses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "symmetry", "make"),
    [pytest.param(*f, marks=[pytest.mark.long] * (f[0].__name__ in SLOW)) for f in FAULTS],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_a_fault_that_one_random_rotation_misses_is_caught(model: Any, symmetry: Symmetry, make: Any) -> None:
    missed = [
        equivariance_error(model, make(seed), symmetry, [symmetry.acts.sample(100 * seed + k)])[0] < 1e-4
        for seed in SEEDS
        for k in range(10)
    ]
    assert np.mean(missed) >= 0.9
    for seed in SEEDS:
        found = confirm_equivariant(model, make(seed), symmetry, seed=seed)
        assert found.verdict is Verdict.BROKEN, (seed, str(found))


# -- minimal counterexamples ------------------------------------------------------------------------------------------


def handed(x: Tensor) -> Tensor:
    return torch.linalg.cross(x, x.roll(1, 0)).norm(dim=-1) + torch.linalg.det(x[:3])


def tilted(x: Tensor) -> Tensor:
    """Turns about x are safe, and no others."""
    return x.norm(dim=-1) + 0.1 * x[:, 0] ** 2


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("model", "symmetry", "inputs", "element", "keep"),
    [
        (handed, VECTORS, vectors(0), "O(3).generator('inversion')", (0, 1, 2)),
        (pairs, POINTS, points(0), "E(3).generator('inversion')", (0, 1)),
        (tilted, Symmetry(SO(3), "vector", "invariant"), vectors(1), "SO(3).turn('y', 1/4)", (0,)),
        (
            lambda d: d["h"].cumsum(0),
            Symmetry(Permutations(), {"h": "nodes"}, "nodes"),
            {"h": torch.randn(5, 2)},
            "Permutations().swap(0, 1)",
            (0, 1),
        ),
    ],
    ids=["reflections", "two atoms", "a turn", "a swap"],
)
def test_the_counterexample_is_minimal(
    model: Any, symmetry: Symmetry, inputs: Any, element: str, keep: Any, dtype: torch.dtype
) -> None:
    inputs = {k: v.to(dtype) for k, v in inputs.items()} if isinstance(inputs, dict) else inputs.to(dtype)
    for seed in range(2):
        found = confirm_equivariant(model, inputs, symmetry, seed=seed)
        assert found.verdict is Verdict.BROKEN
        assert found.worst is not None
        assert found.worst.element == element
        if keep is not None:
            assert f"keep={keep!r}" in (found.worst.inputs or "")


def test_a_turn_about_x_alone_is_named() -> None:
    """Only turns that move z break it: a quarter turn about z, the first name, is not one."""
    found = confirm_equivariant(
        lambda x: x[:, 2] ** 2 + x.norm(dim=-1), vectors(0), Symmetry(SO(3), "vector", "invariant")
    )
    assert found.worst is not None
    assert found.worst.element in ("SO(3).turn('x', 1/4)", "SO(3).turn('y', 1/4)")


@pytest.mark.parametrize("group", [Permutations(), Permutations(5)], ids=repr)
def test_a_permutation_is_explicit_and_moves_few(group: Permutations) -> None:
    """Only even ones break it: a cycle of three is the smallest."""

    def even(x: Tensor) -> Tensor:
        order = x[:, 0].argsort()
        signed = torch.linalg.det(torch.eye(len(x))[order])
        return x * 2 + (0.5 * x[:1] if signed > 0 and not torch.equal(order, torch.arange(len(x))) else 0)

    found = confirm_equivariant(
        even, torch.arange(5.0)[:, None], Symmetry(group, "nodes", "nodes"), vary=False, max_examples=60
    )
    assert found.worst is not None
    assert found.worst.element == f"{group!r}.of((1, 2, 0, 3, 4))"


def test_more_than_ten_degrees_about_z() -> None:
    def sticky(x: Tensor) -> Tensor:
        angle = torch.atan2(x[:, 1], x[:, 0])
        return x[:, :2].norm(dim=-1) * (1 + 0.1 * (angle.abs() > math.radians(10)).to(x.dtype))

    x = torch.tensor([[1.0, 0.0, 0.3], [2.0, 0.1, -0.5]])
    about_z = Symmetry(Group("turns", [SO(3).algebra[2]]), "vector", "invariant")
    found = confirm_equivariant(sticky, x, about_z)
    assert found.worst is not None
    assert found.worst.element == "turns.exp(1.5707963267948966)"


def test_the_replay_line_evaluates_and_gives_the_number() -> None:
    inputs, symmetry = points(3), POINTS
    found = confirm_equivariant(pairs, inputs, symmetry)
    assert found.worst is not None
    code = found.worst.inputs
    assert code is not None
    again = replay(
        pairs,
        eval(code, {"equiaudit": equiaudit, "inputs": inputs, "symmetry": symmetry}),
        symmetry,
        found.worst.element,
        seed=0,
    )
    assert (again.error, again.floor, again.worst.index) == (found.error, found.floor, found.worst.index)  # type: ignore[union-attr]
    assert code in str(found)
    assert code in found.replay
    assert "hypothesis refutes it on a variation" in found.reason


def test_the_worst_stands_apart_from_the_minimal() -> None:
    found = confirm_equivariant(pairs, points(0), POINTS)
    assert row(found).error >= found.error  # type: ignore[operator]
    assert row(found).elements >= 1
    assert "examples until one failed" in row(found).note


# -- models that are right --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.long)])
def test_an_exact_model_is_exact(dtype: torch.dtype) -> None:
    found = confirm_equivariant(lambda x: x * x.norm(dim=-1, keepdim=True), vectors(0, dtype), TO_VECTORS)
    assert found.verdict is Verdict.EXACT, str(found)
    assert row(found).elements == 119  # a hundred draws, and all special poses that four rows have
    assert row(found).verdict is Verdict.EXACT
    assert found.cost.total < 300


def test_an_exact_e3nn_model_is_exact() -> None:
    o3 = pytest.importorskip("e3nn.o3")
    net = o3.FullyConnectedTensorProduct("4x0e+2x1o", "1x0e+1x1o", "2x0e+2x1o+1x2e")
    inputs = (torch.randn(3, 10), torch.randn(3, 4))
    symmetry = Symmetry(O(3), ("4x0e+2x1o", "1x0e+1x1o"), "2x0e+2x1o+1x2e")
    found = confirm_equivariant(net, inputs, symmetry, max_examples=40)
    assert found.verdict is Verdict.EXACT, str(found)
    assert found.cost.total < 300


# -- inputs at the edge -----------------------------------------------------------------------------------------------


def inverse_distances(d: dict[str, Tensor]) -> Tensor:
    p = d["pos"]
    r = (p[:, None] - p).norm(dim=-1) + torch.eye(len(p), dtype=p.dtype)
    return (1 / r).sum()


@pytest.mark.long
def test_what_is_not_finite_in_a_singular_pose_is_a_note() -> None:
    found = confirm_equivariant(inverse_distances, points(0), POINTS)
    assert found.verdict is Verdict.EXACT
    (note,) = found.notes
    assert "f(x) is not finite on vary(" in note
    assert "pose='coincident'" in note or "pose='zeros'" in note


def frames(d: dict[str, Tensor]) -> Tensor:
    """By the axes of inertia, which a regular figure leaves open."""
    q = d["pos"] - d["pos"].mean(0)
    axes = torch.linalg.eigh(q.T @ q)[1]
    return ((q @ axes).abs() * torch.arange(1, 4)).sum()


@pytest.mark.long
def test_a_regular_figure_breaks_a_canonical_frame() -> None:
    found = confirm_equivariant(frames, points(0), POINTS)
    assert (found.verdict, found.cause) == (Verdict.BROKEN, "discontinuity")
    assert "no longer when nudged" in found.reason
    assert "pose='" in (found.worst.inputs or "")  # type: ignore[union-attr]
    assert confirm_equivariant(frames, points(0), POINTS, vary=False).verdict is Verdict.EXACT


def counted(d: dict[str, Tensor]) -> Tensor:
    """A hard cutoff: rounding alone moves a distance of exactly 1 out of it, for one random element of ten."""
    p = d["pos"]
    return ((p[:, None] - p).norm(dim=-1) <= 1.0).sum().to(p.dtype)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_hard_cutoff_is_caught_at_its_ties(seed: int) -> None:
    found = confirm_equivariant(counted, points(seed), POINTS, seed=seed)
    assert (found.verdict, found.cause) == (Verdict.BROKEN, "discontinuity")
    assert "pose='ties'" in (found.worst.inputs or "")  # type: ignore[union-attr]


@pytest.mark.long
def test_every_element_of_a_small_group_is_tried() -> None:
    """One of 24 permutations is wrong; draws that were seen before do not end the search."""

    def one(x: Tensor) -> Tensor:
        return 2 * x + (0.5 if x[:, 0].argsort().tolist() == [2, 0, 3, 1] else 0.0)

    four = Symmetry(Permutations(4), "nodes", "nodes")
    for seed in range(4):
        assert confirm_equivariant(one, torch.arange(4.0)[:, None], four, seed=seed).verdict is Verdict.BROKEN


def apart(d: dict[str, Tensor]) -> Tensor:
    """Wrong where two nodes are in one place."""
    p = d["pos"]
    near = ((p[:, None] - p).square().sum(-1) + torch.eye(len(p), dtype=p.dtype)).min() == 0
    return (p - p.mean(0)).square().sum() + (p[0, 0] if near else 0.0)


@pytest.mark.long
def test_a_violation_in_a_singular_pose_counts_where_asked() -> None:
    aside = confirm_equivariant(apart, points(0), POINTS)
    assert aside.verdict is Verdict.EXACT
    assert any("in a singular pose there is a" in n and "degenerate=True makes that count" in n for n in aside.notes)
    counted = confirm_equivariant(apart, points(0), POINTS, degenerate=True)
    assert counted.verdict is Verdict.BROKEN
    assert "pose='coincident'" in (counted.worst.inputs or "")  # type: ignore[union-attr]


def test_nan_for_some_elements_is_invalid() -> None:
    def hole(x: Tensor) -> Tensor:
        return torch.where(x[:, :1] / x.norm(dim=-1, keepdim=True) > 0.95, torch.nan, 1.0) * x

    found = confirm_equivariant(hole, torch.tensor([[-0.5, 1.0, 0.2], [-0.3, 0.2, 1.0]]), TO_VECTORS, vary=False)
    assert (found.verdict, found.cause) == (Verdict.INVALID, "not finite")
    assert "not finite" in found.reason or "NaN" in found.reason


def test_nan_everywhere_is_invalid_as_in_an_audit() -> None:
    found = confirm_equivariant(lambda x: x * torch.nan, vectors(0), TO_VECTORS)
    assert found.verdict is Verdict.INVALID
    assert "hypothesis had nothing to try: see the verdict" in found.notes


def test_dropout_is_invalid_or_matched() -> None:
    model = nn.Dropout(0.5)
    assert confirm_equivariant(model, vectors(0), TO_VECTORS).cause == "not repeatable"
    matched = confirm_equivariant(model, vectors(0), TO_VECTORS, randomness="match", max_examples=10)
    assert matched.verdict is Verdict.BROKEN


def test_a_tolerance_is_kept() -> None:
    found = confirm_equivariant(lambda x: x + 1e-3 * x.abs(), vectors(0), TO_VECTORS, tolerance=0.1, max_examples=20)
    assert found.verdict is Verdict.APPROXIMATE
    assert row(found).verdict is Verdict.APPROXIMATE


def test_exceptions_pass_through_on_the_input_as_given_alone() -> None:
    def picky(x: Tensor) -> Tensor:
        if x.shape[0] < 4:
            raise RuntimeError("at least four")
        return 2 * x

    found = confirm_equivariant(picky, vectors(0), TO_VECTORS, max_examples=40)
    assert found.verdict is Verdict.EXACT
    assert any("the model refuses" in note and "RuntimeError on vary(" in note for note in found.notes)

    def touchy(x: Tensor) -> Tensor:
        if float(x[0, 0] / x[0].norm()) > 0.9:
            raise RuntimeError("too far along x")
        return 2 * x

    x = torch.tensor([[-0.5, 1.0, 0.2], [-0.3, 0.2, 1.0]])
    with pytest.raises(RuntimeError, match="too far along x") as caught:
        confirm_equivariant(touchy, x, TO_VECTORS)
    assert any("equiaudit: raised for g = O(3)." in note for note in caught.value.__notes__)


# -- nothing is left behind -------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    first, again = (confirm_equivariant(angles, vectors(0), VECTORS, seed=4) for _ in range(2))
    assert (first.worst, first.error, row(first)) == (again.worst, again.error, row(again))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert (before[2] == np.random.get_state()[1]).all()  # type: ignore[index]  # noqa: NPY002
    assert os.listdir(tmp_path) == []
    other = confirm_equivariant(angles, vectors(0), VECTORS, seed=5)
    assert row(other) != row(first)


@given(st.integers(1, 3))
@settings(max_examples=3, deadline=None)
def test_inside_another_hypothesis_test(n: int) -> None:
    found = confirm_equivariant(lambda x: n * x, vectors(n), TO_VECTORS, max_examples=5)
    assert found.verdict is Verdict.EXACT


def test_one_audit_is_announced() -> None:
    from equiaudit.ambient import defaults, listening

    heard: list[Audit] = []
    with listening(heard.append), defaults(seed=3):
        found = confirm_equivariant(lambda x: 2 * x, vectors(0), TO_VECTORS, max_examples=5)
    assert heard == [found]
    assert found.seed == 3


def test_several_symmetries_and_samples() -> None:
    def mixed(x: Tensor) -> Tensor:
        return x * x.norm(dim=-1, keepdim=True) + 0.1 * x.mean(0)

    each = Symmetry(SO(3), "vector", "vector", batch=0)
    found = confirm_equivariant(mixed, vectors(0), [TO_VECTORS, each], max_examples=30)
    assert found.verdict is Verdict.BROKEN
    assert found.worst is not None
    assert found.worst.symmetry == 1
    assert found.worst.element.startswith("[")


def test_an_image() -> None:
    torch.manual_seed(0)
    found = confirm_equivariant(
        nn.Conv2d(1, 1, 3, padding=1), torch.randn(2, 1, 9, 9), Symmetry(Cyclic(4), "image", "image")
    )
    assert found.worst is not None
    assert found.worst.element == "Cyclic(4).element_at(1)"


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True])
def test_max_examples(wrong: Any) -> None:
    with pytest.raises(ValueError, match=f"max_examples must be a whole number of at least 1, got {wrong!r}"):
        confirm_equivariant(nn.Identity(), vectors(0), TO_VECTORS, max_examples=wrong)


# -- the judge is the audit's -----------------------------------------------------------------------------------------


def test_a_judge_that_lets_everything_pass_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: with the residual switched off, the faults above are no longer found."""
    monkeypatch.setattr(trying, "_score", lambda exam, outcome: 0.0)
    assert confirm_equivariant(pairs, points(0), POINTS).verdict is Verdict.EXACT
