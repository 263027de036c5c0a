"""Linear canonical transformations: the real symplectic groups."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from scipy.linalg import expm

from equiaudit.groups.base import Element, Group, Matrix
from equiaudit.groups.haar import draw_unitary
from equiaudit.groups.orthogonal import check_size
from equiaudit.groups.special_linear import SPREAD
from equiaudit.groups.unitary import unitary_logarithm


class Sp(Group):
    """Real 2n × 2n matrices that keep J: Mᵀ J M = J, with J = [[0, 1], [−1, 0]] on (q₁ … qₙ, p₁ … pₙ).

    n counts pairs (q, p): this group is also written Sp(2n, ℝ). Its dimension is n(2n + 1). Coordinates: rotations (the
    compact part, U(n)), then squeezes (symmetric generators), each generator of Frobenius norm √2. Draws: exp of normal
    squeezes (standard deviation ½) after a Haar element of the compact part.

    >>> Sp(2).dim, Sp(1).algebra[0].tolist()
    (10, [[0.0, 1.0], [-1.0, 0.0]])
    """

    def __init__(self, n: int) -> None:
        check_size("Sp", n)
        self.n = n
        zero, skew, symmetric = np.zeros((n, n)), [], []
        for i, j in combinations(range(n), 2):
            e = np.zeros((n, n))
            e[i, j] = np.sqrt(0.5)
            skew.append(e - e.T)
            symmetric.append(e + e.T)
        symmetric += [np.diag(row) for row in np.eye(n)]
        rotations = [np.block([[x, zero], [zero, x]]) for x in skew]
        rotations += [np.block([[zero, y], [-y, zero]]) for y in symmetric]
        squeezes = [np.block([[y, zero], [zero, -y]]) for y in symmetric]
        squeezes += [np.block([[zero, y], [y, zero]]) for y in symmetric]
        k = len(rotations)
        parts = {"rotations": range(k), "squeezes": range(k, k + len(squeezes))}
        super().__init__(f"Sp({n})", [*rotations, *squeezes], parts=parts)

    @property
    def form(self) -> Matrix:
        """J [2n, 2n]."""
        zero, one = np.zeros((self.n, self.n)), np.eye(self.n)
        return np.block([[zero, one], [-one, zero]])

    def exponential(self, coordinates: Any) -> Matrix:
        """The matrix exponential, with one Newton step that restores Mᵀ J M = J to rounding."""
        out, j = expm(np.tensordot(coordinates, self.algebra, 1)), self.form
        return out @ (3.0 * np.eye(self.size) + j @ out.T @ j @ out) / 2.0

    def compact_logarithm(self, unitary: Matrix) -> Matrix:
        """Orthogonal symplectic matrices [[X, Y], [−Y, X]] are the unitary ones X + iY, whose logarithm has no gaps."""
        n = self.n
        log = unitary_logarithm(unitary[:n, :n].real + 1j * unitary[:n, n:].real)
        return self.project(np.block([[log.real, log.imag], [-log.imag, log.real]]))

    def draw(self, rng: np.random.Generator) -> Element:
        """Normal squeezes after a Haar element of the compact part."""
        compact = len(self.parts[0].indices)
        u = np.array([[np.exp(1j * rng.uniform(-np.pi, np.pi))]]) if self.n == 1 else draw_unitary(self.n, rng)
        turn = self.exp(*self.compact_logarithm(np.block([[u.real, u.imag], [-u.imag, u.real]])))
        squeeze = self.exp(*(0.0,) * compact, *SPREAD * rng.standard_normal(self.dim - compact))
        return squeeze @ turn

    def special_elements(self) -> dict[str, Element]:
        """The exchange of q and p (up to sign), a free drift, a squeeze, near identity."""
        n = self.n
        drift = np.eye(2 * n)
        drift[:n, n:] = np.eye(n)
        squeeze = np.diag([2.0] * n + [0.5] * n)
        return {
            "exchange of q and p": self.element(self.form),
            "drift": self.element(drift),
            "squeeze": self.element(squeeze),
            "near identity": self.exp(*np.full(self.dim, 1e-3)),
        }
