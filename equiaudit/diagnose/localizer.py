"""Runs a model on x and ρ(g) x, judges every layer, and asks for more inputs only where a fit needs them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equiaudit.diagnose.judging import DECLARED, OFFSET, Pair, judge_declared, judge_layer
from equiaudit.diagnose.moves import Move, choose_moves, declared_output, whole_motion
from equiaudit.diagnose.naming import name_first
from equiaudit.diagnose.recording import Call, Recording, record
from equiaudit.diagnose.rows import Fit, linear
from equiaudit.diagnose.table import LayerRow
from equiaudit.measure.bench import Bench
from equiaudit.measure.changed import randomise
from equiaudit.measure.examine import Finding
from equiaudit.measure.noise import NoiseMode
from equiaudit.measure.precision import is_inexact, roundoff
from equiaudit.measure.residual import checked_leaves, pull_back, residuals, rms
from equiaudit.measure.state import modules_of
from equiaudit.measure.twin import make_twin
from equiaudit.records import Cause, Verdict
from equiaudit.representations.structures import StructureError
from equiaudit.ties import first_largest

SAFETY = 64.0
"""How many times the largest noise seen counts as rounding."""
MORE_INPUTS = 8
"""At most so many further inputs are run where a layer needs more rows to fit a T_g."""


@dataclass
class Seen:
    """Recordings of several inputs x, of ρ(g) x and, where it is needed, of ρ(g²) x for the first of them."""

    move: Move
    before: list[Recording]
    after: list[Recording]
    twice: list[Recording] = field(default_factory=list)


class Localizer:
    """Runs the moves on one bench and judges every layer."""

    def __init__(self, bench: Bench, found: Finding, seed: int) -> None:
        self.bench, self.found, self.seed = bench, found, seed
        self.rng = np.random.default_rng(seed + 1)
        self.evaluator = bench.evaluator
        if found.cause == Cause.HIDDEN:
            self.evaluator = dataclasses.replace(self.evaluator, model=_shown(self.evaluator.model, seed))
        self.own = roundoff(self.evaluator.dtype or bench.declared)
        self.noise: dict[str, float] = {}
        self.seen: list[Seen] = []
        self.more: Seen | None = None

    # -- the way through --------------------------------------------------------------------------------------------

    def run(self) -> tuple[list[LayerRow], str | None]:
        """The rows and the first broken layer."""
        moves, base = choose_moves(self.bench, self.found, self.seed)
        if not moves:
            return [], None
        inputs = [self.bench.inputs[base], *self.further(1)]
        before = [record(self.evaluator, x) for x in inputs]
        outputs = Fit(0.0, "")
        for move in moves:
            self.seen.append(self.look(move, inputs, before))
            mine = self.outputs_fit(self.seen[-1], inputs[0])
            outputs = mine if mine.error > outputs.error else outputs
            if move.kind == "image" and outputs.error > self.limit(""):
                break  # this element shows it: no need for another
        if outputs.error <= self.limit("") and self.found.verdict is Verdict.BROKEN:
            whole = whole_motion(self.bench, self.found)  # turn and shift apart do not show it
            if whole is not None:
                self.seen.append(self.look(whole, inputs, before))
                outputs = self.outputs_fit(self.seen[-1], inputs[0])
        fits = {label: self.judged(label, "given") for label in before[0].calls}
        return self.conclude(before[0], fits, outputs, inputs)

    def further(self, count: int) -> list[Any]:
        """Jittered twins of the caller's input."""
        out = []
        for _ in range(count):
            twin = make_twin([self.bench.symmetry], self.bench.inputs["x0"], self.rng, self.bench.declared)
            if twin is not None:
                out.append(self.evaluator.cast(twin))
        return out

    def look(self, move: Move, inputs: list[Any], before: list[Recording]) -> Seen:
        """Record the moved inputs, and what rounding does to the first of them."""
        moved = [self.bench.symmetry.act_on_inputs(move.elements, x) for x in inputs]
        seen = Seen(move, before, [record(self.evaluator, x) for x in moved])
        # On a tie noise is as large as the fault: there the twin says what rounding does.
        quiet = -1 if self.found.cause == Cause.DISCONTINUITY else 0
        noisy = record(self.evaluator, moved[quiet], NoiseMode(2.0, self.bench.declared, self.seed * 1009 + 77))
        for label, call in seen.after[quiet].calls.items():
            for path, value in call.given.items():
                other = noisy.calls[label].given.get(path) if label in noisy.calls else None
                if other is not None and other.shape == value.shape:
                    ratio = rms(other - value) / (2.0 * (rms(value) or 1.0))
                    self.noise[label] = max(self.noise.get(label, 0.0), ratio if ratio == ratio else 0.0)
        moves_on = (
            p.plain > self.limit(label) for label in before[0].calls for p in self.pairs(seen, label, "given")[1]
        )
        if move.kind == "shift" and any(moves_on):
            seen.twice = [record(self.evaluator, self.twice_moved(move, x)) for x in inputs]
        return seen

    def twice_moved(self, move: Move, x: Any) -> Any:
        """ρ(g²) x."""
        return self.bench.symmetry.act_on_inputs(tuple(g @ g for g in move.elements), x)

    def limit(self, label: str) -> float:
        """The error up to which a layer is fine: rounding, and what is negligible beside the error of the output."""
        coarse = SAFETY * roundoff(self.bench.declared)
        broken = self.found.verdict in (Verdict.BROKEN, Verdict.APPROXIMATE)
        return max(self.floor(label), min(coarse, 1e-3 * (self.found.error or 0.0)) if broken else coarse)

    def floor(self, label: str) -> float:
        """64·(N + u), relative to the size of what the layer returns."""
        return SAFETY * (self.noise.get(label, max(self.noise.values(), default=0.0)) + self.own)

    # -- one layer ----------------------------------------------------------------------------------------------------

    def pairs(self, seen: Seen, label: str, side: str) -> tuple[str | None, list[Pair]]:
        """One pair of activations for each tensor of a layer; or why they can't be compared, and none."""
        every = [*seen.before, *seen.after, *seen.twice]
        if any(label not in r.calls for r in every):
            return "not called for every input", []
        tensors = [getattr(r.calls[label], side) for r in every]
        if any(t.keys() != tensors[0].keys() for t in tensors) or not tensors[0]:
            return "no tensor to compare", []
        n, m = len(seen.before), len(seen.before) + len(seen.after)
        made = []
        for path in tensors[0]:
            values = [t[path] for t in tensors]
            made.append(Pair(values[:n], values[n:m], values[m:]))
        if not all(p.comparable for p in made):
            return "its shape depends on the input", []
        return None, made

    def judged(self, label: str, side: str) -> Fit:
        """The worst fit over all moves and tensors; an error of NaN says unknown, and ``how`` why."""
        fits = [fit for seen in self.seen for fit in self.judged_once(seen, label, side)]
        known = [f for f in fits if f.error == f.error]
        worst = first_largest(known, lambda f: f.error) if known else None
        if worst is not None and (worst.error > self.limit(label) or len(known) == len(fits)):
            return worst
        return next(f for f in fits if f.error != f.error)

    def judged_once(self, seen: Seen, label: str, side: str) -> list[Fit]:
        """A fit for each tensor of a layer under one move."""
        problem, pairs = self.pairs(seen, label, side)
        if problem is not None:
            return [Fit(math.nan, problem)]
        name = seen.before[0].calls[label].name
        hidden = declared_output(self.bench.symmetry.hidden, name) if side == "given" else None
        fits = []
        for pair in pairs:
            if not pair.finite:
                fits.append(Fit(math.inf, "NaN or Inf"))
            elif hidden is None:
                fits.append(judge_layer(self.bench, seen.move, pair, self.limit(label), self.seed))
            else:
                try:
                    fits.append(judge_declared(self.bench, seen.move, pair, hidden))
                except StructureError as why:
                    fits.append(Fit(math.nan, str(why)))
        return fits

    def outputs_fit(self, seen: Seen, x: Any) -> Fit:
        """The residual of the declared outputs under the same move."""
        symmetry = self.bench.symmetry
        base = checked_leaves(symmetry, seen.before[0].outputs)
        try:
            apart = residuals(symmetry, base, pull_back(symmetry, seen.move.elements, seen.after[0].outputs, x))
        except StructureError as why:
            return Fit(math.inf, str(why))
        errors = [rms(r) / (rms(leaf.value) or 1.0) for r, leaf in zip(apart, base, strict=True)]
        return Fit(max((e if e == e else math.inf for e in errors), default=0.0), "as declared")

    # -- the conclusion -----------------------------------------------------------------------------------------------

    def conclude(
        self, recording: Recording, fits: dict[str, Fit], outputs: Fit, inputs: list[Any]
    ) -> tuple[list[LayerRow], str | None]:
        """Excuse what does no harm, try any linear T_g on the suspects, and name the first that remains."""
        broken = outputs.error > self.limit("") and self.found.verdict not in (Verdict.EXACT, Verdict.VACUOUS)
        state = {label: self.state(label, fit) for label, fit in fits.items()}
        self.excuse(recording, state, broken)
        if self.seen[0].move.kind in ("turn", "linear"):
            self.confirm(recording, fits, state, inputs)
            self.excuse(recording, state, broken)
        return name_first(self, recording, fits, state, outputs, broken)

    def excuse(self, recording: Recording, state: dict[str, str], broken: bool) -> None:
        """What is bad inside a module that returns something fine does no harm."""
        for label, call in recording.calls.items():
            if state[label] == "bad" and (not broken or _is_inside_a_fine_one(call, recording, state)):
                state[label] = "inner"

    def state(self, label: str, fit: Fit) -> str:
        """ "ok", "bad" or "unknown"."""
        if fit.error != fit.error:
            return "unknown"
        return "ok" if fit.error <= self.limit(label) else "bad"

    def input_state(self, label: str) -> str:
        """The same for what the layer was given."""
        fit = self.judged(label, "taken")
        state = self.state(label, fit)
        if state == "bad" and fit.how != OFFSET and self.more is not None:
            found = self.linear_fit(label, "taken")
            return "ok" if found is not None and self.explains(found, label, fit) else state
        return state

    def confirm(self, recording: Recording, fits: dict[str, Fit], state: dict[str, str], inputs: list[Any]) -> None:
        """In order, any linear T_g for what no orthogonal one explains, until a layer is broken beyond doubt."""
        move = self.seen[0].move
        for label in recording.calls:
            if state[label] != "bad":
                continue
            elsewhere = [f.error for seen in self.seen[1:] for f in self.judged_once(seen, label, "given")]
            if max((e for e in elsewhere if e == e), default=0.0) > self.limit(label):
                return  # no T_g of the turn can help against what a shift shows
            if fits[label].how == OFFSET or fits[label].how.endswith(DECLARED):
                return
            self.gather(recording.calls[label], inputs)
            fit = self.linear_fit(label, "given")
            if fit is None and move.kind == "linear":
                fits[label], state[label] = Fit(math.nan, "too few rows to fit a T_g"), "unknown"
                continue
            if fit is not None and self.explains(fit, label, fits[label]):
                fits[label], state[label] = fit, "ok"
                continue
            how = "no linear T_g explains it" if fit else "no orthogonal T_g explains it; too few rows to try another"
            fits[label] = dataclasses.replace(fits[label], how=how)
            return

    def gather(self, call: Call, inputs: list[Any]) -> None:
        """Further inputs, as many as a fit for this layer needs, up to a limit."""
        rows, width = min(
            (t.numel() // t.shape[-1], t.shape[-1]) if t.dim() and t.numel() else (1, 1) for t in call.given.values()
        )
        wanted = min(-(-2 * (width + 4) // max(rows, 1)), MORE_INPUTS + len(inputs))
        have = len(self.more.before) if self.more else 0
        if wanted <= have:
            return
        old = self.more or Seen(self.seen[0].move, [], [])
        fresh = [*inputs, *self.further(wanted - len(inputs))][:wanted] if not have else self.further(wanted - have)
        before = [record(self.evaluator, x) for x in fresh]
        after = [record(self.evaluator, self.bench.symmetry.act_on_inputs(old.move.elements, x)) for x in fresh]
        twice = old.twice or [record(self.evaluator, self.twice_moved(old.move, fresh[0]))]
        self.more = Seen(old.move, old.before + before, old.after + after, twice)

    def linear_fit(self, label: str, side: str) -> Fit | None:
        """The worst linear fit over the tensors of a layer; None where rows do not suffice."""
        assert self.more is not None
        _, pairs = self.pairs(self.more, label, side)
        found = [linear(p.before, p.after, p.twice, self.seed) if p.finite else None for p in pairs]
        known = [f for f in found if f is not None]
        return first_largest(known, lambda f: f.error) if known and len(known) == len(found) else None

    def explains(self, fit: Fit, label: str, other: Fit) -> bool:
        """Whether a fitted T_g explains the layer; a fit amplifies rounding a little."""
        return fit.error <= max(100 * self.limit(label), 1e-10) and fit.error < 0.01 * other.error


def _is_inside_a_fine_one(call: Call, recording: Recording, state: dict[str, str]) -> bool:
    around: dict[str, list[str]] = {}
    for label, other in recording.calls.items():
        if call.name.startswith(other.name + "."):
            around.setdefault(other.name, []).append(state[label])
    return any(all(s == "ok" for s in states) for states in around.values())


def _shown(model: Any, seed: int) -> Any:
    """The model with generic values where a parameter hides the fault."""
    names = [
        name
        for root in modules_of(model)
        for name, p in root.named_parameters()
        if is_inexact(p) and p.numel() and bool((p == p.flatten()[0]).all())
    ]
    return randomise(model, names, seed) if names else model
