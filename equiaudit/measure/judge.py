"""From residuals to a judgement on each leaf: floors by noise, one row at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equiaudit.measure.bench import Bench, Outcome, Scale
from equiaudit.measure.residual import Leaf, medians, rms
from equiaudit.measure.rules import AMPLITUDES
from equiaudit.ties import first_argmax


@dataclass
class Judgement:
    """One leaf under one element: whether it is within rounding, by how much, and where the worst row is."""

    leaf: Leaf
    outcome: Outcome
    error: float
    absolute: float
    floor: float
    index: tuple[int, ...]
    excess: float
    within: bool


@dataclass
class Floor:
    """What rounding can do to each leaf under one outcome: the largest of several noise probes, per row."""

    bench: Bench
    outcome: Outcome
    safety: float
    noise: list[Tensor] | None = None
    taken: int = 0

    def take(self) -> bool:
        """One more probe; False when all have been taken."""
        if self.taken >= len(AMPLITUDES):
            return False
        found = self.bench.probe(self.outcome, AMPLITUDES[self.taken], self.taken)
        self.taken += 1
        self.noise = (
            found if self.noise is None else [torch.maximum(a, b) for a, b in zip(self.noise, found, strict=True)]
        )
        return True

    def rows(self, n: int, leaf: Leaf, repeat: float = 0.0, unit: float = 2.0**-53) -> Tensor:
        """safety·(N + median N + 8·repeat + u·m) for leaf number n, m what a row is made of."""
        made_of = leaf.made_of()
        noise = self.noise[n] if self.noise is not None else torch.zeros_like(made_of)
        return self.safety * (noise + medians(noise) + 8 * repeat + unit * made_of)


def judge(leaf: Leaf, scale: Scale, residual: Tensor, floor: Tensor, outcome: Outcome) -> Judgement:
    """One leaf against its floor; NaN anywhere is never within."""
    error = leaf.norms(residual)
    if not error.numel():
        return Judgement(leaf, outcome, 0.0, 0.0, 0.0, (), 0.0, True)
    if not bool(torch.isfinite(error).all()):
        flat = int((~torch.isfinite(error)).flatten().nonzero()[0])
        return Judgement(
            leaf, outcome, float("nan"), float("nan"), 0.0, where(residual, leaf, flat), float("inf"), False
        )
    denominator = scale.typical
    excess = error / floor.clamp(min=torch.finfo(torch.float64).tiny)
    worst = first_argmax(error if bool((excess <= 1).all()) else error * (excess > 1))
    return Judgement(
        leaf,
        outcome,
        rms(error) / denominator,
        float(residual.abs().max()),
        rms(floor) / denominator,
        where(residual, leaf, worst),
        float(excess.max()),
        bool((excess <= 1).all()),
    )


def where(residual: Tensor, leaf: Leaf, row: int) -> tuple[int, ...]:
    """The index into the leaf of the worst entry of row number ``row``."""
    if not residual.dim():
        return ()
    span = [d % residual.dim() for d in leaf.span]
    rest = [d for d in range(residual.dim()) if d not in span]
    values = residual.abs().permute(*rest, *span).reshape(-1, *(residual.shape[d] for d in span))[row]
    inner = np.unravel_index(first_argmax(values), values.shape) if span else ()
    outer = np.unravel_index(row, [residual.shape[d] for d in rest]) if rest else ()
    index = [0] * residual.dim()
    for d, i in zip((*rest, *span), (*outer, *inner), strict=True):
        index[d] = int(i)
    return tuple(index)
