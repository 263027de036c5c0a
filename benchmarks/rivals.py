"""The same models in the hands of e3nn's ``assert_equivariant`` and escnn's ``check_equivariance``."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from equiaudit import Symmetry
from equiaudit.groups import E, O

SPELT = {"points": "cartesian_points", "vector": "1o", "invariant": "0e", None: None}


@dataclass(frozen=True)
class Rival:
    """A check of another library: how to run it once, and how many (element, part of the group) pairs that covers."""

    name: str
    run: Callable[[], Any]
    pairs: int


def rival_of(model: nn.Module, inputs: Any, symmetry: Symmetry) -> Rival | None:
    """What a person without this project would call on the model; None where neither library can take it."""
    if repr(symmetry.group).startswith("C"):
        return _by_escnn(model)
    if symmetry.group not in (E(3), O(3)):
        return None
    return _by_e3nn(model, inputs, symmetry)


def _by_e3nn(model: nn.Module, inputs: Any, symmetry: Symmetry) -> Rival:
    from e3nn.util.test import assert_equivariant

    if isinstance(inputs, dict):
        fixed = {k: v for k, v in inputs.items() if symmetry.inputs[k] is None}
        moving = {k: v for k, v in inputs.items() if k not in fixed}

        def call(*values: torch.Tensor) -> Any:
            return model({**fixed, **dict(zip(moving, values, strict=True))})

        arguments, kinds = list(moving.values()), [symmetry.inputs[k] for k in moving]
    else:
        many = type(inputs) is tuple
        arguments = list(inputs) if many else [inputs]
        kinds = list(symmetry.inputs) if many else [symmetry.inputs]
        call = model
    wanted = symmetry.outputs if isinstance(symmetry.outputs, dict) else {None: symmetry.outputs}

    def function(*values: torch.Tensor) -> list[torch.Tensor]:
        # it writes nothing, and keeps gradients: fresh leaves each time, as a test would give it
        out = call(*[v.detach().clone() if v.is_floating_point() else v for v in values])
        return [out[k] if k is not None else out for k in wanted]

    given = [_irreps(kind, value) for kind, value in zip(kinds, arguments, strict=True)]
    with torch.enable_grad():
        results = function(*arguments)
    asked = [_irreps(kind, value) for kind, value in zip(wanted.values(), results, strict=True)]
    shifts = "cartesian_points" in given

    def run() -> Any:
        before = torch.get_default_dtype()
        torch.set_default_dtype(arguments[0].dtype)
        try:
            return assert_equivariant(function, arguments, given, asked, tolerance=float("inf"))
        finally:
            torch.set_default_dtype(before)

    # a rotation each; half of the elements also invert, half also shift
    return Rival("e3nn assert_equivariant", run, 8 if shifts else 3)


def _irreps(kind: Any, value: torch.Tensor) -> Any:
    if kind is None or kind == "invariant":
        # one scalar for each entry of the last dimension
        return f"{value.shape[-1] if value.dim() else 1}x0e"
    return SPELT.get(kind, kind)


def _by_escnn(model: nn.Module) -> Rival | None:
    body = getattr(model, "body", None)
    if not hasattr(body, "check_equivariance"):
        return None

    def run() -> Any:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints every element
            return body.check_equivariance(atol=1e-3, rtol=1e-3)

    # twenty random elements of C4, one in four of them the identity, which tests nothing
    return Rival("escnn check_equivariance", run, 15)
