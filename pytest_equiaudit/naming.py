"""Names of fixtures that several tests share: the same in every order and in every process, and no two alike."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

import pytest

_GENERATED = re.compile(r"^_(?:unittest|xunit)_(\w+?)_fixture")
_PLAIN = (str, int, float, complex, bytes, type(None))


class Names:
    """Makes the names; remembers with which parameters each fixture was last set up, for those that depend on it."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[str, ...]] = {}

    def of(self, request: pytest.FixtureRequest, fixturedef: Any) -> str:
        """``test_a.py::TestB::fixture model[0.1]``: where it is defined or how far it reaches, its name, its parameters.

        The parameters of the fixtures that it depends on count too: for each of them pytest sets it up anew.
        """
        name = fixturedef.argname
        values = [value for other in fixturedef.argnames for value in self._values.get(other, ())]
        if hasattr(request, "param"):
            values.append(_value(request, fixturedef.params))
        self._values[name] = tuple(dict.fromkeys(values))
        generated = _GENERATED.match(name)
        # The scope's node and the place of the definition lie on one line, from the root to the test.
        place = max(getattr(request.node, "nodeid", ""), fixturedef.baseid or "", key=len) or "."
        chosen = f"[{'-'.join(self._values[name])}]" if values else ""
        return f"{place}::fixture {generated[1] if generated else name}{chosen}"


def _value(request: Any, own: Any) -> str:
    """The parameter as text. Its index says nothing by itself: each use of ``indirect`` counts from 0."""
    index = getattr(request, "param_index", 0)
    if not _is_plain(request.param):
        # What it prints may hold an address, or numbers that differ from run to run.
        return f"{getattr(request.param, '__name__', type(request.param).__name__)}{index}"
    text = _text(request.param)
    twins = any(p is not request.param and _is_plain(p) and _text(p) == text for p in own or ())
    return f"{text}#{index}" if twins else text


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list, set, frozenset)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return isinstance(value, (*_PLAIN, Enum, type))


def _text(value: Any) -> str:
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(_text, value)))}}}"
    return value.__name__ if isinstance(value, type) else str(value)
