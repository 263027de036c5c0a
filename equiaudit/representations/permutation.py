"""Relabelling: nodes and edges are reordered, and index tensors that name nodes are renamed and reordered."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.groups.base import Element, Group, Matrix
from equiaudit.groups.permutations import Permutations
from equiaudit.representations.acting import Acting, Moving
from equiaudit.representations.base import MatrixRepresentation, Representation, RepresentationError

Order = np.ndarray[Any, Any]


class Relabelling(Representation):
    """What nodes, edges and edge indices share: they act by the permutations of the group and never round."""

    exact = True
    relabels = True
    name = "nodes"

    def check(self, group: Group) -> None:
        """Permutations() and Permutations(n)."""
        if not isinstance(group, Permutations):
            raise RepresentationError(
                f"{self.name!r} relabels, and {group!r} has no permutations: the groups that have are Permutations() "
                f"and Permutations(n); for both give a sequence, [Symmetry({group!r}, …), Symmetry(Permutations(), …)]"
            )

    def act(self, g: Element, x: Tensor) -> Tensor:
        """One element on the whole tensor."""
        return self.apply(Acting((g,)), x)

    def tangent(self, moving: Moving, x: Tensor) -> Tensor:
        """Zero: permutations have no continuous part."""
        return x.new_zeros(x.shape)

    def rows(self, x: Tensor) -> tuple[int, ...]:
        """Every entry is its own row: what a node carries are scalars to a permutation."""
        return ()


class Nodes(Relabelling, MatrixRepresentation):
    """Nodes in a dimension: node i moves to place p[i], (ρ(g) x)[p[i]] = x[i].

    Args:
        dim: the dimension that indexes nodes. Left out it is the first; with one element per sample (``batch=0``),
            where the first holds the samples, the second. With a graph-assignment vector the nodes of each graph move
            within the places of that graph.

    ``Nodes(dim=-2) * Nodes(dim=-1)`` permutes the rows and the columns of an adjacency matrix.

    >>> import torch
    >>> from equiaudit.groups import Permutations
    >>> Nodes().act(Permutations().roll(1), torch.tensor([10, 20, 30])).tolist()
    [30, 10, 20]
    """

    def __init__(self, dim: int | None = None) -> None:
        self.given = dim
        self.axis = 0 if dim is None else dim

    def moved(self, dim: int) -> Nodes:
        """The same on another dimension."""
        return type(self)(dim)

    def order(self, g: Element, size: int) -> Order:
        """p [size]: place i goes to place p[i]."""
        return g.permutation(size)  # type: ignore[attr-defined]

    def assignment(self, acting: Acting) -> Tensor | None:
        """The sample of each place, where a vector says so."""
        return acting.nodes if isinstance(acting.nodes, Tensor) else None

    def size(self, group: Group) -> int | None:
        """n under Permutations(n); any length under Permutations()."""
        return getattr(group, "n", None)

    def fits(self, group: Group, x: Tensor) -> str | None:
        """A dimension of nodes is needed; lengths are checked when acting, which knows about samples."""
        return None if -x.dim() <= self.axis < x.dim() else f"it has no dimension {self.axis}, shape {list(x.shape)}"

    def apply(self, acting: Acting, x: Tensor) -> Tensor:
        """Reorders by an index: no arithmetic."""
        samples = self.assignment(acting)
        axis = self.axis % max(x.dim(), 1)
        if samples is not None and x.shape[axis] == len(samples):
            return reorder(x, axis, within_samples(self, acting, samples))
        if acting.rows is None:
            return reorder(x, axis, self._order(acting.elements[0], x.shape[axis]))
        if self.given is None:
            axis = 1
        if not 0 < axis < x.dim():
            raise RepresentationError(
                f"with one element per sample, dimension 0 holds the samples and {self!r} needs another one, "
                f"such as {type(self).__name__}(dim=1); shape {list(x.shape)}"
            )
        orders = np.stack([self._order(g, x.shape[axis]) for g in acting.elements])
        return reorder_rows(x, axis, orders, acting.rows)

    def _order(self, g: Element, size: int) -> Order:
        try:
            return self.order(g, size)
        except ValueError as error:
            raise RepresentationError(f"{self!r}: {error}") from None

    def matrix(self, g: Element) -> Matrix:
        """M [n, n] with M[p[i], i] = 1, under Permutations(n)."""
        n = self.size(g.group)
        if n is None:
            raise RepresentationError(f"{self!r} has a matrix under Permutations(n) alone, not under {g.group!r}")
        m = np.zeros((n, n))
        m[self.order(g, n), np.arange(n)] = 1.0
        return m

    def algebra_matrices(self, group: Group) -> Matrix:
        """None: a finite group."""
        n = self.size(group) or 1
        return np.zeros((0, n, n))

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """The matrix of the generator."""
        return self.matrix(group.generator(name))

    def describe(self) -> str:
        """The dimension that indexes nodes."""
        return f"{self.name} on dim {self.axis}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}()" if self.given is None else f"{type(self).__name__}(dim={self.given})"


class Edges(Nodes):
    """Edges in a dimension, reordered as ``EdgeIndex`` reorders the edge list; ``dim`` as for ``Nodes``."""

    name = "edges"

    def order(self, g: Element, size: int) -> Order:
        """The reordering of edges that goes with the element."""
        return g.edge_permutation(size)  # type: ignore[attr-defined]

    def assignment(self, acting: Acting) -> Tensor | None:
        """The sample of each edge."""
        return acting.edges

    def size(self, group: Group) -> int | None:
        """Any length."""
        return None


class EdgeIndex(Relabelling):
    """An integer tensor that names nodes, [2, edges]: values are renamed i → p[i] and edges reordered with ``Edges``.

    Negative values (padding) are left alone.

    Args:
        dim: the dimension that indexes edges: −1 for [2, edges], −2 for [edges, 2].
        nodes: the number of nodes. A ``Symmetry`` finds it from the values that are declared "nodes" or from the
            graph-assignment vector; without either it is the largest value + 1, and isolated last nodes stay.

    >>> import torch
    >>> from equiaudit.groups import Permutations
    >>> EdgeIndex().act(Permutations().of((2, 0, 1)), torch.tensor([[0, 1], [1, 2]])).tolist()
    [[2, 0], [0, 1]]
    """

    name = "edge_index"

    def __init__(self, dim: int = -1, nodes: int | None = None) -> None:
        self.axis, self.nodes = dim, nodes

    def fits(self, group: Group, x: Tensor) -> str | None:
        """An integer tensor with a dimension for edges and one for their ends."""
        if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
            return f"it must hold integers that name nodes, dtype {x.dtype}"
        return None if x.dim() in (2, 3) else f"it must be [2, edges] or [edges, 2], shape {list(x.shape)}"

    def apply(self, acting: Acting, x: Tensor) -> Tensor:
        """Renames and reorders."""
        if isinstance(acting.nodes, Tensor) and x.dim() == 2:
            ends = self.ends(x)
            names = within_samples(Nodes(), acting, acting.nodes)
            order = within_samples(Edges(), acting, edge_samples(ends, acting.nodes))
            return reorder(self._rename(x, names), self.axis % x.dim(), order)
        if acting.rows is None:
            return self._act(acting.elements[0], x, acting.nodes)
        if x.dim() != 3:
            raise RepresentationError(
                f"with one element per sample {self!r} must be [samples, 2, edges], shape {list(x.shape)}; where one "
                "edge list names the nodes of all samples, give the graph-assignment vector: batch='batch'"
            )
        return torch.stack(
            [self._act(acting.elements[int(i)], row, acting.nodes) for i, row in zip(acting.rows, x, strict=True)]
        )

    def ends(self, x: Tensor) -> Tensor:
        """[2, edges] whichever way the tensor is laid out."""
        return x.movedim(self.axis, -1)

    def _act(self, g: Element, x: Tensor, nodes: Tensor | int | None) -> Tensor:
        used = int(x.max()) + 1 if x.numel() else 0
        known = self.nodes if self.nodes is not None else nodes
        count = known if isinstance(known, int) else max(used, getattr(g.group, "n", None) or 0)
        if used > count:
            raise RepresentationError(f"{self!r} names node {used - 1}, and there are {count} nodes")
        renamed = self._rename(x, g.permutation(count))  # type: ignore[attr-defined]
        order = g.edge_permutation(x.shape[self.axis])  # type: ignore[attr-defined]
        return reorder(renamed, self.axis % x.dim(), order)

    def _rename(self, x: Tensor, names: Order) -> Tensor:
        if x.numel() and int(x.max()) >= len(names):
            raise RepresentationError(f"{self!r} names node {int(x.max())}, and there are {len(names)} nodes")
        table = torch.from_numpy(names).to(x.device, x.dtype)
        return torch.where(x < 0, x, table[x.clamp(min=0).long()]) if len(names) else x.clone()

    def describe(self) -> str:
        """The name and the dimension of edges."""
        return f"edge_index with edges on dim {self.axis}"

    def __repr__(self) -> str:
        given = [f"dim={self.axis}"] * (self.axis != -1) + [f"nodes={self.nodes}"] * (self.nodes is not None)
        return f"EdgeIndex({', '.join(given)})"


def reorder(x: Tensor, axis: int, p: Order) -> Tensor:
    """Entry i along ``axis`` goes to place p[i]."""
    return x.index_select(axis, torch.from_numpy(np.argsort(p)).to(x.device))


def reorder_rows(x: Tensor, axis: int, orders: Order, rows: Tensor) -> Tensor:
    """Row n of ``x`` (first dimension) reordered along ``axis`` by ``orders[rows[n]]``; orders is [samples, size]."""
    index = torch.from_numpy(np.argsort(orders, -1)).to(x.device)[rows.to(x.device)]  # [rows, size]
    moved = x.movedim(axis, 1)
    return moved[torch.arange(len(rows), device=x.device)[:, None], index].movedim(1, axis)


def within_samples(rep: Nodes, acting: Acting, samples: Tensor) -> Order:
    """p [rows] that moves the rows of each sample within the places of that sample; rows of sample −1 stay."""
    owner = samples.detach().cpu().numpy()
    by_sample = np.argsort(owner, kind="stable")
    bounds = np.searchsorted(owner[by_sample], np.arange(len(acting.elements) + 1))
    p = np.arange(len(owner))
    for i, g in enumerate(acting.elements):
        places = by_sample[bounds[i] : bounds[i + 1]]
        p[places] = places[rep._order(g, len(places))]
    return p


def edge_samples(ends: Tensor, nodes: Tensor) -> Tensor:
    """The sample of each edge [edges], from its first end [2, edges]; −1 for padding."""
    if not len(nodes):
        return ends.new_full((ends.shape[-1],), -1)
    first = ends[0].clamp(min=0, max=len(nodes) - 1).long()
    return torch.where(ends[0] < 0, -1, nodes.to(ends.device)[first])
