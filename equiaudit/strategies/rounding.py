"""Whether rounding of the input alone explains a violation: amplified by a singular point, or where f is not defined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.groups.base import Element
from equiaudit.measure.bench import Bench, Outcome
from equiaudit.measure.examine import Examination
from equiaudit.measure.precision import is_inexact, roundoff
from equiaudit.measure.residual import Leaf, checked_leaves, medians, pull_back
from equiaudit.measure.rules import ACCEPT
from equiaudit.representations.base import Representation
from equiaudit.representations.simple import Points, Scalar, Vector
from equiaudit.representations.structures import Path, leaves, map_leaves
from equiaudit.strategies.variation import declared_leaves

AMPLIFIED, UNDEFINED = "amplified rounding", "undefined value"
COPIES = 8
"""How many inputs beside x, and as many beside ρ(g) x."""
LEAST = 4.0
"""Relative distance of inputs that only rounding tells apart, in units of roundoff."""
FAR, FAR_OWN = 1e-6, 1e-3
"""Relative distance at which amplified rounding has grown, in double precision and at a model's own."""
BESIDE, BESIDE_OWN = 1e-8, 1e-3
"""Relative distance at which f is asked whether it depends on the direction alone; and a hundredth of that is added."""
EXPLAINS, GROWS = 3.0, 30.0
FEW, FEW_OWN, MANY = 1e-7, 3e-4, 0.2
"""A hundredth of the distance changes 0/0 by a share of its spread in between; a tie by nothing, or by all of it."""


def explained(exam: Examination, outcome: Outcome, bad: Sequence[int]) -> str:
    """AMPLIFIED or UNDEFINED where rounding of the input moves the output as much as the element does; else "".

    Turned positions carry errors of a unit roundoff u. Where f answers inputs that differ by 4 u from x and from ρ(g) x with
    as large a change as the residual, the residual shows nothing about equivariance. Three laws are told apart by the
    change δ(s) at distances s:

    - δ grows by far between s = 4 u and 10⁻⁶, as where acos meets 1: amplified rounding;
    - δ does not grow, and f is locally constant or smooth beside x: a jump between a few values, such as a tie or a
      cutoff, which is a violation;
    - δ does not grow, and f depends on the direction of the difference alone, as 0/0 does. On inputs that a whole circle of
      rotations leaves as they are (all nodes in a line) that is undefined; on others, such as the axes of inertia of a
      regular figure, it is a violation.

    Args:
        exam: an examination whose base "x0" is the input.
        outcome: the trial in doubt.
        bad: numbers of the output leaves that are not within their floor.
    """
    own = exam.bench.evaluator.dtype is None
    beside = _Beside(exam.bench, outcome.elements)
    near = beside.spreads(LEAST * beside.unit)
    if near is None or not all(_covers(exam, n, outcome.residuals[n], near) for n in bad):
        return ""
    far = beside.spreads(FAR_OWN if own else FAR)
    if far is None:
        return ""
    if all(float(far[n].max()) >= GROWS * float(near[n].max()) for n in bad):
        return AMPLIFIED
    if not in_a_line(exam.bench):
        return ""
    changes = beside.changes(BESIDE_OWN if own else BESIDE)
    if changes is None:
        return ""
    shares = [np.array(changes[n]) / max(float(near[n].max()), 1e-300) for n in bad]
    few = FEW_OWN if own else FEW
    return UNDEFINED if any(np.mean((s > few) & (s < MANY)) > 0.5 for s in shares) else ""


def _covers(exam: Examination, n: int, residual: Tensor, near: Sequence[Tensor]) -> bool:
    leaf = exam.bench.base("x0").leaves[n]
    error, spread = leaf.norms(residual), near[n]
    tiny = ACCEPT * exam.scales[n].rows_like(error)
    return bool((error <= EXPLAINS * (spread + medians(spread)) + tiny).all())


