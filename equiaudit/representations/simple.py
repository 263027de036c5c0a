"""The representations that most models need: scalars, vectors, points and Cartesian tensors."""

from __future__ import annotations

from itertools import product

import numpy as np
from torch import Tensor

from equiaudit.groups.base import Element, Group, Matrix, Step
from equiaudit.representations.acting import Acting, Moving, apply_matrix
from equiaudit.representations.base import MatrixRepresentation, Representation, RepresentationError


def parity(g: Element) -> float:
    """+1 or −1: the sign of the determinant of the linear part."""
    return float(np.sign(np.linalg.det(g.linear).real))


def _needs_space(rep: Representation, group: Group) -> None:
    if getattr(group, "acts_on_indices", False):
        raise RepresentationError(
            f"{rep!r} is not a representation of {group!r}, which only relabels; use 'nodes', 'edges' or 'edge_index'"
        )


def linear_algebra(group: Group) -> Matrix:
    """The algebra acting on vectors [k, d, d]: zero for translations."""
    return group.algebra[:, :-1, :-1] if group.affine else group.algebra


def linear_part(group: Group, matrix: Matrix) -> Matrix:
    """What a defining matrix does to vectors [d, d]."""
    return matrix[:-1, :-1] if group.affine else matrix


def not_orthogonal(group: Group, d: int) -> str | None:
    """Why ``group`` is not of rotations, reflections and translations of d-space, as a phrase; None if it is."""
    if getattr(group, "acts_on_indices", False):
        return "only relabels"
    if group.space_dim != d:
        return f"acts on {group.space_dim}-D space"
    algebra, discrete = linear_algebra(group), [linear_part(group, h) for h in group.discrete.values()]
    if np.abs(algebra + np.swapaxes(algebra, -1, -2)).max(initial=0.0) > 1e-12:
        return "has generators that are no rotations"
    if any(np.abs(h @ h.T - np.eye(d)).max() > 1e-9 for h in discrete):
        return "has discrete generators that are no rotations or reflections"
    return None


class Scalar(MatrixRepresentation):
    """Unchanged by every element: an energy, a class score, any invariant feature. Fits every shape."""

    exact = True

    def __init__(self, dim: int = -1) -> None:
        self.axis = dim

    def algebra_matrices(self, group: Group) -> Matrix:
        """Zero."""
        return np.zeros((group.dim, 1, 1))

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """One."""
        return np.eye(1)

    def matrix(self, g: Element) -> Matrix:
        """One."""
        return np.eye(1)

    def size(self, group: Group) -> int | None:
        """Any length: each entry is a scalar of its own."""
        return None

    def apply(self, acting: Acting, x: Tensor) -> Tensor:
        """``x`` itself."""
        return x

    def tangent(self, moving: Moving, x: Tensor) -> Tensor:
        """Zero."""
        return x.new_zeros(x.shape)

    def rows(self, x: Tensor) -> tuple[int, ...]:
        """Every entry is its own row."""
        return ()

    def describe(self) -> str:
        """The name; a scalar acts on no dimension."""
        return "invariant"

    def __repr__(self) -> str:
        return "Scalar()"


class Pseudoscalar(MatrixRepresentation):
    """Changes sign under orientation-reversing elements: a chirality, a triple product. Fits every shape."""

    exact = True

    def __init__(self, dim: int = -1) -> None:
        self.axis = dim

    def check(self, group: Group) -> None:
        """Any group with matrices."""
        _needs_space(self, group)

    def algebra_matrices(self, group: Group) -> Matrix:
        """Zero."""
        return np.zeros((group.dim, 1, 1))

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """The sign of the generator's determinant."""
        return np.full((1, 1), parity(Element(group, (Step(name),), name)))

    def matrix(self, g: Element) -> Matrix:
        """The sign of the determinant."""
        return np.full((1, 1), parity(g))

    def size(self, group: Group) -> int | None:
        """Any length."""
        return None

    def apply(self, acting: Acting, x: Tensor) -> Tensor:
        """± x."""
        sign = acting.stacked(self.matrix, x)
        sign = sign.reshape(-1, *[1] * (x.dim() - 1)) if sign.dim() == 3 else sign.reshape(())
        return x * sign.to(x.dtype)

    def tangent(self, moving: Moving, x: Tensor) -> Tensor:
        """Zero."""
        return x.new_zeros(x.shape)

    def rows(self, x: Tensor) -> tuple[int, ...]:
        """Every entry is its own row."""
        return ()

    def describe(self) -> str:
        """The name."""
        return "pseudoscalar"

    def __repr__(self) -> str:
        return "Pseudoscalar()"


