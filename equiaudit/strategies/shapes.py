"""Strategies for inputs: drawn as shape, seed, scale and named probe, never as raw arrays, so that they shrink and print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from torch import Tensor

from equiaudit.representations.structures import StructureError
from equiaudit.strategies import clouds
from equiaudit.strategies.drawing import variations
from equiaudit.strategies.variation import Variation, can_pose, count_rows, declared_leaves
from equiaudit.symmetry import Symmetry

SCALES = (1.0, 1.0, 1.0, 2.0, 0.5, 10.0, 0.1, 1000.0, 1e-3)
OFFSETS = (0.0, 0.0, 0.0, 1.0, 100.0, 1e4)
SEEDS = st.integers(0, 255)


def inputs(symmetry: Symmetry | Sequence[Symmetry], like: Any) -> st.SearchStrategy[Any]:
    """Variations of an example by its declared representations: fewer nodes, special and singular poses, other values.

    Structure, dtypes and what is not declared stay; edges follow their nodes. They shrink to one node in the simplest
    pose.

    Args:
        symmetry: says which leaves are points, vectors, …
        like: an input of the model.

    Raises:
        StructureError: no leaf of the example is declared, so nothing could vary.

    >>> from hypothesis import find
    >>> from equiaudit.groups import E
    >>> import torch
    >>> rigid = Symmetry(E(3), {"pos": "points"}, "invariant")
    >>> find(inputs(rigid, like={"pos": torch.randn(5, 3)}), lambda x: len(x["pos"]) > 1)["pos"].shape
    torch.Size([2, 3])
    """
    symmetries = [symmetry] if isinstance(symmetry, Symmetry) else list(symmetry)
    if not declared_leaves(symmetries, like):
        raise StructureError(
            "no floating-point leaf of the example is declared, so nothing could vary: Symmetry(inputs=…)"
        )

    def varied(variation: Variation) -> Any:
        return variation.of(like, symmetries)

    return variations(count_rows(symmetries, like), can_pose(symmetries, like)).map(varied)


def tensors(shape: tuple[int, ...], *, dtype: Any = None) -> st.SearchStrategy[Tensor]:
    """Tensors of a shape: normal numbers of several sizes, ones, axis-aligned rows, one hot, alternating signs, zeros.

    >>> from hypothesis import find
    >>> find(tensors((1, 3)), lambda x: True)
    tensor([[1., 1., 1.]])
    """
    return st.builds(
        clouds.row_tensor,
        st.just(shape),
        _probe(clouds.TENSORS, "ones"),
        st.sampled_from(SCALES),
        SEEDS,
        st.just(dtype),
    )


def point_clouds(
    nodes: int | tuple[int, int] = (1, 8), *, dim: int = 3, dtype: Any = None
) -> st.SearchStrategy[Tensor]:
    """Points [n, dim]: generic, on a lattice, along a line, flat, tetrahedral, with ties, two in one place, far from 0.

    Args:
        nodes: how many, or the fewest and the most.
        dim: of space.
        dtype: torch's default if left out.
    """
    return st.builds(
        clouds.point_cloud,
        _count(nodes),
        _probe(clouds.POSES),
        st.sampled_from(SCALES),
        st.sampled_from(OFFSETS),
        SEEDS,
        dim=st.just(dim),
        dtype=st.just(dtype),
    )


def molecules(nodes: int | tuple[int, int] = (1, 8), *, dtype: Any = None) -> st.SearchStrategy[dict[str, Tensor]]:
    """Positions and atomic numbers, from one atom on, in the poses of ``point_clouds``; atoms about 1.5 Å apart."""
    return st.builds(
        clouds.molecule,
        _count(nodes),
        _probe(clouds.POSES),
        st.sampled_from((1.5, 1.0, 3.0)),
        st.sampled_from(OFFSETS),
        SEEDS,
        dtype=st.just(dtype),
    )


def graphs(
    nodes: int | tuple[int, int] = (1, 8), *, features: int = 2, dtype: Any = None
) -> st.SearchStrategy[dict[str, Tensor]]:
    """Positions, node features and edges between near nodes, in the poses of ``point_clouds``; single nodes have none."""
    return st.builds(
        clouds.graph,
        _count(nodes),
        _probe(clouds.POSES),
        st.sampled_from((1.0, 2.0, 0.5)),
        st.just(features),
        SEEDS,
        dtype=st.just(dtype),
    )


def images(size: int | tuple[int, int] = (1, 33), *, channels: int = 1, dtype: Any = None) -> st.SearchStrategy[Tensor]:
    """Images [channels, size, size]: smooth and generic, a blob beside the centre, one corner, a gradient, zeros."""
    return st.builds(
        clouds.image, _count(size), st.just(channels), _probe(clouds.IMAGES), st.sampled_from(SCALES), SEEDS,
        dtype=st.just(dtype),
    )  # fmt: skip


def _count(nodes: int | tuple[int, int]) -> st.SearchStrategy[int]:
    low, high = (nodes, nodes) if isinstance(nodes, int) else nodes
    if not 0 <= low <= high:
        raise ValueError(f"a number of at least 0, or (fewest, most), is needed, got {nodes!r}")
    return st.integers(low, high)


def _probe(names: tuple[str, ...], first: str = "") -> st.SearchStrategy[str]:
    # half of them generic; the simplest comes first
    simple = first or next((name for name in ("whole", "blob") if name in names), names[0])
    rest = [name for name in names if name not in (simple, "generic")]
    return st.sampled_from([simple, "generic", *rest, *["generic"] * len(rest)])