class _Beside:
    """f at inputs that differ from x and from ρ(g) x by a multiple of each row's size."""

    def __init__(self, bench: Bench, elements: tuple[Element, ...]) -> None:
        self.bench, self.elements = bench, elements
        self.unit = roundoff(bench.evaluator.dtype or bench.declared)
        self.x = bench.base("x0").inputs
        self.moved = bench.symmetry.act_on_inputs(elements, self.x)
        self.reps = declared_leaves([bench.symmetry], self.x)

    def spreads(self, size: float) -> list[Tensor] | None:
        """Per leaf and row the largest change of the output; None where it has another shape or none."""
        spread: list[Tensor] | None = None
        for turned in (False, True):
            centre = self.values(self.moved if turned else self.x, turned)
            if centre is None:
                return None
            for k in range(COPIES):
                there = self.values(self.shaken(self.moved if turned else self.x, size, k), turned)
                if there is None or any(a.value.shape != b.value.shape for a, b in zip(centre, there, strict=True)):
                    return None
                change = [a.norms(b.value - a.value).nan_to_num(0.0) for a, b in zip(centre, there, strict=True)]
                spread = change if spread is None else [torch.maximum(*p) for p in zip(spread, change, strict=True)]
        return spread

    def changes(self, size: float) -> list[list[float]] | None:
        """Per leaf, for several inputs beside ρ(g) x, how much f changes with a hundredth of their distance."""
        found: list[list[float]] = []
        for k in range(COPIES):
            first = self.shaken(self.moved, size, k)
            one, two = self.values(first, True), self.values(self.shaken(first, size / 100, COPIES + k), True)
            if one is None or two is None or any(a.value.shape != b.value.shape for a, b in zip(one, two, strict=True)):
                return None
            found.append(
                [float(a.norms(b.value - a.value).nan_to_num(0.0).max()) for a, b in zip(one, two, strict=True)]
            )
        return [list(column) for column in zip(*found, strict=True)]

    def values(self, inputs: Any, turned: bool) -> list[Leaf] | None:
        """The output leaves, pulled back where the input was moved; None where the model refuses."""
        try:
            out = self.bench.evaluator(inputs)
            out = pull_back(self.bench.symmetry, self.elements, out, self.x) if turned else out
            return checked_leaves(self.bench.symmetry, out)
        except Exception:  # whatever the model raises, and other structures
            return None

    def shaken(self, inputs: Any, size: float, number: int) -> Any:
        """The input with each row of each declared leaf changed by up to ``size`` times its own norm."""
        rng = np.random.default_rng((self.bench.seed, number))

        def one(path: Path, value: Any) -> Any:
            rep = self.reps.get(path)
            if rep is None or isinstance(rep, Scalar) or not is_inexact(value) or not value.numel():
                return value
            noise = torch.from_numpy(rng.uniform(-1.0, 1.0, value.shape)).to(value.device, value.real.dtype)
            axis = rep.axis if isinstance(rep, Vector) else -1
            norm = value.norm(dim=axis, keepdim=True) if value.dim() else value.abs()
            return value + size * norm * noise

        return map_leaves(one, inputs)


def in_a_line(bench: Bench) -> bool:
    """Whether a circle of rotations leaves the input as it is: all declared points and vectors along one line."""
    inputs = bench.base("x0").inputs
    declared: dict[Path, Representation] = declared_leaves([bench.symmetry], inputs)
    rows: list[Tensor] = []
    for path, value in leaves(inputs):
        rep = declared.get(path)
        if rep is None or isinstance(rep, Scalar):
            continue
        if not isinstance(rep, Vector) or value.is_complex() or value.dim() < 2 or value.shape[rep.axis] < 3:
            return False
        found = value.detach().double().cpu().movedim(rep.axis, -1)
        found = found - found.mean(-2, keepdim=True) if isinstance(rep, Points) else found
        rows.append(found.reshape(-1, found.shape[-1]))
    if not rows or len({r.shape[-1] for r in rows}) > 1:
        return False
    every = torch.cat(rows)
    sizes = torch.linalg.svdvals(every)
    free = every.shape[-1] - 2
    return len(sizes) <= free or float(sizes[free]) <= math.sqrt(roundoff(torch.float64)) * float(sizes[0])
