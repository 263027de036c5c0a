"""A representation of one member of a direct product, lifted to the product."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from equiaudit.groups.base import Element, Group, Matrix
from equiaudit.groups.products import DirectProduct, ProductElement
from equiaudit.representations.acting import Acting, Moving
from equiaudit.representations.base import MatrixRepresentation, Representation, RepresentationError


class OnMember(MatrixRepresentation):
    """ρ((g₀, g₁, …)) = ρ(g_i): one member of a ``DirectProduct`` acts, the others leave the tensor alone.

    >>> import torch
    >>> from equiaudit.groups import SO, Scaling
    >>> from equiaudit.representations import Vector
    >>> g = (SO(2) * Scaling(2)).pair(SO(2).turn(1 / 4), Scaling(2).by(2.0))
    >>> OnMember(1, Vector()).act(g, torch.tensor([1.0, 0.0])).tolist()
    [2.0, 0.0]

    Args:
        member: the position of the group in the product, from 0.
        rep: a representation of that group.
    """

    def __init__(self, member: int, rep: Representation) -> None:
        self.member, self.rep = member, rep
        self.axis, self.exact = rep.axis, rep.exact
        self.relabels, self.on_grid = rep.relabels, rep.on_grid

    def _group(self, group: Group) -> Group:
        if not isinstance(group, DirectProduct) or not 0 <= self.member < len(group.groups):
            raise RepresentationError(f"{self!r} needs a direct product with a member {self.member}, got {group!r}")
        return group.groups[self.member]

    def _element(self, g: Element) -> Element:
        self._group(g.group)
        if not isinstance(g, ProductElement):  # made from single factors, as for a discrete generator
            g = g.group.make(*g.factors)
        return g.members[self.member]  # type: ignore[attr-defined]

    def _slice(self, group: Group) -> slice:
        self._group(group)
        dims = [g.dim for g in group.groups]  # type: ignore[attr-defined]
        return slice(sum(dims[: self.member]), sum(dims[: self.member + 1]))

    def _inner(self) -> Any:
        if not hasattr(self.rep, "algebra_matrices"):
            raise RepresentationError(f"{self.rep!r} has no matrices; it can only be applied")
        return self.rep

    def check(self, group: Group) -> None:
        """The member must have the representation."""
        self.rep.check(self._group(group))

    def moved(self, dim: int) -> OnMember:
        """The same on another dimension."""
        return OnMember(self.member, self.rep.moved(dim))

    def size(self, group: Group) -> int | None:
        """As for the member."""
        return self.rep.size(self._group(group))

    def fits(self, group: Group, x: Tensor) -> str | None:
        """As for the member."""
        return self.rep.fits(self._group(group), x)

    def is_exact(self, g: Element) -> bool:
        """As for the member's part."""
        return self.rep.is_exact(self._element(g))

    def action_error(self, g: Element, x: Tensor) -> float:
        """As for the member's part."""
        return self.rep.action_error(self._element(g), x)

    def rows(self, x: Tensor) -> tuple[int, ...]:
        """As for the member."""
        return self.rep.rows(x)

    def matrix(self, g: Element) -> Matrix:
        """ρ of the member's part."""
        return self._inner().matrix(self._element(g))

    def algebra_matrices(self, group: Group) -> Matrix:
        """dρ for the member's part of the algebra, zero for the rest."""
        inner = self._inner().algebra_matrices(self._group(group))
        out = np.zeros((group.dim, *inner.shape[1:]), dtype=inner.dtype)
        out[self._slice(group)] = inner
        return out

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """ρ of the member's part of the generator."""
        return self.matrix(group.generator(name))

    def act(self, g: Element, x: Tensor) -> Tensor:
        """The member's part acts."""
        return self.rep.act(self._element(g), x)

    def apply(self, acting: Acting, x: Tensor) -> Tensor:
        """The members' parts act."""
        return self.rep.apply(replace(acting, elements=tuple(map(self._element, acting.elements))), x)

    def tangent(self, moving: Moving, x: Tensor) -> Tensor:
        """The member's part of the direction acts; zero where the member is finite."""
        group, part = self._group(moving.group), self._slice(moving.group)
        if not group.dim:
            return x.new_zeros(x.shape)
        return self.rep.tangent(Moving(group, np.asarray(moving.coordinates)[..., part], moving.rows), x)

    def act_tangent(self, group: Group, coordinates: Matrix, x: Tensor) -> Tensor:
        """One direction on the whole tensor."""
        return self.tangent(Moving(group, coordinates), x)

    def describe(self) -> str:
        """The member and what it does."""
        return f"member {self.member}: {self.rep.describe()}"

    def __repr__(self) -> str:
        return f"OnMember({self.member}, {self.rep!r})"
