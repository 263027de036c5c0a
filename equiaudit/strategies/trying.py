"""One example of a search: an element and a variation of the input, judged as an audit judges, each only once."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from equiaudit.groups.base import Element
from equiaudit.measure.bench import Bench, Outcome, Scale
from equiaudit.measure.constants import is_rounding_of_constants, worst_of
from equiaudit.measure.evaluate import Evaluator
from equiaudit.measure.examine import Examination
from equiaudit.measure.finding import Finding, Settled
from equiaudit.measure.jumps import find_jump
from equiaudit.measure.plan import Plan, Trial
from equiaudit.measure.precision import cast_inputs
from equiaudit.measure.replay import try_elements
from equiaudit.measure.residual import checked_leaves
from equiaudit.measure.rules import CLEARLY_WRONG
from equiaudit.measure.run import Run
from equiaudit.measure.sanity import check_moves, look_at_outputs, must_be_finite
from equiaudit.measure.summary import judged_verdict
from equiaudit.measure.twin import make_twin
from equiaudit.records import Cause, Verdict
from equiaudit.representations.image import Image
from equiaudit.representations.structures import StructureError
from equiaudit.strategies.poses import SINGULAR, SPECIAL
from equiaudit.strategies.rounding import AMPLIFIED, UNDEFINED, explained
from equiaudit.strategies.variation import Variation, vary
from equiaudit.symmetry import Symmetry
from equiaudit.ties import first_largest

GENERIC, JUMP, NOT_FINITE, RAISES = "violation", Cause.DISCONTINUITY.value, Cause.NOT_FINITE.value, "raises"
NUDGE, NUDGE_OWN = 1e-6, 1e-3
"""Relative size of the nudge that leaves ties, in double precision and at a model's own."""
LASTS = 0.1
"""The share of a violation that remains beside an input where it is neither rounding nor a tie."""


@dataclass(frozen=True)
class Example:
    """What hypothesis draws: elements (one, or one per sample) and what is done to the caller's input."""

    elements: tuple[Element, ...]
    variation: Variation

    @property
    def element(self) -> str:
        """The code of the elements."""
        codes = ", ".join(map(repr, self.elements))
        return codes if len(self.elements) == 1 else f"[{codes}]"

    @property
    def key(self) -> tuple[str, str]:
        """The code of both."""
        return self.element, self.variation.code


@dataclass(frozen=True)
class Seen:
    """How one example was judged: ``kind`` is "" where equivariance holds; ``score`` is the residual over s_row."""

    example: Example
    kind: str = ""
    score: float = 0.0
    error: float | None = None
    floor: float | None = None
    allowed: bool = False
    problem: Exception | None = None


def rebased(run: Run, inputs: Any) -> Run:
    """The same run on other inputs, as if ``audit`` had been given them; the copies of the model are shared."""
    new = copy.copy(run)
    new.inputs, new.rng, new.notes, new.settled = cast_inputs(inputs), np.random.default_rng(run.seed), [], None
    twin = make_twin(run_symmetries(run), new.inputs, new.rng, new.declared)
    new.twin, new.y, new.own_outputs = twin, {}, {}
    new.x = {"x0": new.evaluator.cast(new.inputs)}
    if twin is not None:
        new.x["x1"] = new.evaluator.cast(twin)
    return new


def run_symmetries(run: Run) -> list[Symmetry]:
    """The symmetries that a run was made for."""
    return run.__dict__["hunted"]


