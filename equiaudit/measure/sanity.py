"""Whether there is anything to judge: finite, repeatable, moved by the group, and dependent on the input."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from equiaudit.measure.bench import Scale
from equiaudit.measure.finding import Settled
from equiaudit.measure.judge import Judgement
from equiaudit.measure.plan import Trial
from equiaudit.measure.precision import is_inexact, roundoff
from equiaudit.measure.residual import checked_leaves, medians, rms
from equiaudit.measure.rules import MOVES_INPUT, MOVES_OUTPUT, REPEATS, REPEATS_ROUNDING, REPEATS_SIZE, STILL
from equiaudit.records import Cause, Verdict
from equiaudit.representations.structures import leaves, path_name
from equiaudit.symmetry import UNDECLARED

if TYPE_CHECKING:
    from equiaudit.measure.examine import Examination


def look_at_outputs(exam: Examination) -> None:
    """Finite, and there; then the scales."""
    base = exam.bench.base("x0")
    if not base.leaves:
        raise Settled(
            Verdict.INVALID,
            "no output is declared, so nothing was compared; outputs= must name at least one leaf of: "
            + ", ".join(path_name(p) for p, _ in leaves(base.outputs)),
            Cause.STRUCTURE,
        )
    must_be_finite(exam, base.leaves, "f(x)")
    other: dict[Any, Tensor] = {}
    if "x1" in exam.bench.inputs:
        finite = all(bool(torch.isfinite(leaf.value).all()) for leaf in exam.bench.base("x1").leaves)
        if finite or without_alignment(exam):
            other = {leaf.path: leaf.value for leaf in exam.bench.base("x1").leaves}
        else:
            del exam.bench.inputs["x1"]
            exam.found.notes.append(
                "the output is not finite near the given input (5 % jitter), so only that input was tried"
            )
    exam.scales = [Scale.of(leaf, other.get(leaf.path)) for leaf in base.leaves]
    if not other:
        return
    for n, (leaf, scale) in enumerate(zip(base.leaves, exam.scales, strict=True)):
        if not float(scale.sensitivity.max() if scale.sensitivity.numel() else 0.0) > 0:
            exam.vacuous[n] = _stillness(leaf.value)
    if exam.vacuous:
        look_at_moved(exam)
    if len(exam.vacuous) == len(base.leaves):
        raise Settled(Verdict.VACUOUS, vacuous_sentence(exam))


def without_alignment(exam: Examination) -> bool:
    """Where axis-aligned nodes alone make the output non-finite, take a twin without them; True if that helps."""
    plain = exam.helpers.plain_twin()
    if plain is None:
        return False
    for bench in (exam.bench, exam.helpers.own):
        if bench is not None:
            bench.inputs["x1"] = bench.evaluator.cast(plain)
            bench.outputs.pop("x1", None)
            bench.bases.pop("x1", None)
    exam.pole = all(bool(torch.isfinite(leaf.value).all()) for leaf in exam.bench.base("x1").leaves)
    return exam.pole


def look_at_moved(exam: Examination) -> None:
    """A leaf that jitter leaves alone but an element moves (a sign of handedness, a class map) is not vacuous.

    One element is asked, and all where nothing else is left to judge.
    """
    for trial in map(exam.available, exam.plan.trials):
        if trial.between:
            continue
        base = exam.bench.base(trial.base)
        moved = exam.bench.evaluator(exam.bench.symmetry.act_on_inputs(exam.bench.placed(trial), base.inputs))
        there = {leaf.path: leaf.value for leaf in checked_leaves(exam.bench.symmetry, moved)}
        for n, leaf in enumerate(base.leaves):
            other = there.get(leaf.path)
            if n not in exam.vacuous or other is None or other.shape != leaf.value.shape:
                continue
            apart = leaf.norms(other - leaf.value)
            if rms(apart) > MOVES_OUTPUT * (rms(leaf.value) or 1.0):
                wake(exam, n, apart)
        if len(exam.vacuous) < len(base.leaves):
            return


def wake(exam: Examination, n: int, apart: Tensor) -> None:
    """Leaf number n is not vacuous after all: an element changes its rows by ``apart``."""
    exam.vacuous.pop(n)
    leaf = exam.bench.base("x0").leaves[n]
    size = leaf.norms(leaf.value)
    exam.scales[n] = Scale(apart, size, torch.full_like(size, rms(size) or rms(apart)))


def wake_seen(exam: Examination, rows: Sequence[Judgement]) -> None:
    """Leaves called vacuous that a trial shows to be broken: what was seen is never ignored."""
    for n in [n for n in exam.vacuous if n < len(rows) and not rows[n].within]:
        wake(exam, n, rows[n].leaf.norms(rows[n].outcome.residuals[n]))


def must_be_finite(exam: Examination, found: Any, what: str, element: str = "") -> None:
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
                Cause.NOT_FINITE,
            )


def check_moves(exam: Examination, trials: Sequence[Trial]) -> None:
    """VACUOUS where no element moves any declared input."""
    if any(_moves(exam, dataclasses.replace(trial, base="x0")) for trial in trials):
        return
    declared = [rep for _, _, rep in exam.bench.symmetry.input_leaves(exam.bench.inputs["x0"]) if rep is not None]
    if all(rep is UNDECLARED for rep in declared):
        raise Settled(Verdict.VACUOUS, "no input is declared, so the group acts on nothing: Symmetry(group, inputs=…)")
    raise Settled(
        Verdict.VACUOUS,
        f"the inputs are fixed by the group: {trials[0].elements[0]!r} changes no declared input, so no output could differ",
    )


def _moves(exam: Examination, trial: Trial) -> bool:
    base = exam.bench.base(trial.base)
    moved = exam.bench.symmetry.act_on_inputs(exam.bench.placed(trial), base.inputs)
    before, after = dict(leaves(base.inputs)), dict(leaves(moved))
    for path, value in before.items():
        now = after.get(path)
        if not isinstance(value, Tensor) or not isinstance(now, Tensor):
            if now is not value:
                return True
        elif value.shape != now.shape or value.dtype != now.dtype:
            return True
        elif is_inexact(value):
            if rms(now - value) > MOVES_INPUT * rms(value):
                return True
        elif not torch.equal(value, now):
            return True
    return False


def repeatability(exam: Examination, trial: Trial) -> str | None:
    """The sentence for a model that gives two answers to one input; None where it repeats itself (asked twice)."""
    return _repeated(exam, trial) or _repeated(exam, trial)


def _repeated(exam: Examination, trial: Trial) -> str | None:
    base = exam.bench.base(trial.base)
    again = {leaf.path: leaf.value for leaf in checked_leaves(exam.bench.symmetry, exam.bench.evaluator(base.inputs))}
    for n, leaf in enumerate(base.leaves):
        other = again.get(leaf.path)
        if other is None or other.shape != leaf.value.shape:
            return f"not repeatable: {leaf.name} has another shape when the same input is given again"
        apart = leaf.norms(other - leaf.value)
        limit = max(REPEATS, REPEATS_ROUNDING * roundoff(exam.bench.evaluator.dtype or exam.helpers.declared)) * (
            exam.scales[n].rows_like(apart) + REPEATS_SIZE * leaf.norms(leaf.value)
        )
        if bool((apart > limit).any()):
            size = rms(apart) / exam.scales[n].typical
            return (
                f"not repeatable: {leaf.name} differs by {size:.2g} (relative) when the same input is given again; "
                "switch dropout and sampling off with model.eval(), or pass randomness='match'"
            )
    return None


def find_vacuous(exam: Examination) -> None:
    """Leaves whose sensitivity is rounding amplified: V ≤ 1000·N in every row."""
    base = exam.bench.base("x0")
    if "x1" not in exam.bench.inputs:
        return
    for n, (leaf, scale) in enumerate(zip(base.leaves, exam.scales, strict=True)):
        unit = roundoff(exam.bench.evaluator.dtype or exam.bench.declared)
        noise = exam.noise_like(n, scale.size)
        noise = noise + medians(noise) + unit * scale.size
        if noise.shape != scale.sensitivity.shape or n in exam.vacuous or not noise.numel():
            continue
        hopeless = exam.rules.safety * rms(noise) > scale.typical  # nothing smaller than the output could be seen
        if hopeless or bool((scale.sensitivity <= exam.rules.amplified * noise).all()):
            exact = _stillness(leaf.value)
            exam.vacuous[n] = (
                exact
                if "zero" in exact
                else (
                    "does not depend on the input beyond rounding"
                    if rms(scale.sensitivity) < STILL * (rms(scale.size) or 1.0)
                    else "is rounding noise amplified to the size of the output"
                )
            )
            for _ in range(3):  # randomness looks like noise too
                if repeat := repeatability(exam, exam.available(exam.plan.trials[0])):
                    raise Settled(Verdict.INVALID, repeat, Cause.NOT_REPEATABLE)
    if len(exam.vacuous) == len(base.leaves):
        raise Settled(Verdict.VACUOUS, vacuous_sentence(exam))


def vacuous_sentence(exam: Examination) -> str:
    """Why this test could not have failed, leaf by leaf."""
    names = [leaf.name for leaf in exam.bench.base("x0").leaves]
    said = "; ".join(f"{names[n]} {text}" for n, text in exam.vacuous.items())
    return f"this test could not have failed: {said}"


def _stillness(value: Tensor) -> str:
    if not bool(value.any()):
        return "is zero everywhere"
    if value.numel() > 1 and bool((value == value.flatten()[0]).all()):
        return "is constant: every entry is the same and none depends on the input"
    return "does not depend on the input"
