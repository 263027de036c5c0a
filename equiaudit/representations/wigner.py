"""Real irreducible representations of SO(3): generators by the algebra of angular momentum, matrices by angles.

Basis of e3nn ≥ 0.4: y is the polar axis, l = 1 is (x, y, z), orders run from −l (sines about y) to l (cosines).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

Matrix = np.ndarray[Any, Any]


@lru_cache(maxsize=64)
def generators(l: int) -> Matrix:
    """X_x, X_y, X_z of the irrep of degree l, real antisymmetric, [3, 2l+1, 2l+1].

    From ⟨m±1|J±|m⟩ = √(l(l+1) − m(m±1)), taken to real harmonics (sines and cosines about the polar axis).

    >>> (0.0 + generators(1)[1].round(12)).tolist()  # turning about y takes z to x
    [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]
    """
    n, orders = 2 * l + 1, np.arange(-l, l + 1)
    raising = np.diag(np.sqrt(l * (l + 1) - orders[:-1] * (orders[:-1] + 1.0)), -1)
    j1, j2, j3 = (raising + raising.T) / 2, (raising - raising.T) / 2j, np.diag(orders)
    real = np.zeros((n, n), dtype=complex)  # rows: real harmonics in terms of complex ones
    real[l, l] = 1.0
    for m in range(1, l + 1):
        sign = (-1) ** m
        real[l + m, [l - m, l + m]] = np.array([1.0, sign]) / np.sqrt(2)
        real[l - m, [l - m, l + m]] = np.array([1j, -1j * sign]) / np.sqrt(2)
    # harmonics transform as Y(Rx) = D Y(x), hence the transposes; the textbook's z, x, y are y, z, x here
    about = [(real @ (1j * j).T @ real.conj().T).real for j in (j2, j3, j1)]
    found = np.stack(about)
    found[1] = np.round(found[1])  # orders are integers
    found.setflags(write=False)
    return found


@lru_cache(maxsize=64)
def _from_y_to_x(l: int) -> Matrix:
    # The quarter turn about z that takes y to x: X_x = Q X_y Qᵀ. Its eigenvalues are powers of i; only vectors round.
    values, vectors = np.linalg.eigh(1j * generators(l)[2])
    turned = vectors * (1j ** (np.round(values).astype(int) % 4)) @ vectors.conj().T
    return turned.real


def _about_y(l: int, cos: Matrix, sin: Matrix) -> Matrix:
    # exp(φ X_y): each pair of orders ±m turns by mφ; cos mφ and sin mφ by the angle, which loses nothing
    angle = np.arctan2(sin, cos)
    out = np.zeros((*angle.shape, 2 * l + 1, 2 * l + 1))
    out[..., l, l] = 1.0
    for m in range(1, l + 1):
        c, s = np.cos(m * angle), np.sin(m * angle)
        out[..., l + m, l + m] = out[..., l - m, l - m] = c
        out[..., l - m, l + m], out[..., l + m, l - m] = s, -s
    return out


def rotation_matrix(l: int, rotations: Matrix) -> Matrix:
    """D^l(R) [..., 2l+1, 2l+1] for proper rotations R [..., 3, 3], by R = R_y(α) R_x(β) R_y(γ).

    Orthogonal to 1e-14 up to l = 11. α is taken from where R sends the polar axis and γ from what remains, so nothing
    is lost where the polar axis stays (β = 0 or π).

    >>> rotation_matrix(2, np.diag([-1.0, 1.0, -1.0])).diagonal().round(12).tolist()  # half a turn about the polar axis
    [1.0, -1.0, 1.0, -1.0, 1.0]
    """
    r = np.asarray(rotations, dtype=float)
    if l <= 1:  # exact where the rotation is
        return r if l else np.ones((*r.shape[:-2], 1, 1))
    x, y, z = r[..., 0, 1], r[..., 1, 1], r[..., 2, 1]  # R (0, 1, 0)
    level = np.hypot(x, z)
    alone = level < 1e-300
    scale = np.where(alone, 1.0, level)
    ca, sa = np.where(alone, 1.0, z / scale), np.where(alone, 0.0, x / scale)
    # rest = (R_y(α) R_x(β))⁻¹ R is a turn about y; its first column in the frame that α and β leave
    cg = ca * r[..., 0, 0] - sa * r[..., 2, 0]
    sg = -(ca * r[..., 0, 2] - sa * r[..., 2, 2])
    q = _from_y_to_x(l)
    turn_x = q @ _about_y(l, y, level) @ q.T
    return _about_y(l, ca, sa) @ turn_x @ _about_y(l, cg, -sg)
