"""A twin of the caller's input: a little jitter, and a few nodes placed exactly along the lab axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.measure.forms import add_noise
from equiaudit.measure.precision import is_inexact
from equiaudit.representations.base import FromFunction, Representation
from equiaudit.representations.simple import Points, Scalar, Vector
from equiaudit.representations.structures import Path, leaves, map_leaves
from equiaudit.symmetry import Symmetry

JITTER = 0.05
"""Size of the jitter, relative to the RMS of the leaf (positions: to the RMS radius)."""


def make_twin(
    symmetries: list[Symmetry], inputs: Any, rng: np.random.Generator, dtype: torch.dtype, *, aligned: bool = True
) -> Any | None:
    """The inputs with every declared floating-point leaf jittered by 5 %; None where nothing can be moved.

    Points get three pairs of nodes placed exactly along the lab axes, on both sides of the centroid, which stays where
    it is: faults in gimbal poses and in axis-aligned edges show there (unless ``aligned`` is False). Where no declared
    leaf is floating-point, undeclared ones move, then integers are drawn anew from the values that are there. Values
    are representable in ``dtype``.
    """
    declared: dict[Path, Representation] = {}
    for symmetry in symmetries:
        for path, value, rep in symmetry.input_leaves(inputs):
            if isinstance(rep, FromFunction):
                # a function may act on a whole container: everything inexact below it counts as declared
                for where, leaf in leaves(value, path):
                    if is_inexact(leaf):
                        declared.setdefault(where, rep)
            elif isinstance(rep, Representation) and is_inexact(value):
                known = declared.get(path)
                if known is None or isinstance(known, Scalar) or isinstance(rep, Points):
                    declared[path] = rep
    many = type(inputs) is tuple
    chosen = set(declared) or {p for p, v in _paths(inputs, many) if is_inexact(v) and v.numel()}
    moved = False

    def one(path: Path, value: Any) -> Any:
        nonlocal moved
        if path not in chosen or not is_inexact(value) or not value.numel():
            return value
        new = jitter(value, declared.get(path), rng, dtype, aligned)
        moved = moved or not torch.equal(new, value)
        return new

    twin = map_leaves(one, inputs)
    if moved:
        return twin

    def draw(path: Path, value: Any) -> Any:
        nonlocal moved
        integer = isinstance(value, Tensor) and not is_inexact(value) and value.dim() and value.numel() > 1
        if not integer or value.dtype == torch.bool or (path and path[-1] in ("batch", "edge_index", "ptr")):
            return value
        flat = value.flatten()
        new = flat[torch.from_numpy(rng.integers(len(flat), size=len(flat)))].reshape(value.shape)
        moved = moved or not torch.equal(new, value)
        return new

    twin = map_leaves(draw, inputs)
    return twin if moved else None


def _paths(inputs: Any, many: bool) -> list[tuple[Path, Any]]:
    return list(leaves(inputs))


def jitter(
    value: Tensor, rep: Representation | None, rng: np.random.Generator, dtype: torch.dtype, aligned: bool = True
) -> Tensor:
    """One leaf moved by 5 % of its size; scalars relatively, so that zeros and signs stay."""
    wide = value.detach().cpu().to(torch.complex128 if value.is_complex() else torch.float64)
    xi = torch.from_numpy(np.asarray(rng.standard_normal(wide.shape)))
    if wide.is_complex():
        xi = torch.complex(xi, torch.from_numpy(np.asarray(rng.standard_normal(wide.shape))))
    if isinstance(rep, Scalar) or rep is None:
        if bool((wide == wide.round()).all() if not wide.is_complex() else False):
            return value  # one-hot rows, masks, counts: whole numbers stay what they are
        new = wide * (1 + JITTER * xi)
    elif isinstance(rep, Points):
        points = wide.movedim(rep.axis, -1)
        flat = points.reshape(-1, points.shape[-1])
        centre = flat.mean(0)
        radius = float((flat - centre).square().sum(-1).mean().sqrt())
        radius = radius if radius > 1e-12 * (1 + float(centre.norm())) else 1.0
        new = points + JITTER * radius / points.shape[-1] ** 0.5 * xi.movedim(rep.axis, -1)
        if points.dim() == 2 and aligned:
            new = along_axes(new, dtype)
        elif points.dim() == 3 and aligned:
            new = torch.stack([along_axes(sample, dtype) for sample in new])
        new = new.movedim(-1, rep.axis)
    else:
        new = add_noise(wide, rep, xi, JITTER)
        if aligned and isinstance(rep, Vector) and _euclidean(rep, wide):
            new = vectors_along_axes(new.movedim(rep.axis, -1)).movedim(-1, rep.axis)
    return representable(new, dtype).to(value.device, value.dtype)


def _euclidean(rep: Vector, x: Tensor) -> bool:
    # three components or fewer: the time axis of four-momenta is not one to turn into
    return not x.is_complex() and x.dim() > 1 and x.shape[rep.axis] <= 3


def vectors_along_axes(vectors: Tensor) -> Tensor:
    """The first d rows turned exactly along the lab axes, the last axis first, where there are rows enough to stay generic."""
    d = vectors.shape[-1]
    flat = vectors.reshape(-1, d).clone()
    if len(flat) < d + 2:
        return vectors
    for k in range(d):
        length = flat[k].norm()
        flat[k] = 0.0
        flat[k, d - 1 - k] = length
    return flat.reshape(vectors.shape)


def representable(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x rounded to what ``dtype`` holds, in wide precision."""
    if dtype == torch.float64:
        return x
    narrow = torch.complex64 if x.is_complex() else dtype
    return x.to(narrow).to(x.dtype)


def along_axes(points: Tensor, dtype: torch.dtype) -> Tensor:
    """Up to d pairs of nodes on opposite sides of the centroid, exactly along the lab axes, the last axis first.

    The centroid is kept. The coordinates lie on a dyadic grid, so that the mean is exact and edge and centre vectors have
    true zeros.
    """
    n, d = points.shape
    pairs = min(d, (n - d) // 2)  # d nodes stay free: fewer would make the whole twin flat
    if pairs < 1 or d > 4:
        return points
    centre = points.mean(0)
    radius = float((points - centre).square().sum(-1).mean().sqrt()) or 1.0
    grid = 2.0 ** (np.floor(np.log2(radius)) - (12 if dtype != torch.float64 else 24))
    centre = (centre / (grid * 64)).round() * grid * 64
    offset = ((points - centre) / grid).round() * grid
    length = offset.norm(dim=-1)
    for k in range(pairs):
        for node, sign in ((2 * k, 1.0), (2 * k + 1, -1.0)):
            size = max(float(length[node]), 0.5 * radius) * (
                1.0 + 0.07 * k + (0.031 if sign < 0 else 0.0)
            )  # no two equally far
            offset[node] = 0.0
            offset[node, d - 1 - k] = sign * round(size / grid) * grid
    rest = n - 2 * pairs
    spread = -offset.sum(0) / grid
    share = torch.div(spread, rest, rounding_mode="floor")
    offset[2 * pairs :] += share * grid
    offset[-1] += (spread - share * rest) * grid
    return centre + offset
