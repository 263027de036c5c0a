"""Amplified rounding and undefined values are notes; ties, cutoffs and degenerate frames are violations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from equiaudit import Symmetry, Verdict, confirm_equivariant
from equiaudit.groups import SE, E
from equiaudit.measure.run import Run
from equiaudit.strategies import trying
from equiaudit.strategies.trying import AMPLIFIED, GENERIC, JUMP, UNDEFINED, Example, Trier
from equiaudit.strategies.variation import Variation
from tests.strategies.models import POINTS, points

CHAIN = Variation((0, 1, 2, 3), "along z")
TURNS = Symmetry(SE(3), {"pos": "points"}, "invariant")
SPECIES = torch.tensor([1.0, 6.0, 8.0, 1.0, 7.0, 6.0])


def distances(d: dict[str, Tensor]) -> Tensor:
    return torch.cdist(d["pos"], d["pos"], compute_mode="donot_use_mm_for_euclid_dist")


def bond_angles(d: dict[str, Tensor]) -> Tensor:
    """Angles by acos; the cosine of a straight one is ±1 or the float beside it, as the last bits of the input fall.

    Planted, so that the rounding that a test is about is there on every processor: on some of them the cosine of a
    straight angle is exactly 1 in every pose.
    """
    bonds = d["pos"][1:] - d["pos"][:-1]
    if len(bonds) < 2:
        return d["pos"].new_zeros(1)
    cosine = (bonds[1:] * bonds[:-1]).sum(-1) / (bonds[1:].norm(dim=-1) * bonds[:-1].norm(dim=-1))
    eps = torch.finfo(cosine.dtype).eps
    whole = torch.int64 if cosine.dtype == torch.float64 else torch.int32
    last_bit = d["pos"].detach().contiguous().view(whole).sum() % 2 == 1  # whole numbers: no noise probe changes them
    rounded = torch.where(last_bit, 1 - eps / 2, 1.0).to(cosine.dtype)
    rounded = torch.where(cosine < 0, -rounded, rounded)
    return torch.acos(torch.where(cosine.abs() > 1 - 16 * eps, rounded, cosine))


def dihedrals(d: dict[str, Tensor]) -> Tensor:
    bonds = d["pos"][1:] - d["pos"][:-1]
    if len(bonds) < 3:
        return d["pos"].new_zeros(1)
    normals = torch.cross(bonds[:-1], bonds[1:], dim=-1)
    middle = torch.nn.functional.normalize(bonds[1:-1], dim=-1)
    across = torch.cross(normals[:-1], middle, dim=-1)
    return torch.atan2((across * normals[1:]).sum(-1), (normals[:-1] * normals[1:]).sum(-1)).cos()


def nearest_species(d: dict[str, Tensor]) -> Tensor:
    near, which = distances(d).topk(min(3, len(d["pos"])), largest=False)
    return (SPECIES[: len(d["pos"])].to(near.dtype)[which] * near).sum(-1)


def cutoff(d: dict[str, Tensor]) -> Tensor:
    r = distances(d)
    return (r <= 1.0).to(r.dtype).sum() + torch.exp(-r).sum()


def farthest(d: dict[str, Tensor]) -> Tensor:
    x = d["pos"] - d["pos"].mean(0)
    return SPECIES.to(x.dtype)[x.norm(dim=-1).argmax()] * distances(d).sum()


def signs(d: dict[str, Tensor]) -> Tensor:
    """Coordinates along the axes of inertia, their signs by a third moment."""
    x = d["pos"] - d["pos"].mean(0)
    along = x @ torch.linalg.eigh(x.T @ x)[1]
    return along * (along**3).sum(0).sign()


def tilted(d: dict[str, Tensor]) -> Tensor:
    return (d["pos"] - d["pos"].mean(0))[:, 2].abs().sum()


def kinds(model: Any, symmetry: Symmetry, variation: Variation, count: int = 8, degenerate: bool = False) -> set[str]:
    """Every kind that so many random elements show."""
    run = Run(model, points(1), [symmetry], None, "auto", "quick", 0, None, None, "refuse", False, lambda _: None)
    run.hunted = [symmetry]  # type: ignore[attr-defined]
    trier = Trier(run, symmetry, degenerate, 1000)
    found = {trier.judge(Example((symmetry.acts.sample(k),), variation)).kind for k in range(count)}
    return found - {""} | set(trier.aside)


LAWS = [
    (bond_angles, POINTS, Variation(None, "along z"), {AMPLIFIED}),
    (bond_angles, POINTS, Variation((0, 1, 2), "diagonal"), {AMPLIFIED}),
    (dihedrals, TURNS, CHAIN, {UNDEFINED}),
    (nearest_species, POINTS, Variation((0, 1, 2, 3), "regular"), {JUMP}),
    (cutoff, POINTS, Variation(None, "ties"), {JUMP}),
    (farthest, POINTS, Variation(None, "whole"), {JUMP}),
    (signs, POINTS, Variation(None, "regular"), {JUMP}),
    (tilted, POINTS, CHAIN, {GENERIC}),
]


@pytest.mark.parametrize(("model", "symmetry", "variation", "expected"), LAWS)
@pytest.mark.rounding
def test_rounding_is_told_from_jumps(model: Any, symmetry: Symmetry, variation: Variation, expected: set[str]) -> None:
    # the last bits agree in half of all poses
    assert kinds(model, symmetry, variation, count=64 if expected == {AMPLIFIED} else 8) == expected


@pytest.mark.rounding
def test_without_the_laws_rounding_is_called_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: nothing is explained by rounding."""
    monkeypatch.setattr(trying, "explained", lambda *_: "")
    assert kinds(bond_angles, POINTS, Variation(None, "along z"), count=64) & {JUMP, GENERIC}
    assert kinds(dihedrals, TURNS, CHAIN) == {JUMP}


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.rounding
def test_angles_of_collinear_atoms_are_exact(seed: int) -> None:
    found = confirm_equivariant(bond_angles, points(1), POINTS, seed=seed)
    assert found.verdict is Verdict.EXACT, str(found)


