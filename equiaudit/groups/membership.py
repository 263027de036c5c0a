"""From a matrix to the element that it is, or to a refusal with the defect."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import polar

from equiaudit.groups.base import Group, NotInGroupError
from equiaudit.groups.elements import Element, Matrix

MEMBERSHIP = 1e-6
"""Relative defect above which a matrix is refused as an element."""


def find_element(group: Group, matrix: Any) -> Element:
    """The element of ``group`` with this matrix; see ``Group.element``.

    Raises:
        NotInGroupError: the matrix is not in the group; the message prints by how much.
    """
    m = np.asarray(matrix, dtype=complex if np.iscomplexobj(matrix) else float)
    if m.shape != (group.size, group.size):
        raise NotInGroupError(f"{group!r} needs a matrix [{group.size}, {group.size}], got {list(m.shape)}")
    if not np.isfinite(m).all():
        raise NotInGroupError(f"not an element of {group!r}: the matrix has entries that are not finite")
    if np.linalg.matrix_rank(m) < group.size:
        raise NotInGroupError(f"not an element of {group!r}: the matrix is singular")
    defect, nearest = np.inf, group.identity()
    with np.errstate(all="ignore"):  # far from the group numbers may overflow: such a defect is refused below
        for h in group.elements() if group.is_finite else group.components():
            g = h if group.is_finite else search(group, m @ np.linalg.inv(h.matrix)) @ h
            if (off := _defect(g.matrix, m)) < defect:
                defect, nearest = off, g
        det = np.linalg.det(m)
    if not defect <= MEMBERSHIP:
        raise NotInGroupError(
            f"not an element of {group!r}: the nearest element found is off by {defect:.1e} in the largest entry "
            f"(allowed {MEMBERSHIP:.0e}); det = {det:.6g}"
        )
    return nearest


def search(group: Group, m: Matrix) -> Element:
    """The nearest element of the identity component that was found.

    The polar way is exact for groups that contain both factors; others (shears) are reached by plain logarithms.
    """
    g = by_polar_factors(group, m)
    for _ in range(6):
        defect = _defect(g.matrix, m)
        if defect <= 1e-12 or not np.isfinite(defect):
            break
        better = group.exp(*group.logarithm(m @ np.linalg.inv(g.matrix))) @ g
        if not _defect(better.matrix, m) < defect / 2:
            break
        g = better
    return g


def by_polar_factors(group: Group, m: Matrix) -> Element:
    """exp(log p) exp(log q) for m = p q, p positive and q unitary: both logarithms exist where that of m may not."""
    linear, shift = (m[:-1, :-1], m[:-1, -1]) if group.affine else (m, None)
    q, p = polar(linear, side="left")
    values, vectors = np.linalg.eigh(p)
    stretch = vectors * np.log(np.maximum(values, 1e-300)) @ vectors.conj().T
    g = group.identity()
    for coordinates in (group.project(group.homogeneous(stretch, 0.0)), group.compact_logarithm(q)):
        if np.abs(coordinates).max(initial=0.0) > 1e-13:
            g = g @ group.exp(*coordinates)
    return g if shift is None or not shift.any() else group.translation(*shift.real) @ g


def _defect(found: Matrix, wanted: Matrix) -> float:
    return float(np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max()))
