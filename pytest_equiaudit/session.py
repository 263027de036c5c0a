"""A whole run: its reports come in, its files go out."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from equiaudit.report.baseline import Baseline, Comparison
from equiaudit.report.json import Report, make_report
from pytest_equiaudit.ledger import Ledger
from pytest_equiaudit.options import Settings
from pytest_equiaudit.recording import Recorder, from_here
from pytest_equiaudit.selection import KEY, Selection


class Run:
    """Registered as a plugin of its own, where somebody reads the results."""

    def __init__(self, config: pytest.Config, settings: Settings, recorder: Recorder) -> None:
        self.config = config
        self.settings = settings
        self.recorder = recorder
        self.is_worker = hasattr(config, "workerinput")
        self.ledger = Ledger()
        self.selection = Selection(config)
        self.interrupted = ""
        self.written: list[Path] = []
        self.troubles: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """From this process or from another."""
        if not self.is_worker:
            self.ledger.add(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file, a class or a folder was collected, or could not be."""
        self.selection.add_collected(report)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Ctrl-C, or ``pytest.exit``: what has run is written all the same."""
        self.interrupted = " ".join(f"{excinfo.typename} {excinfo.value}".split())

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        """A process of xdist ended; one that died has said nothing."""
        self.selection.add_text(getattr(node, "workeroutput", {}).get(KEY))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the files, also after an interruption; not where the command itself was wrong."""
        if self.is_worker:
            if self.settings.baseline:
                self.config.workeroutput[KEY] = self.selection.to_text()  # type: ignore[attr-defined]
            return
        if exitstatus == pytest.ExitCode.USAGE_ERROR:
            return
        from pytest_equiaudit.writing import write_files

        self.written, self.troubles = write_files(
            self.report, self.comparison, self.settings, self.is_unused, sorted(self.selection.failed)
        )

    def pytest_terminal_summary(self, terminalreporter: Any, exitstatus: int) -> None:
        """The section."""
        if self.is_worker or exitstatus == pytest.ExitCode.USAGE_ERROR:
            return
        from pytest_equiaudit import terminal

        verbosity = self.config.get_verbosity()
        width = getattr(getattr(terminalreporter, "_tw", None), "fullwidth", 80)
        # A file has no width, and what is to be copied is not cut.
        whole = verbosity > 0 or not getattr(terminalreporter, "isatty", False)
        view = terminal.View(verbosity, None if whole else width, self.name_from_here, self.recorder.command)
        lines = terminal.summary_lines(self.report, view)
        if self.comparison is not None:
            lines += terminal.baseline_lines(self.comparison, verbosity, self.settings.update)
        lines += terminal.file_lines(self.written, self.troubles, self.config.invocation_params.dir)
        terminalreporter.write_sep("=", "equivariance")
        for line in lines:
            terminalreporter.write_line(line.text, **line.colour)

    @cached_property
    def report(self) -> Report:
        """All that was recorded; asked for when the tests have run."""
        found = make_report(self.ledger.records())
        return replace(found, crashed=self.ledger.crashed, retried=self.ledger.retried, interrupted=self.interrupted)

    @cached_property
    def comparison(self) -> Comparison | None:
        """Against the baseline, if there is one."""
        path = self.settings.baseline
        if path is None:
            return None
        from equiaudit.report.baseline import compare, read_baseline

        name = str(path)
        if path.is_relative_to(self.config.invocation_params.dir):
            name = str(path.relative_to(self.config.invocation_params.dir))
        old = read_baseline(path) if path.exists() else Baseline()
        return compare(old, self.report.records, name, ratio=self.settings.ratio, unused=self.is_unused)

    def count_grown(self) -> int:
        """How many errors fail the run."""
        if self.is_worker or self.settings.update or self.comparison is None:
            return 0
        return len(self.comparison.grew)

    def name_from_here(self, nodeid: str) -> str:
        """As pytest's own lines name it, from the folder in which it was started."""
        return from_here(self.config, nodeid)

    def is_unused(self, nodeid: str) -> bool:
        """Whether an entry that was not recorded has no test any more."""
        return self.selection.is_unused(nodeid, self.ledger)
