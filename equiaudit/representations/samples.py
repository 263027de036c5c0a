"""Which rows of a tensor belong to which sample, where every sample has its own element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from equiaudit.groups.base import Element
from equiaudit.representations.acting import Acting
from equiaudit.representations.base import Representation
from equiaudit.representations.compose import OnTwoDims
from equiaudit.representations.lifted import OnMember
from equiaudit.representations.permutation import EdgeIndex, Nodes
from equiaudit.representations.structures import Path, StructureError, path_name


@dataclass(frozen=True)
class Samples:
    """How rows of a tensor belong to samples: by position, by the assignment of nodes, or by that of edges.

    Args:
        count: the number of samples.
        nodes: the sample of each node, [nodes]; None where rows are samples.
        edges: the sample of each edge, [edges]; −1 for padding.
    """

    count: int
    nodes: Tensor | None
    edges: Tensor | None

    def rows_of(self, value: Tensor, path: Path) -> Tensor:
        """The sample of each row (first dimension) of ``value``.

        Where there are as many nodes as edges, values whose name starts with "edge" are edges.

        Raises:
            StructureError: the number of rows is none of samples, nodes and edges.
        """
        n = value.shape[0] if value.dim() else 0
        is_edge = self.edges is not None and n == len(self.edges)
        if is_edge and self.edges is not None and path and str(path[-1]).startswith("edge"):
            return self.edges
        if self.nodes is not None and n == len(self.nodes):
            return self.nodes
        if n == self.count:
            return torch.arange(n, device=value.device)
        if is_edge and self.edges is not None:
            return self.edges
        known = [f"{self.count} samples"] + ([f"{len(self.nodes)} nodes"] if self.nodes is not None else [])
        known += [f"{len(self.edges)} edges"] if self.edges is not None else []
        raise StructureError(
            f"{path_name(path, 'the tensor')} has {n} rows (shape {list(value.shape)}), "
            f"which is none of: {', '.join(known)}"
        )

    def acting(self, elements: tuple[Element, ...], rep: Representation, value: Tensor, path: Path) -> Acting:
        """The elements on their way to this value.

        Raises:
            StructureError: another number of elements than samples, or rows that can't be assigned.
        """
        if len(elements) == 1:
            elements = elements * self.count
        if len(elements) != self.count:
            raise StructureError(f"{len(elements)} elements for {self.count} samples; give one, or one for each sample")
        try:
            rows = self.rows_of(value, path)
        except StructureError:
            if not rep.relabels:  # a relabelling finds its own way by the assignment of nodes
                raise
            rows = None
        return Acting(elements, rows, self.nodes, self.edges)


def count_nodes(
    rep: Representation, value: Any, path: Path, known: Sequence[tuple[Path, Any, Any]], per_sample: bool
) -> int | None:
    """How many nodes the index tensor ``value`` names from, which it does not say itself; None where nothing says it.

    Args:
        rep: the representation of ``value``.
        value: an index tensor, or an output with nodes, which then must agree with what the index tensors meant.
        path: where it is.
        known: the inputs: paths, values, representations.
        per_sample: whether the first dimension holds samples.

    Raises:
        StructureError: the inputs have several sizes, or isolated nodes that no input shows.
    """
    sizes: dict[int, str] = {}
    rep, known = inner(rep), [(where, leaf, inner(declared)) for where, leaf, declared in known]
    for where, leaf, declared in known:
        for n in _node_sizes(declared, leaf, per_sample):
            sizes.setdefault(n, path_name(where))
    if isinstance(rep, EdgeIndex) and rep.nodes is None:
        if len(sizes) > 1:
            found = ", ".join(f"{name} has {n}" for n, name in sizes.items())
            raise StructureError(
                f"{path_name(path)}: how many nodes does it name from? {found}; say EdgeIndex(nodes=…)"
            )
        return next(iter(sizes), None)
    for where, leaf, declared in known if not sizes else ():
        if isinstance(declared, EdgeIndex) and declared.nodes is None and isinstance(leaf, Tensor) and leaf.numel():
            named, source = int(leaf.max()) + 1, path_name(where, "the input")
            for n in _node_sizes(rep, value, per_sample):
                if n != named:
                    raise StructureError(
                        f"{path_name(path)} has {n} nodes, {source} names {named} and no input is declared 'nodes': "
                        f"say EdgeIndex(nodes={n}), so that isolated nodes move too"
                    )
    return None


def inner(rep: Any) -> Any:
    """The representation of a member of a direct product that is lifted to the product; others as they are."""
    return inner(rep.rep) if isinstance(rep, OnMember) else rep


def _node_sizes(rep: Any, value: Any, per_sample: bool) -> list[int]:
    if isinstance(rep, OnTwoDims):
        return _node_sizes(rep.first, value, per_sample) + _node_sizes(rep.second, value, per_sample)
    if type(rep) is not Nodes or not isinstance(value, Tensor):
        return []
    axis = 1 if per_sample and rep.given is None else rep.axis
    return [value.shape[axis]] if -value.dim() <= axis < value.dim() else []