class Vector(MatrixRepresentation):
    """The defining representation: turned by the group's matrix, not moved by translations.

    >>> import torch
    >>> from equiaudit.groups import SO
    >>> Vector().act(SO(3).turn("z", 1 / 4), torch.tensor([1.0, 0.0, 0.0])).tolist()
    [0.0, 1.0, 0.0]
    """

    def __init__(self, dim: int = -1) -> None:
        self.axis = dim

    def check(self, group: Group) -> None:
        """Any group with matrices."""
        _needs_space(self, group)

    def algebra_matrices(self, group: Group) -> Matrix:
        """The algebra basis."""
        return linear_algebra(group)

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """The generator's matrix."""
        return Element(group, (Step(name),), name).linear

    def matrix(self, g: Element) -> Matrix:
        """The linear part of the element."""
        return g.linear

    def size(self, group: Group) -> int | None:
        """The dimension of the space."""
        return group.space_dim

    def __repr__(self) -> str:
        return "Vector()" if self.axis == -1 else f"Vector(dim={self.axis})"


class Pseudovector(Vector):
    """A vector times the sign of the determinant: a magnetic moment, an angular momentum, a cross product in 3-D."""

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """± the generator's matrix."""
        return self.matrix(Element(group, (Step(name),), name))

    def matrix(self, g: Element) -> Matrix:
        """det(g) times the linear part."""
        return parity(g) * g.linear

    def __repr__(self) -> str:
        return "Pseudovector()" if self.axis == -1 else f"Pseudovector(dim={self.axis})"


class Points(Vector):
    """Positions in space: x → L x + t. For a group without translations the same as Vector.

    >>> import torch
    >>> from equiaudit.groups import E
    >>> Points().act(E(3).translation(1.0, 0.0, 0.0), torch.zeros(2, 3)).tolist()
    [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """

    def apply(self, acting: Acting, x: Tensor) -> Tensor:
        """L x + t."""
        shift = acting.stacked(lambda g: g.translation[:, None], x)[..., 0] if acting.group.affine else None
        return apply_matrix(acting.stacked(self.matrix, x), x, self.axis, shift)

    def tangent(self, moving: Moving, x: Tensor) -> Tensor:
        """The velocity Ω x + τ."""
        group = moving.group
        shift = moving.stacked(group.algebra[:, :-1, -1:], x)[..., 0] if group.affine else None
        return apply_matrix(moving.stacked(self.algebra_matrices(group), x), x, self.axis, shift)

    def __repr__(self) -> str:
        return "Points()" if self.axis == -1 else f"Points(dim={self.axis})"


