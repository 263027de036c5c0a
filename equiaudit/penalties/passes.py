"""One differentiable pass of a model and its tangent: f(x) and L_A f(x) from the same primal computation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from equiaudit.groups.base import Element, Exp, Group, Matrix, NotInGroupError
from equiaudit.measure.derivatives import DerivativeRefusedError, directional_derivative
from equiaudit.measure.direction import check_direction
from equiaudit.measure.lie import directions
from equiaudit.measure.precision import is_inexact
from equiaudit.measure.rungs import ready_to_differentiate
from equiaudit.measure.state import modules_of, random_states, seed_everything
from equiaudit.penalties.seconds import custom_functions, ends_of, wrong_gradient
from equiaudit.penalties.splitting import SplitTangents
from equiaudit.penalties.surroundings import Moment
from equiaudit.representations.base import FromFunction, Representation
from equiaudit.representations.structures import Path, StructureError, map_leaves
from equiaudit.symmetry import Symmetry

Call = Callable[[Any], Any]
DISTINCT = 64
"""How many elements are drawn for one call at most; more samples share them at random."""


@dataclass(frozen=True)
class Pass:
    """f(x) in the structure of the outputs, and L_A f(x) for each checked leaf."""

    outputs: Any
    slopes: Mapping[Path, Tensor]


class Ladder:
    """Which rung of the derivative ladder a model takes: found at the first pass and kept.

    Args:
        method: "auto", or one rung by name, which is then not compared with differences.
    """

    def __init__(self, method: str = "auto") -> None:
        from equiaudit.measure.derivatives import RUNGS

        if method not in ("auto", *RUNGS):
            raise ValueError(f"derivative must be 'auto' or one of {', '.join(map(repr, RUNGS))}, got {method!r}")
        self.method, self.rungs = method, RUNGS
        self.cut: str | None = None
        self._known: WeakKeyDictionary[Any, dict[Any, str]] = WeakKeyDictionary()

    def push(self, model: Any, call: Call, symmetry: Symmetry, inputs: Any, coordinates: Matrix) -> Pass:
        """f(x) and L_A f(x) with their graphs, in one pass.

        Raises:
            DerivativeRefusedError: no rung that keeps a graph works on the model.
            StructureError: no floating-point input is declared.
        """
        velocities = symmetry.velocity(coordinates, inputs)
        if not velocities:
            raise StructureError(f"no floating-point input is declared in {symmetry!r}, so there is no Lie derivative")
        place = {path: n for n, (path, _, _) in enumerate(velocities)}
        primals, tangents = check_direction([x for _, x, _ in velocities], [v for _, _, v in velocities])
        held: dict[str, Any] = {}

        def run(flat: Sequence[Tensor], checked: bool) -> list[Tensor]:
            dtype = (
                flat[0].dtype if flat[0].dtype != primals[0].dtype else None
            )  # other inputs follow a trial in double
            with SplitTangents() as mode:
                held["out"] = out = call(
                    map_leaves(lambda p, v: flat[place[p]] if p in place else _follow(v, dtype), inputs)
                )
            self.cut = self.cut or mode.cut
            held["paths"] = [p for p, _ in (_checked(symmetry, out) if checked else _tensors(out))]
            return [v for _, v in (_checked(symmetry, out) if checked else _tensors(out))]

        name = self._rung(model, lambda flat: run(flat, True), primals, tangents)
        with ready_to_differentiate():
            try:
                values, slopes = self.rungs[name](lambda flat: run(flat, False), primals, tangents, True)
            except Exception as problem:
                problem.add_note(f"raised while {name}, which worked on this model before, took its Lie derivative")
                raise
            found = dict(zip(held["paths"], values, strict=True))
            moved = dict(zip(held["paths"], slopes, strict=True))
            outputs = map_leaves(lambda p, v: found.get(p, v), held["out"])
            residual = {}
            for path, _, turned in symmetry.output_velocity(coordinates, outputs, inputs):
                if path in [p for p, _ in _checked(symmetry, outputs)]:
                    slope = moved[path]
                    residual[path] = -turned if slope is None else slope.to(turned.dtype) - turned
        return Pass(outputs, residual)

    def _rung(self, model: Any, function: Any, primals: Any, tangents: Any) -> str:
        if self.method != "auto":
            return self.method
        owner = next(iter(modules_of(model)), model)
        mode = (getattr(owner, "training", None), torch.is_autocast_enabled(primals[0].device.type))
        known = self._known.setdefault(owner, {})
        if mode not in known:
            known[mode] = self._try(model, function, primals, tangents, check=not mode[1] and _is_fine(primals))
        return known[mode]

    def _try(self, model: Any, function: Any, primals: Any, tangents: Any, check: bool) -> str:
        before = Moment(model)
        self.cut = None
        start = [x.detach() for x in primals]

        def repeatable(flat: Sequence[Tensor]) -> list[Tensor]:
            for buffer, value in zip(before.buffers, before.values, strict=True):
                buffer.data.copy_(value)
            seed_everything(0)
            return function(flat)

        refused: list[str] = []
        try:
            for name in self.rungs:
                with random_states():
                    try:
                        found = directional_derivative(
                            repeatable,
                            start,
                            [v.detach() for v in tangents],
                            method=name,
                            differentiable=True,
                            check=check,
                        )
                        _descend((*found.values, *found.derivatives))
                        wrong = wrong_gradient(
                            repeatable,
                            tuple(x.requires_grad_(p.requires_grad) for x, p in zip(start, primals, strict=True)),
                            tuple(v.detach() for v in tangents),
                            self.rungs[name],
                            modules_of(model),
                        )
                        if wrong is None:
                            return name
                        custom = custom_functions((*found.values, *found.derivatives))
                        refused.append(
                            f"{name}: {wrong}" + (f"; it runs through {', '.join(custom)}" if custom else "")
                        )
                    except DerivativeRefusedError as problem:
                        refused.append(str(problem).strip().splitlines()[-1].strip())
                    except Exception as problem:  # a graph that can't be used, as under gradient checkpointing
                        first = (str(problem).strip().splitlines() or [""])[0]
                        refused.append(f"{name}: its gradient raised {type(problem).__name__}: {first[:120]}")
        finally:
            before.rewind()
        reasons = "".join(f"\n  {reason}" for reason in refused)
        if self.cut:
            reasons += (
                f"\nthe model calls {self.cut} without create_graph=True, so what it returns has no derivative: keep that "
                "graph, or take torch.func.grad of torch.func.functional_call"
            )
        if any("central difference in" in reason for reason in refused):
            reasons += (
                "\nan operation has a wrong second derivative: torch.autograd.gradgradcheck finds it; write it from "
                "elementary operations (a custom autograd.Function needs a backward that can be differentiated)"
            )
        raise DerivativeRefusedError(
            f"no method gave a derivative of this model that can be trained on:{reasons}\nAugmentationPenalty needs no "
            "derivative of the model and works on all of these; derivative='…' takes one of the methods untried"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"method": self.method}  # what was found belongs to models of this process

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _descend(values: Sequence[Tensor]) -> None:
    """Raise what a training step on these values would raise."""
    with ready_to_differentiate():
        live = [mean_square(v).double() for v in values if v.requires_grad]
        parameters = ends_of(live)
        if parameters:
            torch.autograd.grad(torch.stack(live).sum(), parameters, allow_unused=True)


def _follow(value: Any, dtype: torch.dtype | None) -> Any:
    return value if dtype is None or not isinstance(value, Tensor) or not value.is_floating_point() else value.double()


def _is_fine(primals: Sequence[Tensor]) -> bool:
    return all(x.dtype.itemsize >= 4 for x in primals)


def _tensors(out: Any) -> list[tuple[Path, Tensor]]:
    found: list[tuple[Path, Tensor]] = []

    def visit(path: Path, value: Any) -> Any:
        if isinstance(value, Tensor):
            found.append((path, value))
        return value

    map_leaves(visit, out)
    return found


def _checked(symmetry: Symmetry, out: Any) -> list[tuple[Path, Tensor]]:
    return [
        (path, value)
        for path, value, rep in symmetry.output_leaves(out)
        if isinstance(rep, Representation) and not isinstance(rep, FromFunction) and is_inexact(value)
    ]


def draw_elements(symmetry: Symmetry, inputs: Any, rng: np.random.Generator) -> tuple[Element, ...]:
    """One element, or one for each sample, placed; of many samples some share one of ``DISTINCT`` draws."""
    count = 1 if symmetry.batch is None else symmetry.sample_count(inputs)
    drawn = [symmetry.acts.sample(rng) for _ in range(min(count, DISTINCT))]
    several = drawn if count <= DISTINCT else [drawn[n] for n in rng.integers(len(drawn), size=count)]
    return placed(symmetry, several, inputs)


def placed(symmetry: Symmetry, elements: Sequence[Element], inputs: Any) -> tuple[Element, ...]:
    """The elements about the centroid of each sample, translations in units of its RMS radius, as an audit has them."""
    frame = symmetry.frame(inputs)
    if frame is None:
        return tuple(elements)
    group, count = symmetry.acts, len(frame.origin)
    several = [elements[n % len(elements)] for n in range(count)]
    if type(group).recentre is not Group.recentre or type(several[0]) is not Element:
        pairs = zip(several, frame.origin, frame.radius, strict=True)
        return tuple(group.recentre(g, o, float(r)) for g, o, r in pairs)
    # all at once: a group of a training batch can't wait for one solution of equations per sample
    matrices = np.stack([g.matrix for g in several])
    turned = np.einsum("sij,sj->si", matrices[:, :-1, :-1], frame.origin)
    wanted = frame.radius[:, None] * matrices[:, :-1, -1] + frame.origin - turned
    shifts = np.broadcast_to(np.eye(group.size), matrices.shape).copy()
    shifts[:, :-1, -1] = wanted - matrices[:, :-1, -1]
    inverse = np.linalg.pinv(group.algebra.reshape(group.dim, -1))
    coordinates = (shifts - np.eye(group.size)).reshape(count, -1) @ inverse
    if np.abs(
        (coordinates @ group.algebra.reshape(group.dim, -1)).reshape(shifts.shape) + np.eye(group.size) - shifts
    ).max(initial=0.0) > 1e-9 * np.abs(shifts).max(initial=1.0):
        raise NotInGroupError(
            f"{group!r} turns about the origin alone: it lacks the translations to turn about a centroid"
        )
    found = []
    for g, c, shift, w in zip(several, coordinates, shifts, wanted, strict=True):
        amount = tuple(shift[:-1, -1].tolist())
        one = Element(
            group,
            (Exp(tuple(c.tolist()), shift, ("translation", amount)), *g.factors),
            f"{group!r}.translation{amount} @ {g!r}",
        )
        known = g.matrix.copy()
        known[:-1, -1] = w
        one.__dict__["matrix"] = known
        found.append(one)
    return tuple(found)


def mean_square(x: Tensor) -> Tensor:
    """The mean over all entries of |x|², in single precision at least."""
    if x.is_complex():  # not by abs(), which has no second derivative at zero
        return mean_square(x.real) + mean_square(x.imag)
    return x.to(torch.promote_types(x.dtype, torch.float32)).square().mean()


def draw_directions(symmetry: Symmetry, inputs: Any, rng: np.random.Generator) -> Matrix:
    """Standard normal algebra coordinates: [k], or [samples, k] where every sample has its own."""
    k = symmetry.acts.dim
    return rng.standard_normal(k if symmetry.batch is None else (symmetry.sample_count(inputs), k))


def centred(symmetry: Symmetry, inputs: Any, coordinates: Matrix) -> Matrix:
    """As ``measure.lie.directions``: about the centroid of each sample; all samples at once where the group allows."""
    group = symmetry.acts
    if not group.affine or type(group).recentre_direction is not Group.recentre_direction:
        return directions(symmetry, inputs, coordinates)
    frame = symmetry.frame(inputs)
    if frame is None:
        return coordinates
    a = np.tensordot(np.atleast_2d(coordinates), group.algebra, 1)  # [samples or 1, n, n]
    a = np.broadcast_to(a, (len(frame.origin), *a.shape[1:])).copy()
    turned = np.einsum("sij,sj->si", a[:, :-1, :-1], frame.origin)
    a[:, :-1, -1] = frame.radius[:, None] * a[:, :-1, -1] - turned
    found = a.reshape(len(a), -1) @ np.linalg.pinv(group.algebra.reshape(group.dim, -1))
    return found[0] if np.ndim(coordinates) == 1 and len(found) == 1 else found
