"""The measuring bench: a model in one precision, the caller's input and its twin, and each trial's residuals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from equiaudit.groups.base import Element
from equiaudit.measure.evaluate import Evaluator
from equiaudit.measure.noise import NoiseMode
from equiaudit.measure.plan import Trial
from equiaudit.measure.residual import Leaf, checked_leaves, median, medians, pull_back, residuals, rms
from equiaudit.measure.twin import JITTER
from equiaudit.representations.structures import Path, StructureError
from equiaudit.symmetry import Symmetry


@dataclass
class Outcome:
    """What one trial gave: residuals and moved values per leaf (wide precision), and the elements as applied."""

    trial: Trial
    elements: tuple[Element, ...]
    residuals: list[Tensor]
    moved: Any
    noise: list[Tensor] | None = None
    by_constants: dict[Path, bool] = field(default_factory=dict)
    """Leaves whose residual was asked about, and whether the rounding of stored constants explains it."""

    @property
    def element(self) -> Element:
        """The element of the first sample."""
        return self.elements[0]


@dataclass
class Base:
    """One input and its output."""

    inputs: Any
    outputs: Any
    leaves: list[Leaf]


@dataclass
class Bench:
    """A symmetry on trial in one precision.

    Args:
        evaluator: calls the model.
        symmetry: the claim.
        inputs: by name: "x0" the caller's input, "x1" its twin, both in the evaluator's precision.
        outputs: outputs already computed for them, shared between symmetries.
        declared: the dtype that the model declares; noise is capped at its roundoff.
        seed: of the noise.
    """

    evaluator: Evaluator
    symmetry: Symmetry
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    declared: torch.dtype
    seed: int
    bases: dict[str, Base] = field(default_factory=dict)
    operations: set[str] = field(default_factory=set)

    def base(self, name: str) -> Base:
        """The input called ``name`` with its output, computed once."""
        if name not in self.bases:
            if name not in self.outputs:
                self.outputs[name] = self.evaluator(self.inputs[name])
            out = self.outputs[name]
            self.bases[name] = Base(self.inputs[name], out, checked_leaves(self.symmetry, out))
        return self.bases[name]

    def placed(self, trial: Trial) -> tuple[Element, ...]:
        """The trial's elements about the centroid of its input, translations in units of the RMS radius."""
        frame = self.symmetry.frame(self.inputs[trial.base])
        if frame is None or trial.as_given:
            return trial.elements
        group = self.symmetry.acts
        found = []
        for n, g in enumerate(trial.elements):
            k = n % len(frame.origin)
            found.append(group.recentre(g, frame.origin[k], float(frame.radius[k])))
        return tuple(found)

    def action_error(self, outcome: Outcome) -> float:
        """The error of the action itself, relative: of turning an image by an odd angle; 0 for exact actions."""
        base, found = self.base(outcome.trial.base), 0.0
        for _, value, rep in (*self.symmetry.input_leaves(base.inputs), *self.symmetry.output_leaves(base.outputs)):
            if hasattr(rep, "action_error") and isinstance(value, Tensor):
                found = max(found, *(float(rep.action_error(g, value)) for g in outcome.elements))
        return found

    def run(self, trial: Trial, evaluator: Evaluator | None = None) -> Outcome:
        """One forward: f(ρ_in(g) x) pulled back, minus f(x)."""
        base = self.base(trial.base)
        elements = self.placed(trial)
        moved_inputs = self.symmetry.act_on_inputs(elements, base.inputs)
        moved = (evaluator or self.evaluator)(moved_inputs)
        pulled = pull_back(self.symmetry, elements, moved, base.inputs)
        return Outcome(trial, elements, residuals(self.symmetry, base.leaves, pulled), pulled)

    def probe(self, outcome: Outcome, amplitude: float, attempt: int) -> list[Tensor]:
        """Row norms of what rounding noise does to f(ρ_in(g) x), per unit of amplitude."""
        base = self.base(outcome.trial.base)
        mode = NoiseMode(amplitude, self.declared, self.seed * 1009 + attempt)
        noisy = self.evaluator(self.symmetry.act_on_inputs(outcome.elements, base.inputs), mode)
        self.operations |= mode.seen
        pulled = pull_back(self.symmetry, outcome.elements, noisy, base.inputs)
        clean = checked_leaves(self.symmetry, outcome.moved)
        there = {leaf.path: leaf for leaf in checked_leaves(self.symmetry, pulled)}
        out = []
        for leaf in clean:
            if leaf.path not in there or there[leaf.path].value.shape != leaf.value.shape:
                raise StructureError(f"{leaf.name} changes its shape under rounding noise")
            out.append(leaf.norms(there[leaf.path].value - leaf.value) / amplitude)
        return out


@dataclass(frozen=True)
class Scale:
    """How large an error of one leaf is: sensitivity and size per row.

    s_row = max(S, V_row) with V the change of f between the input and its twin, S = min(median V, median |f|), or V alone where f
    vanishes: a constant offset that could hide a leak never enters.
    """

    sensitivity: Tensor
    size: Tensor
    rows: Tensor

    @property
    def typical(self) -> float:
        """What reported errors are relative to: the size of f, or its change per relative change of the input if smaller."""
        size, steep = rms(self.size), rms(self.sensitivity) / JITTER
        return min(size, steep) if size > 0 and steep > 0 else max(size, steep) or 1.0

    def rows_like(self, size: Tensor) -> Tensor:
        """s_row for rows shaped like ``size``: an output may have other rows for another input, such as its edges."""
        return self.rows if self.rows.shape == size.shape else torch.full_like(size, median(self.rows))

    @classmethod
    def of(cls, leaf: Leaf, other: Tensor | None) -> Scale:
        """From f(x0) and f(x1); without a twin, from the size of f alone, its mean removed."""
        size = leaf.norms(leaf.value)
        if other is None or other.shape != leaf.value.shape:
            spread = leaf.norms(leaf.value - leaf.value.mean(0, keepdim=True)) if leaf.value.dim() > 1 else size
            typical = median(spread) or median(size)
            return cls(spread, size, torch.full_like(size, typical))
        v = leaf.norms(other - leaf.value)
        typical_v, typical_f = medians(v), medians(size)
        both = (typical_v > 0) & (typical_f > 0)
        return cls(v, size, torch.maximum(v, torch.where(both, torch.minimum(typical_v, typical_f), typical_v)))
