"""Haar draws of the compact matrix groups; the same numbers for a seed whatever is installed, and loaded in no time.

Source: Mezzadri, "How to generate random matrices from the classical compact groups", Notices of the AMS 54 (2007), section 5.
"""

from __future__ import annotations

import math

import numpy as np


def draw_rotation(n: int, rng: np.random.Generator) -> np.ndarray:
    """A matrix of SO(n), [n, n].

    >>> r = draw_rotation(3, np.random.default_rng(0))
    >>> bool(np.allclose(r @ r.T, np.eye(3))), round(float(np.linalg.det(r)), 12)
    (True, 1.0)
    """
    q = _unique_q(rng.standard_normal((n, n)))
    q[0] /= np.linalg.det(q)
    return q


def draw_unitary(n: int, rng: np.random.Generator) -> np.ndarray:
    """A matrix of U(n), complex [n, n].

    >>> u = draw_unitary(2, np.random.default_rng(0))
    >>> bool(np.allclose(u @ u.conj().T, np.eye(2)))
    True
    """
    return _unique_q((rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n))) / math.sqrt(2))


def _unique_q(z: np.ndarray) -> np.ndarray:
    """Q of QR with the phases of R's diagonal taken out: without that, Q depends on the algorithm and is not Haar."""
    q, r = np.linalg.qr(z)
    d = r.diagonal()
    return q * (d / abs(d))
