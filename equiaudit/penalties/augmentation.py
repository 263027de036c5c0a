"""REMUL: the error of a model on transformed inputs, anchored at transformed labels or at its own outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from equiaudit.measure.precision import is_inexact
from equiaudit.penalties.base import Forward, Penalty
from equiaudit.penalties.passes import draw_elements
from equiaudit.penalties.surroundings import Moment
from equiaudit.representations.base import Representation
from equiaudit.representations.structures import Path, StructureError, path_name
from equiaudit.symmetry import Symmetry

ANCHORS = ("label", "model")
Loss = Callable[[Tensor, Tensor], Tensor]


class AugmentationPenalty(Penalty):
    """The loss of a model on inputs that a drawn element transforms: ℓ(f(ρ(g)x), ρ(g)y), or ℓ(f(ρ(g)x), ρ(g)f(x)).

    One element for each call, or for each sample under ``batch`` (64 different ones at most). The label anchor is the
    published one; the model anchor measures equivariance alone and is zero for an equivariant model whatever it
    predicts. No derivative of the model is taken, so everything that trains works; it costs one more forward.

    Args:
        symmetry: the claim, or several; any group.
        anchor: "label" (needs targets in the structure of the outputs) or "model".
        loss: ``loss(prediction, target) -> scalar`` for each checked leaf; the mean squared error by default.
        forward: ``forward(model, inputs)`` for models called otherwise.
        seed: of the draws.

    Raises:
        StructureError: targets are missing, or there is nothing to compare.

    >>> import torch
    >>> from equiaudit.groups import SO
    >>> penalty = AugmentationPenalty(Symmetry(SO(3), "vector", "vector", batch=0), anchor="model")
    >>> x = torch.randn(8, 3)
    >>> bool(penalty(lambda v: 2 * v, x) < 1e-12), bool(penalty(lambda v: v + 1, x) > 0.1)
    (True, True)

    Source: Elhag, Rusch, Di Giovanni and Bronstein 2024, "Relaxed Equivariance via Multitask Learning" (REMUL).
    """

    def __init__(
        self,
        symmetry: Symmetry | Sequence[Symmetry] | None = None,
        *,
        anchor: str = "label",
        loss: Loss | None = None,
        forward: Forward | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(symmetry, forward, seed)
        if anchor not in ANCHORS:
            raise ValueError(f"anchor must be 'label' or 'model', got {anchor!r}")
        self.anchor, self.loss = anchor, loss or mean_squared_error
        self.needs_output = anchor == "model"

    def measure(self, model: Any, symmetry: Symmetry, inputs: Any, targets: Any, start: Moment) -> tuple[Any, Tensor]:
        """f(x) and the loss at ρ(g)x for one symmetry."""
        if self.anchor == "label" and targets is None:
            raise StructureError(
                "anchor='label' compares with transformed targets: penalty(model, inputs, targets); "
                "anchor='model' needs none"
            )
        outputs = self.call(model, inputs) if self.keeping or self.needs_output else None
        g = draw_elements(symmetry, inputs, self.rng)
        with start.again(model):
            moved = self.call(model, symmetry.act_on_inputs(g, inputs))
        wanted = symmetry.act_on_outputs(g, targets if self.anchor == "label" else outputs, inputs)
        there = dict(_leaves(symmetry, wanted))
        total: Any = None
        for path, value in _leaves(symmetry, moved):
            if path not in there:
                raise StructureError(f"{path_name(path)} is an output and missing among the targets")
            loss = self.loss(value, there[path])
            total = loss if total is None else total + loss
        if total is None:
            raise StructureError(f"no output is declared in {symmetry!r}, so there is nothing to compare")
        return outputs, total


def mean_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean over entries of |prediction − target|², in single precision at least.

    Raises:
        StructureError: shapes that differ, which a broadcast would hide.
    """
    if prediction.shape != target.shape:
        raise StructureError(
            f"the prediction has shape {list(prediction.shape)}, the target {list(target.shape)}; make them alike"
        )
    wide = torch.promote_types(torch.promote_types(prediction.dtype, target.dtype), torch.float32)
    gap = prediction.to(wide) - target.to(wide)
    return (gap.real.square() + gap.imag.square()).mean() if gap.is_complex() else gap.square().mean()


def _leaves(symmetry: Symmetry, outputs: Any) -> list[tuple[Path, Tensor]]:
    return [
        (path, value)
        for path, value, rep in symmetry.output_leaves(outputs)
        if isinstance(rep, Representation) and isinstance(value, Tensor) and (is_inexact(value) or value.dim())
    ]
