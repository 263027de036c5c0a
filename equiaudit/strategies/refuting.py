"""The search for one symmetry: structure, special poses in a fixed order, draws that keep apart; and what it found."""

from __future__ import annotations

import numpy as np

from equiaudit.groups import DirectProduct, Element, Permutations
from equiaudit.measure.finding import Finding
from equiaudit.measure.run import Run
from equiaudit.records import Check, Verdict
from equiaudit.strategies.drawing import TIED, droppable, examples, fixed_variations, least_near, unsettling
from equiaudit.strategies.hunting import Enough, hunt, search
from equiaudit.strategies.rounding import AMPLIFIED, UNDEFINED
from equiaudit.strategies.tidying import tidied
from equiaudit.strategies.trying import NOT_FINITE, RAISES, Example, Seen, Trier, run_symmetries
from equiaudit.strategies.variation import Variation, can_pose, count_rows
from equiaudit.symmetry import Symmetry
from equiaudit.ties import first_largest

TIDY = 50
"""How many more examples may be judged while the minimal one is made simpler."""
CANDIDATES = 16
"""Of so many elements one is tried: the one that rounds distances most on a pose with ties, the most distant one else."""
STALE = 64
"""After so many draws in a row that are known already, nothing new is expected."""


class Hunt:
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
        self.fixed = fixed_variations(self.rows, self.poses)[: max_examples // 5] if vary else []
        # half is drawn by hypothesis, half are plain draws; the fixed poses come on top and take nothing from either
        self.trier = Trier(run, symmetry, degenerate, -(-max_examples // 2))
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
        # Structure finds what has a name; what hides in a small cone of poses is found by draws that keep apart.
        # Before those come the special poses in a fixed order, so that no fault in one of them depends on luck.
        rng, apart = np.random.default_rng(self.seed), np.random.default_rng((self.seed, 1))
        self.trier.budget = max(self.limit, 2) + len(self.fixed)
        acts, known = self.symmetry.acts, list[np.ndarray]()
        turns = not acts.is_finite and not isinstance(acts, (DirectProduct, Permutations))
        poses, tried, stale = iter(self.fixed), set[str](), 0
        while not self.trier.spent and stale < STALE:  # a small finite group comes to an end
            before, variation = len(self.trier.seen), next(poses, Variation())
            if variation.plain:
                several = [self._element(rng) for _ in range(CANDIDATES if turns else 1)]
                drawn = least_near(several, known) if turns else several[0]
            elif variation.pose not in TIED:
                drawn = self._element(apart)
            else:
                several = [self._element(apart) for _ in range(CANDIDATES)]
                inputs = self.trier.inputs(variation)
                drawn = unsettling(self.symmetry, inputs, several, grow=variation.code not in tried)
                tried.add(variation.code)
            example = Example(drawn, variation)
            self.kind = self.trier.judge(example).kind
            if self.kind:
                return example
            stale = stale + 1 if len(self.trier.seen) == before and variation.plain else 0
        return None

    def _element(self, rng: np.random.Generator) -> tuple[Element, ...]:
        return tuple(self.symmetry.acts.sample(rng) for _ in range(self.samples))

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
        worst = (
            first_largest(judged, lambda s: s.error or 0.0, rank=lambda s: (bool(s.kind), s.allowed))
            if judged
            else None
        )
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


def short(example: Example) -> str:
    """The input of an example in a sentence."""
    return example.variation.code.removeprefix("equiaudit.strategies.")