def test_dihedrals_of_a_straight_chain_are_a_note() -> None:
    found = confirm_equivariant(dihedrals, points(1), TURNS)
    assert found.verdict is Verdict.EXACT, str(found)
    assert any(n.startswith("f(x) is not defined on vary(") and "degenerate=True makes that" in n for n in found.notes)
    assert kinds(dihedrals, TURNS, CHAIN, degenerate=True) == {JUMP}


@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.long) for k in (1, 2))])
@pytest.mark.rounding
def test_three_atoms_that_float32_holds_nearly_in_a_line_are_exact(seed: int) -> None:
    """At 5e-8 from a straight angle rounding is amplified too, and beside it, at 1e-6, hardly less."""
    found = confirm_equivariant(bond_angles, {"pos": points(1)["pos"][:3]}, POINTS, seed=seed)
    assert found.verdict is Verdict.EXACT, str(found)


@pytest.mark.long
def test_amplified_rounding_is_a_note_where_the_search_meets_it() -> None:
    notes = confirm_equivariant(bond_angles, points(1), POINTS, max_examples=400).notes
    assert any(note.startswith("no violation: rounding of the input moves f(x)") for note in notes), notes


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("model", [pytest.param(nearest_species, marks=pytest.mark.long), signs])
def test_ties_are_found_whatever_the_seed(model: Any, seed: int) -> None:
    found = confirm_equivariant(model, points(1), Symmetry(E(3), {"pos": "points"}, "invariant"), seed=seed)
    assert (found.verdict, found.cause) == (Verdict.BROKEN, "discontinuity"), str(found)


def equidistant(d: dict[str, Tensor]) -> Tensor:
    """Wrong where the first four nodes are equally far from each other."""
    energy = torch.exp(-distances(d)).sum()
    if len(d["pos"]) < 4:
        return energy
    r = torch.pdist(d["pos"][:4])
    return energy + 0.3 * d["pos"][0, 2] * ((r.max() - r.min()) < 1e-6)


@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.long) for k in (1, 2))])
def test_a_fault_of_a_tetrahedron_is_found(seed: int) -> None:
    found = confirm_equivariant(equidistant, points(1), POINTS, seed=seed)
    assert found.verdict is Verdict.BROKEN
    assert (found.worst.element, found.worst.inputs) == (  # type: ignore[union-attr]
        "E(3).generator('inversion')",
        "equiaudit.strategies.vary(inputs, symmetry, keep=(0, 1, 2, 3), pose='regular')",
    )
