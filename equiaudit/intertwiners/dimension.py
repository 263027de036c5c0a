"""How many equivariant maps there are: by characters and weights, without looking at the maps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from equiaudit.groups.base import Element, Group, Matrix, Step
from equiaudit.groups.finite import LIMIT
from equiaudit.groups.permutations import Permutations
from equiaudit.intertwiners.atoms import Kind, decompose
from equiaudit.representations.simple import linear_algebra


def dimension(group: Group, rep_in: Any, rep_out: Any) -> int:
    """The dimension of the space of equivariant maps, Hom_G(V_in, V_out).

    Finite groups: (1/|G|) Σ_g χ_out(g) χ_in(g)*, for permutations over cycle types. SO(2), SO(3), O(3) and their
    extensions by translations: multiplicities of irreps, from the weights of one rotation; the Lorentz group: from the
    weights of su(2) + su(2). Other groups: the corank of the generators' action on all maps, by singular values.
    Where translations act, the dimension of the directions in which such a map can move.

    >>> from equiaudit.groups import SO, Cyclic
    >>> dimension(SO(3), "4x1o", "5x1o+1x0e"), dimension(Cyclic(4), "vector", "vector")
    (20, 2)

    Raises:
        RepresentationError: a representation without a matrix, or one that the group does not have.
    """
    into, out = decompose(rep_in, group), decompose(rep_out, group)
    total = sum(
        len(p) * len(q) * _between(group, a, b)
        for a, p in zip(out.kinds, out.places, strict=True)
        for b, q in zip(into.kinds, into.places, strict=True)
    )
    moved = into.spread(lambda kind: kind.shift)
    if moved.any():  # a map must not move with what a translation adds: W τ = 0, one condition for each map from τ
        total -= sum(len(p) * _between(group, a, shift) for a, p in _each(out) for shift in _shifts(group))
    return total


def _each(atoms: Any) -> Iterator[tuple[Kind, Matrix]]:
    return zip(atoms.kinds, atoms.places, strict=True)


def _shifts(group: Group) -> tuple[Kind, ...]:
    return decompose("vector", group).kinds  # translations turn like vectors


def _between(group: Group, out: Kind, into: Kind) -> int:
    if group.is_finite:
        return _by_characters(group, out, into)
    if _is_rotations(group):
        return _overlap(_weights(group, out), _weights(group, into))
    if _is_lorentz(group):
        return _overlap(_two_weights(group, out), _two_weights(group, into))
    return _by_rank(out, into)


# -- finite groups ----------------------------------------------------------------------------------------------------


def _by_characters(group: Group, out: Kind, into: Kind) -> int:
    total, count = 0.0 + 0.0j, 0
    for word, many in _classes(group):
        a, b = _word(group, out, word), _word(group, into, word)
        total += many * np.trace(a) * np.conj(np.trace(b))
        count += many
    return round((total / count).real)


def _classes(group: Group) -> Iterator[tuple[Sequence[Step], int]]:
    # one word for each class that is needed, and how many elements it stands for
    if isinstance(group, Permutations) and group.n is not None:
        for cycles in _partitions(group.n):
            order: list[int] = []
            for c in cycles:
                order += [len(order) + (k + 1) % c for k in range(c)]
            size = math.factorial(group.n)
            for c, times in Counter(cycles).items():
                size //= c**times * math.factorial(times)
            factors = group.of(order).factors
            yield [s for f in factors for s in group.steps(f)] if group.n > 1 else [], size
        return
    for g in group.elements(LIMIT):
        yield [s for f in g.factors for s in group.steps(f)], 1


def _partitions(n: int, largest: int | None = None) -> Iterator[tuple[int, ...]]:
    if n == 0:
        yield ()
    for first in range(min(n, largest or n), 0, -1):
        for rest in _partitions(n - first, first):
            yield (first, *rest)


def _word(group: Group, kind: Kind, word: Sequence[Step]) -> Matrix:
    names = list(group.discrete)
    out = np.eye(kind.size)
    for step in word:
        out = out @ np.linalg.matrix_power(kind.generators[group.dim + names.index(step.name)], step.power)
    return out


# -- rotations --------------------------------------------------------------------------------------------------------


def _is_rotations(group: Group) -> bool:
    # all rotations of 2-D or 3-D space, with at most an inversion that commutes with them besides translations
    linear = linear_algebra(group)
    d = group.space_dim
    if d not in (2, 3) or getattr(group, "acts_on_indices", False) or hasattr(group, "groups"):
        return False
    if np.abs(linear + np.swapaxes(linear, -1, -2)).max(initial=0.0) > 1e-12 or np.iscomplexobj(linear):
        return False
    full = np.linalg.matrix_rank(linear.reshape(len(linear), -1)) == (1 if d == 2 else 3)
    if d == 2:
        return bool(full and not group.discrete)
    signs = [Element(group, (Step(h),), h).linear for h in group.discrete]
    return bool(full and len(signs) <= 1 and all(np.allclose(s, -np.eye(3)) for s in signs))


def _turning(group: Group, kind: Kind, plane: tuple[int, int]) -> Matrix:
    # the generator of the kind that turns one plane by unit speed
    linear = linear_algebra(group)
    wanted = np.zeros(linear.shape[1:])
    wanted[plane[1], plane[0]], wanted[plane[0], plane[1]] = 1.0, -1.0
    c = np.linalg.lstsq(linear.reshape(len(linear), -1).T, wanted.ravel(), rcond=None)[0]
    return np.tensordot(c, kind.generators[: group.dim], 1)


def _weights(group: Group, kind: Kind) -> Counter[tuple[float, ...]]:
    # multiplicities of irreps: (l, parity) in 3-D by differences of weights, (m,) in 2-D
    turning = _turning(group, kind, (0, 1))
    found: Counter[tuple[float, ...]] = Counter()
    for sign, part in _by_parity(group, kind, turning):
        weights = Counter(round(w, 6) for w in np.linalg.eigvals(part).imag)
        weights = Counter({w + 0.0: n for w, n in weights.items()})
        if group.space_dim == 2:
            found.update({(sign, w): n for w, n in weights.items()})
            continue
        for w in [w for w in weights if w >= 0]:
            many = weights[w] - weights.get(w + 1.0, 0)
            if many:
                found[sign, w] += many
    return found


def _by_parity(group: Group, kind: Kind, turning: Matrix) -> Iterator[tuple[float, Matrix]]:
    if not group.discrete:
        yield 0.0, turning
        return
    inversion = kind.generators[group.dim]
    for sign in (1.0, -1.0):  # the inversion commutes with rotations: restrict to where it is ±1
        projector = (np.eye(kind.size) + sign * inversion) / 2
        u, s, _ = np.linalg.svd(projector)
        basis = u[:, s > 1e-6]
        yield sign, basis.conj().T @ np.linalg.pinv(projector) @ turning @ basis if basis.shape[1] else np.zeros((0, 0))


def _overlap(a: Counter[tuple[float, ...]], b: Counter[tuple[float, ...]]) -> int:
    return sum(n * b[key] for key, n in a.items())


# -- Lorentz ----------------------------------------------------------------------------------------------------------


def _is_lorentz(group: Group) -> bool:
    return (getattr(group, "p", 0), getattr(group, "q", 0)) == (1, 3) and group.dim == 6 and not group.discrete


def _two_weights(group: Group, kind: Kind) -> Counter[tuple[float, ...]]:
    # A = (J + iK)/2 and B = (J − iK)/2 are two commuting su(2); (j_A, j_B) by differences of joint weights
    turn, boost = kind.generators[2], kind.generators[5]  # about z, along z
    j, k = 1j * turn, 1j * boost
    # joint eigenvalues of the commuting pair: those of a combination that tells all half-integers apart
    a, b = (j + 1j * k) / 2, (j - 1j * k) / 2
    mixed = np.linalg.eigvals(a + 1000.0 * b).real
    weights: Counter[tuple[float, ...]] = Counter()
    for value in mixed:
        second = round(2 * value / 1000.0) / 2
        weights[round(2 * (value - 1000.0 * second)) / 2, second] += 1
    found: Counter[tuple[float, ...]] = Counter()
    for x, y in [w for w in weights if w[0] >= 0 and w[1] >= 0]:
        many = weights[x, y] - weights[x + 1, y] - weights[x, y + 1] + weights[x + 1, y + 1]
        if many:
            found[x, y] = many
    return found


# -- any group --------------------------------------------------------------------------------------------------------


def _by_rank(out: Kind, into: Kind) -> int:
    d, e = out.size, into.size
    rows = [
        np.kron(g, np.eye(e)) - np.kron(np.eye(d), h.T) for g, h in zip(out.generators, into.generators, strict=True)
    ]
    s = np.linalg.svd(np.concatenate(rows), compute_uv=False) if rows else np.zeros(0)
    return d * e - int((s > 1e-7 * max(1.0, s.max(initial=0.0))).sum())
