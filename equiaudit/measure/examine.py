"""One symmetry examined: trials in order, doubtful ones against their floor, failures taken apart."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from equiaudit.measure.behind import look_behind
from equiaudit.measure.bench import Bench, Outcome, Scale
from equiaudit.measure.constants import is_rounding_of_constants, worst_of
from equiaudit.measure.explain import explain_failure
from equiaudit.measure.finding import Finding, Helpers, Settled
from equiaudit.measure.judge import Floor, Judgement, judge
from equiaudit.measure.jumps import find_jump, find_tie
from equiaudit.measure.plan import Plan, Trial
from equiaudit.measure.precision import roundoff
from equiaudit.measure.residual import checked_leaves, median, rms
from equiaudit.measure.rules import (
    ACCEPT,
    ACCUSE,
    ACTION,
    BLURRED,
    CLEAR,
    CLEARLY_WRONG,
    DOUBLE,
    EXACT_ACTION,
    LOUD,
    OPEN,
    OWN,
    PARTS,
)
from equiaudit.measure.sanity import (
    check_moves,
    find_vacuous,
    look_at_outputs,
    must_be_finite,
    repeatability,
    wake_seen,
)
from equiaudit.measure.summary import summarise
from equiaudit.measure.twin import JITTER
from equiaudit.records import Cause, Verdict
from equiaudit.representations.structures import Path, StructureError

__all__ = ["Examination", "Finding", "Helpers", "Settled"]


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
        self.open = ""
        self.shifts_break = False
        self.noise: list[Tensor] | None = None
        self.constants = False
        self.shaken: list[Bench] = []
        self.explained: dict[Path, float] = {}
        self.rules = DOUBLE if torch.float64 in (bench.evaluator.dtype, helpers.declared) else OWN
        self.vacuous: dict[int, str] = {}
        self.worst_generator: int | None = None

    # -- the way through ------------------------------------------------------------------------------------------

    def run(self) -> Finding:
        """The finding; exceptions of the model pass through with a note that says where it was."""
        try:
            self.measure()
        except Settled as end:
            self.found.verdict, self.found.reason, self.found.cause = end.verdict, end.reason, end.cause
        except StructureError as problem:
            self.found.verdict, self.found.reason, self.found.cause = Verdict.INVALID, str(problem), Cause.STRUCTURE
        return self.found

    def measure(self) -> None:
        """All trials, then the conclusion."""
        look_at_outputs(self)
        if not self.plan.trials:
            raise Settled(
                Verdict.VACUOUS, f"{self.bench.symmetry.group!r} has no element away from the identity to try"
            )
        check_moves(self, self.plan.trials)
        failed: tuple[Outcome, list[Judgement]] | None = None
        for trial in self.plan.trials:
            self.helpers.progress(trial.name)
            outcome, rows = self.try_element(self.available(trial))
            self.judged.append((outcome, rows))
            if all(j.within for n, j in enumerate(rows) if n not in self.vacuous):
                continue
            if not is_rounding_of_constants(self, outcome, worst_of(self, rows)):
                failed = (outcome, rows)
                break
            self.constants = True
            rows[:] = [dataclasses.replace(j, within=True) for j in rows]
        find_vacuous(self)
        failed = failed or find_jump(self) or find_tie(self)
        if failed is not None:
            explain_failure(self, *failed)
        else:
            self.refuse_doubt()
            look_behind(self)
        summarise(self)

    def refuse_doubt(self) -> None:
        """Where all is within its floor, but only because the floor is so high, or other poses could not be tried.

        Raises:
            Settled: VACUOUS or INVALID.
        """
        live = [j for o, js in self.judged for n, j in enumerate(js) if n not in self.vacuous and not o.trial.between]
        loud = max((j.error for j in live), default=0.0)
        if self.rules is DOUBLE and loud > LOUD and not self.blurred and not self.constants:
            raise Settled(
                Verdict.VACUOUS,
                f"f(ρ(g) x) differs by {loud:.1g}, and rounding noise alone moves the output as much, in float64: an unstable or "
                "discontinuous model, or one that changes from call to call, hides any violation here",
            )
        if self.open:
            raise Settled(Verdict.VACUOUS, self.open)
        if self.pole:
            raise Settled(
                Verdict.INVALID,
                "f(x) is not finite where an edge lies exactly along a lab axis, and finite in other poses: "
                "a division or a square root fails at a pole",
                Cause.NOT_FINITE,
            )

    def available(self, trial: Trial) -> Trial:
        """The trial on the twin, or on the input itself where there is no twin."""
        if trial.base in self.bench.inputs:
            return trial
        return dataclasses.replace(trial, base="x0")

    # -- trials -----------------------------------------------------------------------------------------------------

    def try_element(self, trial: Trial) -> tuple[Outcome, list[Judgement]]:
        """One forward, and as many probes as it takes to tell an error from rounding; what it shows is alive."""
        outcome, rows = self._tried(trial)
        wake_seen(self, rows)
        return outcome, rows

    def _tried(self, trial: Trial) -> tuple[Outcome, list[Judgement]]:
        try:
            outcome = self.bench.run(trial)
        except StructureError:
            raise
        except Exception as problem:
            problem.add_note(f"equiaudit: raised for the transformed input, g = {trial.elements[0]!r}")
            raise
        base = self.bench.base(trial.base)
        must_be_finite(self, checked_leaves(self.bench.symmetry, outcome.moved), "f(ρ(g) x)", repr(outcome.element))
        action = self.bench.action_error(outcome)
        if trial.between or action > EXACT_ACTION:
            return outcome, self.judge_between(outcome, action)
        floor = Floor(self.bench, outcome, self.rules.safety)
        accept = self.rules.accept
        ratio = [self.ratio(n, leaf, r) for n, (leaf, r) in enumerate(zip(base.leaves, outcome.residuals, strict=True))]
        if not trial.probe and max(ratio, default=0.0) <= accept:
            unit = [
                ACCEPT * s.rows_like(leaf.norms(leaf.value)) for s, leaf in zip(self.scales, base.leaves, strict=True)
            ]
            return outcome, self.judge_all(outcome, unit)
        if max(ratio, default=0.0) > CLEARLY_WRONG:
            repeat = repeatability(self, trial)
            if repeat is not None:
                raise Settled(Verdict.INVALID, repeat, Cause.NOT_REPEATABLE)
        rows: list[Judgement] = []
        while floor.take():
            self.last_floor = self.floors(floor, base.leaves)
            rows = self.judge_all(outcome, self.last_floor)
            if trial.probe or (trial.base == "x1" and self.noise is None):
                self.noise = floor.noise
            live = [j for n, j in enumerate(rows) if n not in self.vacuous]
            if floor.taken < self.rules.probes:
                continue
            if all(j.within for j in live) or (floor.taken >= ACCUSE and max(j.excess for j in live) > CLEAR):
                break
            if floor.taken == self.rules.probes and is_rounding_of_constants(self, outcome, worst_of(self, rows)):
                break  # a better floor would change nothing
        return outcome, rows

    def noise_like(self, n: int, like: Tensor) -> Tensor:
        """The rounding noise of leaf number n on rows shaped like ``like``; zero where none was measured."""
        if self.noise is None or n >= len(self.noise):
            return torch.zeros_like(like)
        return self.noise[n] if self.noise[n].shape == like.shape else torch.full_like(like, median(self.noise[n]))

    def judge_between(self, outcome: Outcome, action: float) -> list[Judgement]:
        """An element that an image can carry only approximately: against the error of the action itself.

        VACUOUS where that error is so large that the claim stays open.
        """
        base = self.bench.base(outcome.trial.base)
        self.blurred = self.blurred or action > BLURRED
        floors = []
        for n, leaf in enumerate(base.leaves):
            size = leaf.norms(leaf.value)
            noise = PARTS * self.noise_like(n, size)
            unit = ACCEPT * (self.scales[n].rows_like(size) + size)
            floors.append(noise + unit + ACTION * action * (rms(size) + rms(self.scales[n].sensitivity) / JITTER))
        rows = self.judge_all(outcome, floors)
        live = [j for n, j in enumerate(rows) if n not in self.vacuous]
        if max((j.floor for j in live), default=0.0) > OPEN:
            self.open = (
                f"only elements that permute pixels could be tested, and they hold; {outcome.element!r} turns or shifts this "
                f"image with an error of {action:.1g}, so the claim under {self.bench.symmetry.group!r} stays open: give a "
                "smoother image, or claim the pixel-exact subgroup (Cyclic(4), Dihedral(4))"
            )
            return [dataclasses.replace(j, within=True) for j in rows]
        return rows

    def floors(self, floor: Floor, found: Any) -> list[Tensor]:
        """The floor of every leaf, per row, from the probes taken so far."""
        unit = roundoff(self.bench.evaluator.dtype or self.bench.declared)
        return [floor.rows(n, leaf, 0.0, unit) for n, leaf in enumerate(found)]

    def judge_all(self, outcome: Outcome, floors: list[Tensor]) -> list[Judgement]:
        """Every leaf of an outcome against its floor."""
        base = self.bench.base(outcome.trial.base)
        parts = zip(base.leaves, self.scales, outcome.residuals, floors, strict=True)
        return [judge(leaf, scale, r, f, outcome) for leaf, scale, r, f in parts]

    def ratio(self, n: int, leaf: Any, residual: Tensor) -> float:
        """The largest residual of a row of leaf number n, over s_row."""
        if n in self.vacuous and not residual.any():
            return 0.0
        error = leaf.norms(residual)
        rows = self.scales[n].rows_like(error)
        if not error.numel():
            return 0.0
        found = error / torch.where(rows > 0, rows, torch.full_like(rows, torch.finfo(torch.float64).tiny))
        return float(torch.where(error > 0, found, torch.zeros_like(found)).max())
