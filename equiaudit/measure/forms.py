"""Noise that keeps the form of a tensor: a symmetric one stays symmetric, a positive one positive, a traceless one traceless."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from equiaudit.representations.base import Representation
from equiaudit.representations.compose import OnTwoDims
from equiaudit.representations.simple import CartesianTensor

TOLERANCE = 1e-6
"""Up to which share of the largest entry a tensor counts as symmetric: float32 data is so only nearly."""


def add_noise(x: Tensor, rep: Representation | None, noise: Tensor, size: float) -> Tensor:
    """x + size · noise, moved so that x keeps the form that it has in the two dimensions that ``rep`` acts on.

    A model of strains, covariances or undirected graphs is asked about such inputs alone: ``eigvalsh`` reads one triangle.
    ``size`` is relative to the RMS of x; ``noise`` has its shape.

    >>> x = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    >>> new = add_noise(x, CartesianTensor(), torch.randn(2, 2, dtype=torch.float64), 0.05)
    >>> torch.equal(new, new.mT), torch.equal(new, x)
    (True, False)
    """
    typical = float(x.abs().square().mean().sqrt())
    typical = typical if typical > 0 and math.isfinite(typical) else 1.0
    dims = pair_of(x, rep)
    if dims is None:
        return x + size * typical * noise
    t, xi = x.movedim(dims, (-2, -1)), noise.movedim(dims, (-2, -1))
    sign = form_of(t)
    if sign == 0:
        return x + size * typical * noise
    if isinstance(rep, CartesianTensor) and bool(t.any()):
        change = torch.eye(t.shape[-1], dtype=t.dtype, device=t.device) + size * xi
        new = change @ t @ change.mT  # a congruence: signs of eigenvalues stay
    else:
        new = t + size * typical * xi
    new = (new + sign * new.mT) / 2
    trace = t.diagonal(dim1=-2, dim2=-1).sum(-1).abs().max()
    if sign > 0 and isinstance(rep, CartesianTensor) and float(trace) <= TOLERANCE * float(t.abs().max()):
        mean = new.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
        new = new - mean * torch.eye(t.shape[-1], dtype=t.dtype, device=t.device)
    return new.movedim((-2, -1), dims)


def pair_of(x: Tensor, rep: Representation | None) -> tuple[int, int] | None:
    """The two dimensions of equal length that a representation acts on, if it is two."""
    if isinstance(rep, CartesianTensor):
        dims = rep.dims
    elif isinstance(rep, OnTwoDims):
        dims = (rep.first.axis, rep.second.axis)
    else:
        return None
    if len(dims) != 2 or any(not -x.dim() <= d < x.dim() for d in dims) or x.shape[dims[0]] != x.shape[dims[1]]:
        return None
    return dims[0], dims[1]


def form_of(t: Tensor) -> int:
    """1 for symmetric, −1 for antisymmetric in the last two dimensions, 0 for neither; zeros count as symmetric."""
    largest = float(t.abs().max()) if t.numel() else 0.0
    for sign in (1, -1):
        if float((t - sign * t.mT).abs().max() if t.numel() else 0.0) <= TOLERANCE * largest:
            return sign
    return 0
