"""Which tests exist and which ran: a baseline's entry is unused only where its test could have made it and did not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pytest_equiaudit.ledger import Ledger

KEY = "equiaudit_collected"
RAN = ("passed", "xpassed")


class Selection:
    """What was collected, before anything was deselected; several processes add theirs."""

    def __init__(self, config: pytest.Config) -> None:
        self.root: Path = config.rootpath
        # A test named by its id, or the failed ones of the last run: the rest of a file is not looked at.
        self.partial = any("::" in str(arg) for arg in config.args) or bool(config.getoption("lf", False))
        self.files: set[str] = set()
        self.tests: set[str] = set()
        self.failed: set[str] = set()

    def add_tests(self, items: Iterable[pytest.Item]) -> None:
        """Take the items of this process."""
        self.tests.update(item.nodeid for item in items)

    def add_collected(self, report: pytest.CollectReport) -> None:
        """Take a file that was collected without error, or whatever was not."""
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.passed and "::" not in report.nodeid:
            self.files.add(report.nodeid)

    def to_text(self) -> str:
        """For another process."""
        return json.dumps([sorted(self.files), sorted(self.tests), sorted(self.failed)])

    def add_text(self, text: Any) -> None:
        """What another process collected."""
        if text:
            files, tests, failed = json.loads(text)
            self.files.update(files)
            self.tests.update(tests)
            self.failed.update(failed)

    def is_unused(self, nodeid: str, ledger: Ledger) -> bool:
        """Whether an entry of this nodeid, which was not recorded, has nobody any more who would record it."""
        file, is_fixture = nodeid.partition("::")[0], "::fixture " in nodeid
        if (records := ledger.fixture(nodeid)) and is_fixture:
            return all(r.outcome == "passed" for r in records)
        if not is_fixture and nodeid in ledger.tests:
            return ledger.tests[nodeid].outcome in RAN
        if not (self.root / file).exists():
            return True
        if self.partial or file not in self.files or any(_is_below(nodeid, node) for node in self.failed):
            return False
        if not is_fixture:
            return nodeid not in self.tests
        place = nodeid.partition("::fixture ")[0]
        own = [t for t in self.tests if t == place or t.startswith(place + "::")]
        return all(t in ledger.tests and ledger.tests[t].outcome in RAN for t in own)


def _is_below(nodeid: str, node: str) -> bool:
    """Whether a test or a fixture belongs to what this collector collects."""
    return not node or nodeid == node or nodeid.startswith((node + "::", node + "/"))
