"""The rungs of the derivative ladder: three ways to push a tangent through a model, none of which works on all."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor

from equiaudit.measure.direction import Function, Tensors, check_outputs, is_inexact
from equiaudit.measure.guards import math_attention, refuse_scripts

Slopes = tuple[Tensor | None, ...]
Rung = Callable[[Function, Tensors, Tensors, bool], tuple[Tensors, Slopes]]
# A rung takes function, primals, tangents and whether to keep the graph. It returns values and one slope per output,
# None where the output has no tangent; it raises where the model can't be differentiated this way.


@contextmanager
def ready_to_differentiate() -> Iterator[None]:
    """Gradients on whatever the caller's mode, plain attention, no TorchScript on tangents, warnings unheard."""
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for context in (torch.inference_mode(False), torch.enable_grad(), math_attention(), refuse_scripts()):
            stack.enter_context(context)
        yield


def push_with_jvp(
    function: Function, primals: Tensors, tangents: Tensors, differentiable: bool
) -> tuple[Tensors, Slopes]:
    """Forward mode by ``torch.func.jvp``; it refuses what touches ``requires_grad`` and in-place statistics."""
    missing: list[bool] = []

    def noting(*inputs: Tensor) -> Tensors:
        outputs = check_outputs(function(list(inputs)))
        # torch.func.jvp makes a zero of a missing tangent: note where one is missing before it does
        missing.extend(_tangent(y) is None for y in outputs)
        return outputs

    start = tuple(_copy(x, differentiable) for x in primals)
    values, slopes = torch.func.jvp(noting, start, tuple(v.clone() for v in tangents))[:2]
    return _finish(values, [None if gone else d for gone, d in zip(missing, slopes, strict=True)], differentiable)


def push_with_forward_ad(
    function: Function, primals: Tensors, tangents: Tensors, differentiable: bool
) -> tuple[Tensors, Slopes]:
    """Forward mode on copies that require grad, so that a model may take gradients with respect to its inputs."""
    with forward_ad.dual_level():
        duals = []
        for x, v in zip(primals, tangents, strict=True):
            # not the leaf itself but its copy: a model may write into it, and read its .grad
            dual = forward_ad.make_dual(_leaf(x, differentiable).clone(), v.clone())
            dual.retain_grad()
            duals.append(dual)
        outputs = check_outputs(function(duals))
        slopes = [_tangent(y) for y in outputs]
        return _finish([forward_ad.unpack_dual(y).primal for y in outputs], slopes, differentiable)


def push_with_double_backward(
    function: Function, primals: Tensors, tangents: Tensors, differentiable: bool
) -> tuple[Tensors, Slopes]:
    """Two reverse passes: uᵀJ is linear in u, so its derivative with respect to u along v is Jv."""
    leaves = [_leaf(x, differentiable) for x in primals]
    inputs = [leaf.clone() for leaf in leaves]
    for x in inputs:
        x.retain_grad()
    outputs = check_outputs(function(inputs))
    slopes: list[Tensor | None] = [None] * len(outputs)
    live = [k for k, y in enumerate(outputs) if y.requires_grad]
    if live:
        dummies = [torch.zeros_like(outputs[k]).requires_grad_() for k in live]
        pulled = torch.autograd.grad([outputs[k] for k in live], leaves, dummies, create_graph=True, allow_unused=True)
        used = [(g, v.clone()) for g, v in zip(pulled, tangents, strict=True) if g is not None and g.requires_grad]
        if used:
            ends, directions = zip(*used, strict=True)
            pushed = torch.autograd.grad(ends, dummies, directions, create_graph=differentiable, allow_unused=True)
            for k, slope in zip(live, pushed, strict=True):
                slopes[k] = slope
    return _finish(outputs, slopes, differentiable)


def _tangent(y: Tensor) -> Tensor | None:
    return forward_ad.unpack_dual(y).tangent if is_inexact(y) else None


def _copy(x: Tensor, differentiable: bool) -> Tensor:
    return x.clone() if differentiable else x.detach().clone()


def _leaf(x: Tensor, differentiable: bool) -> Tensor:
    copy = _copy(x, differentiable)
    return copy if copy.requires_grad else copy.requires_grad_()


def _finish(values: Sequence[Tensor], slopes: Sequence[Tensor | None], differentiable: bool) -> tuple[Tensors, Slopes]:
    if differentiable:
        return tuple(values), tuple(slopes)
    return (
        tuple(y.detach().clone() for y in values),
        tuple(None if slope is None else slope.detach().clone() for slope in slopes),
    )
