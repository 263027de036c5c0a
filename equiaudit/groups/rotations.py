"""The arithmetic of rotations: basis, exact turns, logarithms that survive half turns."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
from scipy.linalg import schur

from equiaudit.groups.elements import Matrix

AXES = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}
GENERIC = (0.36, 0.48, 0.8)
"""A unit vector in no special position; the axis of the poses called generic."""


def planes(n: int) -> tuple[tuple[int, int], ...]:
    """The planes (i, j) of the basis rotations, axis i turning towards axis j: x, y, z for n = 3, else in order.

    >>> planes(3), planes(2)
    (((1, 2), (2, 0), (0, 1)), ((0, 1),))
    """
    return tuple(AXES.values()) if n == 3 else tuple(combinations(range(n), 2))


def rotation_basis(n: int) -> Matrix:
    """The generators of rotations [n(n−1)/2, n, n] with entries 0 and ±1, so that coordinates are angles in radians."""
    basis = np.zeros((n * (n - 1) // 2, n, n))
    for a, (i, j) in zip(basis, planes(n), strict=True):
        a[j, i], a[i, j] = 1.0, -1.0
    return basis


def orthogonalised(matrix: Matrix) -> Matrix:
    """One Newton step M (3 − MᴴM) / 2 towards the unitary matrix nearby: rounding of a computed exponential removed."""
    return matrix @ (3.0 * np.eye(len(matrix)) - matrix.conj().T @ matrix) / 2.0


def rotation_logarithm(rotation: Matrix) -> Matrix:
    """The skew generator [n, n] of a rotation with angles up to and including π.

    By the real Schur form, which for an orthogonal matrix is block-diagonal: a half turn, where ``logm`` turns
    complex, is a pair of eigenvalues −1.
    """
    t, z = schur(rotation, output="real")
    n = len(t)
    log = np.zeros((n, n))
    i, halves = 0, []
    while i < n:
        if i + 1 < n and t[i + 1, i] != 0.0:
            angle = math.atan2(t[i + 1, i] - t[i, i + 1], t[i, i] + t[i + 1, i + 1])
            log[i + 1, i], log[i, i + 1] = angle, -angle
            i += 2
        else:
            halves += [i] if t[i, i] < 0 else []
            i += 1
    for i, j in zip(halves[::2], halves[1::2], strict=False):
        log[j, i], log[i, j] = math.pi, -math.pi
    return z @ log @ z.T


def as_fraction(amount: Any) -> Fraction | float:
    """A number as the simple fraction that it rounds from, or as a float where it is none.

    >>> as_fraction(1 / 3), as_fraction(0.1234567)
    (Fraction(1, 3), 0.1234567)
    """
    value = float(amount)
    if not math.isfinite(value):
        raise ValueError(f"a fraction of a turn must be finite, got {value}")
    simple = Fraction(value).limit_denominator(1000)
    return simple if float(simple) == value else value


def cos_sin(turn: Fraction | float) -> tuple[float, float]:
    """cos and sin of 2π·turn, exact at multiples of 1/12 where they are 0, ±1/2 or ±1."""
    exact = Fraction(turn) % 1
    quarter = int(exact * 4 + Fraction(1, 2)) % 4  # the nearest quarter turn; the rest is at most an eighth
    rest = exact * 4 - quarter if exact * 4 - quarter < 2 else exact * 4 - quarter - 4
    angle = float(rest) * math.pi / 2
    c, s = math.cos(angle), math.sin(angle)
    if abs(rest) == Fraction(1, 3):
        s = math.copysign(0.5, s)
    return ((c, s), (-s, c), (-c, -s), (s, -c))[quarter]


def whole_where_possible(matrix: Matrix) -> Matrix:
    """The matrix rounded where it is whole up to rounding, as for a turn that permutes axes; else made orthogonal.

    One that is orthogonal already, a turn about a coordinate axis, keeps its exact entries.
    """
    whole = np.round(matrix)
    if np.abs(matrix - whole).max() < 1e-15:
        return whole + 0.0
    rounded = np.abs(matrix @ matrix.T - np.eye(len(matrix))).max() > np.finfo(float).eps
    return (orthogonalised(matrix) if rounded else matrix) + 0.0
