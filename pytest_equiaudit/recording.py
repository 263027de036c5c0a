"""Hears the audits of the test that runs now; runs where the tests run, and loads nothing before the first audit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from equiaudit.ambient import Host, hosted, listening
from pytest_equiaudit.naming import Names
from pytest_equiaudit.options import Settings, options_of

if TYPE_CHECKING:
    from equiaudit.records import Audit
    from equiaudit.report.json import Record
    from pytest_equiaudit.carrying import Fold

AFTER = {"setup": "call", "call": "teardown"}
_active: list[Recorder] = []


@dataclass(frozen=True)
class Heard:
    """An audit, how many it stands for, the shared fixture that it belongs to, and how the setup of that fixture ended."""

    audit: Audit
    audits: int = 1
    fixture: str | None = None
    outcome: str | None = None


class Recorder:
    """The audits of the running test, and the options that surround it."""

    def __init__(self, config: pytest.Config, settings: Settings, extras: bool = False) -> None:
        self.config = config
        self.settings = settings
        self.extras = extras
        self._stack = ExitStack()
        self._item: pytest.Item | None = None
        self._phase = ""
        self._fixture: str | None = None
        self._node: Any = None
        self._names = Names()
        self._folds: dict[str, Fold] = {}
        self._heard: list[Heard] = []

    def start(self) -> None:
        """Listen from now on."""
        _active.append(self)
        self._stack.enter_context(listening(self._hear))
        self._stack.enter_context(hosted(Host(self._options, self.command)))

    def stop(self) -> None:
        """Listen no more."""
        self._stack.close()
        if self in _active:
            _active.remove(self)

    @contextmanager
    def running(self, item: pytest.Item) -> Iterator[None]:
        """Everything inside belongs to this test: setup, call, teardown, and its reruns."""
        self._item = self._node = item
        try:
            yield
        finally:
            self._item = self._node = None
            self._forget()

    def begin(self, item: pytest.Item) -> None:
        """A try begins: nothing of an earlier one counts."""
        self._forget()
        self._phase = "setup"
        item.user_properties[:] = [p for p in item.user_properties if p[0] != "equiaudit"]

    @contextmanager
    def shared_fixture(self, request: pytest.FixtureRequest, fixturedef: Any) -> Iterator[None]:
        """Audits inside belong to a fixture that several tests share, and take the options of its scope.

        Which test asks first depends on the order and on the number of processes; the fixture's own name does not.
        """
        if self._item is None:
            yield
            return
        before, name, outcome = len(self._heard), self._names.of(request, fixturedef), "error"
        outer = self._fixture, self._node
        self._fixture, self._node = name, request.node
        try:
            yield
            outcome = "passed"
        except pytest.skip.Exception:
            outcome = "skipped"
            raise
        except pytest.xfail.Exception:
            outcome = "xfailed"
            raise
        finally:
            self._fixture, self._node = outer
            own = (h.fixture == name and h.outcome is None for h in self._heard[before:])
            self._heard[before:] = [
                replace(h, outcome=outcome) if mine else h for h, mine in zip(self._heard[before:], own, strict=True)
            ]

    def drain(self, item: pytest.Item, phase: str) -> Sequence[Record]:
        """The records of a phase that ends; each also becomes a JUnit property of the test."""
        self._phase = AFTER.get(phase, phase)
        if not self._heard and not self._folds:
            return ()
        from pytest_equiaudit.carrying import PROPERTY, in_one_line, make_records

        heard = [*self._heard, *(Heard(fold.result(), fold.audits) for fold in self._folds.values())]
        self._forget()
        records = make_records(heard, item.nodeid, phase)
        item.user_properties += [(PROPERTY, in_one_line(record)) for record in records]
        return records

    def drain_rest(self, item: pytest.Item) -> Sequence[Record]:
        """The records of a phase that was interrupted, of which pytest makes no report."""
        return self.drain(item, self._phase)

    def attach(self, report: pytest.TestReport, records: Sequence[Record]) -> None:
        """Put records on a report, if anybody will read them."""
        if records:
            from pytest_equiaudit import carrying

            carrying.attach(report, records, wanted=self.settings.wanted, extras=self.extras)

    def command(self, nodeid: str) -> str:
        """What runs a test again as it runs now, from the folder in which pytest was started."""
        from equiaudit.report.lines import shell, shell_word

        return " ".join(["pytest", shell(from_here(self.config, nodeid)), *map(shell_word, self.settings.words)])

    def _options(self) -> Mapping[str, Any]:
        """Asked for at every audit: a fixture may have added a marker."""
        if self._node is None or _active[-1] is not self:
            return {}
        try:
            return options_of(self._node, self.settings)
        except pytest.UsageError as problem:
            pytest.fail(str(problem), pytrace=False)

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
            self._heard.append(Heard(audit, fixture=self._fixture))


def is_given(item: pytest.Item) -> bool:
    """Whether hypothesis runs this test many times; asked without importing it."""
    return bool(getattr(getattr(item, "obj", None), "is_hypothesis_test", False))


def from_here(config: pytest.Config, nodeid: str) -> str:
    """The nodeid, which is relative to the rootdir, as the folder sees it in which pytest was started."""
    here, root = config.invocation_params.dir, config.rootpath
    path, *rest = nodeid.split("::", 1)
    if here == root:
        return nodeid
    try:
        path = os.path.relpath(root / path, here)
    except ValueError:  # another drive
        path = str(root / path)
    return "::".join([path, *rest])
