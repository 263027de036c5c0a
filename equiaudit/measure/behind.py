"""Behind a pass: faults that parameters hide, and kernels that compute more coarsely than the model declares."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from equiaudit.measure.bench import Bench, Outcome
from equiaudit.measure.constants import is_rounding_of_constants, worst_of
from equiaudit.measure.finding import Settled
from equiaudit.measure.judge import Judgement, judge
from equiaudit.measure.plan import Plan, Trial
from equiaudit.measure.precision import roundoff
from equiaudit.measure.residual import Leaf, checked_leaves, pull_back, residuals, rms
from equiaudit.measure.rules import OWN_AMPLITUDE, OWN_PROBES, OWN_SAFETY
from equiaudit.measure.sanity import must_be_finite
from equiaudit.records import Cause, Check, Verdict
from equiaudit.representations.structures import StructureError
from equiaudit.ties import first_largest

if TYPE_CHECKING:
    from equiaudit.measure.examine import Examination


def look_behind(exam: Examination) -> None:
    """Nothing failed so far: what parameters could hide, and the model at its own precision."""
    if not exam.helpers.quick:
        try_parameters(exam)
    if exam.found.verdict is Verdict.EXACT:
        try_own_precision(exam)


def probed(exam: Examination) -> Trial:
    """The trial whose rounding noise was measured."""
    chosen = next((t for t in exam.plan.trials if t.probe), exam.plan.trials[0])
    return exam.available(chosen)


def try_parameters(exam: Examination) -> None:
    """Trainable tensors that are zero or constant, made generic: a fault behind them becomes visible."""
    changed = exam.helpers.with_parameters(None)
    if changed is None:
        return
    bench, names = changed
    shown = breaks(exam, bench)
    if shown is None:
        return
    exam.found.verdict, exam.found.cause = Verdict.BROKEN, Cause.HIDDEN
    few = culprits(exam, names)
    listed = ", ".join(few[:3]) + (f" and {len(few) - 3} more" if len(few) > 3 else "")
    exam.found.reason = (
        f"exact only while {listed} {'is' if len(few) == 1 else 'are'} zero or constant: "
        "with small random values there, as after a training step, the symmetry breaks"
    )
    outcome, rows = shown
    exam.found.worst_trial = outcome
    exam.judged.append((outcome, rows))


def breaks(exam: Examination, bench: Bench) -> tuple[Outcome, list[Judgement]] | None:
    """What shows that the model with changed parameters is not equivariant, or None where nothing does."""
    other = type(exam)(bench, Plan((probed(exam),), ""), exam.helpers)
    other.scales, other.vacuous = exam.scales, dict(exam.vacuous)
    try:
        must_be_finite(exam, bench.base(probed(exam).base).leaves, "f(x) with changed parameters")
        outcome, rows = other.try_element(dataclasses.replace(probed(exam), probe=False))
        live = [j for n, j in enumerate(rows) if n not in other.vacuous]
        if all(j.within for j in live) or is_rounding_of_constants(other, outcome, worst_of(other, rows)):
            return None
    except (Settled, StructureError):
        return None
    return outcome, rows


def culprits(exam: Examination, names: list[str]) -> list[str]:
    """A few of the parameters that break the symmetry by themselves, found by halving: others of them may be innocent."""
    while len(names) > 1:
        middle = len(names) // 2
        for half in (names[:middle], names[middle:]):
            changed = exam.helpers.with_parameters(half)
            if changed is not None and breaks(exam, changed[0]) is not None:
                names = half
                break
        else:
            return names
    return names


def try_own_precision(exam: Examination) -> None:
    """The model itself: reduced-precision kernels break symmetries that double precision keeps.

    f(ρ(g) x) as it runs is compared with the double-precision f(x), one forward; only where rounding can't explain the
    difference, with f(x) as it runs.
    """
    own = exam.helpers.own
    if own is None:
        return
    trial = probed(exam)
    try:
        moved = own.evaluator(own.symmetry.act_on_inputs(own.placed(trial), own.inputs[trial.base]))
        pulled = pull_back(own.symmetry, own.placed(trial), moved, own.inputs[trial.base])
    except StructureError:
        raise
    except Exception as problem:
        mismatch = exam.helpers.mismatch()
        if mismatch is None:
            raise
        raise Settled(
            Verdict.INVALID, f"{mismatch}; the model raises {_first_line(problem)}", Cause.STRUCTURE
        ) from problem
    element = repr(own.placed(trial)[0])
    must_be_finite(exam, checked_leaves(own.symmetry, pulled), "f(ρ(g) x) at the model's own precision", element)
    reference = exam.bench.base(trial.base).leaves
    outcome = Outcome(trial, own.placed(trial), residuals(own.symmetry, reference, pulled), pulled)
    failed = coarse_failures(exam, reference, outcome)
    if failed and exam.noise is None:
        there, _ = exam.try_element(dataclasses.replace(trial, probe=True))
        exam.judged.append((there, exam.judge_all(there, exam.last_floor)))
        failed = coarse_failures(exam, reference, outcome)
    if failed and exam.noise is not None:  # one probe may be small by luck: more of them before an accusation
        there = exam.bench.run(trial)
        for k in range(OWN_PROBES):
            found = exam.bench.probe(there, OWN_AMPLITUDE, 50 + k)
            exam.noise = [torch.maximum(exam.noise_like(n, x), x) for n, x in enumerate(found)]
        failed = coarse_failures(exam, reference, outcome)
    if failed:
        outcome = own.run(trial)
        failed = coarse_failures(exam, own.base(trial.base).leaves, outcome)
    name = str(exam.helpers.declared).removeprefix("torch.")
    if failed:
        worst = first_largest(failed, lambda j: j.error)
        exam.found.verdict, exam.found.cause = Verdict.BROKEN, Cause.LOW_PRECISION
        exam.found.reason = (
            f"exact in float64, broken by {worst.error:.2g} in {name}, where rounding explains at most {worst.floor:.2g}: "
            "a kernel computes more coarsely than the model declares (TF32, a fused or half-precision kernel)"
        )
        exam.found.worst_trial = outcome
        exam.judged.append((outcome, failed))
        return
    parts = zip(reference, exam.scales, outcome.residuals, strict=True)
    error = max(
        (rms(leaf.norms(r)) / s.typical for n, (leaf, s, r) in enumerate(parts) if n not in exam.vacuous), default=0.0
    )
    exam.found.checks.append(
        Check(f"{name} as it runs", "finite", Verdict.EXACT, error, None, element, None, 1, "rounding")
    )


def coarse_failures(exam: Examination, base: list[Leaf], outcome: Outcome) -> list[Judgement]:
    """The leaves whose residual at the declared precision is more than its rounding explains."""
    u = roundoff(exam.helpers.declared)
    failed = []
    for n, (leaf, residual) in enumerate(zip(base, outcome.residuals, strict=True)):
        size = leaf.norms(leaf.value)
        noise = (exam.noise_like(n, size) if exam.noise is not None else 2.0**-53 * size) * u * 2.0**53
        # one probe may be small by luck; so this is wider than the floor in float64
        floor = OWN_SAFETY * (noise + rms(noise) + u * leaf.made_of())
        judgement = judge(leaf, exam.scales[n], residual, floor, outcome)
        if not judgement.within and n not in exam.vacuous:
            failed.append(judgement)
    return failed


def _first_line(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {(str(problem).strip().splitlines() or [''])[0][:160]}"
