"""Inputs from a shape, a seed, a scale and a named probe: tensors, point clouds, molecules, graphs and images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.strategies.poses import SINGULAR, SPECIAL, place

POSES = ("generic", *SPECIAL, *SINGULAR)
"""Probes of point clouds; "ties" puts every node but the first at the same distance from it, exactly at ``scale``."""
TENSORS = ("generic", "ones", "axis", "zeros", "one hot", "alternating")
IMAGES = ("generic", "blob", "corner", "gradient", "checkerboard", "zeros")
SPECIES = (1, 6, 8, 7, 16)


def row_tensor(
    shape: tuple[int, ...], probe: str = "generic", scale: float = 1.0, seed: int = 0, dtype: Any = None
) -> Tensor:
    """A tensor of a shape: normal numbers, ones, all along the last axis, zeros, one hot, or alternating signs.

    >>> row_tensor((2, 3), "axis").tolist()
    [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    """
    _check(probe, TENSORS)
    out = _normal(shape, seed)
    if probe == "ones":
        out = torch.ones(shape, dtype=torch.float64)
    elif probe in ("axis", "one hot"):
        out = torch.zeros(shape, dtype=torch.float64)
        if out.numel():
            (out[..., -1:] if probe == "axis" and out.dim() else out.view(-1)[:1]).fill_(1.0)
    elif probe == "zeros":
        out = torch.zeros(shape, dtype=torch.float64)
    elif probe == "alternating":
        out = ((torch.arange(math.prod(shape)) % 2) * -2.0 + 1.0).double().reshape(shape)
    return (scale * out).to(dtype or torch.get_default_dtype())


def point_cloud(
    nodes: int,
    probe: str = "generic",
    scale: float = 1.0,
    offset: float = 0.0,
    seed: int = 0,
    *,
    dim: int = 3,
    dtype: Any = None,
) -> Tensor:
    """Points [nodes, dim] in a named pose, ``scale`` their RMS radius or spacing, ``offset`` their distance from 0.

    >>> point_cloud(3, "whole").tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    _check(probe, POSES)
    x = _normal((nodes, dim), seed)
    if probe == "whole":
        from equiaudit.strategies.poses import lattice

        x = lattice(nodes, dim)
    elif probe == "ties":  # along the axes in both directions: all distances from the first node are the same
        x = torch.zeros(nodes, dim, dtype=torch.float64)
        for k in range(1, nodes):
            x[k, dim - 1 - (k - 1) // 2 % dim] = 1.0 if k % 2 else -1.0
    elif probe != "generic" and nodes:
        x = place(x - x.mean(0), probe)
    shift = torch.full((dim,), offset / dim**0.5, dtype=torch.float64)
    return (scale * x + shift).to(dtype or torch.get_default_dtype())


def molecule(
    nodes: int, probe: str = "generic", scale: float = 1.5, offset: float = 0.0, seed: int = 0, *, dtype: Any = None
) -> dict[str, Tensor]:
    """Positions [nodes, 3] and atomic numbers [nodes]; ``scale`` is the distance of neighbours (Å) in generic ones.

    >>> molecule(2, "whole")["atomic_numbers"].tolist()
    [1, 6]
    """
    x = point_cloud(nodes, probe, 1.0, 0.0, seed, dtype=torch.float64)
    if probe == "generic" and nodes > 1:  # no two atoms in one place
        apart = torch.pdist(x).min()
        x = x / apart.clamp(min=0.1)
    z = torch.tensor([SPECIES[(k + seed) % len(SPECIES)] for k in range(nodes)], dtype=torch.long)
    x = scale * x + offset / 3**0.5
    return {"positions": x.to(dtype or torch.get_default_dtype()), "atomic_numbers": z}


def graph(
    nodes: int, probe: str = "generic", scale: float = 1.0, features: int = 2, seed: int = 0, *, dtype: Any = None
) -> dict[str, Tensor]:
    """Positions, node features x [nodes, features] and edge_index [2, edges] (both directions, no loops).

    Nodes are joined where they are nearer than 1.5 ``scale``; with the probe "ties" the distances are exactly ``scale``.

    >>> graph(2, "whole")["edge_index"].tolist()
    [[0, 1], [1, 0]]
    """
    pos = point_cloud(nodes, probe, scale, 0.0, seed, dtype=torch.float64)
    near = (torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist") < 1.5 * scale) & ~torch.eye(
        nodes, dtype=torch.bool
    )
    kind = dtype or torch.get_default_dtype()
    return {"pos": pos.to(kind), "x": _normal((nodes, features), seed + 1).to(kind), "edge_index": near.nonzero().T}


def image(
    size: int, channels: int = 1, probe: str = "generic", scale: float = 1.0, seed: int = 0, *, dtype: Any = None
) -> Tensor:
    """An image [channels, size, size]: smooth and generic, or a blob, a corner, a gradient, a checkerboard, zeros.

    >>> image(3, probe="corner")[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    _check(probe, IMAGES)
    c = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(c, c, indexing="ij")
    out = torch.zeros(channels, size, size, dtype=torch.float64)
    rng = np.random.default_rng(seed)
    if probe == "generic":
        for k in range(channels):
            for _ in range(6):
                a, b = (size * 0.2 * float(v) for v in rng.uniform(-1, 1, 2))
                width = max(size / 10, 0.7)
                out[k] += float(rng.standard_normal()) * torch.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * width**2))
    elif probe == "blob":
        out += torch.exp(-((x - size / 8) ** 2 + y**2) / (2 * max(size / 8, 0.7) ** 2))
    elif probe == "corner":
        out[:, :1, :1] = 1.0
    elif probe == "gradient":
        out += x / max(size, 1)
    elif probe == "checkerboard":
        out += ((torch.arange(size)[:, None] + torch.arange(size)) % 2).double()
    return (scale * out).to(dtype or torch.get_default_dtype())


def _normal(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.from_numpy(np.asarray(np.random.default_rng(seed).standard_normal(shape)))


def _check(probe: str, known: tuple[str, ...]) -> None:
    if probe not in known:
        raise ValueError(f"probe must be one of {', '.join(map(repr, known))}, got {probe!r}")
