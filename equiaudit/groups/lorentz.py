"""Isometries of a metric with p plus and q minus signs: the Lorentz groups and their components."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from scipy.linalg import block_diag, expm

from equiaudit.groups.base import Element, Exp, Group, Matrix
from equiaudit.groups.orthogonal import SO, check_size
from equiaudit.groups.rotations import AXES, GENERIC, planes, rotation_basis, rotation_logarithm

MAX_RAPIDITY = 2.0
"""The largest rapidity drawn: at 10 rounding is as large as the effect (cosh 10 ≈ 11,000)."""


class PseudoOrthogonal(Group):
    """What the groups of the metric η = diag(+1 × p, −1 × q) share: Λᵀ η Λ = η.

    Coordinates: rotations of the p axes and of the q axes (radians, each in the order of SO), then boosts
    (rapidities), for each of the p axes one for each of the q.
    """

    def __init__(self, name: str, p: int, q: int, discrete: Mapping[str, Matrix]) -> None:
        check_size(name, p)
        check_size(name, q)
        self.p, self.q = p, q
        n = p + q
        rotations = [np.pad(a, (0, q)) for a in rotation_basis(p)] + [np.pad(a, (p, 0)) for a in rotation_basis(q)]
        boosts = np.zeros((p * q, n, n))
        for k in range(p * q):
            i, j = k // q, p + k % q
            boosts[k, i, j] = boosts[k, j, i] = 1.0
        self.rotations = len(rotations)
        parts = {"rotations": range(self.rotations), "boosts": range(self.rotations, self.rotations + p * q)}
        super().__init__(name, [*rotations, *boosts], discrete, parts={k: v for k, v in parts.items() if len(v)})

    @property
    def metric(self) -> Matrix:
        """η = diag(+1 × p, −1 × q)."""
        return np.diag([1.0] * self.p + [-1.0] * self.q)

    def boost(self, *rapidities: float) -> Element:
        """A pure boost with a rapidity for each pair of a plus and a minus axis; for ``Lorentz()`` along x, y and z.

        >>> Lorentz().boost(1.0, 0.0, 0.0).matrix[0].round(3).tolist()
        [1.543, 1.175, 0.0, 0.0]
        """
        if len(rapidities) != self.p * self.q:
            raise ValueError(f"{self!r}.boost takes {self.p * self.q} rapidities, got {len(rapidities)}")
        return self.exp(*(0.0,) * self.rotations, *rapidities)

    def turn(self, *arguments: Any) -> Element:
        """A rotation of the q axes by an exact fraction of a turn, as in ``SO(q).turn``.

        >>> Lorentz().turn("z", 1 / 4)
        Lorentz().turn('z', 1/4)
        """
        inner = SO(self.q).turn(*arguments).factors[0]
        before, after = self.rotations - len(inner.coordinates), self.p * self.q
        coordinates = (*(0.0,) * before, *inner.coordinates, *(0.0,) * after)
        return self.make(Exp(coordinates, block_diag(np.eye(self.p), inner.exact), inner.call))

    def exponential(self, coordinates: Any) -> Matrix:
        """The matrix exponential, with one Newton step that restores Λᵀ η Λ = η to rounding."""
        out = expm(np.tensordot(coordinates, self.algebra, 1))
        eta = self.metric
        return out @ (3.0 * np.eye(self.size) - eta @ out.T @ eta @ out) / 2.0

    def compact_logarithm(self, unitary: Matrix) -> Matrix:
        """Angles of the two diagonal blocks, half turns included; no boosts."""
        p, found = self.p, []
        for block in (unitary[:p, :p].real, unitary[p:, p:].real):
            log = rotation_logarithm(block)
            found += [log[j, i] for i, j in planes(len(block))]
        return np.array(found + [0.0] * (self.p * self.q))

    def draw(self, rng: np.random.Generator) -> Element:
        """A boost of rapidity at most 2 in a uniform direction, after Haar rotations; components with probability ½."""
        boosts = rng.standard_normal((self.p, self.q))
        boosts *= rng.uniform(0.0, MAX_RAPIDITY) / np.linalg.norm(boosts, 2)
        g = self.boost(*boosts.ravel())
        if self.rotations:
            angles = [*SO(self.p).haar_rotation(rng).coordinates, *SO(self.q).haar_rotation(rng).coordinates]
            g = g @ self.exp(*angles, *(0.0,) * boosts.size)
        for name in self.discrete:
            if rng.integers(2):
                g = g @ self.generator(name)
        return g

    def special_elements(self) -> dict[str, Element]:
        """Boosts along an axis, slow, fast and generic; turns; the components."""
        along = (0.0,) * (self.p * self.q - 1)
        generic = np.resize(GENERIC, self.p * self.q)
        found = {
            "boost": self.boost(1.0, *along),
            "fast boost": self.boost(MAX_RAPIDITY, *along),
            "near identity": self.boost(*1e-3 * generic),
        }
        if self.q == 3:
            for name, fraction in {"quarter turn": Fraction(1, 4), "half turn": Fraction(1, 2)}.items():
                found |= {f"{name} {a}": self.turn(a, fraction) for a in AXES}
            found["third turn 111"] = self.turn((1, 1, 1), Fraction(1, 3))
            found["boost and turn"] = found["boost"] @ found["quarter turn z"]
        return found | {name.replace("_", " "): self.generator(name) for name in self.discrete}


class Lorentz(PseudoOrthogonal):
    """The proper orthochronous Lorentz group on (t, x, y, z), metric diag(+1, −1, −1, −1). Parts: rotations and boosts.

    Coordinates: rotations about x, y, z (radians), then boosts along x, y, z (rapidities).

    >>> g = Lorentz().boost(0.5, 0.0, 0.0)
    >>> bool(abs(g.matrix.T @ Lorentz().metric @ g.matrix - Lorentz().metric).max() < 1e-15)
    True
    """

    def __init__(self) -> None:
        super().__init__("Lorentz()", 1, 3, {})


class SpecialLorentz(PseudoOrthogonal):
    """``SO(p, q)``: determinant 1. Two components: the generator "parity_time_reversal" flips both orientations.

    >>> from equiaudit.groups import SO
    >>> SO(1, 3).generator("parity_time_reversal").matrix.diagonal().tolist()
    [-1.0, -1.0, -1.0, -1.0]
    """

    def __init__(self, p: int, q: int) -> None:
        super().__init__(f"SO({p}, {q})", p, q, {"parity_time_reversal": _reversal(p, q) @ _parity(p, q)})


class FullLorentz(PseudoOrthogonal):
    """``O(p, q)``: four components, by the generators "parity" (of the q axes) and "time_reversal" (of the p axes).

    Each negates all of its axes where their number is odd, so that the orientation changes, else the first.

    >>> from equiaudit.groups import O
    >>> len(O(1, 3).components()), O(1, 3).generator("parity").matrix.diagonal().tolist()
    (4, [1.0, -1.0, -1.0, -1.0])
    """

    def __init__(self, p: int, q: int) -> None:
        super().__init__(f"O({p}, {q})", p, q, {"parity": _parity(p, q), "time_reversal": _reversal(p, q)})


def _orientation(n: int) -> list[float]:
    return [-1.0] * n if n % 2 else [-1.0] + [1.0] * (n - 1)


def _parity(p: int, q: int) -> Matrix:
    return np.diag([1.0] * p + _orientation(q))


def _reversal(p: int, q: int) -> Matrix:
    return np.diag(_orientation(p) + [1.0] * q)
