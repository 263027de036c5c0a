"""The Lie derivative L_A f(x) = Df(x)[dρ_in(A) x] − dρ_out(A) f(x): the residual's slope at the identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.groups.base import Matrix
from equiaudit.measure.derivatives import DIFFERENCES, Directional, directional_derivative
from equiaudit.measure.evaluate import Evaluator
from equiaudit.measure.precision import is_inexact
from equiaudit.measure.state import preserved
from equiaudit.representations.base import FromFunction, Representation
from equiaudit.representations.structures import Path, StructureError, map_leaves
from equiaudit.symmetry import Symmetry


@dataclass(frozen=True)
class Slope:
    """L_A f for every checked leaf: ``values`` by path, ``moved`` = Df[v], ``turned`` = dρ_out(A) f, and what was spent."""

    values: Mapping[Path, Tensor]
    moved: Mapping[Path, Tensor]
    turned: Mapping[Path, Tensor]
    backend: str
    refused: Mapping[str, str] = field(default_factory=dict)
    forwards: int = 0
    jvps: int = 0
    errors: Mapping[Path, Tensor] = field(default_factory=dict)


def directions(symmetry: Symmetry, inputs: Any, coordinates: Matrix) -> Matrix:
    """Algebra coordinates about the centroid, translations in units of the RMS radius; [k] or [samples, k]."""
    frame = symmetry.frame(inputs)
    if frame is None:
        return coordinates
    group = symmetry.acts
    if coordinates.ndim == 1:
        if len(frame.origin) == 1:
            return group.recentre_direction(coordinates, frame.origin[0], float(frame.radius[0]))
        coordinates = np.broadcast_to(coordinates, (len(frame.origin), len(coordinates)))
    pairs = zip(coordinates, frame.origin, frame.radius, strict=True)
    return np.stack([group.recentre_direction(c, o, float(r)) for c, o, r in pairs])


def slope(
    evaluator: Evaluator,
    symmetry: Symmetry,
    inputs: Any,
    coordinates: Matrix,
    *,
    method: str = "auto",
    placed: bool = False,
    check: bool = True,
) -> Slope:
    """L_A f at ``inputs`` for A = Σ_k c_k A_k, by the derivative ladder.

    ``inputs`` are in the evaluator's precision. ``placed`` says that the coordinates are already about the centroid;
    ``check`` compares with central differences before a derivative is believed (four forwards).
    """
    coordinates = np.asarray(coordinates, dtype=float)
    if not placed:
        coordinates = directions(symmetry, inputs, coordinates)
    base = evaluator.cast(inputs)
    velocities = [(p, x, v) for p, x, v in symmetry.velocity(coordinates, base)]
    if not velocities:
        raise StructureError(f"no floating-point input is declared in {symmetry!r}, so there is no Lie derivative")
    place = {path: n for n, (path, _, _) in enumerate(velocities)}
    held: dict[str, Any] = {}

    def function(flat: Sequence[Tensor]) -> list[Tensor]:
        fresh = map_leaves(lambda p, v: flat[place[p]] if p in place else fresh_copy(v), base, fresh=True)
        out = evaluator.call(fresh)
        held["out"] = out
        return [value for _, value in declared_outputs(symmetry, out)]

    with evaluator.ready():
        found: Directional = directional_derivative(
            function, [x for _, x, _ in velocities], [v for _, _, v in velocities], method=method, check=check
        )
    evaluator.spent.jvps += found.jvps
    if found.forwards:
        evaluator.spent.forwards[evaluator._name(base)] += found.forwards
    paths = [p for p, _ in declared_outputs(symmetry, held["out"])]
    moved = dict(zip(paths, found.derivatives, strict=True))
    values = dict(zip(paths, found.values, strict=True))
    # other leaves may be dead wrappers of a transform: they are not looked at
    outputs = map_leaves(lambda p, _: values.get(p), held["out"])
    turned = {p: t for p, _, t in symmetry.output_velocity(coordinates, outputs, base)}
    result = {p: moved[p].to(turned[p].dtype) - turned[p] for p in turned if p in moved}
    differed = found.backend == DIFFERENCES
    errors = dict(zip(paths, found.errors or (), strict=False)) if differed else {}
    return Slope(result, moved, turned, found.backend, found.refused, found.forwards, found.jvps, errors)


def fresh_copy(value: Any) -> Any:
    """A tensor of its own, without a graph; anything else as it is."""
    return value.detach().clone() if isinstance(value, Tensor) else value


def declared_outputs(symmetry: Symmetry, out: Any) -> list[tuple[Path, Tensor]]:
    """The leaves of an output that turn by matrices and have derivatives."""
    return [
        (path, value)
        for path, value, rep in symmetry.output_leaves(out)
        if isinstance(rep, Representation) and not isinstance(rep, FromFunction) and is_inexact(value)
    ]


def lie_derivative(
    model: Any,
    inputs: Any,
    symmetry: Symmetry,
    direction: Any = None,
    *,
    forward: Callable[[Any, Any], Any] | None = None,
    derivative: str = "auto",
) -> Any:
    """The Lie derivative of a model along the generators of a group, in the shape of its outputs.

    L_A f(x) = Df(x)[dρ_in(A) x] − dρ_out(A) f(x); zero for all A and x iff f is equivariant under the identity component.
    Rotations act about the origin, translations in the units of the input.

    Args:
        model: a module or any callable, in its own precision.
        inputs: its input; an exact tuple means several positional arguments.
        symmetry: the claim; its group must be continuous.
        direction: algebra coordinates [k] of one direction; None for every generator.
        forward: ``forward(model, inputs)`` for models that are called otherwise.
        derivative: "auto" for the derivative ladder, or one rung by name.

    Returns:
        The structure of the outputs; each checked leaf holds [generators, …] (one row for a given direction), undeclared
        and integer leaves are None.

    Raises:
        StructureError: nothing to differentiate, or the group has no algebra.

    Source: Gruver et al. 2022, "The Lie Derivative for Measuring Learned Equivariance", equation 3.

    >>> import torch
    >>> from equiaudit.groups import SO
    >>> x = torch.tensor([1.0, 2.0, 3.0])
    >>> lie_derivative(lambda x: 2 * x + 1, x, Symmetry(SO(3), "vector", "vector")).tolist()
    [[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]]
    """
    if not isinstance(symmetry, Symmetry):
        raise TypeError(f"expected one Symmetry, got {type(symmetry).__name__}; for several, call once for each")
    group = symmetry.acts
    if not group.dim:
        raise StructureError(f"{group!r} is discrete: it has no Lie algebra; use equivariance_error for its elements")
    rows = np.eye(group.dim) if direction is None else np.atleast_2d(np.asarray(direction, dtype=float))
    if rows.shape[-1] != group.dim:
        raise StructureError(f"a direction of {group!r} has {group.dim} coordinates, got {rows.shape[-1]}")
    evaluator = Evaluator(model, None, forward)
    with preserved(model):
        outputs = evaluator(inputs)
        found, method = [], derivative
        for n, row in enumerate(rows):  # what one direction has confirmed serves the others
            one = slope(evaluator, symmetry, inputs, row, method=method, placed=True, check=n == 0)
            method = one.backend
            found.append(one.values)
    return map_leaves(lambda p, _: torch.stack([f[p] for f in found]) if p in found[0] else None, outputs)
