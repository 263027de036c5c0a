"""What surrounds an audit: options that hold for all, and listeners that hear of every result. Standard library only."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from equiaudit.records import Audit  # a test runner loads this module at its start

OPTIONS = (
    "atol",
    "derivative",
    "effort",
    "layers",
    "per_generator",
    "perturb",
    "randomness",
    "seed",
    "tolerance",
)
"""Keywords of ``audit`` that may come from outside the call."""

_options: list[Mapping[str, Any]] = []
_listeners: list[Callable[[Audit], None]] = []

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def defaults(**options: Any) -> Iterator[None]:
    """Options for every audit inside that does not set them itself; inner ones win over outer ones.

    Raises:
        TypeError: an unknown option, by name.

    >>> import torch
    >>> from equiaudit import Symmetry, audit
    >>> from equiaudit.groups import SO
    >>> with defaults(effort="quick"):
    ...     audit(lambda x: 2 * x, torch.randn(5, 3), Symmetry(SO(3), "vector", "vector")).effort
    'quick'
    """
    check_options(options)
    _options.append(options)
    try:
        yield
    finally:
        _remove(_options, options)


@contextmanager
def listening(listener: Callable[[Audit], None]) -> Iterator[None]:
    """``listener(audit)`` is called with every audit that ends inside, passed or not.

    >>> from equiaudit import Audit, Verdict
    >>> heard = []
    >>> with listening(heard.append):
    ...     _ = announce(Audit(Verdict.EXACT))
    >>> len(heard)
    1
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _remove(_listeners, listener)


@contextmanager
def unheard() -> Iterator[None]:
    """No listener hears of the audits inside: they are steps of a larger one, which is announced itself.

    >>> from equiaudit import Audit, Verdict
    >>> heard = []
    >>> with listening(heard.append), unheard():
    ...     _ = announce(Audit(Verdict.EXACT))
    >>> heard
    []
    """
    kept = _listeners[:]
    _listeners.clear()
    try:
        yield
    finally:
        _listeners[:] = kept


def announce(found: Audit) -> Audit:
    """Tell all listeners; returns the audit."""
    for listener in tuple(_listeners):
        listener(found)
    return found


def current() -> dict[str, Any]:
    """The options that hold here."""
    found: dict[str, Any] = {}
    for options in _options:
        found.update(options)
    return found


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse unknown options by name.

    Raises:
        TypeError: names what is unknown and what there is.
    """
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise TypeError(f"unknown option {', '.join(map(repr, unknown))}; there are {', '.join(OPTIONS)}")


def surrounded(function: Callable[P, R]) -> Callable[P, R]:
    """The function with keywords that it was not given taken from ``defaults``."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        kwargs.update({name: value for name, value in current().items() if name not in kwargs})
        return function(*args, **kwargs)

    return call


def _remove(stack: list[Any], item: Any) -> None:
    """Take out this very object, from the top: equal ones may lie below."""
    for n in range(len(stack) - 1, -1, -1):
        if stack[n] is item:
            del stack[n]
            return
