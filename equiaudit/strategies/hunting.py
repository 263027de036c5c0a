"""``hunt``: an error that hypothesis should make larger; and a quiet search that leaves nothing behind."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, Verbosity, control, given, seed, settings, target
from hypothesis.internal.conjecture import providers
from hypothesis.strategies import SearchStrategy

from equiaudit.records import Audit

T = TypeVar("T")
TINY = 1e-30


def hunt(error: Any, floor: float | None = None, *, label: str = "equivariance error") -> Any:
    """Tell hypothesis to look for a larger error; returns ``error``, so that it can stand inside an assertion.

    The target is log₁₀(error / floor), or log₁₀(error) without a floor. Outside a hypothesis test it does nothing, and
    an error that is not finite is not a target.

    Args:
        error: a number, or an ``Audit``, which brings its floor.
        floor: the smallest error that means something.
        label: names the target; hypothesis wants another label for every target of a test.

    Returns:
        ``error`` itself.

    >>> hunt(0.25)
    0.25
    """
    value, least = error, floor
    if isinstance(error, Audit):
        value, least = error.error, error.floor if floor is None else floor
    if value is not None and control.currently_in_test_context():
        score = math.log10(max(float(value), TINY) / max(least or 1.0, TINY)) if not math.isnan(float(value)) else None
        if score is not None and math.isfinite(score):
            target(score, label=label)
    return error


class _Refuted(Exception):
    """The property under search does not hold."""


class Enough(BaseException):
    """Raised by a property to end a search; hypothesis lets it through, being no Exception."""


def search(strategy: SearchStrategy[T], fails: Callable[[T], bool], max_examples: int, number: int) -> T | None:
    """The simplest value for which ``fails`` was seen to hold, or None; the same for the same seed.

    ``fails`` must give the same answer to the same value; it ends the search by raising ``Enough``. Runs anywhere, also
    inside another hypothesis test, writes no files and prints nothing.
    """
    last: list[T] = []

    @seed(number)
    @settings(
        max_examples=max_examples,
        database=None,
        deadline=None,
        derandomize=False,
        phases=(Phase.generate, Phase.target, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        print_blob=False,
        stateful_step_count=1,
    )
    def attempt(value: T) -> None:
        if fails(value):
            last[:] = [value]
            raise _Refuted

    with _alone(), suppress(_Refuted, Enough):
        given(strategy)(attempt)()
    return last[0] if last else None


@contextmanager
def _alone() -> Iterator[None]:
    """No outer hypothesis test, and no constants gathered from the user's modules.

    Those constants depend on what happens to be imported, so a seed would not reproduce a run, and hypothesis keeps them in
    a folder ``.hypothesis``.
    """
    with ExitStack() as stack:
        if hasattr(control, "_current_build_context"):
            stack.enter_context(control._current_build_context.with_value(None))
        if hasattr(providers.HypothesisProvider, "_maybe_draw_constant"):
            stack.enter_context(
                patch.object(providers.HypothesisProvider, "_maybe_draw_constant", lambda *_, **__: None)
            )
        yield
