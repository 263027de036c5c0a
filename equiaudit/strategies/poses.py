"""Named poses of points and vectors: simple ones, special ones that inputs of the field have, and singular ones."""

from __future__ import annotations

import math
from itertools import count, product

import torch
from torch import Tensor

from equiaudit.representations.base import Representation
from equiaudit.representations.simple import Points, Vector

SPECIAL = ("whole", "along z", "diagonal", "coplanar", "tetrahedral")
"""Poses that inputs of the field have: whole numbers (a lattice), linear and flat molecules, tetrahedra."""
SINGULAR = ("coincident", "zeros")
"""Poses where many models are not defined: two nodes in one place, everything zero."""
TETRAHEDRON = ((1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0))


def posed(x: Tensor, rep: Representation, pose: str) -> Tensor:
    """``x`` [..., n, d] in a named pose; ``x`` itself where the pose means nothing for it."""
    if pose == "as given":
        return x
    if pose == "zeros" and not isinstance(rep, Points):
        return torch.zeros_like(x)
    if not isinstance(rep, Vector) or x.is_complex() or x.dim() < 2 or rep.axis not in (-1, x.dim() - 1):
        return x
    if x.dim() > 2:
        return torch.stack([posed(sample, rep, pose) for sample in x])
    centre = x.mean(0) if isinstance(rep, Points) else torch.zeros_like(x[0])
    return centre + place(x - centre, pose)


def place(x: Tensor, pose: str) -> Tensor:
    """Offsets [n, d] in a named pose, of about the same size.

    >>> place(torch.tensor([[0.0, 3.0], [4.0, 0.0]]), "along z").tolist()
    [[0.0, 3.0], [0.0, 4.0]]
    """
    n, d = x.shape
    size = float(x.square().sum(-1).mean().sqrt()) or 1.0
    length = x.norm(dim=-1)
    if pose == "whole":
        return 2.0 ** round(math.log2(size)) * lattice(n + 1, d)[1:]
    if pose == "along z":
        out = torch.zeros_like(x)
        out[:, -1] = torch.where(x[:, -1] < 0, -length, length)
        return out
    if pose == "diagonal":
        sign = torch.where(x.sum(-1) < 0, -length, length)
        return sign[:, None] * torch.ones(d, dtype=x.dtype) / d**0.5
    if pose == "coplanar":
        out = x.clone()
        out[:, -1] = 0.0
        return out
    if pose == "tetrahedral":
        corners = torch.tensor(TETRAHEDRON, dtype=x.dtype)[:, :d] if d <= 3 else torch.eye(d, dtype=x.dtype)
        shells = [corners * (k + 1) for k in range(-(-n // len(corners)))]
        return size / 3**0.5 * torch.cat(shells)[:n]
    if pose == "coincident":
        out = x.clone()
        out[-1] = out[0]
        return out
    return torch.zeros_like(x)  # "zeros": all nodes in one place


def lattice(n: int, d: int) -> Tensor:
    """n different whole points [n, d] of a quadrant, near ones first: 0, the axes from the last on, then diagonals.

    >>> lattice(4, 2).tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    for side in count(1):
        if (side + 1) ** d >= n:
            points = sorted(product(range(side + 1), repeat=d), key=lambda p: (sum(v * v for v in p), p))
            return torch.tensor(points[:n], dtype=torch.float64)
    raise AssertionError
