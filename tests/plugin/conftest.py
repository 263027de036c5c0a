"""Small suites whose audits are made by hand: the plugin needs no torch, so a run takes a fraction of a second.

A run in this process unloads what it loaded, and some libraries load only once: suites that import torch run in a
process of their own, and what draws the page is loaded before.
"""

from __future__ import annotations

import contextlib
import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

collect_ignore = ["suite"]  # a project of its own; test_suite.py runs it

HEAD = """
import math
import unittest

import pytest

from equiaudit.ambient import announce, current
from equiaudit.records import Audit, Verdict


class Failed(AssertionError):
    pass


def check(error=1e-16, label="net", floor=1e-12, tolerance=0.01):
    options = {k: v for k, v in current().items() if k in ("seed", "effort", "atol")}
    verdict = Verdict.EXACT if error <= floor else Verdict.APPROXIMATE if error <= tolerance else Verdict.BROKEN
    found = announce(Audit(verdict, error=error, floor=floor, label=label, environment={"torch": "2.13.0"},
                           first_bad_layer="mix" if verdict is Verdict.BROKEN else None, **options))
    if not found:
        raise Failed(str(found))
    return found

"""


@pytest.fixture(autouse=True)
def no_summary_of_the_outer_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs inside take the width of a terminal, not of whoever runs these tests."""
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(autouse=True, scope="session")
def loaded() -> None:
    """Whatever a page needs."""
    from equiaudit.records import Audit, Check, Tried, Verdict
    from equiaudit.report.html import render_html

    checks = (Check("rotations", "finite", Verdict.BROKEN, 0.5, 1e-12),)
    tried = tuple(Tried("a turn", "e", "given", "out", 0.5, 1e-12, False, angle=a, sweep="turn") for a in (10.0, 90.0))
    layers = ({"layer": "mix", "error": 0.5, "floor": 1e-12, "verdict": "first"},)
    with contextlib.suppress(ImportError):
        # two of them: the figure of all errors is drawn for more than one
        render_html([Audit(Verdict.BROKEN, error=0.5, floor=1e-12, checks=checks, tried=tried, layers=layers)] * 2)


@pytest.fixture
def suite(pytester: pytest.Pytester) -> Callable[..., Path]:
    """Write ``test_<name>.py`` from source that may call ``check(error, label)``."""

    def write(**sources: str) -> Path:
        return pytester.makepyfile(**{name: HEAD + textwrap.dedent(source) for name, source in sources.items()})

    return write


@pytest.fixture
def report(pytester: pytest.Pytester) -> Callable[..., dict[str, Any]]:
    """Read the JSON report of the run that was."""
    return lambda name="equi-report.json": json.loads((pytester.path / name).read_text(encoding="utf-8"))


@pytest.fixture
def rows(report: Callable[..., dict[str, Any]]) -> Callable[..., list[tuple[Any, ...]]]:
    """Chosen entries of all records."""
    return lambda *names: [tuple(r.get(name) for name in names) for r in report()["records"]]
