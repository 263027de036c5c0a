"""``confirm_equivariant``: hypothesis tries to refute a claim, and shrinks what it finds."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch

from equiaudit.ambient import announce, surrounded, unheard
from equiaudit.measure.audit import SEVERITY, as_symmetries, audit, replay_line
from equiaudit.measure.replay import read_elements
from equiaudit.measure.run import Run
from equiaudit.measure.state import modules_of, preserved
from equiaudit.records import Audit, Cause, Cost, Verdict
from equiaudit.strategies.refuting import Hunt
from equiaudit.strategies.trying import NOT_FINITE, Example, Seen
from equiaudit.strategies.variation import Variation
from equiaudit.symmetry import Symmetry
from equiaudit.ties import first_largest


@surrounded
def confirm_equivariant(
    model: Any,
    inputs: Any = None,
    symmetry: Symmetry | Sequence[Symmetry] | None = None,
    *,
    max_examples: int = 100,
    vary: bool = True,
    degenerate: bool = False,
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
    """Let hypothesis try to refute f(ρ_in(g) x) = ρ_out(g) f(x), and shrink what it finds to the simplest g and x.

    First an ordinary ``audit``; unless that is INVALID or VACUOUS, hypothesis then draws elements (named turns, whole degrees,
    Haar) and variations of the input (fewer nodes, special poses, other values) and climbs towards larger errors; half of
    the examples are random draws that keep apart, on the input as given, and special poses in a fixed order come on top.
    Residual, floor and tolerance are those of the audit.

    Args:
        model, inputs, symmetry: as for ``audit``.
        max_examples: how many different examples are drawn; up to a fifth as many special poses come on top, and shrinking
            takes as many again, and 50 more.
        vary: whether variations of the input are tried; False tries elements on the input as given.
        degenerate: whether a violation in a singular pose (two nodes in one place, all zero) counts. If not, it is
            reported in the notes. Lattices, linear, flat and tetrahedral poses count always.
        forward, reference, label, effort, seed, tolerance, atol, derivative, per_generator, perturb, randomness, layers,
        progress: as for ``audit``.

    Returns:
        An ``Audit``. Where it is refuted, ``worst.element`` and ``worst.inputs`` are the code of the minimal
        counterexample, and ``replay`` shows it again; the row of kind "hypothesis" has the number of examples and the
        worst that was seen.

    Raises:
        TypeError, ValueError: as ``audit``. Exceptions of the model pass through.

    >>> import torch
    >>> from equiaudit import Symmetry
    >>> from equiaudit.groups import O
    >>> def handed(x):
    ...     return torch.linalg.cross(x, x.roll(1, 0)).norm(dim=-1) + torch.linalg.det(x[:3])
    >>> found = confirm_equivariant(handed, torch.randn(6, 3), Symmetry(O(3), "vector", "invariant"), max_examples=20)
    >>> found.verdict.value, found.worst.element
    ('BROKEN', "O(3).generator('inversion')")
    """
    started = time.perf_counter()
    if not isinstance(max_examples, int) or isinstance(max_examples, bool) or max_examples < 1:
        raise ValueError(f"max_examples must be a whole number of at least 1, got {max_examples!r}")
    symmetries = as_symmetries(model, symmetry)
    if inputs is None:
        from equiaudit.declared import random_inputs

        inputs = random_inputs(symmetries[0], model, seed=seed)
    say = progress or (lambda _: None)
    options: dict[str, Any] = {
        "forward": forward, "reference": reference, "label": label, "effort": effort, "seed": seed,
        "tolerance": tolerance, "atol": atol, "derivative": derivative, "per_generator": per_generator,
        "perturb": perturb, "randomness": randomness, "layers": layers, "progress": progress,
    }  # fmt: skip
    with unheard():
        first = audit(model, inputs, symmetries, **options)
    if first.verdict in (Verdict.INVALID, Verdict.VACUOUS):
        return announce(
            dataclasses.replace(first, notes=(*first.notes, "hypothesis had nothing to try: see the verdict"))
        )
    with preserved((model, forward)), torch.inference_mode(False):
        run = Run(
            model, inputs, symmetries, forward, reference, effort, seed, tolerance, atol, randomness, perturb, say
        )
        run.hunted = symmetries  # type: ignore[attr-defined]
        say("hypothesis")
        hunts = [Hunt(run, s, n, max_examples, vary, degenerate) for n, s in enumerate(symmetries)]
        for n, one in enumerate(hunts):
            one.go(_known(first, symmetries[n], n))
        raised = next((h.minimal.problem for h in hunts if h.minimal is not None and h.minimal.problem), None)
        if raised is not None:
            raise raised
        found = _with_finding(first, run, hunts, bool(modules_of(model)))
    forwards = Counter(first.cost.forwards) + run.spent.forwards
    spent = Cost(dict(forwards), first.cost.jvps, first.cost.probes + run.spent.probes, time.perf_counter() - started)
    found = dataclasses.replace(found, cost=spent)
    if not found.passed:
        found = dataclasses.replace(found, replay=replay_line(found, forward, reference))
    return announce(found)


def _known(first: Audit, symmetry: Symmetry, number: int) -> Example | None:
    """The element by which the audit refuted this symmetry on the input as given."""
    worst = first.worst
    if worst is None or first.verdict is not Verdict.BROKEN or worst.on != "given" or worst.symmetry != number:
        return None
    return Example(read_elements(worst.element, symmetry.acts), Variation())


def _with_finding(first: Audit, run: Run, hunts: list[Hunt], layered: bool) -> Audit:
    checks = (*first.checks, *(h.row() for h in hunts))
    notes = (*first.notes, *(n for h in hunts for n in h.notes()))
    found = dataclasses.replace(first, checks=checks, notes=tuple(dict.fromkeys(notes)))
    lost = next((h for h in hunts if h.minimal is not None and h.minimal.kind == NOT_FINITE), None)
    refuted = [h for h in hunts if h.finding is not None and h.finding.verdict is Verdict.BROKEN]
    if lost is not None and lost.minimal is not None and not refuted:
        code = lost.minimal.example
        reason = f"f(ρ(g) x) is not finite for g = {code.element} on {code.variation.code}, and f(x) is"
        return dataclasses.replace(found, verdict=Verdict.INVALID, cause=Cause.NOT_FINITE, reason=reason)
    if refuted:
        best = first_largest(refuted, lambda h: h.finding.error or 0.0 if h.finding else 0.0)
        return _refuted(found, run, best, layered)
    allowed = [h.row() for h in hunts if h.row().verdict is Verdict.APPROXIMATE]
    if allowed and SEVERITY.index(found.verdict) < SEVERITY.index(Verdict.APPROXIMATE):
        row = first_largest(allowed, lambda c: c.error or 0.0)
        return dataclasses.replace(found, verdict=Verdict.APPROXIMATE, error=row.error, floor=row.floor)
    if found.verdict is Verdict.BROKEN:
        note = "hypothesis did not find the violation again: the numbers are those of the audit"
        return dataclasses.replace(found, notes=(*found.notes, note))
    return found


def _refuted(first: Audit, run: Run, best: Hunt, layered: bool) -> Audit:
    found, minimal = best.finding, best.minimal
    if found is None or minimal is None or best.at is None:
        return first
    worst = found.worst
    if worst is not None:
        varied = None if minimal.example.variation.plain else minimal.example.variation.code
        worst = dataclasses.replace(worst, symmetry=best.number, inputs=varied)
    layer = first.first_bad_layer
    if layered and layer is None:
        _, layer = best.at.localised([best.symmetry], found)
    kept = first.cause if first.cause != Cause.DISCONTINUITY else None  # whether it is one, the nudge has told
    cause = found.cause or kept
    return dataclasses.replace(
        first,
        verdict=Verdict.BROKEN,
        cause=cause,
        reason=_reason(first, cause, minimal),
        error=found.error,
        floor=found.floor,
        sensitivity=found.sensitivity,
        worst=worst,
        leaves=tuple(found.leaves),
        first_bad_layer=layer,
    )


def _reason(first: Audit, cause: str | None, minimal: Seen) -> str:
    if first.reason and cause == first.cause and cause != Cause.DISCONTINUITY:
        return first.reason
    place = "the input as given" if minimal.example.variation.plain else "a variation of the input"
    if cause == Cause.DISCONTINUITY:
        return f"{place} breaks it, and no longer when nudged by a millionth: a tie, a cutoff or a degenerate frame"
    if first.verdict.passed:
        return f"an audit alone lets it pass; hypothesis refutes it on {place}, here made as simple as was found"
    return f"the counterexample is the simplest that hypothesis found; it is on {place}"
