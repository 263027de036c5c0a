"""Representations: how a group element acts on a tensor, and what the Lie algebra does to it."""

from __future__ import annotations

import copy
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from scipy.linalg import block_diag, expm
from torch import Tensor

from equiaudit.groups.base import Element, Exp, Factor, Group, Matrix, Step
from equiaudit.representations.acting import Acting, Moving, apply_matrix


class RepresentationError(ValueError):
    """A representation that the group does not have, or that does not fit the tensor."""


class Representation(ABC):
    """How a group acts on a tensor.

    Subclasses give ``act`` for one element and, where the group is continuous and the action smooth, ``tangent``.
    ``axis`` is the dimension of the tensor that is acted on: what the constructors call ``dim=``. ``A + B``
    concatenates along it, ``A * B`` acts on two dimensions at once, ``3 * A`` is three copies side by side.
    """

    axis: int = -1
    exact: bool = False
    """Whether ``act`` moves data without rounding."""
    relabels: bool = False
    """Whether it acts by permutations of nodes and edges, which needs to know how these belong to samples."""
    on_grid: bool = False
    """Whether it moves pixels, so that entries of different columns change places."""

    @abstractmethod
    def act(self, g: Element, x: Tensor) -> Tensor:
        """ρ(g) x for one element on the whole tensor."""

    def act_tangent(self, group: Group, coordinates: Matrix, x: Tensor) -> Tensor:
        """dρ(A) x with A = Σ_k c_k A_k; for an affine action the velocity of x, inhomogeneous part included."""
        raise RepresentationError(f"{self!r} has no derivative along {group!r}; only finite elements can be tried")

    def size(self, group: Group) -> int | None:
        """The length that dimension ``axis`` must have, or None where any length fits."""
        return None

    def check(self, group: Group) -> None:  # noqa: B027  most have nothing to refuse
        """Raise RepresentationError where ``group`` does not have this representation."""

    def apply(self, acting: Acting, x: Tensor) -> Tensor:
        """ρ(g) x, one element for the whole tensor or one per row."""
        if acting.single is not None:
            return self.act(acting.single, x)
        return _by_row(acting.rows, x, lambda i, row: self.act(acting.elements[i], row))

    def tangent(self, moving: Moving, x: Tensor) -> Tensor:
        """dρ(A) x, one direction for the whole tensor or one per row."""
        if moving.rows is None:
            return self.act_tangent(moving.group, np.asarray(moving.coordinates, dtype=float), x)
        return _by_row(moving.rows, x, lambda i, row: self.act_tangent(moving.group, moving.coordinates[i], row))

    def is_exact(self, g: Element) -> bool:
        """Whether acting by this element moves data without rounding."""
        return self.exact

    def action_error(self, g: Element, x: Tensor) -> float:
        """The error of the action itself by this element on this tensor, relative to its size, apart from rounding."""
        return 0.0

    def fits(self, group: Group, x: Tensor) -> str | None:
        """Why ``x`` can't carry this representation of ``group``, as a phrase; None where it can."""
        if x.dim() == 0 or not -x.dim() <= self.axis < x.dim():
            return None if self.size(group) in (None, 1) else f"it has no dimension {self.axis}, shape {list(x.shape)}"
        wanted = self.size(group)
        if wanted is not None and x.shape[self.axis] != wanted:
            return f"dimension {self.axis} must have length {wanted}, shape {list(x.shape)}"
        return None

    def describe(self) -> str:
        """A few words for reports: the name and the dimension acted on."""
        return f"{self!r} on dim {self.axis}"

    def rows(self, x: Tensor) -> tuple[int, ...]:
        """The dimensions of ``x`` that one residual vector spans; the others index rows. Used for norms and scales."""
        return (self.axis % x.dim(),) if x.dim() else ()

    def moved(self, dim: int) -> Representation:
        """The same representation on another dimension of the tensor."""
        out = copy.copy(self)
        out.axis = dim
        return out

    def __add__(self, other: Representation) -> Representation:
        from equiaudit.representations.compose import Sum

        return Sum.of(self, other) if isinstance(other, Representation) else NotImplemented

    def __mul__(self, other: Any) -> Representation:
        from equiaudit.representations.compose import OnTwoDims, Sum

        if isinstance(other, int):
            return Sum.copies(other, self)
        return OnTwoDims.of(self, other) if isinstance(other, Representation) else NotImplemented

    def __rmul__(self, other: Any) -> Representation:
        return self * other if isinstance(other, int) else NotImplemented

    @staticmethod
    def from_matrix(
        group: Group, fn: Callable[[Matrix], Matrix], *, dim: int = -1, name: str = ""
    ) -> MatrixRepresentation:
        """A representation given by a function from the defining matrix [n, n] to ρ(g) [d, d].

        >>> from equiaudit.groups import SO
        >>> rho = Representation.from_matrix(SO(3), lambda r: r)
        >>> rho.size(SO(3))
        3
        """
        return FromMatrix(group, fn, dim=dim, name=name)

    @staticmethod
    def from_algebra(
        group: Group, algebra: Any, discrete: Mapping[str, Any] | None = None, *, dim: int = -1, name: str = ""
    ) -> MatrixRepresentation:
        """A representation given by dρ(A_k) [k, d, d] and by ρ(h) [d, d] for each discrete generator."""
        return FromAlgebra(group, algebra, discrete or {}, dim=dim, name=name)

    @staticmethod
    def from_function(fn: Callable[[Element, Any], Any], tangent: Callable[..., Any] | None = None) -> FromFunction:
        """An action given by ``fn(element, value) -> value`` on a whole value of any type."""
        return FromFunction(fn, tangent)


