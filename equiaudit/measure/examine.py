"""One symmetry examined: trials in order, doubtful ones against their floor, failures taken apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.measure.bench import Bench, Outcome, Scale
from equiaudit.measure.judge import ACCEPT, CLEARLY_WRONG, DOUBLE, OWN, Floor, Judgement, judge
from equiaudit.measure.noise import JUMPING
from equiaudit.measure.plan import Plan, Trial, single_parts
from equiaudit.measure.precision import is_inexact, roundoff
from equiaudit.measure.residual import Leaf, checked_leaves, median, medians, pull_back, residuals, rms
from equiaudit.measure.twin import JITTER
from equiaudit.records import Check, LeafResult, Verdict, Worst
from equiaudit.representations.structures import StructureError, leaves, path_name


class Settled(Exception):
    """The examination ends here: INVALID or VACUOUS, with the sentence that says why."""

    def __init__(self, verdict: Verdict, reason: str, cause: str | None = None) -> None:
        super().__init__(reason)
        self.verdict, self.reason, self.cause = verdict, reason, cause


@dataclass
class Finding:
    """What the examination of one symmetry found; parts of an ``Audit``."""

    verdict: Verdict = Verdict.EXACT
    cause: str | None = None
    reason: str = ""
    error: float | None = None
    floor: float | None = None
    sensitivity: float | None = None
    worst: Worst | None = None
    checks: list[Check] = field(default_factory=list)
    leaves: list[LeafResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    untested: list[str] = field(default_factory=list)
    worst_trial: Outcome | None = None


@dataclass
class Helpers:
    """What the examination borrows from the audit: benches with changed parameters, and the caller's wishes."""

    with_constants: Callable[[], Bench | None]
    with_parameters: Callable[[], tuple[Bench, list[str]] | None]
    own: Bench | None
    declared: torch.dtype
    rng: np.random.Generator
    count: int
    tolerance: float | None
    atol: float | None
    quick: bool
    mismatch: Callable[[], str | None]
    plain_twin: Callable[[], Any]
    progress: Callable[[str], None]


