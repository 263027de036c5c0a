"""The derivative ladder: Df(x)[v] by the first method that works on a model and that central differences confirm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equiaudit.measure.differences import Witness, central_difference, cross_check
from equiaudit.measure.direction import Function, Tensors, check_direction, evaluate, is_inexact, resolution
from equiaudit.measure.guards import math_attention
from equiaudit.measure.rungs import (
    Rung,
    push_with_double_backward,
    push_with_forward_ad,
    push_with_jvp,
    ready_to_differentiate,
)

__all__ = [
    "BACKENDS",
    "DerivativeRefusedError",
    "Directional",
    "Function",
    "central_difference",
    "cross_check",
    "directional_derivative",
    "math_attention",
]

RUNGS: dict[str, Rung] = {
    "torch.func.jvp": push_with_jvp,
    "forward_ad": push_with_forward_ad,
    "double_backward": push_with_double_backward,
}
DIFFERENCES = "central_difference"
BACKENDS = (*RUNGS, DIFFERENCES)


class DerivativeRefusedError(RuntimeError):
    """None of the methods that were allowed gave a derivative."""


@dataclass(frozen=True)
class Directional:
    """A directional derivative, how it was found and what it cost.

    Args:
        values: f(x).
        derivatives: Df(x)[v], in the shapes of the values.
        backend: what ran, one of `BACKENDS`.
        refused: what was tried and passed over, each with the reason in one line.
        forwards: plain forwards spent, those of checks included.
        jvps: forward-mode and double-backward passes started, those refused included.
        still: outputs whose derivative was set to zero: integer or boolean ones, and those that carry no tangent and
            stayed the same to the last bit when the inputs moved.
        disagreement: what `cross_check` found; None where nothing was compared.
        errors: the error estimates of the central differences that were made, in the shapes of the values; None where
            none were. For another backend: what a disagreement could hide behind.
    """

    values: Tensors
    derivatives: Tensors
    backend: str
    refused: dict[str, str]
    forwards: int
    jvps: int
    still: tuple[int, ...] = ()
    disagreement: float | None = None
    errors: Tensors | None = None


def directional_derivative(
    function: Function,
    primals: Sequence[Tensor],
    tangents: Sequence[Tensor],
    *,
    method: str = "auto",
    differentiable: bool = False,
    check: bool = True,
) -> Directional:
    """Differentiate a function along a direction, Df(x)[v], by the first method that works and is confirmed.

    In this order: ``torch.func.jvp``; ``forward_ad``, forward mode on inputs that require grad; ``double_backward``;
    ``central_difference``. Models defeat some of them, and not always loudly: a tensor detached on the way, a custom
    operator or TorchScript can give a wrong number without an error. So a result is compared with central differences,
    which costs four forwards as a rule, and passed over where they disagree; and a missing tangent counts as zero only
    if the output does not change.

    >>> x = torch.tensor([1.0, 2.0])
    >>> found = directional_derivative(lambda a: [a[0] ** 2], [x], [torch.ones(2)])
    >>> found.derivatives, found.backend
    ((tensor([2., 4.]),), 'torch.func.jvp')
    >>> found = directional_derivative(lambda a: [a[0] * a[0].detach()], [x], [torch.ones(2)])
    >>> found.derivatives[0].round(decimals=2), found.backend
    (tensor([2., 4.]), 'central_difference')

    Args:
        function: list of tensors -> list of tensors; deterministic. It gets copies of the primals and may change them.
            Buffers that it updates and gradients that it leaves on parameters are the caller's to restore.
        primals: floating-point or complex inputs, where to differentiate.
        tangents: the direction, one tensor in the shape of each primal.
        method: "auto", or one of `BACKENDS` and no other: for another direction of a function, the one found first.
        differentiable: keep the graph of values and derivatives to parameters, primals and tangents that require grad.
        check: compare with central differences. Leave it out for further directions of a function that passed.

    Returns:
        Values and derivatives, what ran, what was refused and why.

    Raises:
        ValueError: an unknown method, numbers or shapes that differ, or a graph asked of central differences.
        TypeError: an integer primal, or outputs that are not tensors.
        DerivativeRefusedError: the named method was refused, or all that keep a graph were.

    Source: Pearlmutter, Neural Computation 6 (1994) 147, for forward mode over an inner gradient.
    """
    if method not in ("auto", *BACKENDS):
        raise ValueError(f"unknown method {method!r}; choose 'auto' or one of {', '.join(map(repr, BACKENDS))}")
    if differentiable and method == DIFFERENCES:
        raise ValueError(f"{DIFFERENCES!r} keeps no graph; choose another method, or differentiable=False")
    primals, tangents = check_direction(primals, tangents)
    witness = Witness(function, primals, tangents)
    refused: dict[str, str] = {}
    jvps = 0
    for name, rung in RUNGS.items():
        if method not in ("auto", name):
            continue
        jvps += 1
        try:
            with ready_to_differentiate():
                values, slopes = rung(function, primals, tangents, differentiable)
        except Exception as problem:  # whatever a model raises when it is differentiated
            refused[name] = _shorten(problem)
            continue
        witness.values = witness.values or tuple(y.detach() for y in values)
        still = tuple(k for k, slope in enumerate(slopes) if slope is None)
        if moving := witness.moving([k for k in still if is_inexact(values[k])]):
            refused[name] = f"output {moving[0]} carries no tangent, but changes when the inputs move"
            continue
        derivatives = tuple(torch.zeros_like(y) if d is None else d for y, d in zip(values, slopes, strict=True))
        found = witness.oppose(derivatives) if check else None
        if found is not None and found > resolution(primals):
            refused[name] = f"disagrees with central differences by {found:.1e} of the derivative's size"
            continue
        return Directional(values, derivatives, name, refused, witness.forwards, jvps, still, found, witness.errors)
    if differentiable or method not in ("auto", DIFFERENCES):
        raise DerivativeRefusedError(_explain(refused, differentiable))
    return _differ(function, witness, refused, jvps)


def _differ(function: Function, witness: Witness, refused: dict[str, str], jvps: int) -> Directional:
    try:
        values = evaluate(function, witness.primals)
    except Exception as problem:
        for name, reason in refused.items():
            problem.add_note(f"before, {name} was refused: {reason}")
        raise
    witness.values = values
    found = witness.settle()
    still = tuple(k for k, y in enumerate(values) if not is_inexact(y))
    forwards = witness.forwards + 1
    return Directional(values, found.derivatives, DIFFERENCES, refused, forwards, jvps, still, None, found.errors)


def _shorten(problem: Exception) -> str:
    first = (str(problem).strip().splitlines() or [""])[0]
    text = f"{type(problem).__name__}: {first}"
    return text if len(text) <= 160 else text[:157] + "..."


def _explain(refused: dict[str, str], differentiable: bool) -> str:
    reasons = "".join(f"\n  {name}: {reason}" for name, reason in refused.items())
    if differentiable:
        return (
            "no method gave a derivative that can itself be differentiated; change what each of these names, "
            f"or measure with differentiable=False{reasons}"
        )
    return f"the method asked for gave no derivative; method='auto' would go on to the others{reasons}"
