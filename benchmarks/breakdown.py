"""Where the time of an audit goes: forwards by precision, noise probes, derivatives, copies, and all the rest."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import equiaudit.measure.derivatives as derivatives
from benchmarks.timing import Clock
from equiaudit.measure.evaluate import Evaluator

REST = "everything else"


class Ledger:
    """Seconds and calls by name; time spent in a nested entry counts for that one alone."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.seconds, self.calls = clock, defaultdict(float), defaultdict(int)
        self._open: list[str] = [REST]
        self._since = clock()

    @contextmanager
    def entry(self, name: str) -> Iterator[None]:
        self._book()
        self._open.append(name)
        try:
            yield
        finally:
            self._book()
            self._open.pop()
            self.calls[name] += 1

    def _book(self) -> None:
        now = self.clock()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def close(self) -> dict[str, dict[str, float]]:
        self._book()
        return {k: {"seconds": self.seconds[k], "calls": self.calls[k]} for k in sorted(self.seconds)}


def break_down(clock: Clock, run: Callable[[], Any]) -> dict[str, dict[str, float]]:
    """Seconds and calls of each kind of work in one run of an audit."""
    with ExitStack() as stack:
        ledger = Ledger(clock)

        def attribute(owner: Any, attribute: str, name: Callable[..., str]) -> None:
            original = getattr(owner, attribute)

            def wrapped(*args: Any, **kwargs: Any) -> Any:
                with ledger.entry(name(*args, **kwargs)):
                    return original(*args, **kwargs)

            stack.enter_context(mock.patch.object(owner, attribute, wrapped))

        attribute(Evaluator, "__call__", _kind)
        for module in [m for n, m in sys.modules.items() if n.startswith("equiaudit.measure.")]:
            if hasattr(module, "copy_model"):
                attribute(module, "copy_model", lambda *_: "copies")
        for backend, rung in list(derivatives.RUNGS.items()):
            stack.enter_context(mock.patch.dict(derivatives.RUNGS, {backend: _booked(ledger, backend, rung)}))
        attribute(derivatives.Witness, "oppose", lambda *_: "differences")
        run()
        return ledger.close()


def _kind(evaluator: Evaluator, inputs: Any, noise: Any = None) -> str:
    if noise is not None:
        return "noise probes"
    return "forwards, own dtype" if evaluator.dtype is None else "forwards, float64"


def _booked(ledger: Ledger, backend: str, rung: Any) -> Any:
    def run(*args: Any) -> Any:
        with ledger.entry(backend):
            return rung(*args)

    return run