class Examination:
    """Runs a plan on a bench and draws the conclusion."""

    def __init__(self, bench: Bench, plan: Plan, helpers: Helpers) -> None:
        self.bench, self.plan, self.helpers = bench, plan, helpers
        self.found = Finding()
        self.scales: list[Scale] = []
        self.judged: list[tuple[Outcome, list[Judgement]]] = []
        self.last_floor: list[Tensor] = []
        self.blurred = False
        self.pole = False
        self.shifts_break = False
        self.noise: list[Tensor] | None = None
        self.constants = False
        self.rules = DOUBLE if torch.float64 in (bench.evaluator.dtype, helpers.declared) else OWN
        self.vacuous: dict[int, str] = {}

    # -- the way through ------------------------------------------------------------------------------------------

    def run(self) -> Finding:
        """The finding; exceptions of the model pass through with a note that says where it was."""
        try:
            self.measure()
        except Settled as end:
            self.found.verdict, self.found.reason, self.found.cause = end.verdict, end.reason, end.cause
        except StructureError as problem:
            self.found.verdict, self.found.reason, self.found.cause = Verdict.INVALID, str(problem), "structure"
        return self.found

    def measure(self) -> None:
        """All trials, then the conclusion."""
        self.look_at_outputs()
        if not self.plan.trials:
            raise Settled(Verdict.VACUOUS, f"{self.bench.symmetry.group!r} has no element away from the identity to try")
        self.check_moves(self.plan.trials[0])
        failed: tuple[Outcome, list[Judgement]] | None = None
        for trial in self.plan.trials:
            self.helpers.progress(trial.name)
            outcome, rows = self.try_element(self.available(trial))
            self.judged.append((outcome, rows))
            if not all(j.within for n, j in enumerate(rows) if n not in self.vacuous):
                failed = (outcome, rows)
                break
        self.find_vacuous()
        failed = failed or self.find_jump() or self.find_tie()
        if failed is None and self.pole:
            raise Settled(
                Verdict.INVALID,
                "f(x) is not finite where an edge lies exactly along a lab axis, and finite in other poses: "
                "a division or a square root fails at a pole",
                "not finite",
            )
        if failed is not None:
            self.explain_failure(*failed)
        else:
            self.look_behind()
        self.summarise()

    def available(self, trial: Trial) -> Trial:
        """The trial on the twin, or on the input itself where there is no twin."""
        if trial.base in self.bench.inputs:
            return trial
        return Trial(trial.name, trial.elements, "x0", trial.covers, trial.probe)

    # -- sanity -----------------------------------------------------------------------------------------------------

    def look_at_outputs(self) -> None:
        """Finite, and there; then the scales."""
        base = self.bench.base("x0")
        if not base.leaves:
            raise Settled(
                Verdict.INVALID,
                "no output is declared, so nothing was compared; outputs= must name at least one leaf of: "
                + ", ".join(path_name(p) for p, _ in leaves(base.outputs)),
                "structure",
            )
        self.must_be_finite(base.leaves, "f(x)")
        other: dict[Any, Tensor] = {}
        if "x1" in self.bench.inputs:
            finite = all(bool(torch.isfinite(leaf.value).all()) for leaf in self.bench.base("x1").leaves)
            if finite or self.without_alignment():
                other = {leaf.path: leaf.value for leaf in self.bench.base("x1").leaves}
            else:
                del self.bench.inputs["x1"]
                self.found.notes.append("the output is not finite near the given input (5 % jitter), so only that input was tried")
        self.scales = [Scale.of(leaf, other.get(leaf.path)) for leaf in base.leaves]
        if not other:
            return
        for n, (leaf, scale) in enumerate(zip(base.leaves, self.scales, strict=True)):
            if not float(scale.sensitivity.max() if scale.sensitivity.numel() else 0.0) > 0:
                self.vacuous[n] = _stillness(leaf.value)
        if self.vacuous:
            self.look_at_moved()
        if len(self.vacuous) == len(base.leaves):
            raise Settled(Verdict.VACUOUS, self._vacuous_sentence())

    def without_alignment(self) -> bool:
        """Take a twin without axis-aligned nodes where those alone make the output non-finite; INVALID then, unless worse is found."""
        plain = self.helpers.plain_twin()
        if plain is None:
            return False
        for bench in (self.bench, self.helpers.own):
            if bench is not None:
                bench.inputs["x1"] = bench.evaluator.cast(plain)
                bench.outputs.pop("x1", None)
                bench.bases.pop("x1", None)
        self.pole = all(bool(torch.isfinite(leaf.value).all()) for leaf in self.bench.base("x1").leaves)
        return self.pole

    def look_at_moved(self) -> None:
        """A leaf that jitter leaves alone but an element moves (a sign of handedness, a class map) is not vacuous."""
        trial = self.available(self.plan.trials[0]) if self.plan.trials else None
        if trial is None or trial.between:
            return
        base = self.bench.base(trial.base)
        moved = self.bench.evaluator(self.bench.symmetry.act_on_inputs(self.bench.placed(trial), base.inputs))
        there = {leaf.path: leaf.value for leaf in checked_leaves(self.bench.symmetry, moved)}
        for n, leaf in enumerate(base.leaves):
            other = there.get(leaf.path)
            if n not in self.vacuous or other is None or other.shape != leaf.value.shape:
                continue
            apart = leaf.norms(other - leaf.value)
            if rms(apart) > 1e-6 * (rms(leaf.value) or 1.0):
                del self.vacuous[n]
                size = leaf.norms(leaf.value)
                self.scales[n] = Scale(apart, size, torch.full_like(size, rms(size) or rms(apart)))

    def must_be_finite(self, found: Any, what: str, element: str = "") -> None:
        """INVALID where an output is NaN or infinite."""
        for leaf in found:
            bad = ~torch.isfinite(leaf.value)
            if bool(bad.any()):
                kind = "NaN" if bool(torch.isnan(leaf.value).any()) else "Inf"
                index = tuple(int(i) for i in torch.nonzero(bad)[0]) if leaf.value.dim() else ()
                at = f" for g = {element}" if element else ""
                raise Settled(
                    Verdict.INVALID,
                    f"{what} has {kind} in {leaf.name}{list(index) if index else ''} "
                    f"({int(bad.sum())} of {bad.numel()} entries){at}",
                    "not finite",
                )

    def check_moves(self, trial: Trial) -> None:
        """VACUOUS where the element leaves every input where it is."""
        trial = self.available(trial)
        base = self.bench.base(trial.base)
        moved = self.bench.symmetry.act_on_inputs(self.bench.placed(trial), base.inputs)
        before, after = dict(leaves(base.inputs)), dict(leaves(moved))
        for path, value in before.items():
            now = after.get(path)
            if isinstance(value, Tensor) and isinstance(now, Tensor):
                if value.shape != now.shape or value.dtype != now.dtype:
                    return
                if is_inexact(value):
                    if rms(now - value) > 1e-9 * rms(value):
                        return
                elif not torch.equal(value, now):
                    return
            elif now is not value:
                return
        raise Settled(
            Verdict.VACUOUS,
            f"the inputs are fixed by the group: {trial.elements[0]!r} changes no declared input, so no output could differ",
        )

    # -- trials -----------------------------------------------------------------------------------------------------

    def try_element(self, trial: Trial) -> tuple[Outcome, list[Judgement]]:
        """One forward, and as many probes as it takes to tell an error from rounding."""
        try:
            outcome = self.bench.run(trial)
        except StructureError:
            raise
        except Exception as problem:
            problem.add_note(f"equiaudit: raised for the transformed input, g = {trial.elements[0]!r}")
            raise
        base = self.bench.base(trial.base)
        self.must_be_finite(checked_leaves(self.bench.symmetry, outcome.moved), "f(ρ(g) x)", repr(outcome.element))
        if trial.between:
            return outcome, self.judge_between(outcome)
        floor = Floor(self.bench, outcome, self.rules.safety)
        accept = self.rules.accept
        ratio = [self._ratio(n, leaf, r) for n, (leaf, r) in enumerate(zip(base.leaves, outcome.residuals, strict=True))]
        if not trial.probe and max(ratio, default=0.0) <= accept:
            unit = [ACCEPT * s.rows_like(leaf.norms(leaf.value)) for s, leaf in zip(self.scales, base.leaves, strict=True)]
            return outcome, self._judged(outcome, unit)
        if max(ratio, default=0.0) > CLEARLY_WRONG:
            repeat = self.repeatability(trial)
            if repeat is not None:
                raise Settled(Verdict.INVALID, repeat, "not repeatable")
        rows: list[Judgement] = []
        while floor.take():
            self.last_floor = self._floors(floor, base.leaves)
            rows = self._judged(outcome, self.last_floor)
            if trial.probe or (trial.base == "x1" and self.noise is None):
                self.noise = floor.noise
            live = [j for n, j in enumerate(rows) if n not in self.vacuous]
            if floor.taken < self.rules.probes:
                continue
            if all(j.within for j in live) or max(j.excess for j in live) > 1e4:
                break
        return outcome, rows

    def _noise(self, n: int, like: Tensor) -> Tensor:
        """The rounding noise of leaf number n on rows shaped like ``like``; zero where none was measured."""
        if self.noise is None or n >= len(self.noise):
            return torch.zeros_like(like)
        return self.noise[n] if self.noise[n].shape == like.shape else torch.full_like(like, median(self.noise[n]))

    def judge_between(self, outcome: Outcome) -> list[Judgement]:
        """An element that an image can carry only approximately: against the error of the action itself."""
        base, action = self.bench.base(outcome.trial.base), self.bench.action_error(outcome)
        self.blurred = action > 1e-6
        floors = []
        for n, leaf in enumerate(base.leaves):
            size = leaf.norms(leaf.value)
            noise = 64 * self._noise(n, size)
            unit = ACCEPT * (self.scales[n].rows_like(size) + size)
            floors.append(noise + unit + 4 * action * (rms(size) + rms(self.scales[n].sensitivity) / JITTER))
        rows = self._judged(outcome, floors)
        live = [j for n, j in enumerate(rows) if n not in self.vacuous]
        if action > 1e-9 and all(j.within for j in live):
            error = max((j.error for j in live), default=0.0)
            self.found.untested.append(
                f"elements between pixels: the residual there ({error:.1g}) can't be told from the error of turning or shifting "
                f"the image itself ({action:.1g})"
            )
            return [dataclasses.replace(j, error=0.0, absolute=0.0) for j in rows]
        return rows

    def _floors(self, floor: Floor, found: Any) -> list[Tensor]:
        unit = roundoff(self.bench.evaluator.dtype or self.bench.declared)
        return [floor.rows(n, leaf, 0.0, unit) for n, leaf in enumerate(found)]

    def _judged(self, outcome: Outcome, floors: list[Tensor]) -> list[Judgement]:
        base = self.bench.base(outcome.trial.base)
        parts = zip(base.leaves, self.scales, outcome.residuals, floors, strict=True)
        return [judge(leaf, scale, r, f, outcome) for leaf, scale, r, f in parts]

    def _ratio(self, n: int, leaf: Any, residual: Tensor) -> float:
        if n in self.vacuous and not residual.any():
            return 0.0
        error = leaf.norms(residual)
        rows = self.scales[n].rows_like(error)
        if not error.numel():
            return 0.0
        found = error / torch.where(rows > 0, rows, torch.full_like(rows, torch.finfo(torch.float64).tiny))
        return float(torch.where(error > 0, found, torch.zeros_like(found)).max())

    def repeatability(self, trial: Trial) -> str | None:
        """The sentence for a model that gives two answers to one input; None where it repeats itself."""
        base = self.bench.base(trial.base)
        again = {leaf.path: leaf.value for leaf in checked_leaves(self.bench.symmetry, self.bench.evaluator(base.inputs))}
        for n, leaf in enumerate(base.leaves):
            other = again.get(leaf.path)
            if other is None or other.shape != leaf.value.shape:
                return f"not repeatable: {leaf.name} has another shape when the same input is given again"
            apart = leaf.norms(other - leaf.value)
            limit = max(1e-6, 64 * roundoff(self.bench.evaluator.dtype or self.helpers.declared)) * (self.scales[n].rows_like(apart) + 1e-6 * leaf.norms(leaf.value))
            if bool((apart > limit).any()):
                size = rms(apart) / self.scales[n].typical
                return (
                    f"not repeatable: {leaf.name} differs by {size:.2g} (relative) when the same input is given again; "
                    "switch dropout and sampling off with model.eval(), or pass randomness='match'"
                )
        return None

    # -- conclusions ------------------------------------------------------------------------------------------------

    def find_vacuous(self) -> None:
        """Leaves whose sensitivity is rounding amplified: V ≤ 1000·N in every row."""
        base = self.bench.base("x0")
        if "x1" not in self.bench.inputs:
            return
        for n, (leaf, scale) in enumerate(zip(base.leaves, self.scales, strict=True)):
            unit = roundoff(self.bench.evaluator.dtype or self.bench.declared)
            noise = self._noise(n, scale.size)
            noise = noise + medians(noise) + unit * scale.size
            if noise.shape != scale.sensitivity.shape or n in self.vacuous or not noise.numel():
                continue
            hopeless = self.rules.safety * rms(noise) > scale.typical  # nothing smaller than the output could be seen
            if hopeless or bool((scale.sensitivity <= self.rules.amplified * noise).all()):
                exact = _stillness(leaf.value)
                self.vacuous[n] = exact if "zero" in exact else (
                    "does not depend on the input beyond rounding"
                    if rms(scale.sensitivity) < 1e-6 * (rms(scale.size) or 1.0)
                    else "is rounding noise amplified to the size of the output"
                )
                for _ in range(3):  # randomness looks like noise too
                    if repeat := self.repeatability(self.available(self.plan.trials[0])):
                        raise Settled(Verdict.INVALID, repeat, "not repeatable")
        if len(self.vacuous) == len(base.leaves):
            raise Settled(Verdict.VACUOUS, self._vacuous_sentence())

    def _vacuous_sentence(self) -> str:
        names = [leaf.name for leaf in self.bench.base("x0").leaves]
        said = "; ".join(f"{names[n]} {text}" for n, text in self.vacuous.items())
        return f"this test could not have failed: {said}"

    def find_jump(self) -> tuple[Outcome, list[Judgement]] | None:
        """A clear error on the caller's input that only noise as large as itself explains, while the twin is quiet: a jump."""
        if "x1" not in self.bench.inputs:
            return None
        for outcome, rows in list(self.judged):
            clear = [
                n for n, j in enumerate(rows)
                if n not in self.vacuous and self._ratio(n, j.leaf, outcome.residuals[n]) > CLEARLY_WRONG
            ]  # fmt: skip
            if outcome.trial.base != "x0" or not clear:
                continue
            there, judged = self.try_element(dataclasses.replace(outcome.trial, base="x1", probe=True))
            self.judged.append((there, judged))
            quiet = self.last_floor
            for n in clear:
                again = judge(rows[n].leaf, self.scales[n], outcome.residuals[n], quiet[n], outcome)
                if again.excess > 1e4:
                    rows[n] = again
            if not all(rows[n].within for n in clear):
                return outcome, rows
        return None

    def find_tie(self) -> tuple[Outcome, list[Judgement]] | None:
        """Where rounding noise makes the caller's input jump and its twin not, a tie sits there: more elements are tried on it.

        One element breaks a tie only with probability ½.
        """
        if self.helpers.quick or self.noise is None or "x1" not in self.bench.inputs:
            return None
        if not self.bench.operations & JUMPING:
            return None
        outcome = next((o for o, _ in self.judged if o.trial.base == "x0"), None)
        if outcome is None or outcome.trial.between:
            return None
        leaves_ = self.bench.base("x0").leaves
        noise = self.bench.probe(outcome, 16.0, 99)
        for n, (leaf, found) in enumerate(zip(leaves_, noise, strict=True)):
            quiet = 1e4 * (self._noise(n, found) + 2.0**-53 * leaf.norms(leaf.value))
            jumps = (16 * found > CLEARLY_WRONG * self.scales[n].rows_like(found)) & (found > quiet)
            if n in self.vacuous or not bool(jumps.any()):
                continue
            for _ in range(8):
                group, count = self.bench.symmetry.acts, self.helpers.count
                elements = tuple(group.sample(self.helpers.rng) for _ in range(count))
                again, rows = self.try_element(dataclasses.replace(outcome.trial, elements=elements))
                self.judged.append((again, rows))
                if not all(j.within for k, j in enumerate(rows) if k not in self.vacuous):
                    return again, rows
                if jumped := self.find_jump():
                    return jumped
        return None

    def explain_failure(self, outcome: Outcome, rows: list[Judgement]) -> None:
        """Rounding of constants, a discontinuity at the caller's input, within tolerance, or broken; then each part alone."""
        worst = self._worst(rows)
        if self._is_rounding_of_constants(outcome, worst):
            self.constants = True
            return self.look_behind()
        self.found.verdict = Verdict.BROKEN
        self.found.worst_trial = outcome
        if outcome.trial.between:
            self.found.cause = "aliasing"
            self.found.reason = (
                "whole-pixel shifts, quarter turns and flips hold; between pixels the model aliases (nonlinearities, strides and "
                "pooling do): claim the pixel-exact subgroup where that is meant"
            )
            return
        if outcome.trial.base == "x0" and "x1" in self.bench.inputs:
            there = Trial(outcome.trial.name, outcome.trial.elements, "x1", outcome.trial.covers, True)
            other, judged = self.try_element(there)
            self.judged.append((other, judged))
            if all(j.within for n, j in enumerate(judged) if n not in self.vacuous):
                self.found.cause = "discontinuity"
                self.found.reason = (
                    "only the given input breaks it: it sits on a tie, a cutoff or a degenerate frame, where the model jumps; "
                    "5 % beside it the symmetry holds"
                )
            elif self._worst(judged).error > worst.error:
                outcome, worst = other, self._worst(judged)
        if self.found.cause is None:
            self.take_apart()

    def _worst(self, rows: list[Judgement]) -> Judgement:
        live = [j for n, j in enumerate(rows) if n not in self.vacuous and not j.within]
        return max(live or rows, key=lambda j: (j.error != j.error, j.error))

    def _is_rounding_of_constants(self, outcome: Outcome, worst: Judgement) -> bool:
        coarse = self.helpers.declared != torch.float64 and self.bench.evaluator.dtype == torch.float64
        if not coarse or not worst.error < 2000 * roundoff(self.helpers.declared):
            return False
        bench = self.helpers.with_constants()
        if bench is None:
            return False
        shaken = bench.run(outcome.trial)
        n = [leaf.path for leaf in self.bench.base(outcome.trial.base).leaves].index(worst.leaf.path)
        return rms(shaken.residuals[n]) > 4 * rms(outcome.residuals[n])

    def take_apart(self) -> None:
        """Each part of the group alone, so that the rows say which one is broken.

        Where translations break, turns are tried about the origin: about the centroid they would be shifts as well.
        """
        shifts_break = False
        for trial in single_parts(self.bench.symmetry.acts, self.helpers.rng, self.helpers.count):
            try:
                outcome = self.bench.run(dataclasses.replace(self.available(trial), as_given=shifts_break))
            except Exception:  # the composed failure stands; a part that can't be tried is only missing from the rows
                continue
            self.must_be_finite(checked_leaves(self.bench.symmetry, outcome.moved), "f(ρ(g) x)", repr(outcome.element))
            floors = []
            for n, leaf in enumerate(self.bench.base(outcome.trial.base).leaves):
                size = leaf.norms(leaf.value)
                noise = self._noise(n, size)
                floors.append(64 * (noise + medians(noise)) + ACCEPT * self.scales[n].rows_like(size))
            rows = self._judged(outcome, floors)
            self.judged.append((outcome, rows))
            if "translation" in trial.name:
                shifts_break = not all(j.within for n, j in enumerate(rows) if n not in self.vacuous)
        self.shifts_break = shifts_break

    def look_behind(self) -> None:
        """Nothing failed so far: what parameters could hide, and the model at its own precision."""
        if not self.helpers.quick:
            self.try_parameters()
        if self.found.verdict is Verdict.EXACT:
            self.try_own_precision()

    def _probed(self) -> Trial:
        chosen = next((t for t in self.plan.trials if t.probe), self.plan.trials[0])
        return self.available(chosen)

    def try_parameters(self) -> None:
        """Trainable tensors that are zero or constant, made generic: a fault behind them becomes visible."""
        changed = self.helpers.with_parameters()
        if changed is None:
            return
        bench, names = changed
        other = Examination(bench, Plan((self._probed(),), ""), self.helpers)
        other.scales, other.vacuous = self.scales, dict(self.vacuous)
        try:
            self.must_be_finite(bench.base(self._probed().base).leaves, "f(x) with changed parameters")
            outcome, rows = other.try_element(dataclasses.replace(self._probed(), probe=False))
            live = [j for n, j in enumerate(rows) if n not in other.vacuous]
            if all(j.within for j in live) or other._is_rounding_of_constants(outcome, other._worst(rows)):
                return
        except (Settled, StructureError):
            return
        self.found.verdict, self.found.cause = Verdict.BROKEN, "hidden by parameter"
        listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        self.found.reason = (
            f"exact only while {listed} {'is' if len(names) == 1 else 'are'} zero or constant: "
            "with small random values there, as after a training step, the symmetry breaks"
        )
        self.found.worst_trial = outcome
        self.judged.append((outcome, rows))

    def try_own_precision(self) -> None:
        """The model itself: reduced-precision kernels break symmetries that double precision keeps.

        f(ρ(g) x) as it runs is compared with the double-precision f(x), one forward; only where rounding can't explain the
        difference, with f(x) as it runs.
        """
        own = self.helpers.own
        if own is None:
            return
        trial = self._probed()
        try:
            moved = own.evaluator(own.symmetry.act_on_inputs(own.placed(trial), own.inputs[trial.base]))
            pulled = pull_back(own.symmetry, own.placed(trial), moved, own.inputs[trial.base])
        except StructureError:
            raise
        except Exception as problem:
            mismatch = self.helpers.mismatch()
            if mismatch is None:
                raise
            raise Settled(Verdict.INVALID, f"{mismatch}; the model raises {_first_line(problem)}", "structure") from problem
        element = repr(own.placed(trial)[0])
        self.must_be_finite(checked_leaves(own.symmetry, pulled), "f(ρ(g) x) at the model's own precision", element)
        reference = self.bench.base(trial.base).leaves
        outcome = Outcome(trial, own.placed(trial), residuals(own.symmetry, reference, pulled), pulled)
        failed = self._coarse_failures(reference, outcome)
        if failed and self.noise is None:
            there, _ = self.try_element(dataclasses.replace(trial, probe=True))
            self.judged.append((there, self._judged(there, self.last_floor)))
            failed = self._coarse_failures(reference, outcome)
        if failed:
            outcome = own.run(trial)
            failed = self._coarse_failures(own.base(trial.base).leaves, outcome)
        name = str(self.helpers.declared).removeprefix("torch.")
        if failed:
            worst = max(failed, key=lambda j: j.error)
            self.found.verdict, self.found.cause = Verdict.BROKEN, "low precision"
            self.found.reason = (
                f"exact in float64, broken by {worst.error:.2g} in {name}, where rounding explains at most {worst.floor:.2g}: "
                "a kernel computes more coarsely than the model declares (TF32, a fused or half-precision kernel)"
            )
            self.found.worst_trial = outcome
            self.judged.append((outcome, failed))
            return
        parts = zip(reference, self.scales, outcome.residuals, strict=True)
        error = max((rms(leaf.norms(r)) / s.typical for n, (leaf, s, r) in enumerate(parts) if n not in self.vacuous), default=0.0)
        self.found.checks.append(Check(f"{name} as it runs", "finite", Verdict.EXACT, error, None, element, None, 1, "rounding"))

    def _coarse_failures(self, base: list[Leaf], outcome: Outcome) -> list[Judgement]:
        u = roundoff(self.helpers.declared)
        failed = []
        for n, (leaf, residual) in enumerate(zip(base, outcome.residuals, strict=True)):
            size = leaf.norms(leaf.value)
            noise = (self._noise(n, size) if self.noise is not None else 2.0**-53 * size) * u * 2.0**53
            floor = 64 * (noise + rms(noise) + u * (size + median(size)))
            judgement = judge(leaf, self.scales[n], residual, floor, outcome)
            if not judgement.within and n not in self.vacuous:
                failed.append(judgement)
        return failed

    # -- the record -------------------------------------------------------------------------------------------------

    def summarise(self) -> None:
        """Rows, leaves, the worst place and the verdict under the caller's tolerance."""
        found, base = self.found, self.bench.base("x0")
        alive = {leaf.path for n, leaf in enumerate(base.leaves) if n not in self.vacuous}
        every = [j for _, rows in self.judged for j in rows if j.leaf.path in alive]
        bad = [j for j in every if not j.within] if found.verdict is Verdict.BROKEN or self.constants else []
        # where one part alone shows it, that is the simpler element to look at
        simple = [j for j in bad if j.outcome.trial.covers == (j.outcome.trial.name,)]
        worst = max(simple or bad or every, key=lambda j: j.error, default=None)
        if worst is not None:
            found.error, found.floor = worst.error, worst.floor
            found.worst = self._place(worst)
            if found.verdict is Verdict.BROKEN:
                found.worst_trial = worst.outcome
                self._tolerate(bad)
        found.checks[:0] = self._rows()
        self._leaf_results(every)
        moves = [rms(s.sensitivity) / (rms(s.size) or 1.0) for n, s in enumerate(self.scales) if n not in self.vacuous]
        found.sensitivity = max(moves, default=None)
        if self.constants and found.verdict is Verdict.EXACT:
            kind = str(self.helpers.declared).removeprefix("torch.")
            found.cause = f"{kind} constants"
            found.notes.append(f"exact to {kind}: what remains ({found.error:.1e}) is the rounding of stored constants")
        for n, text in self.vacuous.items():
            found.notes.append(f"vacuous: {base.leaves[n].name} {text}; nothing is claimed about it")

    def _tolerate(self, bad: list[Judgement]) -> None:
        tolerance, atol = self.helpers.tolerance, self.helpers.atol
        if self.found.cause in ("hidden by parameter",):
            return
        fine = [
            (tolerance is not None and j.error <= tolerance) or (atol is not None and j.absolute <= atol) for j in bad
        ]
        if fine and all(fine):
            self.found.verdict = Verdict.APPROXIMATE

    def _place(self, j: Judgement) -> Worst:
        value = j.leaf.value[j.index] if j.leaf.value.dim() else j.leaf.value
        n = [leaf.path for leaf in self.bench.base("x0").leaves].index(j.leaf.path)
        residual = j.outcome.residuals[n]
        apart = residual[j.index] if residual.dim() else residual
        elements = ", ".join(map(repr, j.outcome.elements))
        code = elements if len(j.outcome.elements) == 1 else f"[{elements}]"
        real = not value.is_complex()
        expected = float(value) if real else float(value.abs())
        got = float(value + apart) if real else float((value + apart).abs())
        on = "twin" if j.outcome.trial.base == "x1" else "given"
        return Worst(code, j.leaf.name, j.index, j.absolute, j.error, expected, got, on)

    def _rows(self) -> list[Check]:
        rows = []
        names = dict.fromkeys(name for o, _ in self.judged for name in o.trial.covers)
        special = [o.trial.name for o, _ in self.judged if o.trial.name not in names and "(" not in o.trial.name and "random" not in o.trial.name]
        alone = {o.trial.name for o, _ in self.judged if o.trial.covers == (o.trial.name,)}
        for name in [*names, *dict.fromkeys(special)]:
            if name in alone:
                chosen = [(o, js) for o, js in self.judged if o.trial.covers == (name,)]
            else:
                chosen = [(o, js) for o, js in self.judged if name in o.trial.covers or o.trial.name == name]
            live = [j for _, js in chosen for j in js if j.leaf.path in self._alive()]
            if not live:
                continue
            worst = max(live, key=lambda j: (not j.within, j.error))
            good = worst.within or self.constants
            verdict = Verdict.EXACT if good else self._judged_verdict(worst)
            group = self.bench.symmetry.acts
            discrete = name in group.discrete
            rows.append(
                Check(
                    name, "discrete" if discrete else "finite", verdict, worst.error, worst.floor,
                    repr(worst.outcome.element), worst.leaf.name, len(chosen),
                )
            )  # fmt: skip
        if self.found.verdict is Verdict.BROKEN and all(c.verdict is Verdict.EXACT for c in rows) and self.found.worst_trial:
            # each part alone holds: what broke is the composed element, a far shift or a pose
            bad = [j for o, js in self.judged if o.trial.name == self.found.worst_trial.trial.name for j in js if not j.within]
            if bad:
                j = max(bad, key=lambda j: j.error)
                name, code = j.outcome.trial.name, repr(j.outcome.element)
                rows.append(Check(name, "finite", self._judged_verdict(j), j.error, j.floor, code, j.leaf.name, 1))
        return rows

    def _judged_verdict(self, j: Judgement) -> Verdict:
        tolerance, atol = self.helpers.tolerance, self.helpers.atol
        fine = (tolerance is not None and j.error <= tolerance) or (atol is not None and j.absolute <= atol)
        return Verdict.APPROXIMATE if fine else Verdict.BROKEN

    def _alive(self) -> set[Any]:
        return {leaf.path for n, leaf in enumerate(self.bench.base("x0").leaves) if n not in self.vacuous}

    def _leaf_results(self, every: list[Judgement]) -> None:
        for n, leaf in enumerate(self.bench.base("x0").leaves):
            mine = [j for j in every if j.leaf.path == leaf.path]
            worst = max(mine, key=lambda j: (not j.within, j.error), default=None)
            if n in self.vacuous:
                verdict = Verdict.VACUOUS
            elif worst is None or worst.within or self.constants:
                verdict = Verdict.EXACT
            else:
                verdict = self._judged_verdict(worst)
            self.found.leaves.append(
                LeafResult(
                    leaf.name, tuple(leaf.value.shape), str(leaf.dtype).removeprefix("torch."), leaf.rep, verdict,
                    worst.error if worst else None, worst.floor if worst else None, self.scales[n].typical,
                    worst.absolute if worst else None, rms(self.scales[n].sensitivity) / (rms(self.scales[n].size) or 1.0),
                    self.vacuous.get(n, ""),
                )
            )  # fmt: skip


def _first_line(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {(str(problem).strip().splitlines() or [''])[0][:160]}"


def _stillness(value: Tensor) -> str:
    if not bool(value.any()):
        return "is zero everywhere"
    if value.numel() > 1 and bool((value == value.flatten()[0]).all()):
        return "is constant: every entry is the same and none depends on the input"
    return "does not depend on the input"
