"""The record of an examination: rows, leaves, the worst place, and the verdict under the caller's tolerance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from equiaudit.measure.judge import Judgement
from equiaudit.measure.residual import rms
from equiaudit.measure.rules import AS_LARGE
from equiaudit.records import Cause, Check, LeafResult, Verdict, Worst
from equiaudit.ties import first_largest

if TYPE_CHECKING:
    from equiaudit.measure.examine import Examination


def summarise(exam: Examination) -> None:
    """Rows, leaves, the worst place and the verdict under the caller's tolerance."""
    found, base = exam.found, exam.bench.base("x0")
    alive = {leaf.path for n, leaf in enumerate(base.leaves) if n not in exam.vacuous}
    every = [j for _, rows in exam.judged for j in rows if j.leaf.path in alive]
    bad = [j for j in every if not j.within] if found.verdict is Verdict.BROKEN or exam.constants else []
    worst = first_largest(simplest(bad) or every, lambda j: j.error) if every else None
    if worst is not None:
        found.error, found.floor = worst.error, worst.floor
        if not worst.within and 0 < worst.excess < float("inf"):
            found.floor = (
                worst.error / worst.excess
            )  # rows are judged one by one: the floor of the row that exceeds it most
        found.worst = place(exam, worst)
        if found.verdict is Verdict.BROKEN:
            found.worst_trial = worst.outcome
            tolerate(exam, bad)
    found.checks[:0] = table(exam)
    leaf_results(exam, every, bad)
    moves = [rms(s.sensitivity) / (rms(s.size) or 1.0) for n, s in enumerate(exam.scales) if n not in exam.vacuous]
    found.sensitivity = max(moves, default=None)
    if exam.constants and found.verdict is Verdict.EXACT:
        kind = str(exam.helpers.declared).removeprefix("torch.")
        found.cause = Cause.of_constants(kind)
        found.notes.append(f"exact to {kind}: what remains ({found.error:.1e}) is the rounding of stored constants")
    for n, text in exam.vacuous.items():
        found.notes.append(f"vacuous: {base.leaves[n].name} {text}; nothing is claimed about it")


def simplest(bad: list[Judgement]) -> list[Judgement]:
    """Violations by one part of the group alone, the simpler elements to look at, where they show as much as any."""
    alone = [j for j in bad if len(j.outcome.trial.covers) == 1]
    largest = max((j.error for j in bad), default=0.0)
    return alone if max((j.error for j in alone), default=0.0) >= AS_LARGE * largest else bad


def tolerate(exam: Examination, bad: list[Judgement]) -> None:
    """APPROXIMATE where every violation is within what the caller allows."""
    tolerance, atol = exam.helpers.tolerance, exam.helpers.atol
    if exam.found.cause == Cause.HIDDEN:
        return
    fine = [(tolerance is not None and j.error <= tolerance) or (atol is not None and j.absolute <= atol) for j in bad]
    if fine and all(fine):
        exam.found.verdict = Verdict.APPROXIMATE


def place(exam: Examination, j: Judgement) -> Worst:
    """Where the worst entry is, what was expected there and what came."""
    value = j.leaf.value[j.index] if j.leaf.value.dim() else j.leaf.value
    n = [leaf.path for leaf in exam.bench.base("x0").leaves].index(j.leaf.path)
    residual = j.outcome.residuals[n]
    apart = residual[j.index] if residual.dim() else residual
    elements = ", ".join(map(repr, j.outcome.elements))
    code = elements if len(j.outcome.elements) == 1 else f"[{elements}]"
    real = not value.is_complex()
    expected = float(value) if real else float(value.abs())
    got = float(value + apart) if real else float((value + apart).abs())
    on = "twin" if j.outcome.trial.base == "x1" else "given"
    return Worst(code, j.leaf.name, j.index, j.absolute, j.error, expected, got, on)


def table(exam: Examination) -> list[Check]:
    """One row for each part, generator and pose that was tried."""
    rows = []
    names = dict.fromkeys(name for o, _ in exam.judged for name in o.trial.covers)
    special = [
        o.trial.name
        for o, _ in exam.judged
        if o.trial.name not in names and "(" not in o.trial.name and "random" not in o.trial.name
    ]
    alone = {o.trial.name for o, _ in exam.judged if o.trial.covers == (o.trial.name,)}
    for name in [*names, *dict.fromkeys(special)]:
        if name in alone:
            chosen = [(o, js) for o, js in exam.judged if o.trial.covers == (name,)]
        else:
            chosen = [(o, js) for o, js in exam.judged if name in o.trial.covers or o.trial.name == name]
        live = [j for _, js in chosen for j in js if j.leaf.path in alive(exam)]
        if not live:
            continue
        worst = first_largest(live, lambda j: j.error, rank=lambda j: not j.within)
        good = worst.within
        verdict = Verdict.EXACT if good else judged_verdict(exam, worst)
        group = exam.bench.symmetry.acts
        discrete = name in group.discrete
        rows.append(
            Check(
                name, "discrete" if discrete else "finite", verdict, worst.error, worst.floor,
                repr(worst.outcome.element), worst.leaf.name, len(chosen),
            )
        )  # fmt: skip
    failed = exam.found.worst_trial
    if failed and (all(c.verdict is Verdict.EXACT for c in rows) or len(failed.trial.covers) > 1):
        # what broke, or broke most, is the composed element, a far shift or a pose
        bad = [j for o, js in exam.judged if o.trial.name == failed.trial.name for j in js if not j.within]
        if bad:
            j = first_largest(bad, lambda j: j.error)
            name, code = j.outcome.trial.name, repr(j.outcome.element)
            rows.append(Check(name, "finite", judged_verdict(exam, j), j.error, j.floor, code, j.leaf.name, 1))
    return rows


def judged_verdict(exam: Examination, j: Judgement) -> Verdict:
    """BROKEN, or APPROXIMATE within what the caller allows."""
    tolerance, atol = exam.helpers.tolerance, exam.helpers.atol
    fine = (tolerance is not None and j.error <= tolerance) or (atol is not None and j.absolute <= atol)
    return Verdict.APPROXIMATE if fine else Verdict.BROKEN


def alive(exam: Examination) -> set[Any]:
    """Paths of the leaves that are not vacuous."""
    return {leaf.path for n, leaf in enumerate(exam.bench.base("x0").leaves) if n not in exam.vacuous}


def leaf_results(exam: Examination, every: list[Judgement], bad: list[Judgement]) -> None:
    """One result for each checked leaf."""
    for n, leaf in enumerate(exam.bench.base("x0").leaves):
        mine = [j for j in bad if j.leaf.path == leaf.path] or [j for j in every if j.leaf.path == leaf.path]
        worst = first_largest(mine, lambda j: j.error, rank=lambda j: not j.within) if mine else None
        if n in exam.vacuous:
            verdict = Verdict.VACUOUS
        elif worst is None or worst.within:
            verdict = Verdict.EXACT
        else:
            verdict = judged_verdict(exam, worst)
        exam.found.leaves.append(
            LeafResult(
                leaf.name, tuple(leaf.value.shape), str(leaf.dtype).removeprefix("torch."), leaf.rep, verdict,
                worst.error if worst else None, worst.floor if worst else None, exam.scales[n].typical,
                worst.absolute if worst else None, rms(exam.scales[n].sensitivity) / (rms(exam.scales[n].size) or 1.0),
                exam.vacuous.get(n, ""),
            )
        )  # fmt: skip
