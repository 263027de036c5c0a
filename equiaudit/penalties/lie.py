"""The Lie derivative of a model, or of chosen layers, as a penalty; discrete generators and drawn elements besides."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from torch import Tensor

from equiaudit.groups.base import Element
from equiaudit.measure.residual import checked_leaves, pull_back, residuals
from equiaudit.penalties.base import Forward, Penalty
from equiaudit.penalties.hidden import Recorder, chosen_layers
from equiaudit.penalties.passes import Ladder, centred, draw_directions, draw_elements, mean_square, placed
from equiaudit.penalties.surroundings import Moment
from equiaudit.representations.structures import StructureError
from equiaudit.symmetry import Symmetry

CHOICES = ("random", "all")


class LieDerivativePenalty(Penalty):
    """The mean square of the Lie derivative of a model, E_A |Df(x)[dρ_in(A) x] − dρ_out(A) f(x)|², to be minimised.

    With A drawn N(0, I) its mean is Σ_k |L_{A_k} f|², so one direction for each call (or sample) penalises the whole
    algebra for the price of one forward-mode pass, which shares f(x) with the task. Discrete generators add
    |ρ_out(h)⁻¹ f(ρ_in(h) x) − f(x)|². Means over entries, samples and points: the size of a batch does not change the
    scale. Zero for an equivariant model up to rounding, with finite gradients.

    Turns are about the centroid, translations in units of the input's RMS radius, as in an audit; the residual is that
    of ``equiaudit.lie_derivative``.

    Args:
        symmetry: the claim, or several; None to read it from the model.
        layers: None for the whole model. True, or names with wildcards ("layers.*"): these submodules, between the
            representations that ``symmetry.hidden`` declares for them, at the activations of the forward (detached).
        directions: "random", one direction per call (per sample under ``batch``), or "all" generators in turn.
        discrete: "random", one discrete generator per call, weighted by their number; "all"; or None.
        elements: how many drawn group elements are tried besides, as residuals; by default 1 where the group has
            neither an algebra nor generators (``Permutations()``), else 0.
        relative: divide by the mean square of f(x), taken as a constant.
        derivative: "auto": the first method of the derivative ladder that keeps a graph and agrees with central
            differences, found once for each model and mode; or a method by name, without comparing.
        forward: ``forward(model, inputs)`` for models called otherwise.
        seed: of the draws.

    Raises:
        DerivativeRefusedError: the model can't be differentiated twice; the message names what stands in the way.
        StructureError: nothing to differentiate, or no layer of these names.

    >>> import torch
    >>> from equiaudit.groups import SO
    >>> penalty = LieDerivativePenalty(Symmetry(SO(3), "vector", "vector", batch=0))
    >>> layer, x = torch.nn.Linear(3, 3), torch.randn(8, 3)
    >>> y, size = penalty.with_output(layer, x)
    >>> size.backward()
    >>> bool(size > 0), float(penalty(lambda v: 2 * v, x))
    (True, 0.0)

    Source: Otto et al. 2023, "A Unified Framework to Enforce, Discover, and Promote Symmetry in Machine Learning";
    the derivative: Gruver et al. 2022, equation 3.
    """

    def __init__(
        self,
        symmetry: Symmetry | Sequence[Symmetry] | None = None,
        *,
        layers: bool | str | Sequence[str] | None = None,
        directions: str = "random",
        discrete: str | None = "random",
        elements: int | None = None,
        relative: bool = False,
        derivative: str = "auto",
        forward: Forward | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(symmetry, forward, seed)
        if directions not in CHOICES:
            raise ValueError(f"directions must be 'random' or 'all', got {directions!r}")
        if discrete is not None and discrete not in CHOICES:
            raise ValueError(f"discrete must be 'random', 'all' or None, got {discrete!r}")
        self.layers = (layers,) if isinstance(layers, str) else ("*",) if layers is True else layers or None
        self.directions, self.discrete, self.elements = directions, discrete, elements
        self.relative, self.ladder = relative, Ladder(derivative)

    def measure(self, model: Any, symmetry: Symmetry, inputs: Any, targets: Any, start: Moment) -> tuple[Any, Tensor]:
        """f(x) and the penalty for one symmetry."""
        if self.layers is None:
            return self._of(model, symmetry, inputs, start, self.call)
        with Recorder(chosen_layers(model, symmetry, self.layers)) as seen:
            outputs = self.call(model, inputs)
        total: Any = 0.0
        for layer in seen.calls:
            claim = layer.symmetry(symmetry, inputs)
            with start.again(layer.module):
                here = Moment(layer.module)
                total = total + self._of(layer.module, claim, layer.inputs, here, layer.call)[1]
        if not seen.calls:
            raise StructureError(f"none of the layers {list(self.layers)} ran in this forward")
        return outputs, total

    def _of(self, model: Any, symmetry: Symmetry, inputs: Any, start: Moment, call: Any) -> tuple[Any, Tensor]:
        outputs, terms, scales = None, [], {}
        group = symmetry.acts
        rows = np.eye(group.dim) if self.directions == "all" else [None] * min(1, group.dim)

        def run(x: Any) -> Any:
            return call(model, x)

        for n, row in enumerate(rows):
            drawn = draw_directions(symmetry, inputs, self.rng) if row is None else row
            coordinates = centred(symmetry, inputs, drawn)
            with start.again(model) if n else nullcontext():
                found = self.ladder.push(model, run, symmetry, inputs, coordinates)
            outputs = outputs if n else found.outputs
            terms += [(path, mean_square(x)) for path, x in found.slopes.items() if x.numel()]
        if outputs is None:
            outputs = call(model, inputs)
        leaves = checked_leaves(symmetry, outputs)
        if not leaves:
            raise StructureError(f"no output is declared in {symmetry!r}, so there is nothing to penalise")
        for weight, g in self._elements(symmetry, inputs):
            with start.again(model):
                moved = call(model, symmetry.act_on_inputs(g, inputs))
            found_here = residuals(symmetry, leaves, pull_back(symmetry, g, moved, inputs))
            terms += [
                (leaf.path, weight * mean_square(r)) for leaf, r in zip(leaves, found_here, strict=True) if r.numel()
            ]
        if self.relative:
            sizes = {leaf.path: mean_square(leaf.value.detach()) for leaf in leaves}
            scales = {path: size.where(size > 0, size.new_ones(())) for path, size in sizes.items()}
        if not terms:
            raise StructureError(
                f"nothing of {symmetry!r} was tried: there are no directions, and discrete={self.discrete!r}, "
                f"elements={self.elements!r} leave the rest out"
            )
        values = [value / scales[path] if path in scales else value for path, value in terms]
        dtype = next((v.dtype for v in values), None)
        total = values[0]
        for value in values[1:]:
            total = total + value.to(dtype)
        return outputs, total

    def _elements(self, symmetry: Symmetry, inputs: Any) -> list[tuple[float, tuple[Element, ...]]]:
        group = symmetry.acts
        names = list(group.discrete) if self.discrete is not None else []
        count = self.elements
        if count is None:
            count = 0 if group.dim or group.discrete else 1
        found: list[tuple[float, tuple[Element, ...]]] = []
        if names and self.discrete == "random":
            name = names[int(self.rng.integers(len(names)))]
            found.append((float(len(names)), (group.generator(name),)))
        elif names:
            found += [(1.0, (group.generator(name),)) for name in names]
        drawn = [(1.0, draw_elements(symmetry, inputs, self.rng)) for _ in range(count)]
        return [(weight, placed(symmetry, g, inputs)) for weight, g in found] + drawn
