"""``audit``: how far a model is from equivariant, with everything that a verdict needs."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from equiaudit.measure.bench import Bench
from equiaudit.measure.changed import hiding_parameters, randomise, randomise_, shake_constants
from equiaudit.measure.environment import describe_environment
from equiaudit.measure.evaluate import Evaluator, Spent
from equiaudit.measure.examine import Examination, Finding, Helpers, Settled
from equiaudit.measure.frames import carried_frames
from equiaudit.measure.liecheck import check_slope
from equiaudit.measure.plan import LIMITS, plan_trials
from equiaudit.measure.precision import CopyFailed, cast_inputs, copy_model, declared_dtype, describe_mismatch, roundoff
from equiaudit.measure.residual import worst_ratio
from equiaudit.measure.scope import pixel_elements, unchecked_outputs, untested_parts
from equiaudit.measure.state import modules_of, preserved
from equiaudit.measure.twin import make_twin
from equiaudit.records import Audit, Cost, Method, Verdict
from equiaudit.report.lines import pytest_line, python_line
from equiaudit.symmetry import Symmetry

_RANK = (Verdict.EXACT, Verdict.APPROXIMATE, Verdict.VACUOUS, Verdict.BROKEN, Verdict.INVALID)


def audit(
    model: Any,
    inputs: Any = None,
    symmetry: Symmetry | Sequence[Symmetry] | None = None,
    *,
    forward: Callable[[Any, Any], Any] | None = None,
    reference: Any = "auto",
    label: str | None = None,
    effort: str = "default",
    seed: int = 0,
    tolerance: float | None = None,
    atol: float | None = None,
    derivative: str = "auto",
    per_generator: bool = False,
    perturb: bool = False,
    randomness: str = "refuse",
    layers: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Audit:
    """Measure how far ``model`` is from f(ρ_in(g) x) = ρ_out(g) f(x), and judge it.

    Finite elements are tried on the given input and on a jittered twin, in a double-precision copy of the model; whatever is larger
    than rounding must explain is a violation. Smooth groups get their Lie derivative besides. Nothing of the model, its
    gradients, its modes or the random states is changed, also when it raises.

    Args:
        model: a module or any callable.
        inputs: its input; an exact tuple means several positional arguments. None: random inputs of the declared type.
        symmetry: the claim, or several; None for what the model declares (``Symmetry.of``).
        forward: ``forward(model, inputs) -> outputs`` for models that are called otherwise.
        reference: "auto" (a float64 copy), a model of yours to take its place, or False (the model at its own precision).
        label: a name for reports.
        effort: "quick", "default" or "thorough".
        seed: of every draw.
        tolerance: relative error up to which a real violation is APPROXIMATE and passes.
        atol: the same for the absolute error, in the units of the output.
        derivative: "auto" for the derivative ladder, one rung by name, or "off".
        per_generator: one Lie derivative per generator instead of one in a random direction.
        perturb: give every trainable parameter generic values first: freshly initialised zeros hide faults.
        randomness: "refuse" (a model that does not repeat itself is INVALID) or "match" (the same seed before every call).
        layers: localise: the first layer that breaks the symmetry.
        progress: called with a few words before each step.

    Returns:
        An ``Audit``; ``str(audit)`` is what a person wants to read.

    Raises:
        TypeError, ValueError: arguments that make no sense. Exceptions of the model pass through.

    >>> import torch
    >>> from equiaudit import Symmetry, audit
    >>> from equiaudit.groups import O
    >>> found = audit(lambda x: x * x.norm(dim=-1, keepdim=True), torch.randn(8, 3), Symmetry(O(3), "vector", "vector"))
    >>> found.verdict.value, found.error < 1e-12
    ('EXACT', True)
    """
    started = time.perf_counter()
    if effort not in LIMITS:
        raise ValueError(f"effort must be one of {', '.join(map(repr, LIMITS))}, got {effort!r}")
    if randomness not in ("refuse", "match"):
        raise ValueError(f"randomness must be 'refuse' or 'match', got {randomness!r}")
    if not callable(model):
        raise TypeError(f"a model must be callable, got {type(model).__name__}")
    for name, value in {"tolerance": tolerance, "atol": atol}.items():
        if value is not None and not value >= 0:
            raise ValueError(f"{name} must be a number that is not negative, got {value!r}")
    symmetries = as_symmetries(model, symmetry)
    if inputs is None:
        from equiaudit.declared import random_inputs

        inputs = random_inputs(symmetries[0], model, seed=seed)
    say = progress or (lambda _: None)
    with preserved(model), torch.inference_mode(False):
        run = _Run(model, inputs, symmetries, forward, reference, effort, seed, tolerance, atol, randomness, perturb, say)
        findings = [run.settled] if run.settled else [run.examine(s, derivative, per_generator) for s in symmetries]
        found = combine(findings)
        environment = describe_environment(model, inputs, run.declared)
        if found.verdict is Verdict.BROKEN:
            found.notes += run.frame_notes(found, symmetries[findings.index(found)] if found in findings else symmetries[0])
        spent = run.spent
        table, first_bad = run.localised(symmetries, found) if layers else ((), None)
    if found.worst is not None:
        number = next((n for n, f in enumerate(findings) if f.worst is found.worst), 0)
        found.worst = dataclasses.replace(found.worst, symmetry=number)
    result = Audit(
        verdict=found.verdict,
        cause=found.cause,
        reason=found.reason,
        error=found.error,
        floor=found.floor,
        tolerance=tolerance,
        atol=atol,
        sensitivity=found.sensitivity,
        worst=found.worst,
        checks=tuple(found.checks),
        leaves=tuple(found.leaves),
        untested=tuple(dict.fromkeys(found.untested)),
        notes=tuple(dict.fromkeys([*run.notes, *found.notes])),
        layers=table,
        first_bad_layer=first_bad,
        method=run.method,
        cost=Cost(dict(spent.forwards), spent.jvps, spent.probes, time.perf_counter() - started),
        seed=seed,
        effort=effort,
        label=label or _name_of(model),
        symmetry="; ".join(map(repr, symmetries)),
        environment=environment,
    )
    return result if result.passed else dataclasses.replace(result, replay=_replay_line(result, forward, reference))


def _replay_line(result: Audit, forward: Any, reference: Any) -> str:
    nodeid = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    if nodeid:
        return pytest_line(result, nodeid)
    own = reference is not False and not isinstance(reference, str)
    return python_line(result, ("forward",) * (forward is not None) + ("reference",) * own)


def as_symmetries(model: Any, symmetry: Any) -> list[Symmetry]:
    """One symmetry, several, or what the model declares."""
    if symmetry is None:
        return [Symmetry.of(model)]
    found = [symmetry] if isinstance(symmetry, Symmetry) else list(symmetry) if isinstance(symmetry, (list, tuple)) else None
    if not found or not all(isinstance(s, Symmetry) for s in found):
        raise TypeError(f"symmetry must be a Symmetry or a list of them, got {symmetry!r}")
    for s in found:
        if s.group is None:
            raise TypeError(f"{s!r} has no group: write Symmetry(E(3), inputs=…, outputs=…)")
    return found


class _Run:
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
        self.spent, self.notes = Spent(), []
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
                raise Settled(Verdict.INVALID, f"{mismatch}; the model raises {type(problem).__name__}", "structure") from problem
        try:
            return self.evaluator(self.x["x0"])
        except Exception as problem:
            # The copy may fail where the model does not: then the model's own precision is all there is.
            own = self._evaluator(self.model, None)
            if self.evaluator.dtype is None:
                raise
            out = own(self.inputs)
            first = str(problem).strip().splitlines()[0] if str(problem).strip() else ""
            self.notes.append(f"measured at the model's own precision: its float64 copy raised {type(problem).__name__}: {first[:120]}")
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
        if found.verdict is not Verdict.INVALID:
            found.notes += unchecked_outputs(symmetry, self.y["x0"])
        if self.perturb and found.verdict is Verdict.BROKEN and found.worst_trial is not None:
            self._whether_hidden(symmetry, found)
        if derivative != "off" and symmetry.acts.dim and not examination.blurred and found.verdict not in (Verdict.INVALID, Verdict.VACUOUS):
            if self.effort != "quick" or found.verdict is Verdict.BROKEN or per_generator:
                self.say("Lie derivative")
                self.method = check_slope(examination, found, self.method, derivative, per_generator)
        if self.several:
            prefix = repr(symmetry.acts)
            found.checks = [dataclasses.replace(c, part=c.part if prefix in c.part else f"{prefix}: {c.part}") for c in found.checks]
        return found

    def helpers(self, symmetry: Symmetry, count: int) -> Helpers:
        """What an examination of this symmetry borrows."""
        return Helpers(
            with_constants=lambda: self._with_constants(symmetry),
            with_parameters=lambda: self._with_parameters(symmetry),
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

    def _with_constants(self, symmetry: Symmetry) -> Bench | None:
        if self.evaluator.dtype != torch.float64 or not modules_of(self.evaluator.model):
            return None
        shaken = shake_constants(self.evaluator.model, self.declared, self.seed)
        return self._bench(symmetry, self._evaluator(shaken, torch.float64), self.x, {})

    def _with_parameters(self, symmetry: Symmetry) -> tuple[Bench, list[str]] | None:
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
        if worst_ratio([(r, leaf.value) for r, leaf in zip(outcome.residuals, leaves, strict=True)]) < 1e-6 * found.error:
            found.cause = "hidden by parameter"
            found.reason = "the parameters as they are hide it: with generic values, as after a training step, the symmetry breaks"

    def frame_notes(self, found: Finding, symmetry: Symmetry) -> list[str]:
        """Undeclared inputs that look as if they carried a frame."""
        return carried_frames(self._bench(symmetry, self.evaluator, self.x, self.y), found)

    def localised(self, symmetries: list[Symmetry], found: Finding) -> tuple[tuple[Any, ...], str | None]:
        """The per-layer table, on the reference copy."""
        from equiaudit.diagnose.localize import localize_bench

        return localize_bench([self._bench(s, self.evaluator, self.x, self.y) for s in symmetries], found, self.seed)


def combine(findings: list[Finding]) -> Finding:
    """One finding from several: the worst verdict decides, rows and notes of all are kept."""
    if len(findings) == 1:
        return findings[0]
    worst = max(findings, key=lambda f: (_RANK.index(f.verdict), f.error or 0.0))
    return dataclasses.replace(
        worst,
        checks=[c for f in findings for c in f.checks],
        leaves=worst.leaves or next((f.leaves for f in findings if f.leaves), []),
        notes=[n for f in findings for n in f.notes],
        untested=[u for f in findings for u in f.untested],
    )


def _name_of(model: Any) -> str:
    original = getattr(model, "_orig_mod", model)
    return getattr(original, "__name__", None) or type(original).__name__
