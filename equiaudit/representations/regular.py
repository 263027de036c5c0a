"""Permutation actions on a dimension: regular representations of finite groups, quotients, any given by generators."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from equiaudit.groups.base import Element, Exp, Group, Matrix
from equiaudit.groups.finite import matrix_key
from equiaudit.representations.acting import Acting, Moving
from equiaudit.representations.base import MatrixRepresentation, RepresentationError
from equiaudit.representations.permutation import Order, reorder, reorder_rows


class MovesEntries(MatrixRepresentation):
    """Entries along a dimension change places: (ρ(g) x)[p[i]] = x[i], without arithmetic. Subclasses give ``order``."""

    exact = True

    @abstractmethod
    def order(self, g: Element) -> Order:
        """p [size]: entry i goes to place p[i]."""

    def apply(self, acting: Acting, x: Tensor) -> Tensor:
        """Reorders by an index."""
        if acting.rows is None:
            return reorder(x, self.axis % x.dim(), self.order(acting.elements[0]))
        if self.axis % x.dim() == 0:
            raise RepresentationError(f"{self!r} can't act on dimension 0, which holds the rows of the samples")
        return reorder_rows(x, self.axis, np.stack([self.order(g) for g in acting.elements]), acting.rows)

    def tangent(self, moving: Moving, x: Tensor) -> Tensor:
        """Zero: nothing moves continuously."""
        return x.new_zeros(x.shape)

    def matrix(self, g: Element) -> Matrix:
        """M [n, n] with M[p[i], i] = 1."""
        p = self.order(g)
        m = np.zeros((len(p), len(p)))
        m[p, np.arange(len(p))] = 1.0
        return m

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """The matrix of the generator."""
        return self.matrix(group.generator(name))

    def algebra_matrices(self, group: Group) -> Matrix:
        """Zero."""
        n = self.size(group) or 1
        return np.zeros((group.dim, n, n))


class Quotient(MovesEntries):
    """Functions on the cosets of a subgroup: e_{hH} goes to e_{ghH}.

    Cosets are numbered by the first of their elements in the order of ``group.elements()``.

    Args:
        subgroup: the elements of H, the identity among them.
        dim: the dimension that the cosets index.

    >>> from equiaudit.groups import Cyclic
    >>> C4 = Cyclic(4)
    >>> Quotient([C4.identity(), C4.element_at(2)]).matrix(C4.element_at(1)).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """

    def __init__(self, subgroup: Sequence[Element], dim: int = -1) -> None:
        self.subgroup, self.axis = tuple(subgroup), dim
        self._cosets: dict[Group, tuple[list[Matrix], dict[bytes, int]]] = {}

    def check(self, group: Group) -> None:
        """A finite group with matrices, and a subgroup of it."""
        if not group.is_finite or getattr(group, "acts_on_indices", False):
            raise RepresentationError(f"{self!r} needs a finite group with a list of elements, got {group!r}")
        keys = {matrix_key(h.matrix) for h in self._members(group)}
        for a in self._members(group):
            for b in self._members(group):
                if matrix_key(a.matrix @ b.matrix) not in keys:
                    raise RepresentationError(f"not a subgroup of {group!r}: {a!r} @ {b!r} is not among its elements")

    def _members(self, group: Group) -> tuple[Element, ...]:
        return self.subgroup

    def _listed(self, group: Group) -> tuple[list[Matrix], dict[bytes, int]]:
        # one matrix for each coset, and the coset of each element
        if group not in self._cosets:
            found: list[Matrix] = []
            coset: dict[bytes, int] = {}
            for g in group.elements():
                if matrix_key(g.matrix) in coset:
                    continue
                for h in self._members(group):
                    coset[matrix_key(g.matrix @ h.matrix)] = len(found)
                found.append(g.matrix)
            self._cosets[group] = found, coset
        return self._cosets[group]

    def order(self, g: Element) -> Order:
        """The coset that g takes each coset to."""
        found, coset = self._listed(g.group)
        return np.array([coset[matrix_key(g.matrix @ m)] for m in found])

    def size(self, group: Group) -> int | None:
        """The number of cosets."""
        return len(self._listed(group)[0])

    def __repr__(self) -> str:
        return f"Quotient({list(self.subgroup)!r})"


class Regular(Quotient):
    """The left regular representation of a finite group: one entry for each element, and e_h goes to e_{gh}.

    Entries are in the order of ``group.elements()``: for Cyclic(n) the turn by k/n has number k.

    >>> import torch
    >>> from equiaudit.groups import Cyclic
    >>> Regular().act(Cyclic(4).element_at(1), torch.tensor([0, 1, 2, 3])).tolist()
    [3, 0, 1, 2]
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__((), dim)

    def _members(self, group: Group) -> tuple[Element, ...]:
        return (group.identity(),)

    def __repr__(self) -> str:
        return "Regular()" if self.axis == -1 else f"Regular(dim={self.axis})"


class PermutationAction(MovesEntries):
    """Entries change places as said for each discrete generator: (ρ(h) x)[p[i]] = x[i].

    What is continuous in the group does nothing.

    Args:
        orders: for each discrete generator of the group its p, a permutation of 0, …, n − 1.
        dim: the dimension whose entries move.

    >>> import torch
    >>> from equiaudit.groups import Dihedral
    >>> corners = PermutationAction({"turn": [1, 2, 3, 0], "flip": [1, 0, 3, 2]})
    >>> corners.act(Dihedral(4).generator("turn", 2), torch.tensor([10, 20, 30, 40])).tolist()
    [30, 40, 10, 20]
    """

    def __init__(self, orders: Mapping[str, Sequence[int]], dim: int = -1) -> None:
        self.orders, self.axis = {k: np.asarray(v, dtype=np.int64) for k, v in orders.items()}, dim
        sizes = {len(p) for p in self.orders.values()}
        for name, p in self.orders.items():
            if len(sizes) > 1 or sorted(p.tolist()) != list(range(len(p))):
                raise RepresentationError(
                    f"{name!r} must move each of 0 to {max(sizes) - 1} to a place of its own, got {p.tolist()}"
                )

    def check(self, group: Group) -> None:
        """The generators must be those of the group."""
        if set(self.orders) != set(group.discrete):
            raise RepresentationError(
                f"{group!r} has the discrete generators {sorted(group.discrete)}, "
                f"orders are given for {sorted(self.orders)}"
            )

    def order(self, g: Element) -> Order:
        """The product of the generators' orders."""
        p = np.arange(self.size(g.group) or 0)
        factors = [f for f in reversed(g.factors) if not isinstance(f, Exp)]  # the continuous part does nothing
        for step in (s for f in factors for s in reversed(g.group.steps(f))):
            once = self.orders[step.name] if step.power > 0 else np.argsort(self.orders[step.name])
            for _ in range(abs(step.power)):
                p = once[p]
        return p

    def size(self, group: Group) -> int | None:
        """The number of entries."""
        return len(next(iter(self.orders.values()), ()))

    def __repr__(self) -> str:
        return f"PermutationAction({ {k: p.tolist() for k, p in self.orders.items()} })"
