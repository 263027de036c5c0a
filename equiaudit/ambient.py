"""What surrounds an audit: options from outside the call, and listeners that hear of every result. Standard library only."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Host:
    """A program that runs other people's audits, such as pytest: the options that hold now, and how to run a test again."""

    options: Callable[[], Mapping[str, Any]]
    command: Callable[[str], str]


# What a caller opens holds for that caller's thread or task; what a host gives holds for the whole process.
_options: ContextVar[tuple[Mapping[str, Any], ...]] = ContextVar("equiaudit_options", default=())
_muted: ContextVar[int] = ContextVar("equiaudit_muted", default=0)
_listeners: list[Callable[[Audit], None]] = []
_hosts: list[Host] = []

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def defaults(**options: Any) -> Iterator[None]:
    """Options for every audit inside that does not set them itself; inner ones win over outer ones.

    They hold in this thread or task only: other threads keep their own.

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
    _options.set((*_options.get(), options))
    try:
        yield
    finally:
        # Not by a token: blocks that overlap, as those of two fixtures may, would bring back what has ended.
        _options.set(tuple(o for o in _options.get() if o is not options))


@contextmanager
def listening(listener: Callable[[Audit], None]) -> Iterator[None]:
    """``listener(audit)`` is called with every audit that ends inside, in whatever thread, passed or not.

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
    """No listener hears of this thread's audits inside: they are steps of a larger one, which is announced itself.

    >>> from equiaudit import Audit, Verdict
    >>> heard = []
    >>> with listening(heard.append), unheard():
    ...     _ = announce(Audit(Verdict.EXACT))
    >>> heard
    []
    """
    _muted.set(_muted.get() + 1)
    try:
        yield
    finally:
        _muted.set(_muted.get() - 1)


@contextmanager
def hosted(host: Host) -> Iterator[None]:
    """Audits inside, of all threads, take the options of this host; of several the innermost counts.

    >>> with hosted(Host(lambda: {"seed": 3}, "pytest {}".format)):
    ...     current(), command("test_a.py")
    ({'seed': 3}, 'pytest test_a.py')
    """
    _hosts.append(host)
    try:
        yield
    finally:
        _remove(_hosts, host)


def announce(found: Audit) -> Audit:
    """Tell all listeners; returns the audit."""
    if not _muted.get():
        for listener in tuple(_listeners):
            listener(found)
    return found


def current() -> dict[str, Any]:
    """The options that hold here."""
    found = dict(_hosts[-1].options()) if _hosts else {}
    for options in _options.get():
        found.update(options)
    return found


def command(test: str) -> str | None:
    """The command with which the host runs a test again as it runs now; None without a host."""
    return _hosts[-1].command(test) if _hosts else None


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse unknown options by name.

    Raises:
        TypeError: names what is unknown and what there is.
    """
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise TypeError(f"unknown option {', '.join(map(repr, unknown))}; there are {', '.join(OPTIONS)}")


def surrounded(function: Callable[P, R]) -> Callable[P, R]:
    """The function with keywords that it was not given taken from ``defaults``, or from the host."""

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
