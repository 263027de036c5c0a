"""Hears the audits of the test that runs now; runs where the tests run, and loads nothing before the first audit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from equiaudit.ambient import defaults, listening
from pytest_equiaudit.options import Settings, options_of

if TYPE_CHECKING:
    from equiaudit.records import Audit
    from equiaudit.report.json import Record
    from pytest_equiaudit.carrying import Fold

_GENERATED = re.compile(r"^_(?:unittest|xunit)_(\w+?)_fixture")
_active: list[Recorder] = []


class Recorder:
    """The audits of the running test, and the options that surround it."""

    def __init__(self, settings: Settings, extras: bool = False) -> None:
        self.settings = settings
        self.extras = extras
        self._stack = ExitStack()
        self._item: pytest.Item | None = None
        self._fixture: str | None = None
        self._node: Any = None
        self._options = ExitStack()
        self._folds: dict[str, Fold] = {}
        self._heard: list[tuple[str | None, Audit, int]] = []

    def start(self) -> None:
        """Listen from now on."""
        _active.append(self)
        self._stack.enter_context(listening(self._hear))

    def stop(self) -> None:
        """Listen no more."""
        self._stack.close()
        if self in _active:
            _active.remove(self)

    @contextmanager
    def running(self, item: pytest.Item) -> Iterator[None]:
        """Everything inside belongs to this test: setup, call, teardown, and its reruns."""
        self._item = item
        try:
            with self._surrounded(item):
                yield
        finally:
            self._item = None
            self._forget()

    def begin(self, item: pytest.Item) -> None:
        """A try begins: nothing of an earlier one counts."""
        self._forget()
        item.user_properties[:] = [p for p in item.user_properties if p[0] != "equiaudit"]

    @contextmanager
    def shared_fixture(self, request: pytest.FixtureRequest, name: str, base: str) -> Iterator[None]:
        """Audits inside belong to a fixture that several tests share, and take the options of its scope.

        Which test asks first depends on the order and on the number of processes; the fixture's own name does not.
        """
        if self._item is None:
            yield
            return
        generated = _GENERATED.match(name)
        place = getattr(request.node, "nodeid", "") or base or "."
        index = getattr(request, "param_index", 0)
        outer, self._fixture = self._fixture, f"{place}::fixture {generated[1] if generated else name}"
        if hasattr(request, "param"):
            self._fixture += f"[{index}]"
        try:
            with self._surrounded(request.node):
                yield
        finally:
            self._fixture = outer

    def drain(self, item: pytest.Item, phase: str) -> Sequence[Record]:
        """The records of a phase that ends; each also becomes a JUnit property of the test."""
        if not self._heard and not self._folds:
            return ()
        from pytest_equiaudit.carrying import PROPERTY, in_one_line, make_records

        heard = [*self._heard, *((None, fold.result(), fold.audits) for fold in self._folds.values())]
        self._forget()
        records = make_records(heard, item.nodeid, phase)
        item.user_properties += [(PROPERTY, in_one_line(record)) for record in records]
        return records

    def attach(self, report: pytest.TestReport, records: Sequence[Record]) -> None:
        """Put records on a report, if anybody will read them."""
        if records:
            from pytest_equiaudit import carrying

            carrying.attach(report, records, wanted=self.settings.wanted, extras=self.extras)

    @contextmanager
    def _surrounded(self, node: Any) -> Iterator[None]:
        """The options of this node, in place of those that held before."""
        outer, self._node = self._node, node
        self._options.close()
        self._enter()
        try:
            yield
        finally:
            self._node = outer
            self._options.close()
            self._enter()

    def _enter(self) -> None:
        if self._node is not None and (options := _options_or_none(self._node, self.settings)):
            self._options.enter_context(defaults(**options))

    def _forget(self) -> None:
        self._heard, self._folds = [], {}

    def _hear(self, audit: Audit) -> None:
        if self._item is None or _active[-1] is not self:
            return  # at collection, or inside a pytest that a test of a plugin runs
        if self._fixture is None and is_given(self._item):
            from pytest_equiaudit.carrying import Fold

            if audit.label in self._folds:
                self._folds[audit.label].add(audit)
            else:
                self._folds[audit.label] = Fold.of(audit)
        else:
            self._heard.append((self._fixture, audit, 1))


def is_given(item: pytest.Item) -> bool:
    """Whether hypothesis runs this test many times; asked without importing it."""
    return bool(getattr(getattr(item, "obj", None), "is_hypothesis_test", False))


def _options_or_none(node: Any, settings: Settings) -> dict[str, Any]:
    try:
        return options_of(node, settings)
    except pytest.UsageError:
        return {}  # told before the test starts