@dataclass
class Trier:
    """Judges examples for one symmetry.

    Args:
        run: the run, with its copies of the model.
        symmetry: the claim.
        degenerate: whether what happens in singular poses counts.
        budget: how many examples may be judged; beyond it nothing fails.
    """

    run: Run
    symmetry: Symmetry
    degenerate: bool
    budget: int
    seen: dict[tuple[str, str], Seen] = field(default_factory=dict)
    aside: dict[str, Seen] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    _light: dict[str, Examination | None] = field(default_factory=dict)
    _heavy: dict[str, Examination | None] = field(default_factory=dict)
    _beside: dict[str, Examination] = field(default_factory=dict)
    _excused: float = 0.0
    _shaken: dict[int, Evaluator | None] = field(default_factory=dict)

    @property
    def spent(self) -> bool:
        """Whether as many examples were judged as are allowed."""
        return len(self.seen) >= self.budget

    def judge(self, example: Example) -> Seen:
        """How the example fares; remembered, so that the same example is always judged alike."""
        known = self.seen.get(example.key)
        if known is not None:
            return known
        if self.spent:
            return Seen(example)
        found = self._judge(example)
        singular = example.variation.pose in SINGULAR or found.kind == UNDEFINED
        if found.kind == AMPLIFIED or (found.kind and singular and not self.degenerate):
            self.aside.setdefault(found.kind, found)
            found = replace(found, kind="")
        elif found.kind == UNDEFINED:
            found = replace(found, kind=JUMP)
        self.seen[example.key] = found
        return found

    def inputs(self, variation: Variation) -> Any:
        """The varied input as the model that is judged sees it."""
        return self.run.evaluator.cast(cast_inputs(self._varied(variation)))

    def finding(self, example: Example) -> tuple[Run, Finding]:
        """The finding that ``replay`` gives on the varied input."""
        run = rebased(self.run, self._varied(example.variation))
        found = try_elements(run, self.symmetry, example.elements, "x0", False)
        if found.cause == Cause.DISCONTINUITY and not self.is_jump(example):
            found.cause = None  # the twin, 5 % away, lies outside the range of poses that break
        return run, found

    # -- one example --------------------------------------------------------------------------------------------------

    def _judge(self, example: Example) -> Seen:
        if all(g.is_identity() for g in example.elements):
            return Seen(example)
        light = self._examination(example.variation, heavy=False)
        if light is None:
            return Seen(example)
        trial = self._trial(example)
        try:
            outcome = light.bench.run(trial)
            must_be_finite(light, checked_leaves(self.symmetry, outcome.moved), "f(ρ(g) x)")
        except Settled:
            return Seen(example, NOT_FINITE, float("inf"))
        except Exception as problem:  # whatever the model raises
            if not example.variation.plain:
                return self._refuses(example.variation, problem)
            problem.add_note(f"equiaudit: raised for g = {example.element}")
            return Seen(example, RAISES, problem=problem)
        score = _score(light, outcome)
        rows = light.judge_all(outcome, [leaf.norms(leaf.value) * 0 for leaf in light.bench.base("x0").leaves])
        error = max((j.error for j in rows), default=0.0)
        quiet = score <= max(light.rules.accept, 4 * self._excused)
        if quiet and not trial.between:
            return Seen(example, "", score, error)
        return self._closer(example, trial, score)

    def _closer(self, example: Example, trial: Trial, score: float) -> Seen:
        exam = self._examination(example.variation, heavy=True)
        if exam is None:
            return Seen(example)
        try:
            check_moves(exam, [trial])  # as replay wants it: an input that g leaves alone shows nothing there
            outcome, rows = exam.try_element(trial)
        except Settled as end:
            kind = NOT_FINITE if end.cause == Cause.NOT_FINITE else ""
            return Seen(example, kind, score)
        if score > CLEARLY_WRONG and all(j.within for n, j in enumerate(rows) if n not in exam.vacuous):
            exam.judged = [(outcome, rows)]
            find_jump(exam)  # noise explains it, and does so beside it too? Else the input sits on a tie
        live = [j for n, j in enumerate(rows) if n not in exam.vacuous]
        bad = [j for j in live if not j.within]
        worst = first_largest(bad or live, lambda j: j.error) if live else None
        if worst is None or not bad:
            return Seen(example, "", score, worst.error if worst else None, worst.floor if worst else None)
        if is_rounding_of_constants(exam, outcome, worst_of(exam, rows)):
            self._excused = max(self._excused, score)
            return Seen(example, "", score, worst.error, worst.floor)
        floor = worst.error / worst.excess if 0 < worst.excess < float("inf") else worst.floor
        if all(judged_verdict(exam, j) is Verdict.APPROXIMATE for j in bad):
            return Seen(example, "", score, worst.error, floor, allowed=True)
        kind = self._kind(exam, example, outcome, [n for n, j in enumerate(rows) if j in bad])
        if kind == AMPLIFIED:
            floor = max(floor, worst.error)  # what rounding of the input does belongs to the floor
        return Seen(example, kind, score, worst.error, floor)

    def _kind(self, exam: Examination, example: Example, outcome: Outcome, bad: list[int]) -> str:
        nudged = self._nudged(example)
        if (
            nudged is not None
            and not nudged[1]
            and any(
                float(nudged[0].residuals[n].abs().max()) > LASTS * float(outcome.residuals[n].abs().max()) for n in bad
            )
        ):
            return GENERIC  # beside the input it is as large, and no rounding: no tie
        rounding = explained(exam, outcome, bad)
        special = example.variation.pose in (*SPECIAL, *SINGULAR)
        return rounding or (JUMP if special and nudged is not None and nudged[1] else GENERIC)

    def is_jump(self, example: Example) -> bool:
        """Whether the violation goes away when the input is nudged: a tie, a degenerate frame, not a range of poses."""
        nudged = self._nudged(example)
        return nudged is not None and nudged[1]

    def _nudged(self, example: Example) -> tuple[Outcome, bool] | None:
        """The same element on the input nudged, and whether all is within rounding there; None where f is not finite."""
        code = example.variation.code
        try:
            if code not in self._beside:
                own = self.run.evaluator.dtype is None
                size = NUDGE_OWN if own else NUDGE
                exam = self._fresh(vary(self._varied(example.variation), run_symmetries(self.run), jitter=size, seed=1))
                look_at_outputs(exam)
                self._beside[code] = exam
            exam = self._beside[code]
            outcome, rows = exam.try_element(self._trial(example))
        except (Settled, StructureError):
            return None
        return outcome, all(j.within for n, j in enumerate(rows) if n not in exam.vacuous)

    # -- examinations, one for each input -------------------------------------------------------------------------------

    def _examination(self, variation: Variation, heavy: bool) -> Examination | None:
        kept = self._heavy if heavy else self._light
        if variation.code not in kept:
            kept[variation.code] = self._examined(variation, heavy)
        return kept[variation.code]

    def _examined(self, variation: Variation, heavy: bool) -> Examination | None:
        """None where the model refuses the input, or gives nothing finite for it."""
        base = self._light.get(variation.code) if heavy else None
        try:
            if base is not None:
                exam = Examination(base.bench, base.plan, base.helpers)
            else:
                exam = self._fresh(None if variation.plain else self._varied(variation))
            leaves = exam.bench.base("x0").leaves
            if heavy:
                look_at_outputs(exam)
                return exam
            must_be_finite(exam, leaves, "f(x)")
            exam.scales = [Scale.of(leaf, None) for leaf in leaves]
            return exam
        except Settled as end:
            if end.cause == Cause.NOT_FINITE and not variation.plain:
                seen = Seen(Example((self.symmetry.acts.identity(),), variation), NOT_FINITE)
                self.aside.setdefault(f"f(x) {NOT_FINITE}", seen)
            return None
        except Exception as problem:
            if variation.plain:
                raise
            self._refuses(variation, problem)
            return None

    def _refuses(self, variation: Variation, problem: Exception) -> Seen:
        self.refused[f"{type(problem).__name__} on {variation.code.removeprefix('equiaudit.strategies.')}"] += 1
        return Seen(Example((self.symmetry.acts.identity(),), variation))

    def _varied(self, variation: Variation) -> Any:
        return variation.of(self.run.inputs, run_symmetries(self.run))

    def _fresh(self, inputs: Any) -> Examination:
        """An examination of these inputs, or of the caller's own."""
        run = self.run if inputs is None else rebased(self.run, inputs)
        helpers = run.helpers(self.symmetry, self.symmetry.sample_count(run.inputs))
        helpers = replace(helpers, with_constants=lambda k: self._with_constants(run, k))
        bench = run._bench(self.symmetry, run.evaluator, dict(run.x), run.y)
        trial = Trial("as given", (self.symmetry.acts.identity(),), "x0", ("as given",), as_given=True)
        return Examination(bench, Plan((trial,), "one element"), helpers)

    def _with_constants(self, run: Run, k: int) -> Bench | None:
        # a copy with shaken constants is made once, and serves every input
        if k not in self._shaken:
            bench = run._with_constants(self.symmetry, k)
            self._shaken[k] = bench.evaluator if bench is not None else None
        evaluator = self._shaken[k]
        return run._bench(self.symmetry, evaluator, dict(run.x), {}) if evaluator is not None else None

    def _trial(self, example: Example) -> Trial:
        images = [r for _, _, r in self.symmetry.input_leaves(self.run.inputs) if isinstance(r, Image)]
        exact = all(rep.is_exact(g) for rep in images for g in example.elements)
        between = not self.symmetry.acts.is_finite and not exact
        return Trial("as given", example.elements, "x0", ("as given",), between=between, as_given=True)


def _score(exam: Examination, outcome: Outcome) -> float:
    leaves = exam.bench.base("x0").leaves
    pairs = zip(leaves, outcome.residuals, strict=True)
    return max((exam.ratio(n, leaf, r) for n, (leaf, r) in enumerate(pairs)), default=0.0)
