"""Faults that one random rotation misses, and the symmetries that they claim."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from equiaudit import Symmetry
from equiaudit.groups import E, O

VECTORS = Symmetry(O(3), "vector", "invariant")
POINTS = Symmetry(E(3), {"pos": "points"}, "invariant")
AXIS = (0.3, -0.7, 0.648)


def vectors(seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(seed)).to(dtype)


def points(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    return {"pos": torch.randn(6, 3, generator=torch.Generator().manual_seed(seed)).to(dtype)}


def cone(x: Tensor) -> Tensor:
    """Wrong where a vector lies within 14 degrees of an odd axis."""
    u = torch.nn.functional.normalize(x, dim=-1)
    axis = torch.nn.functional.normalize(torch.tensor(AXIS, dtype=x.dtype), dim=0)
    return x.norm(dim=-1) + 0.1 * ((u @ axis) > math.cos(math.radians(14))).to(x.dtype)


def angles(x: Tensor) -> Tensor:
    """Wrong where the first vector points between 29 and 46 degrees of the plane."""
    angle = torch.atan2(x[:1, 1], x[:1, 0])
    return x.norm(dim=-1) + 0.1 * ((angle > 0.5) & (angle < 0.8)).to(x.dtype)


def aligned(x: Tensor) -> Tensor:
    """Wrong within 2.5 degrees of a lab axis."""
    u = torch.nn.functional.normalize(x, dim=-1)
    return x.norm(dim=-1) + 0.1 * (u.abs().amax(-1) > 0.999).to(x.dtype)


def pairs(d: dict[str, Tensor]) -> Tensor:
    """Wrong for two atoms, right for more."""
    p = d["pos"]
    return (1 / (1 + torch.cdist(p, p) ** 2)).sum() + (0.1 * p[0, 2] if len(p) == 2 else 0)


def far(d: dict[str, Tensor]) -> Tensor:
    """Wrong more than 500 units from the origin."""
    p = d["pos"]
    return (p - p.mean(0)).square().sum() + 0.1 * (p.abs().max() > 500)


def band(d: dict[str, Tensor]) -> Tensor:
    """Wrong, smoothly, where an edge comes near an odd axis."""
    edge = d["pos"][0] - d["pos"][1]
    cosine = edge @ torch.tensor((0.6, 0.64, 0.48), dtype=edge.dtype) / edge.norm()
    return (d["pos"][:, None] - d["pos"]).square().sum() + torch.relu(cosine - 0.9)


FAULTS: list[tuple[Any, Symmetry, Any]] = [
    (cone, VECTORS, vectors),
    (angles, VECTORS, vectors),
    (aligned, VECTORS, vectors),
    (pairs, POINTS, points),
    (far, POINTS, points),
    (band, POINTS, points),
]
