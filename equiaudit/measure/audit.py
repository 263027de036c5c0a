"""``audit``: how far a model is from equivariant, with everything that a verdict needs."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from equiaudit.ambient import announce, command, surrounded
from equiaudit.measure.derivatives import BACKENDS
from equiaudit.measure.environment import describe_environment
from equiaudit.measure.examine import Finding
from equiaudit.measure.plan import LIMITS
from equiaudit.measure.run import Run
from equiaudit.measure.state import modules_of, preserved
from equiaudit.records import Audit, Cost, Verdict
from equiaudit.report.lines import pytest_line, python_line
from equiaudit.symmetry import Symmetry
from equiaudit.ties import first_largest

SEVERITY = (Verdict.EXACT, Verdict.APPROXIMATE, Verdict.VACUOUS, Verdict.BROKEN, Verdict.INVALID)
"""From the best to the worst: of several findings the worst decides."""


@surrounded
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

    Finite elements are tried on the given input and on a jittered twin, in a double-precision copy of the model; whatever
    is larger than rounding explains is a violation. Smooth groups get their Lie derivative besides. Nothing of the model, its
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
        layers: keep the table of all layers; the first broken one is named on every failure.
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
    if derivative not in ("auto", "off", *BACKENDS):
        raise ValueError(
            f"derivative must be 'auto', 'off' or one of {', '.join(map(repr, BACKENDS))}, got {derivative!r}"
        )
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number that is not negative, got {seed!r}")
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
    with preserved((model, forward)), torch.inference_mode(False):
        run = Run(
            model, inputs, symmetries, forward, reference, effort, seed, tolerance, atol, randomness, perturb, say
        )
        findings = [run.settled] if run.settled else [run.examine(s, derivative, per_generator) for s in symmetries]
        found = combine(findings)
        if not torch.is_grad_enabled():
            run.notes.append(
                "gradients were on during the audit, the caller has them off: a model that asks may differ"
            )
        environment = describe_environment(model, inputs, run.declared)
        if found.verdict is Verdict.BROKEN:
            found.notes += run.frame_notes(
                found, symmetries[findings.index(found)] if found in findings else symmetries[0]
            )
        spent = run.spent
        table, first_bad = (), None
        if layers or (found.verdict is Verdict.BROKEN and modules_of(model)):  # a failure names the layer: few forwards
            say("layers")
            table, first_bad = run.localised(symmetries, found)
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
        tried=tuple(found.tried),
        untested=tuple(dict.fromkeys(found.untested)),
        notes=tuple(dict.fromkeys([*run.notes, *found.notes])),
        layers=table if layers else (),
        first_bad_layer=first_bad,
        method=run.method,
        cost=Cost(dict(spent.forwards), spent.jvps, spent.probes, time.perf_counter() - started),
        seed=seed,
        effort=effort,
        label=label or name_of(model),
        symmetry="; ".join(map(repr, symmetries)),
        environment=environment,
    )
    if not result.passed:
        result = dataclasses.replace(result, replay=replay_line(result, forward, reference))
    return announce(result)


def replay_line(result: Audit, forward: Any, reference: Any) -> str:
    """The command, or the Python expression, that gives the number of this audit again."""
    nodeid = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    if nodeid:
        return pytest_line(result, nodeid, command(nodeid))
    own = reference is not False and not isinstance(reference, str)
    return python_line(result, ("forward",) * (forward is not None) + ("reference",) * own)


def as_symmetries(model: Any, symmetry: Any) -> list[Symmetry]:
    """One symmetry, several, or what the model declares."""
    if symmetry is None:
        return [Symmetry.of(model)]
    found = (
        [symmetry]
        if isinstance(symmetry, Symmetry)
        else list(symmetry)
        if isinstance(symmetry, (list, tuple))
        else None
    )
    if not found or not all(isinstance(s, Symmetry) for s in found):
        raise TypeError(f"symmetry must be a Symmetry or a list of them, got {symmetry!r}")
    for s in found:
        if s.group is None:
            raise TypeError(f"{s!r} has no group: write Symmetry(E(3), inputs=…, outputs=…)")
    return found


def combine(findings: list[Finding]) -> Finding:
    """One finding from several: the worst verdict decides, rows and notes of all are kept."""
    if len(findings) == 1:
        return findings[0]
    worst = first_largest(findings, lambda f: f.error or 0.0, rank=lambda f: SEVERITY.index(f.verdict))
    return dataclasses.replace(
        worst,
        checks=[c for f in findings for c in f.checks],
        leaves=worst.leaves or next((f.leaves for f in findings if f.leaves), []),
        notes=[n for f in findings for n in f.notes],
        untested=[u for f in findings for u in f.untested],
        tried=[t for f in findings for t in f.tried],
    )


def name_of(model: Any) -> str:
    """What a model is called in reports: the function's name or the class, also under torch.compile."""
    original = getattr(model, "_orig_mod", model)
    return getattr(original, "__name__", None) or type(original).__name__
