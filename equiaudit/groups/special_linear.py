"""Volume-preserving linear maps: SL(n)."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from equiaudit.groups.base import Element, Group, Matrix
from equiaudit.groups.orthogonal import SO, check_size
from equiaudit.groups.rotations import planes, rotation_basis, rotation_logarithm

SPREAD = 0.5
"""Standard deviation of the stretches drawn: factors of about e^±½, so that no direction is lost to rounding."""


def symmetric_basis(n: int) -> Matrix:
    """Symmetric matrices with trace 0 [(n − 1)(n + 2)/2, n, n], orthogonal, norm √2 each; diagonal ones last."""
    found = []
    for i, j in combinations(range(n), 2):
        a = np.zeros((n, n))
        a[i, j] = a[j, i] = 1.0
        found.append(a)
    for k in range(1, n):
        found.append(np.diag([1.0] * k + [-float(k)] + [0.0] * (n - k - 1)) * np.sqrt(2.0 / (k * (k + 1))))
    return np.stack(found) if found else np.zeros((0, n, n))


class SL(Group):
    """Real n × n matrices with determinant 1. Coordinates: rotations (radians, in the order of SO(n)), then stretches.

    Every generator has Frobenius norm √2. Draws: exp of normal stretches (standard deviation ½) after a Haar rotation;
    every element is such a product (polar decomposition).

    >>> g = SL(2).sample(0)
    >>> round(float(np.linalg.det(g.matrix)), 12)
    1.0
    """

    def __init__(self, n: int) -> None:
        check_size("SL", n)
        turns, stretches = rotation_basis(n), symmetric_basis(n)
        parts = {"rotations": range(len(turns)), "stretches": range(len(turns), len(turns) + len(stretches))}
        super().__init__(f"SL({n})", [*turns, *stretches], parts={k: v for k, v in parts.items() if len(v)}, size=n)

    @property
    def order(self) -> int | None:
        """SL(1) is trivial."""
        return 1 if self.size == 1 else None

    def compact_logarithm(self, unitary: Matrix) -> Matrix:
        """Angles, half turns included, then zeros."""
        log = rotation_logarithm(unitary.real)
        angles = [log[j, i] for i, j in planes(self.size)]
        return np.array(angles + [0.0] * (self.dim - len(angles)))

    def draw(self, rng: np.random.Generator) -> Element:
        """Normal stretches after a Haar rotation."""
        angles = SO(self.size).haar_rotation(rng).coordinates
        rest = self.dim - len(angles)
        stretch = self.exp(*(0.0,) * len(angles), *SPREAD * rng.standard_normal(rest))
        return stretch @ self.exp(*angles, *(0.0,) * rest) if rest else self.identity()

    def special_elements(self) -> dict[str, Element]:
        """A shear, a strong stretch along an axis, near identity."""
        if self.size == 1:
            return {}
        shear = np.eye(self.size)
        shear[0, 1] = 1.0
        return {
            "shear": self.element(shear),
            "stretch": self.exp(*(0.0,) * (self.dim - 1), 1.0),
            "near identity": self.exp(*np.full(self.dim, 1e-3)),
        }