class MatrixRepresentation(Representation):
    """A linear action by matrices ρ(g) along one dimension.

    Subclasses give ``algebra_matrices`` and ``discrete_matrix``; ρ(g) is then the product over the factors of g. They
    may give ``matrix`` directly where that is more exact.
    """

    @abstractmethod
    def algebra_matrices(self, group: Group) -> Matrix:
        """dρ(A_k) for the algebra basis, [k, d, d]."""

    @abstractmethod
    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """ρ(h) for the discrete generator called ``name``, [d, d]."""

    def factor_matrix(self, group: Group, factor: Factor) -> Matrix:
        """ρ of one factor of an element."""
        if isinstance(factor, Exp):
            return expm(np.tensordot(factor.coordinates, self.algebra_matrices(group), 1))
        if isinstance(factor, Step):
            return np.linalg.matrix_power(self.discrete_matrix(group, factor.name), factor.power)
        word = [self.factor_matrix(group, step) for step in group.steps(factor)]
        return functools.reduce(np.matmul, word) if word else np.eye(self.size(group) or 1)

    def matrix(self, g: Element) -> Matrix:
        """ρ(g), float64 or complex128 [d, d]."""
        out = np.eye(self.size(g.group) or 1)
        for factor in g.factors:
            out = out @ self.factor_matrix(g.group, factor)
        return out

    def size(self, group: Group) -> int | None:
        """The dimension d of the representation."""
        matrices = self.algebra_matrices(group)
        return matrices.shape[-1] if len(matrices) else len(self.discrete_matrix(group, next(iter(group.discrete))))

    def act(self, g: Element, x: Tensor) -> Tensor:
        """ρ(g) x along ``axis``."""
        return self.apply(Acting((g,)), x)

    def apply(self, acting: Acting, x: Tensor) -> Tensor:
        """ρ(g) x along ``axis``; computed in double precision and rounded once."""
        return apply_matrix(acting.stacked(self.matrix, x), x, self.axis)

    def tangent(self, moving: Moving, x: Tensor) -> Tensor:
        """dρ(A) x along ``axis``."""
        return apply_matrix(moving.stacked(self.algebra_matrices(moving.group), x), x, self.axis)

    def act_tangent(self, group: Group, coordinates: Matrix, x: Tensor) -> Tensor:
        """dρ(A) x along ``axis`` for one direction."""
        return self.tangent(Moving(group, coordinates), x)


class FromMatrix(MatrixRepresentation):
    """See ``Representation.from_matrix``; the algebra by central differences of exp in double precision."""

    def __init__(self, group: Group, fn: Callable[[Matrix], Matrix], dim: int = -1, name: str = "") -> None:
        self.group, self.fn, self.axis, self.name = group, fn, dim, name
        self._algebra: Matrix | None = None

    def check(self, group: Group) -> None:
        """Only the group that it was made for."""
        _same_group(self, self.group, group)

    def matrix(self, g: Element) -> Matrix:
        """fn of the defining matrix."""
        return np.asarray(self.fn(g.matrix))

    def size(self, group: Group) -> int | None:
        """The size of fn at the identity."""
        return len(np.asarray(self.fn(np.eye(group.size))))

    def algebra_matrices(self, group: Group) -> Matrix:
        """dρ(A_k) as the derivative of fn(exp(t A_k)) at 0 (eighth-order differences)."""
        if self._algebra is None:
            weights = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
            h, d = 0.02, self.size(group) or 1
            found = []
            for a in group.algebra:
                found.append(
                    sum(w * (self.fn(expm(j * h * a)) - self.fn(expm(-j * h * a))) for j, w in weights.items()) / h
                )
            self._algebra = np.stack(found) if found else np.zeros((0, d, d))
        return self._algebra

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """fn of the generator's matrix."""
        return np.asarray(self.fn(group.discrete[name]))

    def __repr__(self) -> str:
        return self.name or f"Representation.from_matrix({self.group!r}, {getattr(self.fn, '__name__', 'fn')})"


