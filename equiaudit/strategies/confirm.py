"""``confirm_equivariant``: hypothesis tries to refute a claim, and shrinks what it finds."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from equiaudit.ambient import announce, surrounded, unheard
from equiaudit.measure.audit import _RANK, _replay_line, as_symmetries, audit
from equiaudit.measure.finding import Finding
from equiaudit.measure.replay import read_elements
from equiaudit.measure.run import Run
from equiaudit.measure.state import modules_of, preserved
from equiaudit.records import Audit, Check, Cost, Verdict
from equiaudit.strategies.drawing import droppable, examples, fixed_variations
from equiaudit.strategies.hunting import Enough, hunt, search
from equiaudit.strategies.rounding import AMPLIFIED, UNDEFINED
from equiaudit.strategies.tidying import tidied
from equiaudit.strategies.trying import NOT_FINITE, RAISES, Example, Seen, Trier, run_symmetries
from equiaudit.strategies.variation import Variation, can_pose, count_rows
from equiaudit.symmetry import Symmetry

TIDY = 50
"""How many more examples may be judged while the minimal one is made simpler."""


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
    the examples are independent draws on the input as given. Residual, floor and tolerance are those of the audit.

    Args:
        model, inputs, symmetry: as for ``audit``.
        max_examples: how many different examples are tried; shrinking takes as many again, and 50 more.
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
        hunts = [_Hunt(run, s, n, max_examples, vary, degenerate) for n, s in enumerate(symmetries)]
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
        found = dataclasses.replace(found, replay=_replay_line(found, forward, reference))
    return announce(found)


def _known(first: Audit, symmetry: Symmetry, number: int) -> Example | None:
    """The element by which the audit refuted this symmetry on the input as given."""
    worst = first.worst
    if worst is None or first.verdict is not Verdict.BROKEN or worst.on != "given" or worst.symmetry != number:
        return None
    return Example(read_elements(worst.element, symmetry.acts), Variation())


class _Hunt:
    """The search for one symmetry, and what came out."""

    def __init__(
        self, run: Run, symmetry: Symmetry, number: int, max_examples: int, vary: bool, degenerate: bool
    ) -> None:
        self.symmetry, self.number, self.seed, self.limit = symmetry, number, run.seed, max_examples
        self.samples = symmetry.sample_count(run.inputs)
        symmetries = run_symmetries(run)
        self.strategy = examples(symmetries, symmetry, run.inputs, vary)
        self.rows = droppable(symmetries, symmetry, run.inputs) if vary else 1
        self.nodes = count_rows(symmetries, run.inputs)
        self.poses = vary and can_pose(symmetries, run.inputs)
        self.fixed = fixed_variations(self.rows, self.poses)[: max_examples // 4] if vary else []
        # of the rest, half is drawn by hypothesis, and half are plain draws
        self.trier = Trier(run, symmetry, degenerate, -(-(max_examples - len(self.fixed)) // 2))
        self.kind = ""
        self.drawn = 0
        self.minimal: Seen | None = None
        self.finding: Finding | None = None
        self.at: Run | None = None

    def go(self, known: Example | None) -> None:
        """Search, shrink, tidy, and judge the minimal example once more as ``replay`` does.

        ``known`` is what the audit found on the caller's input: where the search finds nothing, that is made simpler.
        """
        found = search(self.strategy, self._fails, 10 * self.limit, self.seed) or self._sweep()
        self.drawn = self.drawn or len(self.trier.seen)
        self.trier.budget += TIDY
        if found is None and known is not None:
            self.kind = self.trier.judge(known).kind
            found = known if self.kind else None
        if found is None:
            return
        self.minimal = tidied(found, self.trier, self.kind, self.rows, self.poses, self.nodes)
        if self.minimal.kind not in (RAISES, NOT_FINITE):
            self.at, self.finding = self.trier.finding(self.minimal.example)

    def _sweep(self) -> Example | None:
        # Structure finds what has a name; what hides in a small cone of poses is found by independent draws.
        # Before those come the special poses in a fixed order, so that no fault in one of them depends on luck.
        rng = np.random.default_rng(self.seed)
        self.trier.budget = max(self.limit, 2)
        poses = iter(self.fixed)
        while not self.trier.spent:
            before, variation = len(self.trier.seen), next(poses, Variation())
            elements = tuple(self.symmetry.acts.sample(rng) for _ in range(self.samples))
            example = Example(elements, variation)
            self.kind = self.trier.judge(example).kind
            if self.kind:
                return example
            if len(self.trier.seen) == before and variation.plain:  # a small finite group comes to an end
                break
        return None

    def _fails(self, example: Example) -> bool:
        if self.trier.spent:
            raise Enough
        seen = self.trier.judge(example)
        hunt(seen.score, label="residual over scale")
        if seen.kind and not self.kind:  # from here on hypothesis shrinks, and only to examples of the same kind
            self.kind, self.drawn = seen.kind, len(self.trier.seen)
            self.trier.budget = self.drawn + self.limit + TIDY
        return bool(seen.kind) and seen.kind == self.kind

    def row(self) -> Check:
        """The row of the table: how many examples, and the worst that was seen."""
        judged = [s for s in self.trier.seen.values() if s.error is not None]
        worst = max(judged, key=lambda s: (bool(s.kind), s.allowed, s.error or 0.0), default=None)
        refuted = self.minimal is not None
        verdict = Verdict.BROKEN if refuted else Verdict.EXACT
        if self.minimal is not None and self.minimal.kind == NOT_FINITE:
            verdict = Verdict.INVALID
        elif not refuted and worst is not None and worst.allowed:
            verdict = Verdict.APPROXIMATE
        note = f"{self.drawn} examples"
        if refuted:
            note += f" until one failed, {len(self.trier.seen) - self.drawn} to shrink it"
        if worst is not None:
            note += f"; worst seen on {short(worst.example)}"
        group = self.symmetry.acts
        return Check(
            f"{group!r}: hypothesis", "hypothesis", verdict,
            worst.error if worst else None, worst.floor if worst else None,
            worst.example.element if worst else None, None, len(self.trier.seen), note,
        )  # fmt: skip

    def notes(self) -> list[str]:
        """What was set aside: singular poses, inputs that the model refuses."""
        said = []
        for kind, seen in self.trier.aside.items():
            if kind.startswith("f(x)"):
                said.append(f"f(x) is not finite on {short(seen.example)}, and finite on the input as given")
            elif kind == AMPLIFIED:
                said.append(
                    f"no violation: rounding of the input moves f(x) on {short(seen.example)} as much as "
                    f"g = {seen.example.element} does (error {seen.error:.1e})"
                )
            elif kind == UNDEFINED:
                said.append(
                    f"f(x) is not defined on {short(seen.example)}: rounding of the input alone changes it by as much as "
                    f"g = {seen.example.element} (error {seen.error:.1e}); degenerate=True makes that count"
                )
            else:
                number = f" (error {seen.error:.1e})" if seen.error is not None else ""
                said.append(
                    f"in a singular pose there is a {kind}{number}: g = {seen.example.element} on {short(seen.example)}; "
                    "degenerate=True makes that count"
                )
        if self.trier.refused:
            first, count = next(iter(self.trier.refused)), sum(self.trier.refused.values())
            said.append(f"the model refuses {count} of the varied inputs: {first}")
        return said


def _with_finding(first: Audit, run: Run, hunts: list[_Hunt], layered: bool) -> Audit:
    checks = (*first.checks, *(h.row() for h in hunts))
    notes = (*first.notes, *(n for h in hunts for n in h.notes()))
    found = dataclasses.replace(first, checks=checks, notes=tuple(dict.fromkeys(notes)))
    lost = next((h for h in hunts if h.minimal is not None and h.minimal.kind == NOT_FINITE), None)
    refuted = [h for h in hunts if h.finding is not None and h.finding.verdict is Verdict.BROKEN]
    if lost is not None and lost.minimal is not None and not refuted:
        code = lost.minimal.example
        reason = f"f(ρ(g) x) is not finite for g = {code.element} on {code.variation.code}, and f(x) is"
        return dataclasses.replace(found, verdict=Verdict.INVALID, cause="not finite", reason=reason)
    if refuted:
        best = max(refuted, key=lambda h: h.finding.error or 0.0 if h.finding else 0.0)
        return _refuted(found, run, best, layered)
    allowed = [h.row() for h in hunts if h.row().verdict is Verdict.APPROXIMATE]
    if allowed and _RANK.index(found.verdict) < _RANK.index(Verdict.APPROXIMATE):
        row = max(allowed, key=lambda c: c.error or 0.0)
        return dataclasses.replace(found, verdict=Verdict.APPROXIMATE, error=row.error, floor=row.floor)
    if found.verdict is Verdict.BROKEN:
        note = "hypothesis did not find the violation again: the numbers are those of the audit"
        return dataclasses.replace(found, notes=(*found.notes, note))
    return found


def _refuted(first: Audit, run: Run, best: _Hunt, layered: bool) -> Audit:
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
    kept = first.cause if first.cause != "discontinuity" else None  # whether it is one, the nudge has told
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


def short(example: Example) -> str:
    """The input of an example in a sentence."""
    return example.variation.code.removeprefix("equiaudit.strategies.")


def _reason(first: Audit, cause: str | None, minimal: Seen) -> str:
    if first.reason and cause == first.cause and cause != "discontinuity":
        return first.reason
    place = "the input as given" if minimal.example.variation.plain else "a variation of the input"
    if cause == "discontinuity":
        return f"{place} breaks it, and no longer when nudged by a millionth: a tie, a cutoff or a degenerate frame"
    if first.verdict.passed:
        return f"an audit alone lets it pass; hypothesis refutes it on {place}, here made as simple as was found"
    return f"the counterexample is the simplest that hypothesis found; it is on {place}"
