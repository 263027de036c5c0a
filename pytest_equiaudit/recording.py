"""Hears the audits of the test that runs now, and puts them on its reports; runs where the tests run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from equiaudit.ambient import defaults, listening
from equiaudit.records import Audit, Verdict
from equiaudit.report.json import Record
from equiaudit.report.lines import pytest_line
from equiaudit.report.text import number
from pytest_equiaudit.options import Settings, options_of

PROPERTY = "equiaudit"
"""Name of the JUnit properties, and of the attribute of a report that carries records: JSON, which crosses to any process."""
RANK = (Verdict.EXACT, Verdict.APPROXIMATE, Verdict.VACUOUS, Verdict.BROKEN, Verdict.INVALID)
_GENERATED = re.compile(r"^_(?:unittest|xunit)_(\w+?)_fixture")
_active: list[Recorder] = []


@dataclass
class Fold:
    """Many audits of one name under ``@given``: the worst passing one, the last failing one, and how many there were."""

    kept: Audit
    audits: int = 1
    failing: int = 0
    largest: float = 0.0

    @classmethod
    def of(cls, audit: Audit) -> Fold:
        """The first."""
        return cls(audit, 1, not audit.passed, audit.error or 0.0)

    def add(self, audit: Audit) -> None:
        """A failing one takes the place of all before: hypothesis ends with the smallest that fails."""
        self.audits += 1
        self.failing += not audit.passed
        self.largest = max(self.largest, audit.error or 0.0)
        if not audit.passed or (self.kept.passed and badness(audit) > badness(self.kept)):
            self.kept = audit

    def result(self) -> Audit:
        """The kept one, with a note that counts the others."""
        if self.audits == 1:
            return self.kept
        if self.failing:
            note = (
                f"the last of {self.failing} that failed among {self.audits} examples, which hypothesis shrank; "
                f"the largest error was {number(self.largest)}"
            )
        else:
            note = f"the worst of {self.audits} examples"
        return replace(self.kept, notes=(*self.kept.notes, note))


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
        item.user_properties[:] = [p for p in item.user_properties if p[0] != PROPERTY]

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

    def drain(self, item: pytest.Item, phase: str) -> list[Record]:
        """The records of a phase that ends; each also becomes a JUnit property of the test."""
        heard, self._heard = self._heard, []
        folds, self._folds = self._folds, {}
        heard += [(None, fold.result(), fold.audits) for fold in folds.values()]
        records = []
        for fixture, audit, count in heard:
            if fixture and not audit.passed:
                audit = replace(audit, replay=pytest_line(audit, fixture.partition("::fixture ")[0]))
            audit = replace(audit, label=printable(audit.label))
            record = Record(audit, fixture or item.nodeid, phase="fixture" if fixture else phase, audits=count)
            item.user_properties.append((PROPERTY, in_one_line(record)))
            records.append(record)
        return records

    def attach(self, report: pytest.TestReport, records: Sequence[Record]) -> None:
        """Put records on a report, if anybody will read them."""
        if records and self.settings.wanted:
            setattr(report, PROPERTY, json.dumps([r.to_dict() for r in records]))
        if records and self.extras:
            # pytest-html takes these from the reports; a plain dict is what its own functions make.
            rows = [extra(r) for r in records]
            report.extras = [*getattr(report, "extras", []), *rows]  # type: ignore[attr-defined]

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
            if audit.label in self._folds:
                self._folds[audit.label].add(audit)
            else:
                self._folds[audit.label] = Fold.of(audit)
        else:
            self._heard.append((self._fixture, audit, 1))


def read_records(report: Any) -> list[Record]:
    """What ``attach`` put on a report, possibly in another process."""
    text = getattr(report, PROPERTY, None)
    return [Record.from_dict(data) for data in json.loads(text)] if text else []


def in_one_line(record: Record) -> str:
    """A record as the value of a JUnit property.

    >>> in_one_line(Record(Audit(Verdict.BROKEN, error=0.5, floor=1e-12, label="net", first_bad_layer="mix")))
    'net: BROKEN, error 5.0e-01, floor 1.0e-12, layer mix'
    """
    audit = record.audit
    words = [f"{audit.label}: {audit.verdict}"]
    words += [f"error {number(audit.error)}", f"floor {number(audit.floor)}"] if audit.error is not None else []
    words += [audit.cause] if audit.cause else []
    words += [f"layer {audit.first_bad_layer}"] if audit.first_bad_layer else []
    words += [f"worst of {record.audits}"] if record.audits > 1 else []
    return ", ".join(words)


def extra(record: Record) -> Mapping[str, Any]:
    """The text of an audit as pytest-html shows it in the row of the test."""
    name = f"audit {record.audit.label}"
    return {
        "name": name,
        "format_type": "text",
        "content": str(record.audit),
        "mime_type": "text/plain",
        "extension": "txt",
    }


def badness(audit: Audit) -> tuple[int, float]:
    """Orders audits: the verdict first, then the error in units of its floor."""
    if audit.error is None or math.isnan(audit.error):
        return RANK.index(audit.verdict), 0.0
    return RANK.index(audit.verdict), audit.error / audit.floor if audit.floor else math.inf if audit.error else 0.0


def printable(label: str) -> str:
    """The label without what no file and no other process can hold: lone surrogates and control characters.

    >>> printable("energy \\x00")
    'energy \\\\x00'
    """
    text = label.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() or c == " " else c.encode("unicode_escape").decode() for c in text)


def is_given(item: pytest.Item) -> bool:
    """Whether hypothesis runs this test many times; asked without importing it."""
    return bool(getattr(getattr(item, "obj", None), "is_hypothesis_test", False))


def _options_or_none(node: Any, settings: Settings) -> dict[str, Any]:
    try:
        return options_of(node, settings)
    except pytest.UsageError:
        return {}  # told before the test starts
