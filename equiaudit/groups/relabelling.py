"""Rules that permute any number of nodes, and the edge list with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Order = np.ndarray[Any, Any]
"""p [size], int64: node i becomes node p[i]."""


@dataclass(frozen=True)
class Roll:
    """Node i becomes node i + shift, around the end; edges likewise."""

    shift: int

    def nodes(self, size: int) -> Order:
        """p [size]."""
        return (np.arange(size) + self.shift) % max(size, 1)

    edges = nodes

    def inverse(self) -> Roll:
        """Back by as much."""
        return Roll(-self.shift)

    def spell(self) -> str:
        """The call that makes this factor."""
        return f"roll({self.shift})"


@dataclass(frozen=True)
class Reverse:
    """The last node becomes the first; edges likewise."""

    def nodes(self, size: int) -> Order:
        """p [size]."""
        return np.arange(size)[::-1].copy()

    edges = nodes

    def inverse(self) -> Reverse:
        """Itself."""
        return self

    def spell(self) -> str:
        """The call that makes this factor."""
        return "reverse()"


@dataclass(frozen=True)
class Shuffle:
    """A uniformly random order, the same wherever seed and size are the same; edges by a stream of their own."""

    seed: int
    undo: bool = False

    def nodes(self, size: int) -> Order:
        """p [size]."""
        return self._order(size, 0)

    def edges(self, size: int) -> Order:
        """p [size]."""
        return self._order(size, 1)

    def _order(self, size: int, stream: int) -> Order:
        # Sorting the raw stream of a bit generator: numpy keeps raw streams from version to version, not shuffles.
        p = np.argsort(np.random.PCG64([self.seed, stream]).random_raw(size), kind="stable")
        return np.argsort(p) if self.undo else p

    def inverse(self) -> Shuffle:
        """Back to the order before."""
        return Shuffle(self.seed, not self.undo)

    def spell(self) -> str:
        """The call that makes this factor."""
        return f"shuffle({self.seed})" + (".inverse()" if self.undo else "")


@dataclass(frozen=True)
class Explicit:
    """Node i becomes node order[i]; nodes beyond the list stay, and so do edges."""

    order: tuple[int, ...]

    def nodes(self, size: int) -> Order:
        """p [size]."""
        if size < len(self.order):
            raise ValueError(f"{self.spell()} permutes {len(self.order)} nodes and can't act on {size}")
        return np.concatenate([np.array(self.order, dtype=np.int64), np.arange(len(self.order), size)])

    def edges(self, size: int) -> Order:
        """The identity."""
        return np.arange(size)

    def inverse(self) -> Explicit:
        """The inverse list."""
        return Explicit(tuple(int(i) for i in np.argsort(self.order)))

    def spell(self) -> str:
        """The call that makes this factor."""
        return f"of({self.order!r})"


@dataclass(frozen=True)
class Swap:
    """Nodes i and j change places; nothing moves where one of them does not exist, and edges stay."""

    i: int
    j: int

    def nodes(self, size: int) -> Order:
        """p [size]."""
        p = np.arange(size)
        if max(self.i, self.j) < size:
            p[[self.i, self.j]] = p[[self.j, self.i]]
        return p

    def edges(self, size: int) -> Order:
        """The identity."""
        return np.arange(size)

    def inverse(self) -> Swap:
        """Itself."""
        return self

    def spell(self) -> str:
        """The call that makes this factor."""
        return f"swap({self.i}, {self.j})"
