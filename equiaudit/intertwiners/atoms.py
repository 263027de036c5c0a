"""A representation on one dimension as copies of small ones, told apart by their matrices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equiaudit.groups.base import Element, Group, Matrix, Step
from equiaudit.representations.base import MatrixRepresentation, Representation, RepresentationError
from equiaudit.representations.compose import Sum
from equiaudit.representations.image import Image
from equiaudit.representations.irreps import Irreps
from equiaudit.representations.lifted import OnMember
from equiaudit.representations.resolve import as_representation
from equiaudit.representations.simple import Points, linear_algebra


@dataclass(frozen=True, eq=False)
class Kind:
    """One small representation: its generators, and what an affine action adds.

    Args:
        generators: dρ(A_k) for the algebra, then ρ(h) for the discrete generators, [K, d, d].
        still: what each generator does to a constant b: dρ(A_k) b, then (ρ(h) − 1) b, [K, d, d].
        shift: the velocity or the translation that it adds, [K, d]; zero for linear actions.
        label: the irrep (l, parity) where the group contains all rotations of 3-D space, else None.
    """

    generators: Matrix
    still: Matrix
    shift: Matrix
    label: tuple[int, int] | None = None
    key: bytes = field(default=b"")

    @property
    def size(self) -> int:
        """d."""
        return self.generators.shape[-1]


@dataclass(frozen=True)
class Atoms:
    """Kinds with the places of their copies along the dimension: ``places[n]`` is [copies, d]."""

    kinds: tuple[Kind, ...]
    places: tuple[Matrix, ...]
    size: int

    def order(self) -> Matrix:
        """All places, one kind after the other, [size]."""
        return np.concatenate([p.ravel() for p in self.places]) if self.places else np.zeros(0, dtype=np.int64)

    def spread(self, of: Any) -> Matrix:
        """``of(kind)`` [K, d] for each copy, at its places: [K, size]."""
        count = self.kinds[0].generators.shape[0] if self.kinds else 0
        out = np.zeros((count, self.size))
        for kind, places in zip(self.kinds, self.places, strict=True):
            out[:, places] = of(kind)[:, None, :].real
        return out


def read(rep: Any) -> Representation:
    """A representation from what a user writes; an image stands for its channels.

    Raises:
        RepresentationError: a container, or an image without a representation of its channels.
    """
    found = as_representation(rep)
    if found is None:
        raise RepresentationError(
            f"expected one representation of a dimension, got {type(rep).__name__}: {rep!r}; a linear map has one for "
            "its inputs and one for its outputs"
        )
    if isinstance(found, Image) and found.channels is not None:
        return found.channels
    return found


def decompose(rep: Any, group: Group, length: int | None = None) -> Atoms:
    """The representation on a dimension as copies of kinds.

    Args:
        rep: a representation, or what stands for one.
        group: the group.
        length: the length of the dimension, where it is known: scalars fit any.

    Raises:
        RepresentationError: no matrices, a representation that the group does not have, or another length.
    """
    found = read(rep)
    found.check(group)
    kinds: list[Kind] = []
    places: list[list[Matrix]] = []
    start = 0
    for part, copies, ir_mul in _parts(found, group, length):
        kind = _kind(part, group)
        n = copies * kind.size
        where = start + np.arange(n).reshape((kind.size, copies) if ir_mul else (copies, kind.size))
        index = next((i for i, k in enumerate(kinds) if k.key == kind.key), len(kinds))
        if index == len(kinds):
            kinds.append(kind)
            places.append([])
        places[index].append(where.T if ir_mul else where)
        start += n
    if length is not None and start != length:
        raise RepresentationError(f"{found!r} of {group!r} has size {start}, the dimension has length {length}")
    return Atoms(tuple(kinds), tuple(np.concatenate(p) for p in places), start)


def _parts(rep: Representation, group: Group, length: int | None) -> Iterator[tuple[Any, int, bool]]:
    # (small representation, copies, whether components come before copies)
    if isinstance(rep, Sum):
        for n, term in rep.terms:
            for _ in range(n) if isinstance(term, (Irreps, OnMember)) else (None,):
                for part, copies, ir_mul in _parts(term, group, None):
                    yield part, copies if isinstance(term, (Irreps, OnMember)) else n * copies, ir_mul
        return
    if isinstance(rep, OnMember):
        inner = group.groups[rep.member]  # type: ignore[attr-defined]
        for part, copies, ir_mul in _parts(rep.rep, inner, length):
            yield OnMember(rep.member, part), copies, ir_mul
        return
    if isinstance(rep, Irreps):
        for ir in rep.irreps:
            if ir.mul:
                yield Irreps(f"{ir.l}{ {1: 'e', -1: 'o', 0: ''}[ir.p] }"), ir.mul, rep.layout == "ir_mul"
        return
    if not isinstance(rep, MatrixRepresentation):
        raise RepresentationError(
            f"{rep!r} has no matrix on one dimension, so there are no linear maps of it to speak of; "
            "give representations with matrices, such as Irreps, Vector, Regular or sums of them"
        )
    if getattr(group, "acts_on_indices", False):
        raise RepresentationError(f"{rep!r} of {group!r} has no matrix; give the number of nodes: Permutations(n)")
    yield rep, 1 if rep.size(group) is not None or length is None else length, False


def _kind(rep: Any, group: Group) -> Kind:
    algebra = np.asarray(rep.algebra_matrices(group))
    names = list(group.discrete)
    steps = [np.asarray(rep.discrete_matrix(group, name)) for name in names]
    d = algebra.shape[-1] if len(algebra) else (steps[0].shape[-1] if steps else rep.size(group) or 1)
    algebra = algebra.reshape(-1, d, d)
    discrete = np.stack(steps) if steps else np.zeros((0, d, d))
    generators = np.concatenate([algebra, discrete])
    still = np.concatenate([algebra, discrete - np.eye(d)])
    shift = _shift(rep, group, d)
    label = _label(rep, group)
    key = b"|".join([repr(label).encode(), generators.tobytes(), shift.tobytes()])
    return Kind(generators, still, shift, label, key)


def _shift(rep: Any, group: Group, d: int) -> Matrix:
    out = np.zeros((group.dim + len(group.discrete), d))
    if isinstance(rep, OnMember):
        member = group.groups[rep.member]  # type: ignore[attr-defined]
        inner, part = _shift(rep.rep, member, d), rep._slice(group)
        out[part] = inner[: member.dim]
        for n, name in enumerate(group.discrete):
            owner, _, own = name.partition(".")
            if int(owner) == rep.member:
                out[group.dim + n] = inner[member.dim + list(member.discrete).index(own)]
    elif isinstance(rep, Points) and group.affine:
        out[: group.dim] = group.algebra[:, :-1, -1]
        for n, name in enumerate(group.discrete):
            out[group.dim + n] = Element(group, (Step(name),), name).translation
    return out


def _label(rep: Any, group: Group) -> tuple[int, int] | None:
    # an irrep stays irreducible where the group has all rotations; parities count where it has reflections
    if not isinstance(rep, Irreps) or group.dim < 3:
        return None
    algebra = linear_algebra(group)
    if np.linalg.matrix_rank(algebra.reshape(len(algebra), -1)) < 3:
        return None
    improper = any(np.linalg.det(Element(group, (Step(h),), h).linear) < 0 for h in group.discrete)
    ir = rep.irreps[0]
    return ir.l, ir.p if improper else 0
