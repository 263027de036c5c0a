"""The laws of representations hold for simple ones, and each law catches the fault that it is for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from equiaudit.groups import SL, SO, SU, Cyclic, E, Group, Lorentz, O, Permutations, Scaling, Sp, T, U
from equiaudit.groups.base import Element, Matrix
from equiaudit.groups.laws import LawError
from equiaudit.representations import (
    CartesianTensor,
    Dual,
    EdgeIndex,
    Edges,
    Kronecker,
    Nodes,
    Points,
    Pseudovector,
    Representation,
    RepresentationError,
    Scalar,
    SymmetricTensor,
    Vector,
    check_representation,
)
from equiaudit.representations.acting import Acting, Moving

SIGN = Representation.from_algebra(Permutations(4), np.zeros((0, 1, 1)), {"roll": [[-1.0]], "swap": [[-1.0]]})
HOLD: list[tuple[Group, Representation, torch.Tensor | None]] = [
    *((group, Vector(), None) for group in (SO(3), O(4), E(3), SL(3), SU(3), U(2), Sp(2), Lorentz(), O(1, 3))),
    *((group, Vector(), None) for group in (Cyclic(5), Permutations(4))),
    (O(3), Pseudovector(), None),
    (E(3), Points(), None),
    (E(3), Points(dim=0), None),
    (T(2), Points(), None),
    (Scaling(2), Points(), None),
    (O(3), CartesianTensor(), None),
    (O(2), CartesianTensor(dims=(-3, -2, -1), pseudo=True), None),
    (E(3), SymmetricTensor("voigt", engineering=True), None),
    (SL(3), Kronecker(Vector(), Dual(Vector())), None),
    (E(3), Points() + 2 * Scalar() + Vector(), None),
    (SO(3), Vector() * Vector(), None),
    (Permutations(4), SIGN, None),
    (Permutations(4), Nodes(), None),
    (Permutations(), Nodes(), torch.randn(6, 3, dtype=torch.float64)),
    (Permutations(), Edges(), torch.randn(6, 3, dtype=torch.float64)),
    (Permutations(), EdgeIndex(), torch.tensor([[0, 1, 2, 0], [1, 2, 0, 3]])),
]


@pytest.mark.parametrize(("group", "rep", "x"), HOLD, ids=[f"{g!r} {r!r}" for g, r, _ in HOLD])
def test_laws(group: Group, rep: Representation, x: torch.Tensor | None) -> None:
    checked = check_representation(group, rep, x)
    assert {"identity", "homomorphism", "inverse"} <= set(checked)
    assert ("tangent" in checked) == (group.dim > 0)


# -- planted faults -------------------------------------------------------------------------------------------------


class Transposed(Vector):
    """g ↦ gᵀ reverses products."""

    def matrix(self, g: Element) -> Matrix:
        return super().matrix(g).T


class Shifted(Vector):
    def act(self, g: Element, x: torch.Tensor) -> torch.Tensor:
        return super().act(g, x) + 1e-6


class NotUndone(Scalar):
    """A projection: ρ(g) ρ(h) = ρ(gh), but nothing undoes it."""

    def act(self, g: Element, x: torch.Tensor) -> torch.Tensor:
        return x if not g.factors else torch.zeros_like(x)


class WrongGenerator(Vector):
    def algebra_matrices(self, group: Group) -> Matrix:
        return 1.001 * super().algebra_matrices(group)


class AboutZ(SO):
    """Draws turns about z alone, on which a wrong bracket goes unseen."""

    def draw(self, rng: np.random.Generator) -> Element:
        return self.exp(0.0, 0.0, float(rng.uniform(-1, 1)))


class WrongDiscrete(Vector):
    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        return -super().discrete_matrix(group, name)


class FirstElementOnly(Vector):
    def apply(self, acting: Acting, x: torch.Tensor) -> torch.Tensor:
        return super().apply(Acting(acting.elements[:1]), x)


class OtherAction(Vector):
    """Acts as the dual does, which is a representation too, but not that of its matrices."""

    def apply(self, acting: Acting, x: torch.Tensor) -> torch.Tensor:
        return Dual(Vector()).apply(acting, x)


class WrongTangent(Vector):
    def tangent(self, moving: Moving, x: torch.Tensor) -> torch.Tensor:
        return super().tangent(moving, x) * (1 + 1e-5)


FAULTS: list[tuple[str, Group, Any, str]] = [
    (
        "identity",
        SO(3),
        Shifted(),
        r"identity: Vector\(\) at SO\(3\)\.identity\(\) is off by \d.*e-07 \(allowed 1\.0e-09\)",
    ),
    (
        "homomorphism",
        SO(3),
        Transposed(),
        r"homomorphism: Vector\(\) at SO\(3\)\.exp\(.*\) and SO\(3\)\.exp\(.*\) is off by",
    ),
    ("inverse", SO(3), NotUndone(), r"inverse: Scalar\(\) at SO\(3\)\.exp\(.*\) is off by 1"),
    ("rows", SO(3), FirstElementOnly(), r"rows: Vector\(\) at SO\(3\)\.exp\(.* and .* is off by"),
    ("exponential", SO(3), WrongGenerator(), r"exponential: Vector\(\) at SO\(3\)\.exp\(.*\) is off by"),
    ("discrete", O(3), WrongDiscrete(), r"homomorphism: Vector\(\) at O\(3\)\.generator\('inversion'\) is off by 2"),
    ("action", SL(2), OtherAction(), r"action: Vector\(\) at SL\(2\)\.exp"),
    ("tangent", SO(3), WrongTangent(), r"tangent: Vector\(\) at SO\(3\)\.exp\(.*\) is off by \d.*e-0[56]"),
    (
        "not a representation of the algebra",
        SO(3),
        Representation.from_algebra(SO(3), SO(3).algebra[[1, 0, 2]]),
        r"homomorphism: Representation\.from_algebra\(SO\(3\), …\) at .* is off by",
    ),
    (
        "two-valued",
        SO(3),
        Representation.from_algebra(SO(3), SU(2).algebra),
        r"homomorphism: Representation\.from_algebra\(SO\(3\), …\) at .* is off by",
    ),
    (
        "bracket",
        AboutZ(3),
        Representation.from_algebra(AboutZ(3), SO(3).algebra[[1, 0, 2]]),
        r"bracket: Representation\.from_algebra\(SO\(3\), …\) at A = \[.*\], B = \[.*\] is off by",
    ),
    (
        "not a homomorphism of the generators",
        Permutations(3),
        Representation.from_algebra(Permutations(3), np.zeros((0, 1, 1)), {"roll": [[-1.0]], "swap": [[-1.0]]}),
        r"(homomorphism|inverse): Representation\.from_algebra",
    ),
]


@pytest.mark.parametrize(("fault", "group", "rep", "message"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_planted_fault_is_caught(fault: str, group: Group, rep: Any, message: str) -> None:
    with pytest.raises(LawError, match=message):
        check_representation(group, rep)


def test_a_function_is_held_to_the_same_laws() -> None:
    x = torch.randn(4, 3, dtype=torch.float64)
    right = Representation.from_function(lambda g, v: v @ torch.from_numpy(g.matrix).mT)
    assert "tangent" in check_representation(SO(3), right, x)
    wrong = Representation.from_function(lambda g, v: v @ torch.from_numpy(g.matrix))
    with pytest.raises(LawError, match=r"homomorphism: Representation\.from_function"):
        check_representation(SO(3), wrong, x)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(
        RepresentationError, match=r"Vector\(\) can't act on this tensor: dimension -1 must have length 3"
    ):
        check_representation(SO(3), Vector(), torch.zeros(4, 2))
    with pytest.raises(RepresentationError, match=r"no tensor could be drawn for EdgeIndex\(\): none of the shapes"):
        check_representation(Permutations(), EdgeIndex())
    with pytest.raises(RepresentationError):
        check_representation(Permutations(), Vector())
