"""Undeclared inputs that may carry a frame: a cell or edge vectors that were not turned with the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from equiaudit.measure.bench import Bench
from equiaudit.measure.examine import Finding
from equiaudit.measure.precision import is_inexact
from equiaudit.measure.residual import checked_leaves, rms
from equiaudit.measure.rules import FELT
from equiaudit.representations.base import FromFunction, Representation
from equiaudit.representations.simple import Vector
from equiaudit.representations.structures import Path, leaves, map_leaves, path_name
from equiaudit.symmetry import UNDECLARED


def carried_frames(bench: Bench, found: Finding) -> list[str]:
    """A note for each undeclared floating-point input that the output feels when it is turned like a vector."""
    symmetry, group = bench.symmetry, bench.symmetry.acts
    if found.worst_trial is None:
        return []
    if getattr(group, "acts_on_indices", False):
        return left_alone(bench)
    declared = set()
    for path, value, rep in symmetry.input_leaves(bench.inputs["x0"]):
        if isinstance(rep, FromFunction):
            declared |= {p for p, _ in leaves(value, path)}
        elif isinstance(rep, Representation):
            declared.add(path)
    base, notes = bench.base("x0"), []
    g = found.worst_trial.element
    for path, value in leaves(base.inputs):
        if path in declared or not is_inexact(value) or value.dim() == 0 or value.shape[-1] != group.space_dim:
            continue
        turned = replaced(base.inputs, path, Vector().act(g, value))
        try:
            out = checked_leaves(symmetry, bench.evaluator(turned))
        except Exception:  # a probe for a note must not fail the audit
            continue
        there = {leaf.path: leaf.value for leaf in out}
        felt = max((_apart(leaf.value, there.get(leaf.path)) for leaf in base.leaves), default=0.0)
        if felt > FELT:
            name = path_name(path, "the input")
            notes.append(
                f"input {name} (shape {list(value.shape)}) is not declared and was not transformed, yet turning it changes the "
                f'output by {felt:.1g}: if it carries a frame (a cell, edge vectors), declare it, for example {name!r}: "vector"'
            )
    return notes


def _apart(a: Tensor, b: Tensor | None) -> float:
    if b is None or a.shape != b.shape or not bool(torch.isfinite(b).all()):
        return 0.0
    return rms(b - a) / (rms(a) or 1.0)


def replaced(inputs: Any, path: Path, value: Tensor) -> Any:
    """The inputs with another value at one path."""
    return map_leaves(lambda p, v: value if p == path else v, inputs)


def left_alone(bench: Bench) -> list[str]:
    """A note that lists the tensors that a relabelling did not touch: the commonest mistake with graphs."""
    entries = bench.symmetry.input_leaves(bench.inputs["x0"])
    names = [
        path_name(p, "the input") for p, v, rep in entries if rep is UNDECLARED and isinstance(v, Tensor) and v.dim()
    ]
    if not names:
        return []
    return [
        f'not declared, so not relabelled: {", ".join(names)}; index tensors are "edge_index", features of nodes and edges '
        '"nodes" and "edges"'
    ]
