"""Representations made of others: A + B along one dimension, A * B on two, Kronecker products and duals on one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from equiaudit.groups.base import Element, Group, Matrix
from equiaudit.representations.acting import Acting, Moving
from equiaudit.representations.base import MatrixRepresentation, Representation, RepresentationError, direct_sum


class Sum(Representation):
    """A direct sum along one dimension; each summand acts on its own slice, affine ones and permutations too.

    >>> Representation = Sum.copies(2, __import__("equiaudit").representations.Vector())
    >>> Representation
    2 * Vector()
    """

    def __init__(self, terms: tuple[tuple[int, Representation], ...], dim: int = -1) -> None:
        self.terms, self.axis = terms, dim
        self.exact = all(rep.exact for _, rep in terms)

    @classmethod
    def of(cls, *reps: Representation) -> Sum:
        """The sum of representations, nested sums flattened."""
        dims = {r.axis for r in reps}
        if len(dims) > 1:
            raise RepresentationError(f"A + B concatenates along one dimension; these act on dimensions {sorted(dims)}")
        terms: list[tuple[int, Representation]] = []
        for rep in reps:
            _last(rep)  # refuses what acts on several dimensions
            terms += rep.terms if isinstance(rep, Sum) else [(1, rep)]
        return cls(tuple(terms), dims.pop())

    @classmethod
    def copies(cls, n: int, rep: Representation) -> Sum:
        """n copies side by side: the dimension is n blocks, each of the size of ``rep``."""
        if n < 0:
            raise RepresentationError(f"a representation can't be repeated {n} times")
        if isinstance(rep, Sum):
            return cls(rep.terms * n, rep.axis)
        _last(rep)
        return cls(((n, rep),), rep.axis)

    def _size(self, rep: Representation, group: Group) -> int:
        return rep.size(group) or 1

    def size(self, group: Group) -> int | None:
        """The sum of the sizes; a scalar counts one."""
        return sum(n * self._size(rep, group) for n, rep in self.terms)

    def check(self, group: Group) -> None:
        """Each term must be a representation."""
        for _, rep in self.terms:
            rep.check(group)

    def _blocks(self, group: Group, x: Tensor):  # type: ignore[no-untyped-def]
        start = 0
        for n, rep in self.terms:
            length = n * self._size(rep, group)
            block = x.movedim(self.axis, -1).narrow(-1, start, length)
            # [..., n, d]: the copies become a dimension of their own, and the representation acts on the last
            yield block.reshape(*block.shape[:-1], n, length // n if n else 1), _last(rep)
            start += length

    def _join(self, blocks: list[Tensor]) -> Tensor:
        return torch.cat([b.flatten(-2) for b in blocks], -1).movedim(-1, self.axis)

    def act(self, g: Element, x: Tensor) -> Tensor:
        """Each summand on its slice."""
        return self.apply(Acting((g,)), x)

    def apply(self, acting: Acting, x: Tensor) -> Tensor:
        """Each summand on its slice."""
        return self._join([rep.apply(acting, block) for block, rep in self._blocks(acting.group, x)])

    def act_tangent(self, group: Group, coordinates: Matrix, x: Tensor) -> Tensor:
        """Each summand on its slice."""
        return self.tangent(Moving(group, coordinates), x)

    def tangent(self, moving: Moving, x: Tensor) -> Tensor:
        """Each summand on its slice."""
        return self._join([rep.tangent(moving, block) for block, rep in self._blocks(moving.group, x)])

    def matrix(self, g: Element) -> Matrix:
        """Block-diagonal ρ(g) where every summand is linear."""
        return direct_sum([m for n, rep in self.terms for m in [_matrices(rep).matrix(g)] * n])

    def algebra_matrices(self, group: Group) -> Matrix:
        """Block-diagonal dρ(A_k)."""
        return direct_sum([m for n, rep in self.terms for m in [_matrices(rep).algebra_matrices(group)] * n])

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """Block-diagonal ρ(h)."""
        return direct_sum([m for n, rep in self.terms for m in [_matrices(rep).discrete_matrix(group, name)] * n])

    def is_exact(self, g: Element) -> bool:
        """Whether every summand is."""
        return all(rep.is_exact(g) for _, rep in self.terms)

    def rows(self, x: Tensor) -> tuple[int, ...]:
        """Every entry is its own row: summands may differ in size by magnitudes."""
        return () if len(self.terms) > 1 or self.terms[0][0] != 1 else self.terms[0][1].rows(x)

    def __repr__(self) -> str:
        return " + ".join(repr(rep) if n == 1 else f"{n} * {rep!r}" for n, rep in self.terms)


class OnTwoDims(Representation):
    """A on one dimension and B on another at once: A ⊗ B on a tensor that keeps its shape."""

    def __init__(self, first: Representation, second: Representation) -> None:
        self.first, self.second, self.axis = first, second, second.axis
        self.exact, self.relabels = first.exact and second.exact, first.relabels or second.relabels

    @classmethod
    def of(cls, first: Representation, second: Representation) -> OnTwoDims:
        """Where both act on the last dimension, the first moves to the one before."""
        if first.axis == second.axis:
            first = first.moved(second.axis - 1)
        return cls(first, second)

    def check(self, group: Group) -> None:
        """Both must be representations."""
        self.first.check(group)
        self.second.check(group)

    def moved(self, dim: int) -> Representation:
        """Refused: there are two dimensions to move."""
        raise RepresentationError(f"{self!r} acts on two dimensions; give each factor its own dim= instead")

    def fits(self, group: Group, x: Tensor) -> str | None:
        """Both must fit."""
        return self.first.fits(group, x) or self.second.fits(group, x)

    def act(self, g: Element, x: Tensor) -> Tensor:
        """B after A."""
        return self.second.act(g, self.first.act(g, x))

    def apply(self, acting: Acting, x: Tensor) -> Tensor:
        """B after A."""
        return self.second.apply(acting, self.first.apply(acting, x))

    def act_tangent(self, group: Group, coordinates: Matrix, x: Tensor) -> Tensor:
        """The sum of both tangents."""
        return self.first.act_tangent(group, coordinates, x) + self.second.act_tangent(group, coordinates, x)

    def tangent(self, moving: Moving, x: Tensor) -> Tensor:
        """The sum of both tangents."""
        return self.first.tangent(moving, x) + self.second.tangent(moving, x)

    def is_exact(self, g: Element) -> bool:
        """Whether both are."""
        return self.first.is_exact(g) and self.second.is_exact(g)

    def rows(self, x: Tensor) -> tuple[int, ...]:
        """The dimensions of both."""
        return tuple(sorted(set(self.first.rows(x)) | set(self.second.rows(x))))

    def describe(self) -> str:
        """Both, with their dimensions."""
        return f"{self.first.describe()} and {self.second.describe()}"

    def __repr__(self) -> str:
        return f"{_bracket(self.first)} * {_bracket(self.second)}"


class Kronecker(MatrixRepresentation):
    """A ⊗ B flattened on one dimension, the index of B running fastest."""

    def __init__(self, first: MatrixRepresentation, second: MatrixRepresentation, dim: int = -1) -> None:
        self.first, self.second, self.axis = first, second, dim

    def check(self, group: Group) -> None:
        """Both must be representations."""
        self.first.check(group)
        self.second.check(group)

    def matrix(self, g: Element) -> Matrix:
        """ρ_A(g) ⊗ ρ_B(g)."""
        return np.kron(self.first.matrix(g), self.second.matrix(g))

    def algebra_matrices(self, group: Group) -> Matrix:
        """dρ_A ⊗ 1 + 1 ⊗ dρ_B."""
        a, b = self.first.algebra_matrices(group), self.second.algebra_matrices(group)
        eye_a, eye_b = np.eye(a.shape[-1]), np.eye(b.shape[-1])
        found = [np.kron(x, eye_b) + np.kron(eye_a, y) for x, y in zip(a, b, strict=True)]
        n = a.shape[-1] * b.shape[-1]
        return np.stack(found) if found else np.zeros((0, n, n))

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """ρ_A(h) ⊗ ρ_B(h)."""
        return np.kron(self.first.discrete_matrix(group, name), self.second.discrete_matrix(group, name))

    def size(self, group: Group) -> int | None:
        """The product of the sizes."""
        return (self.first.size(group) or 1) * (self.second.size(group) or 1)

    def __repr__(self) -> str:
        return f"Kronecker({self.first!r}, {self.second!r})"


class Dual(MatrixRepresentation):
    """The dual (contragredient) representation ρ(g⁻¹)ᵀ: covectors, gradients under non-orthogonal groups."""

    def __init__(self, rep: MatrixRepresentation, dim: int = -1) -> None:
        self.rep, self.axis = rep, dim

    def check(self, group: Group) -> None:
        """The original must be a representation."""
        self.rep.check(group)

    def matrix(self, g: Element) -> Matrix:
        """ρ(g⁻¹)ᵀ."""
        return np.linalg.inv(self.rep.matrix(g)).T

    def algebra_matrices(self, group: Group) -> Matrix:
        """−dρ(A)ᵀ."""
        return -np.swapaxes(self.rep.algebra_matrices(group), -1, -2)

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """ρ(h⁻¹)ᵀ."""
        return np.linalg.inv(self.rep.discrete_matrix(group, name)).T

    def size(self, group: Group) -> int | None:
        """The size of the original."""
        return self.rep.size(group)

    def __repr__(self) -> str:
        return f"Dual({self.rep!r})"


def _last(rep: Representation) -> Representation:
    return rep.moved(-1)


def _matrices(rep: Representation) -> MatrixRepresentation:
    if isinstance(rep, (MatrixRepresentation, Sum)):
        return rep  # type: ignore[return-value]
    raise RepresentationError(f"{rep!r} has no matrix; it can only be applied")


def _bracket(rep: Representation) -> str:
    return f"({rep!r})" if isinstance(rep, Sum) and len(rep.terms) > 1 else repr(rep)
