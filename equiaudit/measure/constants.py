"""Violations that the rounding of stored constants explains, such as Clebsch-Gordan tables built in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from equiaudit.measure.bench import Outcome
from equiaudit.measure.judge import Judgement
from equiaudit.measure.precision import roundoff
from equiaudit.measure.residual import rms
from equiaudit.measure.rules import GROWTH, KNOWN, SHAKES, SMALL
from equiaudit.representations.structures import Path
from equiaudit.ties import first_largest

if TYPE_CHECKING:
    from equiaudit.measure.examine import Examination


def is_rounding_of_constants(exam: Examination, outcome: Outcome, worst: Judgement) -> bool:
    """Whether a small violation grows with the rounding of stored constants: then those make it, not the model."""
    coarse = exam.helpers.declared != torch.float64 and exam.bench.evaluator.dtype == torch.float64
    if not coarse or not worst.error < SMALL * roundoff(exam.helpers.declared):
        return False
    path = worst.leaf.path
    if path not in outcome.by_constants:
        outcome.by_constants[path] = _grows(exam, outcome, path)
    return outcome.by_constants[path]


def _grows(exam: Examination, outcome: Outcome, path: Path) -> bool:
    n = [leaf.path for leaf in exam.bench.base(outcome.trial.base).leaves].index(path)
    size = rms(outcome.residuals[n])
    if KNOWN * size < exam.explained.get(path, 0.0):
        return True
    for k in range(SHAKES):  # one shake may miss: what it does to a single number may be small by chance
        if k >= len(exam.shaken):
            bench = exam.helpers.with_constants(k)
            if bench is None:
                return False
            exam.shaken.append(bench)
        grown = rms(exam.shaken[k].run(outcome.trial).residuals[n])
        if grown > GROWTH * size:
            exam.explained[path] = max(grown, exam.explained.get(path, 0.0))
            return True
    return False


def worst_of(exam: Examination, rows: list[Judgement]) -> Judgement:
    """The judgement with the largest error, of leaves that are above their floor where there are any."""
    live = [j for n, j in enumerate(rows) if n not in exam.vacuous and not j.within]
    return first_largest(live or rows, lambda j: j.error)
