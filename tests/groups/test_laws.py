"""Every family keeps the laws of a group, and every law catches the fault that it is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from equiaudit.groups import SE, SL, SO, SU, Cyclic, E, FiniteGroup, Group, Lorentz, O, Scaling, Sp, U, check_group
from equiaudit.groups.base import Element, Exp, Factor, Matrix
from equiaudit.groups.laws import LawError, check_haar_moments, is_compact
from equiaudit.groups.rotations import rotation_basis

from .families import EVERY


def moderate(groups: list[Group]) -> list:
    """The groups as parameters; the laws of the large and of the composed ones are long tests."""
    usual = (E(3), SE(3), Lorentz())
    large = [
        (group.dim > 3 and group not in usual) or " * " in repr(group) or "Product" in repr(group) for group in groups
    ]
    return [pytest.param(g, id=repr(g), marks=[pytest.mark.long] * big) for g, big in zip(groups, large, strict=True)]


@pytest.mark.parametrize("group", moderate(EVERY))
def test_laws(group: Group) -> None:
    checked = check_group(group)
    assert {"identity", "inverse", "closure", "element", "code"} <= set(checked)
    assert ("haar" in checked) == is_compact(group)
    assert ("listed" in checked) == (group.is_finite and (group.order or 0) <= 200)
    assert ("bracket" in checked) == (group.dim > 0)


@pytest.mark.parametrize("group", moderate([SO(3), SO(6), O(3), O(4), SU(2), SU(3), U(2)]))
def test_irreducible_haar_moments(group: Group) -> None:
    # The textbook values, beside the projectors that the law computes: E[R] = 0 and E[R ⊗ R̄] = |1⟩⟨1| / d.
    rng = np.random.default_rng(1)
    drawn = [group.sample(rng).matrix for _ in range(2000)]
    one = np.eye(group.size).reshape(-1)
    assert np.abs(np.mean(drawn, axis=0)).max() < 0.1
    second = np.mean([np.kron(r, r.conj()) for r in drawn], axis=0)
    assert np.abs(second - np.outer(one, one) / group.size).max() < 0.1


@pytest.mark.parametrize("group", [SO(2), SO(3), O(4), SE(3), Lorentz(), SU(3), Sp(2), E(2), SL(3)], ids=repr)
def test_coordinates_are_isotropic(group: Group) -> None:
    # One factor across each part, so that normal coordinates don't prefer a direction of it.
    for part in group.parts:
        basis = group.algebra[list(part.indices)].reshape(len(part.indices), -1)
        gram = (basis @ basis.conj().T).real
        assert np.allclose(gram, gram[0, 0] * np.eye(len(gram)), atol=1e-12)


@pytest.mark.parametrize(
    ("group", "dim", "parts"),
    [
        (SO(4), 6, ["rotations"]),
        (SE(3), 6, ["rotations", "translations"]),
        (Lorentz(), 6, ["rotations", "boosts"]),
        (O(2, 2), 6, ["rotations", "boosts"]),
        (SL(3), 8, ["rotations", "stretches"]),
        (SU(3), 8, ["special unitary"]),
        (U(2), 4, ["special unitary", "phase"]),
        (Sp(2), 10, ["rotations", "squeezes"]),
        (Scaling(3), 1, ["scaling"]),
        (Cyclic(5), 0, []),
    ],
    ids=str,
)
def test_parts_cover_the_algebra(group: Group, dim: int, parts: list[str]) -> None:
    assert group.dim == dim
    assert [part.name for part in group.parts] == parts
    assert sorted(i for part in group.parts for i in part.indices) == list(range(dim))


@pytest.mark.parametrize("group", [SU(2), U(2)], ids=repr)
def test_unitary_coordinates_are_angles(group: Group) -> None:
    half = -0.5j * np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    assert np.array_equal(group.algebra[:3], half)


@pytest.mark.parametrize(
    ("group", "norm"), [(SO(5), 2), (Lorentz(), 2), (SL(3), 2), (Sp(3), 2), (SU(3), 0.5), (E(3), None)], ids=str
)
def test_frobenius_norms_are_as_documented(group: Group, norm: float | None) -> None:
    found = np.array([np.vdot(a, a).real for a in group.algebra])
    assert np.allclose(found, [2, 2, 2, 1, 1, 1] if norm is None else norm)


# -- planted faults: each law fails for its own fault --------------------------------------------------------------


def along_first_axis(group: Group, rng: np.random.Generator) -> Element:
    return group.exp(float(rng.uniform(-1, 1)), *(0.0,) * (group.dim - 1))


class WrongIdentity(SO):
    def identity(self) -> Element:
        return self.exp(0.0, 0.0, 1e-6)


class WrongInverse(SO):
    def invert_factor(self, factor: Factor) -> Factor:
        return factor


class WrongProduct(SO):
    def compose(self, g: Element, h: Element) -> Element:
        return super().compose(h, g)


class StandingStill(Group):
    """Draws nothing but the identity, so that only the laws that draw coordinates can fail."""

    def draw(self, rng: np.random.Generator) -> Element:
        return self.identity()

    def special_elements(self) -> dict[str, Element]:
        return {}


class FirstOrderExp(StandingStill, SO):
    def exponential(self, coordinates: Sequence[float]) -> Matrix:
        return np.linalg.qr(np.eye(3) + np.tensordot(coordinates, self.algebra, 1))[0]


class DoubledExp(StandingStill, Scaling):
    def exponential(self, coordinates: Any) -> Matrix:
        return super().exponential([2 * c for c in coordinates])


class WrongElement(SO):
    def element(self, matrix: Any) -> Element:
        return super().element(np.transpose(matrix))


class RoundedCode(SO):
    def make(self, *factors: Factor) -> Element:
        c = [round(v, 6) for f in factors for v in f.coordinates]
        return Element(self, factors, f"mine.exp({', '.join(map(repr, c))})" if c else "mine.identity()")


class NormalDraws(SO):
    def draw(self, rng: np.random.Generator) -> Element:
        return self.exp(*rng.standard_normal(self.dim))


def wrong_generator() -> Group:
    basis = rotation_basis(3).copy()
    basis[2, 0, 1] = -1.1
    return Group("almost rotations", basis, sample=along_first_axis)


def two_of_three() -> Group:
    return Group("two of three", rotation_basis(3)[:2])


FAULTS = [
    ("identity", WrongIdentity(3), r"identity: SO\(3\)\.exp\(0\.0, 0\.0, 1e-06\) is not the identity"),
    ("inverse", WrongInverse(3), r"inverse: SO\(3\)\.exp\(.*\) is off by \d.* \(allowed 1\.0e-09\)"),
    ("product", WrongProduct(3), r"closure: \(SO\(3\)\.exp\(.*\)\) @ \(SO\(3\)\.exp\(.*\)\) is off by"),
    (
        "closure",
        two_of_three(),
        r"closure: the matrix of two of three\.exp.* is refused: not an element of two of three",
    ),
    (
        "generator",
        wrong_generator(),
        r"bracket: \[A\d, A\d\] of almost rotations against the span of the algebra is off by",
    ),
    ("additive", FirstOrderExp(3), r"exponential: SO\(3\)\.exp\(.*\) at -?0\.\d+ \+ -?0\.\d+ is off by"),
    ("derivative", DoubledExp(2), r"exponential: Scaling\(2\)\.exp\(.*\), derivative at 0 is off by"),
    (
        "discrete",
        Group("sheared", rotation_basis(2), {"shear": [[1, 1], [0, 1]]}, sample=along_first_axis),
        r"discrete: shear A0 shear⁻¹ of sheared against the span of the algebra is off by",
    ),
    ("element", WrongElement(3), r"element: SO\(3\)\.exp\(.*\) is off by"),
    ("order", FiniteGroup("klein", {"a": [[-1, 0], [0, 1]], "b": [[1, 0], [0, -1]]}, order=5), r"lists 4 .*order is 5"),
    (
        "haar",
        NormalDraws(3),
        r"haar: E\[R\] over 2000 draws of SO\(3\) \(seed 0\) is off by 0\.\d+ \(chance allows 0\.13\)",
    ),
]


@pytest.mark.parametrize(("fault", "group", "message"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_planted_fault_is_caught(fault: str, group: Group, message: str) -> None:
    with pytest.raises(LawError, match=message):
        check_group(group)


def test_code_that_loses_digits_is_caught() -> None:
    broken = RoundedCode(3)
    broken.name = "mine"
    with pytest.raises(LawError, match=r"code: mine\.exp\(.*\) evaluates to another element, off by .* \(allowed 0\)"):
        check_group(broken, names={"mine": broken})


def test_code_that_does_not_evaluate_is_caught() -> None:
    class Unreadable(SO):
        def make(self, *factors: Factor) -> Element:
            return Element(self, factors, "a rotation")

    broken = Unreadable(3)
    broken.name = "mine"
    with pytest.raises(LawError, match="code: a rotation does not evaluate"):
        check_group(broken, names={"mine": broken})


def test_a_missing_component_is_caught_by_the_moments() -> None:
    # SO(2) draws for O(2): the reflections leave only the unit matrix fixed, the rotations alone leave two tensors.
    with pytest.raises(LawError, match=r"haar: E\[R ⊗ R̄\]"):
        check_haar_moments(O(2), draw=lambda rng: O(2).haar_rotation(rng))


def test_a_wrong_exact_factor_is_caught() -> None:
    class WrongTurn(SO):
        def special_elements(self) -> dict[str, Element]:
            backwards = SO(3).turn("z", -1 / 4)
            return {"turn": self.make(Exp((0.0, 0.0, np.pi / 2), backwards.matrix, backwards.factors[0].call))}

    with pytest.raises(LawError, match=r"its exact factor turn\('z', -1/4\) is off by 2"):
        check_group(WrongTurn(3))


def test_too_few_draws_allow_more() -> None:
    check_haar_moments(SO(3), draws=50)
