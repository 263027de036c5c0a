"""Inputs on a tie, a cutoff or a degenerate frame, where the model jumps: rounding noise and more elements show them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from equiaudit.measure.bench import Outcome
from equiaudit.measure.judge import Judgement, judge
from equiaudit.measure.noise import JUMPING
from equiaudit.measure.rules import CLEAR, CLEARLY_WRONG, EXACT_ACTION, TIE_AMPLITUDE, TIE_ELEMENTS

if TYPE_CHECKING:
    from equiaudit.measure.examine import Examination


def find_jump(exam: Examination) -> tuple[Outcome, list[Judgement]] | None:
    """A clear error on the caller's input that only noise as large as itself explains, while the twin is quiet: a jump."""
    if "x1" not in exam.bench.inputs:
        return None
    for outcome, rows in list(exam.judged):
        clear = [
            n for n, j in enumerate(rows)
            if n not in exam.vacuous and exam.ratio(n, j.leaf, outcome.residuals[n]) > CLEARLY_WRONG
        ]  # fmt: skip
        if outcome.trial.base != "x0" or not clear or exam.bench.action_error(outcome) > EXACT_ACTION:
            continue
        there, judged = exam.try_element(dataclasses.replace(outcome.trial, base="x1", probe=True))
        exam.judged.append((there, judged))
        quiet = exam.last_floor
        for n in clear:
            again = judge(rows[n].leaf, exam.scales[n], outcome.residuals[n], quiet[n], outcome)
            if again.excess > CLEAR:
                rows[n] = again
        if not all(rows[n].within for n in clear):
            return outcome, rows
    return None


def find_tie(exam: Examination) -> tuple[Outcome, list[Judgement]] | None:
    """Where rounding noise makes the caller's input jump and its twin not, a tie sits there: more elements are tried on it.

    One element breaks a tie only with probability ½.
    """
    if exam.helpers.quick or exam.noise is None or "x1" not in exam.bench.inputs:
        return None
    if not exam.bench.operations & JUMPING:
        return None
    outcome = next((o for o, _ in exam.judged if o.trial.base == "x0"), None)
    if outcome is None or outcome.trial.between:
        return None
    leaves_ = exam.bench.base("x0").leaves
    noise = exam.bench.probe(outcome, TIE_AMPLITUDE, 99)
    for n, (leaf, found) in enumerate(zip(leaves_, noise, strict=True)):
        quiet = CLEAR * (exam.noise_like(n, found) + 2.0**-53 * leaf.norms(leaf.value))
        jumps = (TIE_AMPLITUDE * found > CLEARLY_WRONG * exam.scales[n].rows_like(found)) & (found > quiet)
        if n in exam.vacuous or not bool(jumps.any()):
            continue
        for _ in range(TIE_ELEMENTS):
            group, count = exam.bench.symmetry.acts, exam.helpers.count
            elements = tuple(group.sample(exam.helpers.rng) for _ in range(count))
            again, rows = exam.try_element(dataclasses.replace(outcome.trial, elements=elements))
            exam.judged.append((again, rows))
            if not all(j.within for k, j in enumerate(rows) if k not in exam.vacuous):
                return again, rows
            if jumped := find_jump(exam):
                return jumped
    return None
