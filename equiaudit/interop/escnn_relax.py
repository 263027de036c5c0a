"""escnn: where a dense map or kernel stands beside ``Linear``, ``R2Conv`` and ``R3Conv``, and how their bases hold it."""

from __future__ import annotations

from typing import Any

import torch
from escnn import nn as enn
from escnn.nn.modules.conv.rd_convolution import _RdConv
from torch import Tensor, nn

from equiaudit.groups.base import Group
from equiaudit.interop.escnn import as_representation, group_of
from equiaudit.relaxation.site import Convolution, LinearSite, RelaxationError
from equiaudit.representations.image import Image


def read(value: Any) -> Tensor:
    """The tensor of a geometric tensor."""
    return value.tensor


def write(output: Any, delta: Tensor) -> Any:
    """The geometric tensor with delta added."""
    return enn.GeometricTensor(output.tensor + delta.to(output.tensor.dtype), output.type, output.coords)


def adapter(layer: nn.Module, group: Group | None) -> LinearSite | None:
    """The site of a ``Linear`` or of a steerable convolution; the group is that of the field types.

    >>> from escnn import gspaces
    >>> space = gspaces.rot2dOnR2(4)
    >>> fields = enn.FieldType(space, [space.regular_repr])
    >>> adapter(enn.R2Conv(fields, fields, 3), None).shape
    (4, 4, 3, 3)

    Raises:
        RelaxationError: a convolution in groups.
    """
    if not isinstance(layer, (enn.Linear, _RdConv)):
        return None
    convolution = None
    if isinstance(layer, _RdConv):
        if layer.groups != 1:
            raise RelaxationError(f"an escnn convolution in {layer.groups} groups; W would connect all channels")
        d = layer.d
        convolution = Convolution(
            (layer.kernel_size,) * d,
            (layer.stride,) * d,
            (layer.padding,) * d,
            (layer.dilation,) * d,
            layer.padding_mode,
            tuple(layer._reversed_padding_repeated_twice),
        )
    channels = [as_representation(t) for t in (layer.in_type, layer.out_type)]
    reps = [(rep.channels if isinstance(rep, Image) else rep).moved(-1) for rep in channels]  # type: ignore[union-attr]
    return LinearSite(
        reps[0], reps[1], group_of(layer.in_type), layer.in_type.size, layer.out_type.size,
        f"escnn {type(layer).__name__}", read=read, write=write, convolution=convolution, equivariant=on_basis, fold=fold,
    )  # fmt: skip


def on_basis(layer: nn.Module, weight: Tensor) -> Tensor:
    """The orthogonal projection of W on the span of the layer's basis, field by field; differentiable."""
    flat = weight.reshape(*weight.shape[:2], -1)
    out = torch.zeros_like(flat)
    for pair, rows, columns in _pairs(layer):
        block = flat[rows][:, columns]  # [outs, so, ins, si, points] once split
        basis = _orthonormal(_sampled(layer, pair)).to(flat.dtype)
        so, si = basis.shape[1:3]
        split = block.reshape(len(rows) // so, so, len(columns) // si, si, -1)
        coefficients = torch.einsum("koip,aobip->abk", basis, split)
        part = torch.einsum("koip,abk->aobip", basis, coefficients).reshape(block.shape)
        out = out.index_put((rows[:, None], columns[None, :]), part)
    return out.reshape(weight.shape)


def fold(layer: nn.Module, weight: Tensor) -> Tensor:
    """Add W to the coefficients of the layer's basis, by least squares; what was added, as a kernel."""
    training = layer.training
    layer.train()  # the expanded filter of the eval mode is discarded, and built anew below
    target: Any = layer.weights
    expansion: Any = layer.basisexpansion
    before = expansion(target).clone()
    flat = weight.reshape(*weight.shape[:2], -1)
    for pair, rows, columns in _pairs(layer):
        sampled = _sampled(layer, pair)
        k, so, si = sampled.shape[:3]
        split = flat[rows][:, columns].reshape(len(rows) // so, so, len(columns) // si, si, -1)
        wanted = split.permute(1, 3, 4, 0, 2).reshape(-1, len(rows) // so * (len(columns) // si)).double()
        coefficients = torch.linalg.pinv(sampled.reshape(k, -1).double().T) @ wanted  # [k, pairs of fields]
        start, end = expansion._weights_ranges[pair]
        target[start:end] += coefficients.T.reshape(-1).to(target.dtype)
    added = expansion(target) - before
    layer.train(training)
    return added.reshape(weight.shape)


def _pairs(layer: Any) -> list[tuple[Any, Tensor, Tensor]]:
    # rows and columns of the channels that belong to each pair of kinds of fields with a basis
    device = layer.weights.device
    outs, ins = _channels(layer.out_type, device), _channels(layer.in_type, device)
    return [(pair, outs[pair[1]], ins[pair[0]]) for pair in layer.basisexpansion._representations_pairs]


def _channels(field_type: Any, device: torch.device) -> dict[str, Tensor]:
    found: dict[str, list[int]] = {}
    start = 0
    for rep in field_type.representations:
        found.setdefault(rep.name, []).extend(range(start, start + rep.size))
        start += rep.size
    return {name: torch.tensor(where, device=device) for name, where in found.items()}


def _sampled(layer: Any, pair: Any) -> Tensor:
    expansion = layer.basisexpansion
    block = getattr(expansion, f"block_expansion_{expansion._escape_pair(pair)}")
    return block.sampled_basis


def _orthonormal(sampled: Tensor) -> Tensor:
    flat = sampled.reshape(sampled.shape[0], -1).double()
    _, values, rows = torch.linalg.svd(flat, full_matrices=False)
    kept = values > values.max() * 1e-6  # the basis is stored in single precision
    return rows[kept].reshape(-1, *sampled.shape[1:])
