"""The benchmark corpus: models with a known verdict; every row of the public bug list as a pair, clean and broken."""

from __future__ import annotations

from . import (
    awkward,
    bias_norm,
    callers,
    frames,
    frameworks,
    graphs,
    harness,
    images,
    leaks,
    others,
    outputs,
    parity_layout,
    potentials,
    precision,
    ties,
    vacuous,
)
from .case import Case, Claim

MODULES = (
    bias_norm,
    parity_layout,
    graphs,
    frames,
    precision,
    images,
    harness,
    vacuous,
    leaks,
    potentials,
    others,
    awkward,
    ties,
    outputs,
    callers,
    frameworks,
)
CASES: tuple[Case, ...] = tuple(case for module in MODULES for case in module.CASES)


def clean() -> tuple[Case, ...]:
    """The cases that an audit must pass as EXACT."""
    return tuple(case for case in CASES if case.is_clean)


def faulty() -> tuple[Case, ...]:
    """The cases that an audit must not pass as EXACT."""
    return tuple(case for case in CASES if not case.is_clean)


__all__ = ["CASES", "Case", "Claim", "clean", "faulty"]
