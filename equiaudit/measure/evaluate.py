"""Calling a model: fresh inputs, math attention, counted forwards; the result detached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from equiaudit.measure.derivatives import math_attention
from equiaudit.measure.noise import NoiseMode
from equiaudit.measure.precision import cast_inputs, is_inexact
from equiaudit.measure.state import default_dtype, seed_everything
from equiaudit.representations.structures import map_leaves


@dataclass
class Spent:
    """What was spent so far."""

    forwards: Counter[str] = field(default_factory=Counter)
    jvps: int = 0
    probes: int = 0


@dataclass
class Evaluator:
    """A model in one precision, ready to be called.

    Args:
        model: the model or a copy of it.
        dtype: the real dtype that inputs are cast to, None to leave them.
        forward: ``forward(model, inputs) -> outputs`` for models called otherwise.
        seed: set before every call where randomness is to be matched; None where it is not.
        spent: shared counter.
    """

    model: Any
    dtype: torch.dtype | None
    forward: Callable[[Any, Any], Any] | None = None
    seed: int | None = None
    spent: Spent = field(default_factory=Spent)
    math: bool = False

    def cast(self, inputs: Any) -> Any:
        """Fresh copies of the inputs in this precision."""
        return cast_inputs(inputs, self.dtype)

    def __call__(self, inputs: Any, noise: NoiseMode | None = None) -> Any:
        """f(x), detached; under ``noise`` also the inputs are shaken, as their last rounding would."""
        fresh = self.cast(inputs)
        if noise is not None:
            fresh = map_leaves(lambda _, v: _shaken(noise, v) if is_inexact(v) else v, fresh)
            self.spent.probes += 1
        self.spent.forwards[self._name(fresh)] += 1
        with self.ready(), noise if noise is not None else nullcontext():
            out = self.call(fresh)
        return map_leaves(lambda _, v: v.detach().clone() if isinstance(v, Tensor) else v, out)

    def call(self, inputs: Any) -> Any:
        """The bare call; the caller has made things ready."""
        if self.seed is not None:
            seed_everything(self.seed)
        if self.forward is not None:
            return self.forward(self.model, inputs)
        return self.model(*inputs) if type(inputs) is tuple else self.model(inputs)

    def ready(self) -> ExitStack:
        """Everything that a call needs around it: default dtype, gradients on, no autocast for a double copy."""
        stack = ExitStack()
        if self.dtype == torch.float64:
            stack.enter_context(default_dtype(torch.float64))
            for device in ("cpu", "cuda"):
                if torch.is_autocast_enabled(device):
                    stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if self.math:
            stack.enter_context(math_attention())
        return stack

    def _name(self, inputs: Any) -> str:
        if self.dtype is not None:
            return str(self.dtype).removeprefix("torch.")
        return "own"


def _shaken(noise: NoiseMode, value: Tensor) -> Tensor:
    noise.shake(value, noise.amplitude * noise.limit if value.dtype.itemsize < 8 else noise.amplitude * 2.0**-53)
    return value
