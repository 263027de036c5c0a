"""What a failure is: a jump at the caller's input, aliasing, or broken parts of the group."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from equiaudit.measure.bench import Outcome
from equiaudit.measure.constants import is_rounding_of_constants, worst_of
from equiaudit.measure.finding import Settled
from equiaudit.measure.judge import Judgement
from equiaudit.measure.plan import Trial, single_parts
from equiaudit.measure.residual import checked_leaves, medians
from equiaudit.measure.rules import ACCEPT, EXACT_ACTION, PARTS
from equiaudit.measure.sanity import must_be_finite, repeatability
from equiaudit.records import Cause, Verdict

if TYPE_CHECKING:
    from equiaudit.measure.examine import Examination


def explain_failure(exam: Examination, outcome: Outcome, rows: list[Judgement]) -> None:
    """A discontinuity at the caller's input, aliasing, or broken; then each part alone."""
    if repeat := repeatability(exam, outcome.trial):  # a state that drifts looks like a violation
        raise Settled(Verdict.INVALID, repeat, Cause.NOT_REPEATABLE)
    exam.found.verdict = Verdict.BROKEN
    exam.found.worst_trial = outcome
    if outcome.trial.between or exam.bench.action_error(outcome) > EXACT_ACTION:
        exam.found.cause = Cause.ALIASING
        exam.found.reason = (
            "whole-pixel shifts, quarter turns and flips hold; between pixels the model aliases (nonlinearities, strides and "
            "pooling do): claim the pixel-exact subgroup where that is meant"
        )
        return
    if outcome.trial.base == "x0" and "x1" in exam.bench.inputs:
        there = Trial(outcome.trial.name, outcome.trial.elements, "x1", outcome.trial.covers, True)
        other, judged = exam.try_element(there)
        exam.judged.append((other, judged))
        if all(j.within for n, j in enumerate(judged) if n not in exam.vacuous):
            exam.found.cause = Cause.DISCONTINUITY
            exam.found.reason = (
                "only the given input breaks it: it sits on a tie, a cutoff or a degenerate frame, where the model jumps; "
                "5 % beside it the symmetry holds"
            )
    if exam.found.cause is None:
        take_apart(exam)


def take_apart(exam: Examination) -> None:
    """Each part of the group alone, so that the rows say which one is broken.

    Where translations break, turns are tried about the origin: about the centroid they would be shifts as well.
    """
    shifts_break = False
    for trial in single_parts(exam.bench.symmetry.acts, exam.helpers.rng, exam.helpers.count):
        try:
            outcome = exam.bench.run(dataclasses.replace(exam.available(trial), as_given=shifts_break))
        except Exception:  # the composed failure stands; a part that can't be tried is only missing from the rows
            continue
        must_be_finite(exam, checked_leaves(exam.bench.symmetry, outcome.moved), "f(ρ(g) x)", repr(outcome.element))
        floors = []
        for n, leaf in enumerate(exam.bench.base(outcome.trial.base).leaves):
            size = leaf.norms(leaf.value)
            noise = exam.noise_like(n, size)
            floors.append(PARTS * (noise + medians(noise)) + ACCEPT * exam.scales[n].rows_like(size))
        rows = exam.judge_all(outcome, floors)
        if any(not j.within for j in rows) and is_rounding_of_constants(exam, outcome, worst_of(exam, rows)):
            rows = [dataclasses.replace(j, within=True) for j in rows]
        exam.judged.append((outcome, rows))
        if "translation" in trial.name:
            shifts_break = not all(j.within for n, j in enumerate(rows) if n not in exam.vacuous)
    exam.shifts_break = shifts_break
