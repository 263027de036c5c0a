"""One audit under way: the copies of the model, the inputs, what was spent, and one finding per symmetry."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from equiaudit.measure.bench import Bench
from equiaudit.measure.changed import hiding_parameters, randomise, randomise_, shake_constants
from equiaudit.measure.evaluate import Evaluator, Spent
from equiaudit.measure.examine import Examination, Finding, Helpers, Settled
from equiaudit.measure.frames import carried_frames
from equiaudit.measure.liecheck import check_slope
from equiaudit.measure.plan import plan_trials
from equiaudit.measure.precision import CopyFailed, cast_inputs, copy_model, declared_dtype, describe_mismatch, roundoff
from equiaudit.measure.residual import worst_ratio
from equiaudit.measure.rules import HIDES
from equiaudit.measure.scope import pixel_elements, unchecked_outputs, untested_parts
from equiaudit.measure.state import modules_of
from equiaudit.measure.sweep import describe_trials, sweep
from equiaudit.measure.twin import make_twin
from equiaudit.records import Cause, Method, Verdict
from equiaudit.symmetry import Symmetry


class Run:
    """One audit under way: the copies of the model, the inputs, and what was spent."""

    def __init__(
        self,
        model: Any,
        inputs: Any,
        symmetries: list[Symmetry],
        forward: Any,
        reference: Any,
        effort: str,
        seed: int,
        tolerance: float | None,
        atol: float | None,
        randomness: str,
        perturb: bool,
        say: Callable[[str], None],
    ) -> None:
        self.model, self.forward, self.effort, self.seed, self.say = model, forward, effort, seed, say
        self.tolerance, self.atol = tolerance, atol
        self.spent = Spent()
        self.notes: list[str] = []
        self.call_seed = seed if randomness == "match" else None
        self.declared = declared_dtype(model, inputs)
        self.rng = np.random.default_rng(seed)
        self.method = Method(randomness=randomness)
        self.perturb = perturb
        self.inputs = cast_inputs(inputs)
        self.evaluator = self._reference(reference)
        if perturb:
            self._perturb()
        self.x = {"x0": self.evaluator.cast(self.inputs)}
        twin = make_twin(symmetries, self.inputs, self.rng, self.declared)
        if twin is not None:
            self.x["x1"] = self.evaluator.cast(twin)
        self.twin = twin
        self.settled: Finding | None = None
        self.y: dict[str, Any] = {}
        try:
            self.y["x0"] = self._first_forward()
        except Settled as end:
            self.settled = Finding(end.verdict, end.cause, end.reason)
        self.own_outputs: dict[str, Any] = {}
        parts = [f"{s.acts!r}" for s in symmetries]
        self.several = len(parts) > 1

    # -- models -----------------------------------------------------------------------------------------------------

    def _evaluator(self, model: Any, dtype: torch.dtype | None) -> Evaluator:
        return Evaluator(model, dtype, self.forward, self.call_seed, self.spent)

    def _reference(self, reference: Any) -> Evaluator:
        if reference is False:
            self._says("the model at its own precision")
            return self._evaluator(self.model, None)
        if reference is not None and not isinstance(reference, str):
            self._says("the reference that the caller gave")
            return self._evaluator(reference, torch.float64)
        if reference != "auto":
            raise ValueError(f"reference must be 'auto', a model, or False, got {reference!r}")
        try:
            copied = copy_model(self.model, torch.float64)
        except CopyFailed as problem:
            self.notes.append(f"measured at the model's own precision: it can't be copied ({problem})")
            self._says("the model at its own precision")
            return self._evaluator(self.model, None)
        self._says("a float64 copy")
        return self._evaluator(copied, torch.float64)

    def _says(self, reference: str) -> None:
        floor = "rounding noise in every operation (Monte Carlo arithmetic)"
        self.method = dataclasses.replace(self.method, reference=reference, floor=floor)

    def _first_forward(self) -> Any:
        self.say("f(x)")
        mismatch = describe_mismatch(self.model, self.inputs)
        if mismatch is not None:  # the double copy would hide it
            try:
                self._evaluator(self.model, None)(self.inputs)
            except Exception as problem:
                raise Settled(
                    Verdict.INVALID, f"{mismatch}; the model raises {type(problem).__name__}", Cause.STRUCTURE
                ) from problem
        try:
            return self.evaluator(self.x["x0"])
        except Exception as problem:
            # The copy may fail where the model does not: then the model's own precision is all there is.
            own = self._evaluator(self.model, None)
            if self.evaluator.dtype is None:
                raise
            out = own(self.inputs)
            first = str(problem).strip().splitlines()[0] if str(problem).strip() else ""
            self.notes.append(
                f"measured at the model's own precision: its float64 copy raised {type(problem).__name__}: {first[:120]}"
            )
            self._says("the model at its own precision")
            self.evaluator = own
            self.x = {"x0": own.cast(self.inputs)} | ({"x1": own.cast(self.twin)} if self.twin is not None else {})
            return out

    def _perturb(self) -> None:
        names = [n for root in modules_of(self.model) for n, p in root.named_parameters() if p.requires_grad]
        try:
            self.evaluator.model = randomise(self.evaluator.model, names, self.seed)
        except CopyFailed:  # in place then: everything is put back at the end
            randomise_(self.model, names, self.seed)
        self.notes.append("trainable parameters were given generic values (perturb=True)")
        self.method = dataclasses.replace(self.method, parameters="generic")

    # -- one symmetry -------------------------------------------------------------------------------------------------

    def examine(self, symmetry: Symmetry, derivative: str, per_generator: bool) -> Finding:
        """The finding for one symmetry."""
        count = symmetry.sample_count(self.inputs)
        u = roundoff(self.evaluator.dtype or self.declared)
        plan = plan_trials(symmetry.acts, self.effort, self.rng, count, pixel_elements(symmetry, self.inputs), u)
        bench = self._bench(symmetry, self.evaluator, self.x, self.y)
        helpers = self.helpers(symmetry, count)
        examination = Examination(bench, plan, helpers)
        found = examination.run()
        found.untested += untested_parts(symmetry, self.inputs, plan)
        if self.effort == "quick" and not self.perturb and (kept := hiding_parameters(self.model)):
            found.untested.append(
                f"other values of {', '.join(kept[:3])}{f' and {len(kept) - 3} more' if len(kept) > 3 else ''}, "
                "zero or constant here: not with effort='quick'"
            )
        if found.verdict is not Verdict.INVALID:
            found.notes += unchecked_outputs(symmetry, self.y["x0"])
        if self.perturb and found.verdict is Verdict.BROKEN and found.worst_trial is not None:
            self._whether_hidden(symmetry, found)
        unfit = found.verdict in (Verdict.INVALID, Verdict.VACUOUS) or examination.blurred or not symmetry.acts.dim
        wanted = self.effort != "quick" or found.verdict is Verdict.BROKEN or per_generator
        if derivative != "off" and wanted and not unfit:
            self.say("Lie derivative")
            self.method = check_slope(examination, found, self.method, derivative, per_generator)
        found.tried += describe_trials(examination)
        real = found.verdict in (Verdict.BROKEN, Verdict.APPROXIMATE) and self.effort != "quick"
        if (real or per_generator) and not examination.blurred:
            self.say("error against angle")
            found.tried += sweep(examination, per_generator)
        if self.several:
            prefix = repr(symmetry.acts)
            found.checks = [
                dataclasses.replace(c, part=c.part if prefix in c.part else f"{prefix}: {c.part}") for c in found.checks
            ]
        return found

    def helpers(self, symmetry: Symmetry, count: int) -> Helpers:
        """What an examination of this symmetry borrows."""
        return Helpers(
            with_constants=lambda k: self._with_constants(symmetry, k),
            with_parameters=lambda names: self._with_parameters(symmetry, names),
            own=self._own(symmetry),
            declared=self.declared,
            rng=self.rng,
            count=count,
            tolerance=self.tolerance,
            atol=self.atol,
            quick=self.effort == "quick",
            mismatch=lambda: describe_mismatch(self.model, self.inputs),
            plain_twin=lambda: make_twin([symmetry], self.inputs, self.rng, self.declared, aligned=False),
            progress=self.say,
        )

    def _bench(self, symmetry: Symmetry, evaluator: Evaluator, x: dict[str, Any], y: dict[str, Any]) -> Bench:
        return Bench(evaluator, symmetry, x, y, self.declared, self.seed)

    def _own(self, symmetry: Symmetry) -> Bench | None:
        if self.evaluator.dtype is None or self.declared == torch.float64 or self.perturb:
            return None
        evaluator = self._evaluator(self.model, None)
        x = {"x0": self.inputs} | ({"x1": self.twin} if "x1" in self.x else {})
        return self._bench(symmetry, evaluator, x, self.own_outputs)

    def _with_constants(self, symmetry: Symmetry, k: int) -> Bench | None:
        if self.evaluator.dtype != torch.float64 or not modules_of(self.evaluator.model):
            return None
        shaken = shake_constants(self.evaluator.model, self.declared, self.seed + k)
        return self._bench(symmetry, self._evaluator(shaken, torch.float64), self.x, {})

    def _with_parameters(self, symmetry: Symmetry, names: list[str] | None) -> tuple[Bench, list[str]] | None:
        if names is None:
            names = [] if self.perturb else hiding_parameters(self.model)
        if not names:
            return None
        try:
            changed = randomise(self.evaluator.model, names, self.seed)
        except CopyFailed:
            return None
        return self._bench(symmetry, self._evaluator(changed, self.evaluator.dtype), dict(self.x), {}), names

    def _whether_hidden(self, symmetry: Symmetry, found: Finding) -> None:
        """Cause "hidden by parameter" where the model with its own parameters does not show the violation."""
        if self.evaluator.model is self.model or found.worst_trial is None or found.error is None:
            return
        try:
            plain = self._evaluator(copy_model(self.model, self.evaluator.dtype), self.evaluator.dtype)
            bench = self._bench(symmetry, plain, self.x, {})
            outcome = bench.run(found.worst_trial.trial)
            leaves = bench.base(outcome.trial.base).leaves
        except (CopyFailed, ValueError):
            return
        if (
            worst_ratio([(r, leaf.value) for r, leaf in zip(outcome.residuals, leaves, strict=True)])
            < HIDES * found.error
        ):
            found.cause = Cause.HIDDEN
            found.reason = (
                "the parameters as they are hide it: with generic values, as after a training step, the symmetry breaks"
            )

    def frame_notes(self, found: Finding, symmetry: Symmetry) -> list[str]:
        """Undeclared inputs that look as if they carried a frame."""
        return carried_frames(self._bench(symmetry, self.evaluator, self.x, self.y), found)

    def localised(self, symmetries: list[Symmetry], found: Finding) -> tuple[tuple[Any, ...], str | None]:
        """The per-layer table, on the reference copy."""
        from equiaudit.diagnose.localize import localize_bench

        return localize_bench([self._bench(s, self.evaluator, self.x, self.y) for s in symmetries], found, self.seed)
