"""What the examination of one symmetry works with and comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from equiaudit.measure.bench import Bench, Outcome
from equiaudit.records import Check, LeafResult, Tried, Verdict, Worst


class Settled(Exception):
    """The examination ends here: INVALID or VACUOUS, with the sentence that says why."""

    def __init__(self, verdict: Verdict, reason: str, cause: str | None = None) -> None:
        super().__init__(reason)
        self.verdict, self.reason, self.cause = verdict, reason, cause


@dataclass
class Finding:
    """What the examination of one symmetry found; parts of an ``Audit``."""

    verdict: Verdict = Verdict.EXACT
    cause: str | None = None
    reason: str = ""
    error: float | None = None
    floor: float | None = None
    sensitivity: float | None = None
    worst: Worst | None = None
    checks: list[Check] = field(default_factory=list)
    leaves: list[LeafResult] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    untested: list[str] = field(default_factory=list)
    worst_trial: Outcome | None = None


@dataclass
class Helpers:
    """What the examination borrows from the audit: benches with changed parameters, and the caller's wishes."""

    with_constants: Callable[[int], Bench | None]
    with_parameters: Callable[[list[str] | None], tuple[Bench, list[str]] | None]
    own: Bench | None
    declared: torch.dtype
    rng: np.random.Generator
    count: int
    tolerance: float | None
    atol: float | None
    quick: bool
    mismatch: Callable[[], str | None]
    plain_twin: Callable[[], Any]
    progress: Callable[[str], None]
