"""Violations that the rounding of stored constants explains, such as Clebsch-Gordan tables built in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from equiaudit.measure.bench import Outcome
from equiaudit.measure.judge import Judgement
from equiaudit.measure.precision import roundoff
from equiaudit.measure.residual import rms

if TYPE_CHECKING:
    from equiaudit.measure.examine import Examination


def is_rounding_of_constants(exam: Examination, outcome: Outcome, worst: Judgement) -> bool:
    """Whether a small violation grows with the rounding of stored constants: then those make it, not the model."""
    coarse = exam.helpers.declared != torch.float64 and exam.bench.evaluator.dtype == torch.float64
    if not coarse or not worst.error < 2000 * roundoff(exam.helpers.declared):
        return False
    exam.shaken = exam.shaken or exam.helpers.with_constants()
    if exam.shaken is None:
        return False
    shaken = exam.shaken.run(outcome.trial)
    n = [leaf.path for leaf in exam.bench.base(outcome.trial.base).leaves].index(worst.leaf.path)
    return rms(shaken.residuals[n]) > 4 * rms(outcome.residuals[n])


def worst_of(exam: Examination, rows: list[Judgement]) -> Judgement:
    """The judgement with the largest error, of leaves that are above their floor where there are any."""
    live = [j for n, j in enumerate(rows) if n not in exam.vacuous and not j.within]
    return max(live or rows, key=lambda j: (j.error != j.error, j.error))
