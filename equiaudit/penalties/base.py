"""What penalties on a model's outputs share: symmetries, calls through wrappers, and draws that repeat."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.penalties.surroundings import Moment, synchronises, unwrap
from equiaudit.symmetry import Symmetry

Forward = Callable[[Any, Any], Any]


class Penalty(ABC):
    """A differentiable measure of how far a model is from equivariant at given inputs.

    Args:
        symmetry: the claim, or a sequence of claims whose penalties are added; None to read it from the model.
        forward: ``forward(model, inputs) -> outputs`` for models called otherwise.
        seed: of the draws, which are the penalty's own: the random states of torch and numpy are not touched.
    """

    def __init__(
        self, symmetry: Symmetry | Sequence[Symmetry] | None, forward: Forward | None = None, seed: int = 0
    ) -> None:
        several = [] if symmetry is None else [symmetry] if isinstance(symmetry, Symmetry) else list(symmetry)
        for s in several:
            if not isinstance(s, Symmetry):
                raise TypeError(f"expected a Symmetry or a sequence of them, got {type(s).__name__}: {s!r}")
            s.acts  # noqa: B018  a symmetry without a group is refused here
        self.symmetries: tuple[Symmetry, ...] = tuple(several)
        self.forward = forward
        self.rng = np.random.default_rng(seed)
        self.keeping = False

    def __call__(self, model: Any, inputs: Any, targets: Any = None) -> Tensor:
        """The penalty, a scalar. Buffers and random states of the model stay as they are."""
        return self._run_eagerly(model, inputs, targets, keep=False)[1]

    def with_output(self, model: Any, inputs: Any, targets: Any = None) -> tuple[Any, Tensor]:
        """f(x) and the penalty, for one forward of the model less; buffers are updated as one forward does."""
        return self._run_eagerly(model, inputs, targets, keep=True)

    def _run_eagerly(self, model: Any, inputs: Any, targets: Any, keep: bool) -> tuple[Any, Tensor]:
        if torch.compiler.is_compiling():  # a compiler traces neither dual numbers nor what finds the method
            return torch.compiler.disable(self._run)(model, inputs, targets, keep)
        return self._run(model, inputs, targets, keep)

    def _run(self, model: Any, inputs: Any, targets: Any, keep: bool) -> tuple[Any, Tensor]:
        self.keeping = keep
        inner = unwrap(model)
        symmetries = self.symmetries or (Symmetry.of(inner),)
        start = Moment(inner)
        outputs, total = None, None
        if keep and synchronises(model):  # gradients are averaged only for what passed through the wrapper
            outputs = self.call(model, inputs)
        for symmetry in symmetries:
            mine = keep and outputs is None
            with nullcontext() if mine else start.again(inner):
                found, value = self.measure(inner, symmetry, inputs, targets, start)
            outputs = found if mine else outputs
            total = value if total is None else total + value
        assert total is not None
        return outputs, total if torch.is_grad_enabled() else total.detach()

    @abstractmethod
    def measure(self, model: Any, symmetry: Symmetry, inputs: Any, targets: Any, start: Moment) -> tuple[Any, Tensor]:
        """f(x) and the penalty for one symmetry; the first pass is the model's own, others run ``start.again``."""

    def call(self, model: Any, inputs: Any) -> Any:
        """f(x)."""
        if self.forward is not None:
            return self.forward(model, inputs)
        return model(*inputs) if type(inputs) is tuple else model(inputs)

    def state_dict(self) -> dict[str, Any]:
        """The state of the draws, for checkpoints."""
        return {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the draws of a checkpoint."""
        self.rng.bit_generator.state = state["rng"]

    def __repr__(self) -> str:
        inside = self.symmetries[0] if len(self.symmetries) == 1 else list(self.symmetries)
        return f"{type(self).__name__}({inside!r})"
