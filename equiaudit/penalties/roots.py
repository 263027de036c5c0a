"""tr (K + ε² 1)^½ with derivatives of every order, also where eigenvalues of K coincide or vanish."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def trace_of_root(gram: Tensor, smoothing: float) -> Tensor:
    """tr (K + ε² 1)^½ − k ε for a positive semidefinite K [k, k].

    ``eigh`` has no derivative where eigenvalues meet; the root of a matrix has one, by the Sylvester equation
    S dS + dS S = dK.

    >>> bool(abs(trace_of_root(torch.diag(torch.tensor([4.0, 0.0])), 1e-6) - 2) < 1e-5)
    True
    """
    eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    root = _Root.apply(gram + smoothing**2 * eye, smoothing)
    return root.diagonal().sum() - len(gram) * smoothing


class _Root(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, floor: float) -> Tensor:
        values, vectors = torch.linalg.eigh((matrix + matrix.mT).double() / 2)
        root = (vectors * values.clamp(min=floor**2).sqrt()) @ vectors.mT
        root = root.to(matrix.dtype)
        ctx.save_for_backward(root)
        ctx.floor = floor
        return root

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        (root,) = ctx.saved_tensors
        return _Sylvester.apply(root, (slope + slope.mT) / 2, ctx.floor), None


class _Sylvester(torch.autograd.Function):
    # X with S X + X S = C for symmetric positive S and symmetric C
    @staticmethod
    def forward(ctx: Any, root: Tensor, right: Tensor, floor: float) -> Tensor:
        values, vectors = torch.linalg.eigh((root + root.mT).double() / 2)
        values = values.clamp(min=floor)
        inner = vectors.mT @ right.to(vectors.dtype) @ vectors / (values[:, None] + values)
        found = (vectors @ inner @ vectors.mT).to(right.dtype)
        ctx.save_for_backward(root, found)
        ctx.floor = floor
        return found

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        root, found = ctx.saved_tensors
        y = _Sylvester.apply(root, (slope + slope.mT) / 2, ctx.floor)
        return -(y @ found + found @ y), y, None
