"""Finite groups: enumeration from generators; cyclic, dihedral, octahedral and icosahedral groups; flips."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from equiaudit.groups.base import Element, Factor, Group, Matrix, NotInGroupError, Step
from equiaudit.groups.orthogonal import SO, check_size
from equiaudit.groups.rotations import cos_sin

LIMIT = 4096
"""The largest group that is listed unless another limit is given."""


def enumerate_words(group: Group, limit: int = LIMIT) -> list[tuple[tuple[Step, ...], Matrix]]:
    """Every element as its shortest word in the discrete generators, with its matrix, breadth first from the identity.

    Raises:
        ValueError: the group is continuous, or has more than ``limit`` elements.
    """
    if not group.is_finite:
        raise ValueError(f"{group!r} is continuous, so its elements can't be listed; draw some with sample(rng)")
    found: list[tuple[tuple[Step, ...], Matrix]] = [((), np.eye(group.size))]
    seen = {matrix_key(found[0][1])}
    for word, m in found:  # grows while it is read
        for name, h in group.discrete.items():
            product = m @ h
            key = matrix_key(product)
            if key in seen:
                continue
            if len(found) == limit:
                raise ValueError(
                    f"{group!r} has more than {limit} elements, or infinitely many; "
                    "raise the limit, or draw elements with sample(rng)"
                )
            seen.add(key)
            found.append((_shortened((*word, Step(name))), product))
    return found


def enumerate_elements(group: Group, limit: int = LIMIT) -> tuple[Element, ...]:
    """Every element of a finite group, breadth first over its generators, the identity first.

    >>> len(enumerate_elements(Group("quarter turns", discrete=[[[0, -1], [1, 0]]])))
    4

    Raises:
        ValueError: the group is continuous, or has more than ``limit`` elements.
    """
    return tuple(group.make(*word) for word, _ in enumerate_words(group, limit))


def matrix_key(matrix: Matrix) -> bytes:
    """The same bytes for matrices that agree to rounding; the offset keeps common values off the edges of the bins."""
    both = np.stack([matrix.real, matrix.imag])
    return np.floor(both * 2.0**24 + 1 / math.e).astype(np.int64).tobytes()


def _shortened(word: tuple[Step, ...]) -> tuple[Step, ...]:
    if len(word) > 1 and word[-1].name == word[-2].name:
        return (*word[:-2], Step(word[-1].name, word[-2].power + word[-1].power))
    return word


class FiniteGroup(Group):
    """A finite matrix group given by generators. Its elements are spelt ``element_at(k)``; number 0 is the identity.

    Args:
        name: how the group is spelt.
        generators: matrices [n, n] by name.
        order: the number of elements, where it is known.
        limit: the number of elements above which it is refused.

    >>> klein = FiniteGroup("Klein", {"a": [[-1, 0], [0, 1]], "b": [[1, 0], [0, -1]]})
    >>> [g.matrix.diagonal().tolist() for g in klein.elements()]
    [[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]
    """

    def __init__(
        self,
        name: str,
        generators: Mapping[str, Any],
        order: int | None = None,
        limit: int = LIMIT,
        size: int | None = None,
    ) -> None:
        super().__init__(name, (), generators, size=size)
        self._order, self.limit = order, limit

    @property
    def order(self) -> int:
        """The number of elements."""
        return len(self._table) if self._order is None else self._order

    def words(self) -> Sequence[tuple[Step, ...]]:
        """Each element as a product of the discrete generators, in the order of ``element_at``."""
        return [word for word, _ in enumerate_words(self, self.limit)]

    @cached_property
    def _table(self) -> tuple[tuple[Step, ...], ...]:
        return tuple(self.words())

    @cached_property
    def _index(self) -> dict[bytes, int]:
        return {matrix_key(self.product(word)): k for k, word in enumerate(self._table)}

    def element_at(self, index: int) -> Element:
        """Element number ``index``, from 0 (the identity) to order − 1.

        >>> Cyclic(4).element_at(1).matrix.tolist()
        [[0.0, -1.0], [1.0, 0.0]]
        """
        if not 0 <= index < len(self._table):
            raise NotInGroupError(f"{self!r} has elements 0 to {len(self._table) - 1}, got {index}")
        return Element(self, self._table[index], f"{self!r}.element_at({int(index)})")

    def make(self, *factors: Factor) -> Element:
        """The listed element that this product of generators is."""
        index = self._index.get(matrix_key(self.product(factors)))
        if index is None:
            raise NotInGroupError(f"the product of {factors!r} is not listed in {self!r}")
        return self.element_at(index)

    def elements(self, limit: int = LIMIT) -> tuple[Element, ...]:
        """All elements, in the order of ``element_at``.

        Raises:
            ValueError: there are more than ``limit``.
        """
        if self.order > limit:
            raise ValueError(f"{self!r} has {self.order} elements, more than the limit of {limit}")
        return tuple(self.element_at(k) for k in range(len(self._table)))

    def draw(self, rng: np.random.Generator) -> Element:
        """Each element with the same probability."""
        return self.element_at(int(rng.integers(len(self._table))))

    def special_elements(self) -> dict[str, Element]:
        """The generators."""
        return {name: self.generator(name) for name in self.discrete}


class Cyclic(FiniteGroup):
    """The n rotations of the plane by multiples of 1/n turn; ``element_at(k)`` turns by k/n. Generator: "turn".

    >>> Cyclic(6).order, Cyclic(6).element_at(2) @ Cyclic(6).element_at(5)
    (6, Cyclic(6).element_at(1))
    """

    def __init__(self, n: int) -> None:
        check_size("Cyclic", n)
        self.n = n
        super().__init__(f"Cyclic({n})", {"turn": _turned(Fraction(1, n))}, order=n)

    def words(self) -> Sequence[tuple[Step, ...]]:
        """Powers of the turn."""
        return [(Step("turn", k),) if k else () for k in range(self.n)]

    def factor_matrix(self, factor: Factor) -> Matrix:
        """The turn by power/n, without the rounding of repeated products."""
        return _turned(Fraction(factor.power, self.n)) if factor.name == "turn" else super().factor_matrix(factor)


class Dihedral(Cyclic):
    """The symmetries of the regular n-gon: n rotations, then each after the flip x → −x. Generators: "turn", "flip".

    ``element_at(k)`` turns by k/n for k < n; for k ≥ n it flips first, then turns by (k − n)/n.

    >>> Dihedral(4).order, Dihedral(4).element_at(4).matrix.tolist()
    (8, [[-1.0, 0.0], [0.0, 1.0]])
    """

    def __init__(self, n: int) -> None:
        check_size("Dihedral", n)
        self.n = n
        flip = np.diag([-1.0, 1.0])
        FiniteGroup.__init__(self, f"Dihedral({n})", {"turn": _turned(Fraction(1, n)), "flip": flip}, order=2 * n)

    def words(self) -> Sequence[tuple[Step, ...]]:
        """Turns, then turns after the flip."""
        turns = super().words()
        return [*turns, *((*turn, Step("flip")) for turn in turns)]


class Flip(FiniteGroup):
    """The identity and one flip of n-space, which negates the axes given, or all of them. Generator: "flip".

    >>> Flip(2, 0).generator("flip").matrix.tolist()
    [[-1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, n: int = 1, *axes: int) -> None:
        check_size("Flip", n)
        if len(set(axes)) != len(axes) or not all(isinstance(a, int) and 0 <= a < n for a in axes):
            raise ValueError(f"Flip({n}, *axes) needs different axes from 0 to {n - 1}, got {axes}")
        diagonal = [-1.0 if not axes or a in axes else 1.0 for a in range(n)]
        super().__init__(f"Flip({', '.join(map(str, (n, *axes)))})", {"flip": np.diag(diagonal)}, order=2)


class Octahedral(FiniteGroup):
    """The 24 rotations of the cube, exactly; with the inversion all 48 signed permutations of the axes.

    >>> Octahedral().order, Octahedral(inversion=True).order
    (24, 48)
    """

    def __init__(self, inversion: bool = False) -> None:
        generators = {f"quarter turn {a}": SO(3).turn(a, Fraction(1, 4)).matrix for a in "xyz"}
        super().__init__(*_polyhedral("Octahedral", generators, 24, inversion))


class Icosahedral(FiniteGroup):
    """The 60 rotations of the icosahedron with vertices (0, ±1, ±φ) and cyclic; with the inversion 120 elements.

    >>> Icosahedral().order, Icosahedral(inversion=True).order
    (60, 120)
    """

    def __init__(self, inversion: bool = False) -> None:
        phi = (1.0 + math.sqrt(5.0)) / 2.0
        generators = {
            "fifth turn": SO(3).turn((0.0, 1.0, phi), Fraction(1, 5)).matrix,
            "third turn": SO(3).turn((1, 1, 1), Fraction(1, 3)).matrix,
        }
        super().__init__(*_polyhedral("Icosahedral", generators, 60, inversion))


def _polyhedral(
    name: str, generators: dict[str, Matrix], order: int, inversion: bool
) -> tuple[str, dict[str, Matrix], int]:
    if not inversion:
        return f"{name}()", generators, order
    return f"{name}(inversion=True)", generators | {"inversion": np.diag([-1.0] * 3)}, 2 * order


def _turned(fraction: Fraction) -> Matrix:
    c, s = cos_sin(fraction)
    return np.array([[c, -s], [s, c]])