class FromAlgebra(MatrixRepresentation):
    """See ``Representation.from_algebra``."""

    def __init__(self, group: Group, algebra: Any, discrete: Mapping[str, Any], dim: int = -1, name: str = "") -> None:
        self.group, self.axis, self.name = group, dim, name
        self._algebra = np.asarray(algebra)
        self._discrete = {k: np.asarray(v) for k, v in discrete.items()}
        if len(self._algebra) != group.dim:
            raise RepresentationError(
                f"{group!r} has {group.dim} algebra generators, got {len(self._algebra)} matrices"
            )
        if set(self._discrete) != set(group.discrete):
            raise RepresentationError(
                f"give a matrix for each of {sorted(group.discrete)}, got {sorted(self._discrete)}"
            )

    def check(self, group: Group) -> None:
        """Only the group that it was made for."""
        _same_group(self, self.group, group)

    def size(self, group: Group) -> int | None:
        """The size of the given matrices."""
        return self._algebra.shape[-1] if len(self._algebra) else len(next(iter(self._discrete.values())))

    def algebra_matrices(self, group: Group) -> Matrix:
        """As given."""
        return self._algebra

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """As given."""
        return self._discrete[name]

    def __repr__(self) -> str:
        return self.name or f"Representation.from_algebra({self.group!r}, …)"


class FromFunction(Representation):
    """See ``Representation.from_function``."""

    def __init__(self, fn: Callable[[Element, Any], Any], tangent: Callable[..., Any] | None = None) -> None:
        self.fn, self._tangent = fn, tangent

    def act(self, g: Element, x: Any) -> Any:
        """fn(g, x)."""
        return self.fn(g, x)

    def act_tangent(self, group: Group, coordinates: Matrix, x: Tensor) -> Tensor:
        """The given tangent, or central differences of fn along the one-parameter group."""
        if self._tangent is not None:
            return self._tangent(group, coordinates, x)
        h = 1e-3 if x.dtype in (torch.float64, torch.complex128) else 1e-2
        c = np.asarray(coordinates, dtype=float)

        def slope(s: float) -> Tensor:
            return (self.fn(group.exp(*(s * c)), x) - self.fn(group.exp(*(-s * c)), x)) / (2 * s)

        return (4 * slope(h / 2) - slope(h)) / 3

    def fits(self, group: Group, x: Any) -> str | None:
        """Anything may fit."""
        return None

    def describe(self) -> str:
        """The function's name."""
        return repr(self)

    def __repr__(self) -> str:
        return f"Representation.from_function({getattr(self.fn, '__name__', 'fn')})"


def _same_group(rep: Representation, mine: Group, other: Group) -> None:
    if mine != other:
        raise RepresentationError(f"{rep!r} is a representation of {mine!r}, not of {other!r}")


def _by_row(rows: Tensor | None, x: Tensor, act: Callable[[int, Tensor], Tensor]) -> Tensor:
    assert rows is not None
    if len(rows) != x.shape[0]:
        raise RepresentationError(f"{len(rows)} rows have elements, the tensor has {x.shape[0]} rows")
    return torch.cat([act(int(i), x[n : n + 1]) for n, i in enumerate(rows)]) if len(rows) else x


def direct_sum(matrices: list[Matrix]) -> Matrix:
    """Block-diagonal matrices [..., Σd, Σd] from matrices with equal leading dimensions."""
    if matrices[0].ndim == 2:
        return block_diag(*matrices)
    return (
        np.stack([block_diag(*(m[i] for m in matrices)) for i in range(len(matrices[0]))])
        if len(matrices[0])
        else (np.zeros((0, sum(m.shape[-1] for m in matrices), sum(m.shape[-1] for m in matrices))))
    )