class CartesianTensor(MatrixRepresentation):
    """A tensor of any rank on as many dimensions of length d: T → L⊗…⊗L T. Pseudo: times det(L).

    Args:
        dims: the dimensions of the tensor that the indices live on; rank 2 on (−2, −1) by default.
        pseudo: whether it changes sign under orientation-reversing elements besides.
    """

    def __init__(self, dims: tuple[int, ...] = (-2, -1), pseudo: bool = False) -> None:
        self.dims, self.pseudo, self.axis = tuple(dims), pseudo, dims[-1]

    def check(self, group: Group) -> None:
        """Any group with matrices."""
        _needs_space(self, group)

    def _kron(self, matrices: list[Matrix]) -> Matrix:
        out = np.eye(1)
        for m in matrices:
            out = np.kron(out, m)
        return out

    def algebra_matrices(self, group: Group) -> Matrix:
        """Σ_i 1⊗…A_k…⊗1 on the flattened tensor, [k, dʳ, dʳ]."""
        d, r = group.space_dim, len(self.dims)
        eye = np.eye(d)
        terms = [
            sum(self._kron([a if i == j else eye for j in range(r)]) for i in range(r)) for a in linear_algebra(group)
        ]
        return np.stack(terms) if terms else np.zeros((0, d**r, d**r))

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """h⊗…⊗h, with the sign for pseudotensors."""
        return self.matrix(Element(group, (Step(name),), name))

    def matrix(self, g: Element) -> Matrix:
        """L⊗…⊗L on the flattened tensor, [dʳ, dʳ]."""
        return (parity(g) if self.pseudo else 1.0) * self._kron([g.linear] * len(self.dims))

    def size(self, group: Group) -> int | None:
        """The flattened size dʳ."""
        return group.space_dim ** len(self.dims)

    def fits(self, group: Group, x: Tensor) -> str | None:
        """Each of the dimensions must have the space's dimension."""
        d = group.space_dim
        for dim in self.dims:
            if not -x.dim() <= dim < x.dim() or x.shape[dim] != d:
                return f"dimensions {self.dims} must each have length {d}, shape {list(x.shape)}"
        return None

    def apply(self, acting: Acting, x: Tensor) -> Tensor:
        """L applied to each index in turn."""
        matrix = acting.stacked(lambda g: g.linear, x)
        out = x.to(matrix.dtype)
        for dim in self.dims:
            out = apply_matrix(matrix, out, dim)
        if self.pseudo:
            out = Pseudoscalar().apply(acting, out)
        from equiaudit.representations.acting import cast

        return cast(out, x)

    def tangent(self, moving: Moving, x: Tensor) -> Tensor:
        """Σ over the indices of A applied to that index."""
        matrix = moving.stacked(linear_algebra(moving.group), x)
        wide = x.to(matrix.dtype)
        from equiaudit.representations.acting import cast

        return cast(sum((apply_matrix(matrix, wide, dim) for dim in self.dims), wide.new_zeros(wide.shape)), x)

    def rows(self, x: Tensor) -> tuple[int, ...]:
        """All its dimensions."""
        return tuple(d % x.dim() for d in self.dims)

    def moved(self, dim: int) -> Representation:
        """Refused above rank 1: a sum or a copy along one dimension needs the flattened tensor."""
        if len(self.dims) > 1:
            raise RepresentationError(
                f"{self!r} acts on dimensions {self.dims}; flattened on one it is Kronecker(Vector(), Vector())"
            )
        return CartesianTensor((dim,), self.pseudo)

    def describe(self) -> str:
        """Rank and dimensions."""
        return f"{self!r} on dims {self.dims}"

    def __repr__(self) -> str:
        arguments = [] if self.dims == (-2, -1) else [f"dims={self.dims}"]
        return f"CartesianTensor({', '.join(arguments + (['pseudo=True'] if self.pseudo else []))})"


class SymmetricTensor(MatrixRepresentation):
    """A symmetric rank-2 tensor stored as d(d+1)/2 numbers along one dimension: T → L T Lᵀ.

    Args:
        order: "upper" (rows of the upper triangle: xx xy xz yy yz zz) or "voigt" (xx yy zz yz xz xy).
        engineering: off-diagonal entries are stored doubled, as strains in Voigt notation are.
    """

    def __init__(self, order: str = "upper", engineering: bool = False, dim: int = -1) -> None:
        if order not in ("upper", "voigt"):
            raise ValueError(f"order must be 'upper' or 'voigt', got {order!r}")
        self.order, self.engineering, self.axis = order, engineering, dim

    def check(self, group: Group) -> None:
        """Any group with matrices; Voigt order needs three dimensions."""
        _needs_space(self, group)
        if self.order == "voigt" and group.space_dim != 3:
            raise RepresentationError(f"Voigt order needs a group of 3-D space, got {group!r}")

    def _maps(self, d: int) -> tuple[Matrix, Matrix]:
        pairs = [(i, j) for i, j in product(range(d), repeat=2) if i <= j]
        if self.order == "voigt":
            pairs = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
        up = np.zeros((d * d, len(pairs)))  # packed -> full
        down = np.zeros((len(pairs), d * d))  # full -> packed
        for n, (i, j) in enumerate(pairs):
            weight = 2.0 if self.engineering and i != j else 1.0
            up[i * d + j, n] = up[j * d + i, n] = 1 / weight
            down[n, i * d + j] = weight
        return up, down

    def algebra_matrices(self, group: Group) -> Matrix:
        """The rank-2 algebra in packed form."""
        up, down = self._maps(group.space_dim)
        return down @ CartesianTensor().algebra_matrices(group) @ up

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """The rank-2 action in packed form."""
        return self.matrix(Element(group, (Step(name),), name))

    def matrix(self, g: Element) -> Matrix:
        """The rank-2 action in packed form."""
        up, down = self._maps(g.group.space_dim)
        return down @ np.kron(g.linear, g.linear) @ up

    def size(self, group: Group) -> int | None:
        """d(d+1)/2."""
        return group.space_dim * (group.space_dim + 1) // 2

    def __repr__(self) -> str:
        extra = (", engineering=True" if self.engineering else "") + (f", dim={self.axis}" if self.axis != -1 else "")
        return f"SymmetricTensor({self.order!r}{extra})"
