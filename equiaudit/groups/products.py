"""Direct products: pairs of elements that act side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from scipy.linalg import block_diag

from equiaudit.groups.base import Element, Exp, Factor, Group, Matrix, NotInGroupError, Step


@dataclass(frozen=True)
class Lifted:
    """A factor of one member's own kind (a roll of nodes) inside a product."""

    member: int
    factor: Factor

    def inverse(self) -> Lifted:
        """The same member's inverse factor."""
        return Lifted(self.member, self.factor.inverse())

    def spell(self) -> str:
        """The member's spelling."""
        return self.factor.spell()


@dataclass(frozen=True, eq=False, repr=False)
class ProductElement(Element):
    """An element of a direct product; ``members`` holds its part in each group."""

    members: tuple[Element, ...] = ()

    def is_identity(self, tolerance: float = 1e-12) -> bool:
        """Whether every part is the identity."""
        return all(g.is_identity(tolerance) for g in self.members)


class DirectProduct(Group):
    """G × H × …: elements are pairs (g, h), the matrix is block-diagonal, the algebras stand one after the other.

    A representation of one member is lifted by ``equiaudit.representations.OnMember``.

    >>> from equiaudit.groups import SO, Scaling
    >>> G = SO(2) * Scaling(2)
    >>> G.pair(SO(2).exp(0.5), Scaling(2).by(2.0))
    DirectProduct(SO(2), Scaling(2)).pair(SO(2).exp(0.5), Scaling(2).by(2.0))
    >>> [part.name for part in G.parts]
    ['rotations', 'scaling']
    """

    def __init__(self, *groups: Group) -> None:
        if len(groups) < 2:
            raise ValueError(f"DirectProduct takes at least two groups, got {len(groups)}")
        flat: list[Group] = []
        for group in groups:
            flat += group.groups if isinstance(group, DirectProduct) else [group]
        self.groups: tuple[Group, ...] = tuple(flat)
        algebra = [self._block(i, a, 0.0) for i, g in enumerate(flat) for a in g.algebra]
        discrete = {
            self._label(i, k): self._block(i, h, 1.0) for i, g in enumerate(flat) for k, h in g.discrete.items()
        }
        parts, start = {}, 0
        for i, g in enumerate(flat):
            for part in g.parts:
                shared = sum(part.name == other.name for h in flat for other in h.parts) > 1
                name = f"{part.name} of {i}: {g!r}" if shared else part.name
                parts[name] = [start + k for k in part.indices]
            start += g.dim
        size = sum(g.size for g in flat)
        super().__init__(f"DirectProduct({', '.join(map(repr, flat))})", algebra, discrete, parts=parts, size=size)

    def _label(self, member: int, name: str) -> str:
        return f"{member}.{name}"

    def _block(self, member: int, matrix: Matrix, other: float) -> Matrix:
        return block_diag(*(matrix if i == member else other * np.eye(g.size) for i, g in enumerate(self.groups)))

    @property
    def acts_on_indices(self) -> bool:
        """Whether no member has a space of its own."""
        return all(getattr(g, "acts_on_indices", False) for g in self.groups)

    @property
    def order(self) -> int | None:
        """The product of the orders; None where one is infinite or unknown."""
        orders = [g.order for g in self.groups]
        return None if None in orders else reduce(lambda a, b: a * b, orders, 1)  # type: ignore[operator]

    # -- elements ---------------------------------------------------------------------------------------------------

    def pair(self, *members: Element) -> Element:
        """The element with these parts, one from each group.

        Raises:
            ValueError: a part is missing or in another group.
        """
        if [m.group for m in members] != list(self.groups):
            raise ValueError(f"{self!r}.pair takes elements of {list(self.groups)}, got {list(members)}")
        factors = tuple(self._lift(i, f) for i, g in enumerate(members) for f in g.factors)
        return ProductElement(self, factors, f"{self!r}.pair({', '.join(g.code for g in members)})", members)

    def only(self, member: int, element: Element) -> Element:
        """The element with ``element`` in one group and the identity in the others."""
        return self.pair(*(element if i == member else g.identity() for i, g in enumerate(self.groups)))

    def _lift(self, member: int, factor: Factor) -> Factor:
        if isinstance(factor, Step):
            return replace(factor, name=self._label(member, factor.name))
        if not isinstance(factor, Exp):
            return Lifted(member, factor)
        blocks = [g.dim for g in self.groups]
        before, after = sum(blocks[:member]), sum(blocks[member + 1 :])
        exact = self._block(member, self.groups[member].factor_matrix(factor), 1.0)
        return Exp((*(0.0,) * before, *factor.coordinates, *(0.0,) * after), exact)

    def _split(self, coordinates: Any) -> list[Any]:
        ends = np.cumsum([g.dim for g in self.groups])
        return [coordinates[end - g.dim : end] for g, end in zip(self.groups, ends, strict=True)]

    def identity(self) -> Element:
        """The identity in every group."""
        return self.pair(*(g.identity() for g in self.groups))

    def exp(self, *coordinates: float) -> Element:
        """The exponential in every group; the coordinates of the groups one after the other."""
        c = self.read_coordinates(coordinates)
        pairs = zip(self.groups, self._split(c), strict=True)
        return self.pair(*(g.exp(*v) if g.dim else g.identity() for g, v in pairs))

    def generator(self, name: str, power: int = 1) -> Element:
        """A discrete generator of one group: ``"0.inversion"`` is the inversion of the first."""
        for i, g in enumerate(self.groups):
            for key in g.discrete:
                if self._label(i, key) == name:
                    return self.only(i, g.generator(key, power))
        raise NotInGroupError(f"{self!r} has no discrete generator {name!r}; it has {sorted(self.discrete) or 'none'}")

    def make(self, *factors: Factor) -> Element:
        """The product of factors of this group."""
        members: list[list[Factor]] = [[] for _ in self.groups]
        for factor in factors:
            if isinstance(factor, Lifted):
                members[factor.member].append(factor.factor)
            elif isinstance(factor, Step):
                member, _, name = factor.name.partition(".")
                members[int(member)].append(Step(name, factor.power))
            else:
                for kept, c in zip(members, self._split(factor.coordinates), strict=True):
                    kept += [Exp(tuple(c))] if any(c) else []
        return self.pair(*(g.make(*fs) for g, fs in zip(self.groups, members, strict=True)))

    def compose(self, g: Element, h: Element) -> Element:
        """Products in every group."""
        pairs = zip(_members(g), _members(h), strict=True)
        return self.pair(*(a @ b for a, b in pairs))

    def invert(self, g: Element) -> Element:
        """Inverses in every group."""
        return self.pair(*(a.inverse() for a in _members(g)))

    def factor_matrix(self, factor: Factor) -> Matrix:
        """The block-diagonal matrix of one factor."""
        if isinstance(factor, Lifted):
            return self._block(factor.member, self.groups[factor.member].factor_matrix(factor.factor), 1.0)
        return super().factor_matrix(factor)

    def steps(self, factor: Factor) -> tuple[Step, ...]:
        """The member's word, lifted."""
        if not isinstance(factor, Lifted):
            return super().steps(factor)
        return tuple(self._lift(factor.member, s) for s in self.groups[factor.member].steps(factor.factor))

    def logarithm(self, matrix: Matrix) -> Matrix:
        """The coordinates of the groups one after the other."""
        return np.concatenate([g.logarithm(b) for g, b in zip(self.groups, self._blocks(matrix), strict=True) if g.dim])

    def _blocks(self, matrix: Matrix) -> list[Matrix]:
        ends = np.cumsum([g.size for g in self.groups])
        return [matrix[e - g.size : e, e - g.size : e] for g, e in zip(self.groups, ends, strict=True)]

    def element(self, matrix: Any) -> Element:
        """The pair whose blocks these are.

        Raises:
            NotInGroupError: a block is not in its group, or the matrix is not block-diagonal.
        """
        m = np.asarray(matrix)
        if m.shape != (self.size, self.size):
            raise NotInGroupError(f"{self!r} needs a matrix [{self.size}, {self.size}], got {list(m.shape)}")
        blocks = self._blocks(m)
        outside = float(np.abs(m - block_diag(*blocks)).max())
        if not outside <= 1e-6 * max(1.0, np.abs(m).max()):
            raise NotInGroupError(f"not an element of {self!r}: entries outside the blocks reach {outside:.1e}")
        return self.pair(*(g.element(b) for g, b in zip(self.groups, blocks, strict=True)))

    def elements(self, limit: int = 4096) -> tuple[Element, ...]:
        """All pairs, the last group running fastest."""
        if self.order is not None and self.order > limit:
            raise ValueError(f"{self!r} has {self.order} elements, more than the limit of {limit}")
        return tuple(self.pair(*pair) for pair in product(*(g.elements(limit) for g in self.groups)))

    def draw(self, rng: np.random.Generator) -> Element:
        """Independent draws."""
        return self.pair(*(g.sample(rng) for g in self.groups))

    def special_elements(self) -> dict[str, Element]:
        """The special elements of each group, with the identity in the others."""
        named = [(i, g, g.special_elements()) for i, g in enumerate(self.groups)]
        return {f"{name} of {i}: {g!r}": self.only(i, e) for i, g, found in named for name, e in found.items()}

    # -- affine members ---------------------------------------------------------------------------------------------

    def recentre(self, g: Element, origin: Matrix, radius: float = 1.0) -> Element:
        """The parts in affine groups of the origin's dimension recentred."""
        return self.pair(*(m.group.recentre(m, origin, radius) if _moves(m.group, origin) else m for m in _members(g)))

    def recentre_direction(self, coordinates: Matrix, origin: Matrix, radius: float = 1.0) -> Matrix:
        """The coordinates of affine groups of the origin's dimension recentred."""
        split = zip(self.groups, self._split(np.asarray(coordinates, dtype=float)), strict=True)
        return np.concatenate(
            [
                g.recentre_direction(c, origin, radius) if _moves(g, origin) else np.asarray(c, dtype=float)
                for g, c in split
            ]
        )


def _members(g: Element) -> tuple[Element, ...]:
    assert isinstance(g, ProductElement)
    return g.members


def _moves(group: Group, origin: Matrix) -> bool:
    return group.affine and group.space_dim == len(origin)
