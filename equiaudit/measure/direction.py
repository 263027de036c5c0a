"""What every derivative needs: a function of a flat list of tensors, a point, a direction, and a way to evaluate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Function = Callable[[Sequence[Tensor]], Sequence[Tensor]]
Tensors = tuple[Tensor, ...]


def check_direction(primals: Sequence[Tensor], tangents: Sequence[Tensor]) -> tuple[Tensors, Tensors]:
    """Primals and tangents that match; tangents are brought to the dtype and device of their primals.

    >>> check_direction([torch.zeros(2)], [torch.ones(2, dtype=torch.float64)])[1]
    (tensor([1., 1.]),)

    Raises:
        ValueError: nothing to differentiate, or numbers or shapes that differ.
        TypeError: an integer primal, or a complex tangent for a real one.
    """
    if not primals or len(primals) != len(tangents):
        found = f"{len(primals)} primals and {len(tangents)} tangents"
        raise ValueError(f"expected at least one primal and one tangent for each, got {found}")
    matched = []
    for k, (x, v) in enumerate(zip(primals, tangents, strict=True)):
        if not is_inexact(x):
            raise TypeError(f"primal {k} has dtype {x.dtype}, which has no derivative; close over it in the function")
        if x.shape != v.shape:
            raise ValueError(f"tangent {k} has shape {tuple(v.shape)}, its primal {tuple(x.shape)}; give it that shape")
        if v.is_complex() and not x.is_complex():
            raise TypeError(f"tangent {k} has dtype {v.dtype}, its primal {x.dtype}; give it a real direction")
        matched.append(v.to(dtype=x.dtype, device=x.device))
    return tuple(primals), tuple(matched)


def check_outputs(outputs: Sequence[Tensor]) -> Tensors:
    """The outputs of a function as a tuple.

    Raises:
        TypeError: they are not a list or tuple of tensors.
    """
    if not isinstance(outputs, (list, tuple)):
        raise TypeError(f"the function must return a list of tensors, got {type(outputs).__name__}; wrap it in a list")
    for k, y in enumerate(outputs):
        if not isinstance(y, Tensor):
            raise TypeError(f"output {k} of the function is of type {type(y).__name__}; return tensors only")
    return tuple(outputs)


def evaluate(function: Function, primals: Sequence[Tensor]) -> Tensors:
    """f(x), detached: called on copies, which it may change, and with gradients enabled whatever the caller's mode.

    >>> with torch.no_grad():
    ...     evaluate(lambda a: [a[0].add_(1), torch.tensor(torch.is_grad_enabled())], [torch.zeros(2)])
    (tensor([1., 1.]), tensor(True))
    """
    with torch.inference_mode(False), torch.enable_grad():
        inputs = [x.detach().clone().requires_grad_(x.requires_grad) for x in primals]
        # cloned: a model may return a buffer that its next call overwrites
        return tuple(y.detach().clone() for y in check_outputs(function(inputs)))


def is_inexact(value: Tensor) -> bool:
    """Whether a tensor can carry a derivative: floating-point or complex."""
    return value.is_floating_point() or value.is_complex()


def coarsest(tensors: Sequence[Tensor]) -> float:
    """The largest spacing at 1 among the dtypes of the tensors."""
    return max(torch.finfo(x.dtype).eps for x in tensors)


def resolution(primals: Sequence[Tensor]) -> float:
    """The relative accuracy that is asked of differences, ε^(1/4): 1.2e-4 in float64, 1.9e-2 in float32.

    >>> f"{resolution([torch.zeros(1, dtype=torch.float64)]):.1e}"
    '1.2e-04'
    """
    return coarsest(primals) ** 0.25
