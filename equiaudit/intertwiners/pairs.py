"""The maps between two small representations: the null space of their generators, and the quadratic form beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from equiaudit.groups.base import Matrix
from equiaudit.intertwiners.atoms import Kind
from equiaudit.representations.base import RepresentationError

LIMIT = 4096
"""The most entries of a map between two indecomposed representations whose null space is computed by eigenvalues."""
ORBITS = 2**20
"""The most entries of a map between two permutation representations, whose null space is spanned by orbits of pairs."""
SMALL = 1024
"""The most entries of a map between permutation representations for which the closed form is worth its matrix."""
ROUNDING = 1e-9
"""Eigenvalues of the form below this share of the largest count as zero; its smallest others are far above."""


@dataclass(frozen=True)
class Pair:
    """Hom between two kinds.

    Args:
        basis: orthonormal, [n, d_out, d_in].
        identity: whether the basis is the identity over √d alone (Schur's lemma for one irrep).
        factor: R [r, d_out d_in] with ‖R w‖² = Σ_k ‖G_k W − W G_k‖²; None where that is ``constant`` ‖W‖².
        constant: see ``factor``; NaN where the form is left to the generators themselves.
    """

    basis: Matrix
    identity: bool
    factor: Matrix | None
    constant: float


_known: dict[tuple[bytes, bytes], Pair] = {}


def pair(out: Kind, into: Kind) -> Pair:
    """Hom(into, out), computed once for each pair of kinds."""
    key = (out.key, into.key)
    if key not in _known:
        if len(_known) > 512:
            _known.clear()
        _known[key] = _make(out, into)
    return _known[key]


def _make(out: Kind, into: Kind) -> Pair:
    d, e = out.size, into.size
    if d * e > SMALL and d * e <= ORBITS and permutes(out) and permutes(into):
        return Pair(orbits(out, into), False, None, float("nan"))
    if d * e > LIMIT:
        if out.label is None or into.label is None:
            raise RepresentationError(
                f"a map between representations of sizes {d} and {e} has {d * e} entries, more than {LIMIT}; write "
                "them as sums of smaller ones (Irreps, 3 * Vector(), A + B)"
            )
        return Pair(*_schur(out, into), None, float("nan"))
    values, vectors = np.linalg.eigh(quadratic_form(out, into))
    zero = values <= ROUNDING * max(float(values[-1]), 1.0)
    basis, identity = _schur(out, into)
    if out.label is None or into.label is None:
        basis, identity = vectors[:, zero].T.reshape(-1, d, e), False
        same = out.key == into.key and len(basis) == 1
        if same:  # the identity is one, so it is the only one
            basis, identity = _schur(out, into, True)
        elif not np.iscomplexobj(basis):
            basis = _tidy(basis)
    rest = values[~zero]
    if not zero.any() and float(np.ptp(values)) <= ROUNDING * float(values[-1]):
        return Pair(basis, identity, None, float(values.mean()))
    if not len(rest):
        return Pair(basis, identity, None, 0.0)
    return Pair(basis, identity, np.sqrt(rest)[:, None] * vectors[:, ~zero].conj().T, 0.0)


def _schur(out: Kind, into: Kind, same: bool = False) -> tuple[Matrix, bool]:
    d = out.size
    if same or (out.label is not None and out.label == into.label):
        return np.eye(d)[None] / np.sqrt(d), True
    return np.zeros((0, d, into.size)), False


def permutes(kind: Kind) -> bool:
    """Whether every generator is a permutation matrix, or zero in the algebra (nothing moves continuously)."""
    g = kind.generators
    moving = g[np.abs(g).max((1, 2)) > 0] if len(g) else g
    return bool(np.isin(moving, (0.0, 1.0)).all() and (moving.sum(1) == 1).all() and (moving.sum(2) == 1).all())


def orbits(out: Kind, into: Kind) -> Matrix:
    """Indicators of the orbits of pairs (i, j) under permutations, normalised: a basis of the equivariant maps."""
    d, e = out.size, into.size
    pairs = np.arange(d * e)
    heads, tails = [], []
    for g, h in zip(out.generators, into.generators, strict=True):
        if g.any():
            heads.append(pairs)
            tails.append((g.argmax(0)[:, None] * e + h.argmax(0)).ravel())
    ends = (np.concatenate(heads), np.concatenate(tails)) if heads else (pairs, pairs)
    graph = coo_matrix((np.ones(len(ends[0])), ends), shape=(d * e, d * e))
    count, label = connected_components(graph, directed=False)
    basis = np.zeros((count, d * e))
    basis[label, pairs] = 1.0
    return (basis / np.linalg.norm(basis, axis=1, keepdims=True)).reshape(count, d, e)


def quadratic_form(out: Kind, into: Kind) -> Matrix:
    """Q [d_out d_in, d_out d_in] with wᴴ Q w = Σ_k ‖G_k W − W G_k‖²; rows of W one after the other."""
    d, e = out.size, into.size
    total = np.zeros((d * e, d * e), dtype=np.result_type(out.generators, into.generators))
    for g, h in zip(out.generators, into.generators, strict=True):
        a = np.kron(g, np.eye(e)) - np.kron(np.eye(d), h.T)
        total = total + a.conj().T @ a
    return total


def _tidy(basis: Matrix) -> Matrix:
    # a basis that does not depend on how eigenvectors were mixed: reduced rows, made orthonormal again
    n, d, e = basis.shape
    if not n:
        return basis
    rows = basis.reshape(n, -1)
    pivots: list[int] = []
    left = rows.copy()
    for _ in range(n):  # the column that says most about what is left
        pivots.append(int(np.argmax(np.round(np.linalg.norm(left, axis=0), 9))))
        v = left[:, pivots[-1]] / np.linalg.norm(left[:, pivots[-1]])
        left = left - np.outer(v, v @ left)
    reduced = np.linalg.solve(rows[:, pivots].T, np.eye(n)).T @ rows
    q, r = np.linalg.qr(reduced.T)
    return (q * np.sign(np.diag(r))).T.reshape(n, d, e)
