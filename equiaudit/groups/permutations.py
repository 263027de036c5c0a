"""Permutations by rule, so that one element acts on any number of nodes; and the symmetric group of n things."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from equiaudit.groups.base import Element, Factor, Group, Matrix, NotInGroupError, Step
from equiaudit.groups.relabelling import Explicit, Order, Reverse, Roll, Shuffle, Swap


class PermutationElement(Element):
    """An element of Permutations: it has a permutation for every size.

    >>> Permutations().roll(1).permutation(4).tolist()
    [1, 2, 3, 0]
    """

    group: Permutations

    def permutation(self, size: int) -> Order:
        """p [size], int64: old node i becomes node p[i], so that (ρ(g) x)[p[i]] = x[i].

        Index tensors are mapped by ``p[values]``, rows are gathered by ``x[argsort(p)]``; p of g @ h is ``p_g[p_h]``.
        """
        return self._ordered("nodes", self.group.fit(size))

    def edge_permutation(self, size: int) -> Order:
        """The reordering of an edge list of any length that goes with the element, in the same convention.

        Rolls, reversals and shuffles reorder edges too; swaps and explicit lists leave them where they are.
        """
        return self._ordered("edges", size)

    def _ordered(self, kind: str, size: int) -> Order:
        p = np.arange(size)
        for factor in reversed(self.factors):
            p = getattr(factor, kind)(size)[p]
        return p

    def is_identity(self, tolerance: float = 1e-12) -> bool:
        """Whether it moves no node: at its size, or for a group without a size at every size that was tried."""
        n = self.group.n
        mentioned = [0, *(v for f in self.factors for v in _mentioned(f))]
        sizes = [n] if n is not None else [max(mentioned) + k for k in (2, 3, 5, 8, 13, 61)]
        return all((self.permutation(size) == np.arange(size)).all() for size in sizes)


class Permutations(Group):
    """All relabellings of nodes. ``Permutations()`` acts on any number of nodes, ``Permutations(n)`` on n.

    An element is a rule: ``roll(k)``, ``reverse()``, ``shuffle(seed)``, ``swap(i, j)`` or an explicit list
    ``of((2, 0, 1))``. The convention is (ρ(g) x)[p[i]] = x[i]: node i becomes node p[i].

    >>> g = Permutations().roll(1) @ Permutations().swap(0, 1)
    >>> g.permutation(3).tolist(), g.inverse()
    ([2, 1, 0], Permutations().swap(0, 1) @ Permutations().roll(-1))
    >>> Permutations(3).order
    6
    """

    def __init__(self, n: int | None = None) -> None:
        self.n = n
        if n is None:
            super().__init__("Permutations()")
            return
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise ValueError(f"Permutations(n) needs a whole number n of at least 1, got {n!r}")
        cycle = _as_matrix(Roll(1).nodes(n))
        generators = {"roll": cycle, "swap": _as_matrix(Swap(0, 1).nodes(n))} if n > 1 else {}
        super().__init__(f"Permutations({n})", (), generators, size=n)

    @property
    def acts_on_indices(self) -> bool:
        """Whether it relabels without a space of its own: without a size there are no matrices."""
        return self.n is None

    @property
    def order(self) -> int | None:
        """n!, or None without a size."""
        return None if self.n is None else math.factorial(self.n)

    def fit(self, size: int) -> int:
        """``size``, where this group can act on that many nodes.

        Raises:
            ValueError: the group permutes another number of nodes.
        """
        if self.n is not None and size != self.n:
            raise ValueError(f"{self!r} permutes {self.n} nodes, got {size}; Permutations() acts on any number")
        return int(size)

    # -- elements ---------------------------------------------------------------------------------------------------

    def roll(self, shift: int = 1) -> Element:
        """Node i becomes node i + shift, around the end; edges likewise."""
        return self.make(Roll(int(shift)))

    def reverse(self) -> Element:
        """The order of nodes and of edges reversed."""
        return self.make(Reverse())

    def shuffle(self, seed: int) -> Element:
        """A uniformly random order of nodes, and another of edges, from a seed of at least 0."""
        if int(seed) < 0:
            raise ValueError(f"{self!r}.shuffle needs a seed of at least 0, got {seed}")
        return self.make(Shuffle(int(seed)))

    def swap(self, i: int, j: int) -> Element:
        """Nodes i and j exchanged."""
        if min(i, j) < 0 or (self.n is not None and max(i, j) >= self.n):
            raise ValueError(f"{self!r}.swap needs node numbers from 0 on, got {i} and {j}")
        return self.make(Swap(int(i), int(j)))

    def of(self, order: Sequence[int]) -> Element:
        """Node i becomes node order[i]."""
        listed = tuple(int(i) for i in order)
        if sorted(listed) != list(range(len(listed))):
            raise ValueError(f"{self!r}.of needs each of 0 to {len(listed) - 1} once, got {listed}")
        if self.n is not None and len(listed) != self.n:
            raise ValueError(f"{self!r}.of needs {self.n} numbers, got {len(listed)}")
        return self.make(Explicit(listed))

    def make(self, *factors: Factor) -> Element:
        """The product of these factors, spelt as the calls that make them."""
        code = " @ ".join(f"{self!r}.{factor.spell()}" for factor in factors)
        return PermutationElement(self, factors, code or f"{self!r}.identity()")

    def generator(self, name: str, power: int = 1) -> Element:
        """ "roll" or "swap", to a power."""
        super().generator(name, power)
        return self.roll(power) if name == "roll" else self.swap(0, 1) if power % 2 else self.identity()

    def draw(self, rng: np.random.Generator) -> Element:
        """A uniform shuffle."""
        return self.shuffle(int(rng.integers(2**31)))

    def elements(self, limit: int = 4096) -> tuple[Element, ...]:
        """All n! elements in lexicographic order."""
        if self.n is None:
            raise ValueError("Permutations() has no size, so its elements can't be listed; use Permutations(n)")
        if math.factorial(self.n) > limit:
            raise ValueError(f"{self!r} has {math.factorial(self.n)} elements, more than the limit of {limit}")
        return tuple(self.of(p) for p in itertools.permutations(range(self.n)))

    def components(self) -> tuple[Element, ...]:
        """The identity: elements are listed by ``elements``."""
        return (self.identity(),)

    def element(self, matrix: Any) -> Element:
        """The permutation with this matrix.

        Raises:
            NotInGroupError: not a permutation matrix of this size.
        """
        if self.n is None:
            raise NotInGroupError("Permutations() has no matrices; use Permutations(n)")
        m = np.asarray(matrix)
        if m.shape != (self.n, self.n):
            raise NotInGroupError(f"{self!r} needs a matrix [{self.n}, {self.n}], got {list(m.shape)}")
        p = np.abs(m).argmax(0)
        defect = float(np.abs(m - _as_matrix(p)).max())
        if sorted(p.tolist()) != list(range(self.n)) or not defect <= 1e-6:
            raise NotInGroupError(f"not an element of {self!r}: the nearest 0-1 matrix is off by {defect:.1e}")
        return self.of(p)

    def factor_matrix(self, factor: Factor) -> Matrix:
        """M [n, n] with M[p[i], i] = 1."""
        if self.n is None:
            raise ValueError("an element of Permutations() has no matrix; ask for permutation(size)")
        if isinstance(factor, Step):
            return super().factor_matrix(factor)
        return _as_matrix(factor.nodes(self.n))

    def steps(self, factor: Factor) -> tuple[Step, ...]:
        """The factor as a word in the generators "roll" and "swap", for representations given by generators."""
        if isinstance(factor, Step):
            return (factor,)
        if self.n is None:
            raise ValueError("Permutations() has no discrete generators; use Permutations(n)")
        p, word = factor.nodes(self.n), list[Step]()
        while True:  # bubble sort: each exchange of neighbours k, k + 1 is roll^k swap roll^−k
            k = next((k for k in range(self.n - 1) if p[k] > p[k + 1]), None)
            if k is None:
                return tuple(s for s in reversed(word) if s.power)
            p[[k, k + 1]] = p[[k + 1, k]]
            word += [Step("roll", -k), Step("swap"), Step("roll", k)]

    def special_elements(self) -> dict[str, Element]:
        """The roll by one, the reversal and one exchange."""
        if self.n == 1:
            return {}
        return {"roll": self.roll(1), "reverse": self.reverse(), "swap": self.swap(0, 1)}


def _as_matrix(p: Order) -> Matrix:
    m = np.zeros((len(p), len(p)))
    m[p, np.arange(len(p))] = 1.0
    return m


def _mentioned(factor: Factor) -> tuple[int, ...]:
    if isinstance(factor, Swap):
        return factor.i, factor.j
    return tuple(factor.order) if isinstance(factor, Explicit) else ()
