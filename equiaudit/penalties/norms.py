"""Norms from means and roots: PyTorch's own layer, instance and batch norm have wrong second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# PyTorch 2.13 writes the derivatives of these in terms of the mean and the root that the forward saves, and takes both as
# constants when it differentiates again: values of a tangent are right, its gradient is off by a fourth to a half.


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """As ``torch.nn.functional.layer_norm``.

    >>> x = torch.tensor([[1.0, 3.0]])
    >>> torch.allclose(layer_norm(x, [2]), F.layer_norm(x, [2]))
    True
    """
    wide = _wide(input)
    out = _standard(wide, tuple(range(-len(normalized_shape), 0)), eps)[0]
    out = out if weight is None else out * weight
    return _narrow(out if bias is None else out + bias, input)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor | None:
    """As ``torch.nn.functional.instance_norm``, running statistics included; None where it takes those."""
    if not use_input_stats or input.dim() < 3:
        return None
    wide = _wide(input)
    axes = tuple(range(2, input.dim()))
    out, mean, var = _standard(wide, axes, eps)
    count = wide[0, 0].numel()
    _track(running_mean, running_var, mean.flatten(1).mean(0), var.flatten(1).mean(0), momentum, count)
    return _narrow(_scaled(out, weight, bias), input)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor | None:
    """As ``torch.nn.functional.batch_norm`` in training mode, running statistics included; None in evaluation mode."""
    count = input.numel() // max(1, input.shape[1]) if input.dim() > 1 else 0
    if not training or count < 2:
        return None
    wide = _wide(input)
    out, mean, var = _standard(wide, (0, *range(2, input.dim())), eps)
    _track(running_mean, running_var, mean.flatten(), var.flatten(), momentum, count)
    return _narrow(_scaled(out, weight, bias), input)


def _standard(x: Tensor, axes: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    var = centred.square().mean(axes, keepdim=True)
    return centred * (var + eps).rsqrt(), mean, var


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    x = x if weight is None else x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)


def _track(
    mean: Tensor | None, var: Tensor | None, new_mean: Tensor, new_var: Tensor, momentum: float, count: int
) -> None:
    with torch.no_grad():
        for kept, new in ((mean, new_mean), (var, new_var * (count / max(1, count - 1)))):
            if kept is not None:
                kept.mul_(1 - momentum).add_(momentum * new.detach().to(kept.dtype))


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _narrow(y: Tensor, x: Tensor) -> Tensor:
    # autocast on CUDA keeps the single precision in which it normalises
    return y if x.is_cuda and torch.is_autocast_enabled("cuda") else y.to(x.dtype)


COMPOSED: dict[Callable[..., Any], Callable[..., Tensor | None]] = {
    F.layer_norm: layer_norm,
    F.instance_norm: instance_norm,
    F.batch_norm: batch_norm,
    torch.layer_norm: layer_norm,
    torch.instance_norm: lambda x, w, b, mean, var, *rest, **named: instance_norm(x, mean, var, w, b, *rest, **named),
    torch.batch_norm: lambda x, w, b, mean, var, *rest, **named: batch_norm(x, mean, var, w, b, *rest, **named),
}
"""What takes the place of which function of PyTorch while a derivative is taken that must have a gradient."""
