"""Unitary groups: SU(n) and U(n), complex matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.linalg import expm, schur

from equiaudit.groups.base import Element, Group, Matrix
from equiaudit.groups.haar import draw_unitary
from equiaudit.groups.orthogonal import check_size
from equiaudit.groups.rotations import orthogonalised


def gell_mann(n: int) -> Matrix:
    """The generalised Gell-Mann matrices [n² − 1, n, n]: Hermitian, traceless, orthogonal, of Frobenius norm √2.

    In the usual order: for n = 2 the Pauli matrices x, y, z; for n = 3 λ₁ to λ₈.

    >>> gell_mann(2)[1].imag.tolist()
    [[0.0, -1.0], [1.0, 0.0]]
    """
    found = []
    for j in range(1, n):
        for i in range(j):
            a, b = np.zeros((2, n, n), dtype=complex)
            a[i, j] = a[j, i] = 1.0
            b[i, j], b[j, i] = -1j, 1j
            found += [a, b]
        found.append(np.diag([1.0 + 0j] * j + [-float(j)] + [0.0] * (n - j - 1)) * math.sqrt(2.0 / (j * (j + 1))))
    return np.stack(found) if found else np.zeros((0, n, n), dtype=complex)


def unitary_logarithm(unitary: Matrix, special: bool = False) -> Matrix:
    """The anti-Hermitian generator [n, n] of a unitary matrix, phases in (−π, π]; with trace 0 where ``special``.

    By the complex Schur form, which for a unitary matrix is diagonal: equal and opposite eigenvalues do no harm.
    """
    t, z = schur(unitary.astype(complex), output="complex")
    phases = np.angle(np.diagonal(t))
    if special:  # the phases of det 1 add up to a multiple of 2π: take it off the largest
        turns = round(float(phases.sum()) / (2.0 * math.pi))
        order = np.argsort(phases)
        chosen = order[len(order) - turns :] if turns > 0 else order[:-turns]
        phases[chosen] -= math.copysign(2.0 * math.pi, turns)
        phases -= phases.mean()
    return (z * (1j * phases)) @ z.conj().T


class _Unitary(Group):
    special = False

    def exponential(self, coordinates: Any) -> Matrix:
        """The matrix exponential, unitary to rounding."""
        return orthogonalised(expm(np.tensordot(coordinates, self.algebra, 1)))

    def logarithm(self, matrix: Matrix) -> Matrix:
        """Coordinates of ``unitary_logarithm``."""
        return self.project(unitary_logarithm(matrix, self.special))

    def draw(self, rng: np.random.Generator) -> Element:
        """Haar measure."""
        n = self.size
        if n == 1:
            return self.exp(*rng.uniform(-math.pi, math.pi, self.dim))
        u = draw_unitary(n, rng)
        # Dividing by a root of the determinant keeps the measure: translation by SU(n) leaves the determinant alone.
        return self.exp(*self.logarithm(u / np.linalg.det(u) ** (1.0 / n) if self.special else u))


class SU(_Unitary):
    """Unitary n × n matrices with determinant 1. Basis A_k = −i λ_k / 2 with the Gell-Mann matrices λ.

    For SU(2) the coordinates are rotation angles about x, y and z: a full turn is −1.

    >>> SU(2).exp(0.0, 0.0, 2 * np.pi).matrix.round(9).diagonal().real.tolist()
    [-1.0, -1.0]
    """

    special = True

    def __init__(self, n: int) -> None:
        check_size("SU", n)
        parts = {"special unitary": range(n * n - 1)} if n > 1 else {}
        super().__init__(f"SU({n})", -0.5j * gell_mann(n), parts=parts, size=n)

    @property
    def order(self) -> int | None:
        """SU(1) is trivial."""
        return 1 if self.size == 1 else None

    def compact_logarithm(self, unitary: Matrix) -> Matrix:
        """Coordinates after the determinant's phase is divided off: the nearest element, whose defect then shows."""
        return self.logarithm(unitary / np.linalg.det(unitary.astype(complex)) ** (1.0 / self.size))

    def special_elements(self) -> dict[str, Element]:
        """Minus the identity for SU(2), half of the way there, and near identity."""
        if self.size == 1:
            return {}
        found = {"near identity": self.exp(*np.full(self.dim, 1e-3))}
        first = (0.0,) * (self.dim - 1)
        found["half turn"] = self.exp(math.pi, *first)
        found["full turn"] = self.exp(2.0 * math.pi, *first)
        return found


class U(_Unitary):
    """Unitary n × n matrices. Basis: −i λ_k / 2 as in SU(n), then the phase i·1 (its coordinate is the angle, radians).

    >>> U(1).exp(np.pi).matrix.round(9).tolist()
    [[(-1+0j)]]
    """

    def __init__(self, n: int) -> None:
        check_size("U", n)
        phase = 1j * np.eye(n)[None]
        parts = {"special unitary": range(n * n - 1), "phase": (n * n - 1,)}
        super().__init__(
            f"U({n})", np.concatenate([-0.5j * gell_mann(n), phase]), parts={k: v for k, v in parts.items() if len(v)}
        )

    def special_elements(self) -> dict[str, Element]:
        """The phases i and −1, and near identity."""
        rest = (0.0,) * (self.dim - 1)
        return {
            "phase i": self.exp(*rest, math.pi / 2.0),
            "phase −1": self.exp(*rest, math.pi),
            "near identity": self.exp(*np.full(self.dim, 1e-3)),
        }
