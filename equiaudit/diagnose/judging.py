"""One layer under one move: how well the best T_g explains what it returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from equiaudit.diagnose.moves import Move, is_orthogonal
from equiaudit.diagnose.rows import Fit, about_an_offset, orthogonal, sorted_rows_change
from equiaudit.measure.bench import Bench
from equiaudit.measure.residual import rms
from equiaudit.representations.base import Representation, RepresentationError
from equiaudit.representations.image import Image
from equiaudit.representations.permutation import Edges, Nodes
from equiaudit.representations.resolve import as_representation
from equiaudit.representations.structures import StructureError
from equiaudit.symmetry import act
from equiaudit.ties import first_smallest

OFFSET = "a constant is added to features that turn (a bias?)"
COUPLED = "one sample changes what another gives"
DECLARED = "as declared"


@dataclasses.dataclass
class Pair:
    """Activations of one tensor for several inputs: h(x), h(ρ(g) x), and for shifts h(ρ(g²) x)."""

    before: list[Tensor]
    after: list[Tensor]
    twice: list[Tensor] = dataclasses.field(default_factory=list)

    @property
    def comparable(self) -> bool:
        """Whether all have one shape."""
        return len({tuple(t.shape) for t in (*self.before, *self.after, *self.twice)}) == 1

    @property
    def finite(self) -> bool:
        """Whether no entry is NaN or infinite."""
        return all(bool(torch.isfinite(t).all()) for t in (*self.before, *self.after))

    @property
    def plain(self) -> float:
        """Relative change when nothing should change."""
        size = max(rms(t) for t in self.before)
        return max(rms(a - b) for a, b in zip(self.after, self.before, strict=True)) / (size or 1.0)


def judge_layer(bench: Bench, move: Move, pair: Pair, limit: float, seed: int) -> Fit:
    """The error that no suitable T_g removes; ``how`` says which T_g did best, or what the error looks like."""
    plain = pair.plain
    if plain <= limit:
        return Fit(plain, "unchanged")
    if move.kind == "relabel":
        return _relabelled(bench, move, pair, seed)
    if move.kind == "shift":
        return _shifted(pair, plain, limit)
    if move.kind == "whole":
        fit = _by_sample(bench, pair)
        return dataclasses.replace(fit, how=COUPLED) if fit.error > limit else fit
    if move.kind == "motion":
        motions = (orthogonal(pair.before, pair.after), about_an_offset(pair.before, pair.after))
        return first_smallest(motions, lambda f: f.error)
    if move.kind == "linear":  # a group that is not compact: an orthogonal T_g acquits, but only a fit can accuse
        fit = orthogonal(pair.before, pair.after)
        return fit if fit.error <= limit and is_orthogonal(move.element.linear) else Fit(plain, "")
    if move.kind == "image" and move.image is not None:
        fit = _turned_back(move, move.image, pair)
    else:
        fit = orthogonal(pair.before, pair.after)
    if fit.error > limit:
        rest = about_an_offset(pair.before, pair.after)
        if rest.error <= limit:
            return Fit(fit.error, OFFSET, rest.rows)
    return fit


def judge_declared(bench: Bench, move: Move, pair: Pair, spec: object) -> Fit:
    """The error against the representation that ``hidden=`` declares.

    Raises:
        StructureError: the activations can't carry it.
    """
    rep = as_representation(spec)
    if not isinstance(rep, Representation):
        raise StructureError(f"hidden= must give a representation for each layer, got {spec!r}")
    samples = bench.symmetry.samples(bench.inputs["x0"]) if bench.symmetry.batch is not None else None
    size = max(rms(t) for t in pair.before) or 1.0
    apart = [
        rms(a - act(rep, move.elements, b, samples, ("hidden",)))
        for a, b in zip(pair.after, pair.before, strict=True)
    ]  # fmt: skip
    return Fit(max(apart) / size, f"{rep!r} {DECLARED}")


def _shifted(pair: Pair, plain: float, limit: float) -> Fit:
    if not pair.twice:
        return Fit(plain, "moves with a shift of the input")
    size = max(rms(t) for t in pair.before) or 1.0
    bend = [
        rms(c - 2 * b + a) for a, b, c in zip(pair.before, pair.after, pair.twice, strict=True)
    ]  # fmt: skip
    error = max(bend) / size
    if error <= limit:
        return Fit(error, "moves with a shift of the input, linearly")
    return Fit(min(error, plain), "moves with a shift of the input")


def _by_sample(bench: Bench, pair: Pair) -> Fit:
    samples = bench.symmetry.samples(bench.inputs["x0"])
    try:
        owners = [samples.rows_of(t, ()).to(t.device) for t in pair.before]
    except StructureError:
        return Fit(float("nan"), "its rows do not say which sample they belong to")
    return orthogonal(pair.before, pair.after, owners)


def _turned_back(move: Move, image: Image, pair: Pair) -> Fit:
    grid = Image(image.dims, None, image.origin, image.boundary, image.radius)
    best = orthogonal(pair.before, pair.after)
    h = pair.before[0]
    shifts = move.element.group.affine and bool(abs(move.element.translation).max() > 0)
    if h.dim() < len(image.dims) or shifts or grid.fits(move.element.group, h) is not None:
        return best
    back = [grid.act(move.element.inverse(), t) for t in pair.after]
    if h.dim() > len(image.dims):
        channel = min(image.dims) - 1
        fit = orthogonal([t.movedim(channel, -1) for t in pair.before], [t.movedim(channel, -1) for t in back])
    else:
        fit = Fit(max(rms(a - b) / (rms(b) or 1.0) for a, b in zip(back, pair.before, strict=True)), "pixels moved")
    return first_smallest((best, fit), lambda f: f.error)


def _relabelled(bench: Bench, move: Move, pair: Pair, seed: int) -> Fit:
    best = Fit(
        max(sorted_rows_change(a, b, seed) for a, b in zip(pair.before, pair.after, strict=True)),
        "rows in another order",
    )
    samples = bench.symmetry.samples(bench.inputs["x0"]) if bench.symmetry.batch is not None else None
    known = _places(bench)
    for reps in _ways(pair.before[0], known, bench.symmetry.batch == 0):
        try:
            apart = []
            for a, b in zip(pair.before, pair.after, strict=True):
                moved = a
                for rep in reps:
                    moved = act(rep, move.elements, moved, samples, (rep.name,))
                apart.append(rms(b - moved) / (rms(a) or 1.0))
        except (StructureError, RepresentationError, IndexError):
            continue
        if max(apart) <= best.error:
            best = Fit(max(apart), " and ".join(rep.describe() for rep in reps))
    return best


def _places(bench: Bench) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {"nodes": set(), "edges": set()}
    for _, value, rep in bench.symmetry.input_leaves(bench.inputs["x0"]):
        if isinstance(rep, Nodes) and isinstance(value, Tensor):
            axis = 1 if bench.symmetry.batch == 0 and rep.given is None else rep.axis
            found[rep.name].add(value.shape[axis])
    for _, value, rep in bench.symmetry.input_leaves(bench.inputs["x0"]):
        if type(rep).__name__ == "EdgeIndex" and isinstance(value, Tensor):
            found["edges"].add(value.shape[rep.axis])
    return found


def _ways(h: Tensor, known: dict[str, set[int]], per_sample: bool) -> Sequence[list[Nodes]]:
    """The dimensions that may index nodes or edges: each alone, then all nodes together."""
    first = 1 if per_sample else 0
    nodes = [Nodes(d) for d in range(first, h.dim()) if h.shape[d] in known["nodes"]]
    edges = [Edges(d) for d in range(first, h.dim()) if h.shape[d] in known["edges"]]
    found: list[list[Nodes]] = [[rep] for rep in (*nodes, *edges)]
    return found + ([nodes] if len(nodes) > 1 else [])
