"""Named poses of points and vectors: simple ones, special ones that inputs of the field have, and singular ones."""

from __future__ import annotations

import math
from itertools import count, product

import torch
from torch import Tensor

from equiaudit.representations.base import Representation
from equiaudit.representations.simple import Points, Vector

SPECIAL = ("whole", "along z", "diagonal", "coplanar", "regular", "ties")
"""Poses that inputs of the field have: a lattice, linear and flat molecules, regular figures, equal and round distances."""
SINGULAR = ("coincident", "zeros")
"""Poses where many models are not defined: two nodes in one place, everything zero."""
TRIANGLE = ((1.0, -1.0, 0.0), (0.0, 1.0, -1.0), (-1.0, 0.0, 1.0))
TETRAHEDRON = ((1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0))
OCTAHEDRON = tuple(tuple(sign * (i == k) for i in range(3)) for k in (2, 1, 0) for sign in (1.0, -1.0))
ROUND = (1.0, 1.0, 2.0, 5.0, 2.0, 5.0, 3.0, 4.0, 6.0, 10.0, 1.5, 2.5)
"""Distances from the first node in the pose "ties", in the unit of the input: where cutoffs are, two of them equal."""
CUBE = tuple(product((1.0, -1.0), repeat=3))


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
    if pose == "ties":  # about whole numbers the distances are exact
        return centre.round() + place(x - centre, pose)
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
    if pose == "regular":
        return size * regular(n, d).to(x.dtype)
    if pose == "ties":
        unit = 1.0 if 0.3 <= size <= 30 else 10.0 ** math.floor(math.log10(size))
        return unit * ties(n, d)
    if pose == "coincident":
        out = x.clone()
        out[-1] = out[0]
        return out
    return torch.zeros_like(x)  # "zeros": all nodes in one place


def regular(n: int, d: int) -> Tensor:
    """n points [n, d] of a regular figure about 0, at distance 1.

    Two opposite ones, a polygon; in space a triangle, tetrahedron,
    octahedron or cube, with one more point in the centre or, beyond nine, larger copies.

    >>> regular(3, 2)[:, 0].sum().abs().item() < 1e-12, regular(5, 3).norm(dim=-1).tolist()
    (True, [1.0, 1.0, 1.0, 1.0, 0.0])
    """
    if d == 2 and n > 2:
        angle = 2.0 * math.pi * torch.arange(n, dtype=torch.float64) / n
        return torch.stack([angle.cos(), angle.sin()], -1)
    if d == 3 and n > 2:
        figure = next(f for k, f in ((4, TRIANGLE), (6, TETRAHEDRON), (8, OCTAHEDRON), (n + 1, CUBE)) if n < k)
    else:
        figure = tuple(tuple(sign * (i == k) for i in range(d)) for k in range(d - 1, -1, -1) for sign in (1.0, -1.0))
    corners = torch.nn.functional.normalize(torch.tensor(figure, dtype=torch.float64), dim=-1)
    if n == len(corners) + 1:
        return torch.cat([corners, torch.zeros_like(corners[:1])])
    return torch.cat([corners * (k + 1) for k in range(-(-n // len(corners)))])[:n]


def ties(n: int, d: int) -> Tensor:
    """n points [n, d]: 0, then along the axes from the last on, at distances 1, 1, 2, 5, … from it, forth and then back.

    >>> ties(4, 2).tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, -2.0]]
    """
    out = torch.zeros(n, d, dtype=torch.float64)
    for k in range(1, n):
        turn = (k - 1) // d
        far = ROUND[(k - 1) % len(ROUND)] + 10.0 * ((k - 1) // len(ROUND))
        out[k, d - 1 - (k - 1) % d] = -far if turn % 2 else far
    return out


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
