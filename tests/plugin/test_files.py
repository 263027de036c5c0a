"""Files and the section at the end: what they say, also where a disk, a person or a process fails."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.plugin import SERIAL_AND_PARALLEL

MIXED = """
def test_exact(): check()
def test_near(): check(1e-3, "approximate")
def test_broken(): check(0.5)
def test_worse(): check(0.9)
@pytest.mark.xfail(reason="a sample failure that is expected")
def test_known(): check(0.7, "known")
"""
BOTH = ("equi-report.html", "equi-report.json")


def section(result):
    """The lines between the title of the section and the next title."""
    text = result.stdout.str()
    return re.search(r"^=+ equivariance =+\n(.*?)(?:^=+ |^\d+ \w+,|\Z)", text, re.MULTILINE | re.DOTALL)[1].splitlines()


def test_the_section_has_counts_then_the_worst_first(suite, pytester):
    pytest.importorskip("matplotlib")
    suite(test_a=MIXED)
    result = pytester.runpytest_inprocess("--equi-report", "--color=no")
    assert result.ret == 1
    assert section(result) == [
        "5 audits: 1 EXACT, 1 APPROXIMATE, 3 BROKEN (1 expected); 2 failed",
        "verdict       error   floor  layer  test and audit",
        "BROKEN      9.0e-01 1.0e-12  mix    test_a.py::test_worse net",
        "BROKEN      5.0e-01 1.0e-12  mix    test_a.py::test_broken net",
        "BROKEN      7.0e-01 1.0e-12  mix    test_a.py::test_known known (expected)",
        "APPROXIMATE 1.0e-03 1.0e-12         test_a.py::test_near approximate",
        "EXACT       1.0e-16 1.0e-12         test_a.py::test_exact net",
        "Each failed test above shows its audit in full. Run the first of them again with:",
        '  pytest "test_a.py::test_worse"',
        "wrote equi-report.html, equi-report.json",
    ]
    assert all((pytester.path / name).stat().st_size > 500 for name in BOTH)


@pytest.mark.long
def test_quiet_shows_failures_and_verbose_all(suite, pytester):
    suite(test_a="@pytest.mark.parametrize('n', range(40))\ndef test_b(n): check(0.5 if n > 37 else n * 1e-14)")
    usual = section(pytester.runpytest_inprocess("--equi-report"))
    quiet = section(pytester.runpytest_inprocess("--equi-report", "-q", "-rN"))
    verbose = section(pytester.runpytest_inprocess("--equi-report", "-v"))
    assert [sum(" net" in line for line in lines) for lines in (usual, quiet, verbose)] == [10, 2, 40]
    assert "... 30 more that did not fail; -v shows all" in usual
    assert not any("more that did not fail" in line for line in [*quiet, *verbose])


def test_lines_fit_the_eighty_columns_of_a_terminal(suite, pytester):
    name = "a_very_long_name_of_a_test_that_somebody_wrote_on_a_good_day"
    suite(test_a=f"def test_{name}(): check(0.5, 'label')\ndef test_b(): check()")
    pytester.makeconftest(
        "import pytest\n"
        "@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_terminal_summary(terminalreporter): terminalreporter.isatty = True\n"
    )
    lines = section(pytester.runpytest_inprocess("--equi-report", "--color=no"))
    assert max(len(line) for line in lines if line.startswith(("BROKEN", "EXACT", "verdict"))) <= 80
    assert any(re.fullmatch(r"BROKEN .*  test_a\S+\.\.\.\S+good_day label", line) for line in lines)


def test_nothing_is_said_or_written_unless_asked(suite, pytester):
    suite(test_a=MIXED)
    result = pytester.runpytest_inprocess()
    assert "equivariance" not in result.stdout.str().replace("equivariant", "")
    assert not any((pytester.path / name).exists() for name in BOTH)


def test_a_run_without_audits_says_so(pytester, report):
    pytester.makepyfile("def test_b(): pass")
    result = pytester.runpytest_inprocess("--equi-report")
    assert section(result)[0] == "0 audits; none failed"
    assert report()["records"] == []


@pytest.mark.parametrize("option", ["html", "json", "markdown"])
def test_a_path_works_without_the_flag_and_makes_folders(suite, pytester, option):
    if option == "html":
        pytest.importorskip("matplotlib")
    suite(test_a="def test_b(): check()")
    assert pytester.runpytest_inprocess(f"--equi-{option}=new folder/é/report.x").ret == 0
    text = (pytester.path / "new folder" / "é" / "report.x").read_text(encoding="utf-8")
    assert "test_b" in text or option == "markdown"
    assert not any((pytester.path / name).exists() for name in BOTH)


def test_markdown_appends(suite, pytester):
    suite(test_a=MIXED)
    for _ in range(2):
        pytester.runpytest_inprocess("--equi-markdown=summary.md")
    text = (pytester.path / "summary.md").read_text()
    assert text.count("## Equivariance") == 2
    assert text.count("2 failed.") == 2


@SERIAL_AND_PARALLEL
def test_collecting_writes_nothing(suite, pytester, how):
    suite(test_a="def test_b(): check()")
    assert pytester.runpytest("--equi-report", "--equi-baseline=none.json", "--collect-only", *how).ret == 0
    assert not any((pytester.path / name).exists() for name in BOTH)


@pytest.mark.long
def test_without_a_terminal_the_files_are_written(suite, pytester, rows):
    suite(test_a=MIXED)
    assert pytester.runpytest_subprocess("--equi-report", "-p", "no:terminal").ret == 1
    assert len(rows("label")) == 5


@pytest.mark.long
def test_without_the_plugin_tests_run(pytester):
    pytester.makepyfile(
        """
        import torch
        from equiaudit import Symmetry, assert_equivariant
        from equiaudit.groups import SO

        def test_b():
            assert_equivariant(lambda x: 2 * x, torch.ones(5, 3), Symmetry(SO(3), "vector", "vector"))
        """
    )
    assert pytester.runpytest_subprocess("-p", "no:equiaudit").ret == 0


@pytest.mark.parametrize(
    "how", [("-x",), ("--maxfail=1",), pytest.param(("-x", "-n", "2"), marks=pytest.mark.long)], ids=" ".join
)
def test_a_run_that_stops_early_reports_what_ran(suite, pytester, rows, how):
    suite(test_a="def test_1(): check()\ndef test_2(): check(0.5)\n" + "def test_3(): check()\n" * ("-n" not in how))
    assert pytester.runpytest("--equi-report", *how).ret in (1, 2)
    assert ("test_a.py::test_2", "BROKEN") in rows("nodeid", "verdict")
    assert "test_a.py::test_3" not in [nodeid for (nodeid,) in rows("nodeid")]


def test_last_failed_reports_what_ran(suite, pytester, rows):
    suite(test_a=MIXED)
    pytester.runpytest_inprocess("--equi-report")
    pytester.runpytest_inprocess("--equi-report", "--lf")
    assert rows("nodeid") == [("test_a.py::test_broken",), ("test_a.py::test_worse",)]


def test_another_import_mode(suite, pytester, rows):
    suite(test_a=MIXED)
    pytester.runpytest_inprocess("--equi-report", "--import-mode=importlib")
    assert len(rows("label")) == 5


@pytest.mark.long
def test_a_dying_process_loses_only_the_audits_of_its_test(suite, pytester, report):
    suite(
        test_a="""
        import os
        @pytest.fixture
        def early(): check(label="before the end")
        @pytest.mark.parametrize("n", range(8))
        def test_b(n): check()
        def test_dies(early):
            check(label="lost")
            os._exit(1)
        """
    )
    result = pytester.runpytest("--equi-report", "--equi-markdown=m.md", "-n", "2")
    assert result.ret == 1
    data = report()
    assert data["crashed"] == ["test_a.py::test_dies"]
    assert [r["nodeid"] for r in data["records"]] == [
        *(f"test_a.py::test_b[{n}]" for n in range(8)),
        "test_a.py::test_dies",
    ]
    assert (data["records"][-1]["label"], data["records"][-1]["outcome"]) == ("before the end", "crashed")
    assert "a process died in test_a.py::test_dies: its audits are lost" in section(result)
    assert "A process died in" in (pytester.path / "m.md").read_text()


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for another process on Windows")
@pytest.mark.parametrize("how", [(), ("-n", "1")], ids=["serial", "parallel"])
@pytest.mark.long
def test_an_interrupted_run_is_written(suite, pytester, report, how):
    suite(test_a="def test_1(): check()\ndef test_2():\n    open('now', 'w')\n    import time\n    time.sleep(60)")
    pytester.makeconftest(  # the process that writes has heard of the first test: the one that tests may be ahead of it
        """
        import pytest

        class Ear:
            @pytest.hookimpl(trylast=True)
            def pytest_runtest_logreport(self, report):
                if report.when == "teardown":
                    open("heard", "w")

        def pytest_configure(config):
            if not hasattr(config, "workerinput"):
                config.pluginmanager.register(Ear())
        """
    )
    command = [sys.executable, "-m", "pytest", "--equi-report", "-p", "no:cacheprovider", *how]
    running = subprocess.Popen(
        command, cwd=pytester.path, stdout=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # ignored where tests run in the background
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not all((pytester.path / name).exists() for name in ("now", "heard")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGINT)
    text, _ = running.communicate(timeout=60)
    assert running.returncode == 2
    assert [r["label"] for r in report()["records"]] == ["net"]
    assert report()["interrupted"].startswith("KeyboardInterrupt")
    assert "wrote " in text


def test_exit_inside_a_test_is_written(suite, pytester, report):
    suite(test_a="def test_1(): check()\ndef test_2(): pytest.exit('enough')")
    pytester.runpytest_inprocess("--equi-report")
    assert len(report()["records"]) == 1
    assert report()["interrupted"] == "Exit enough"


@SERIAL_AND_PARALLEL
def test_a_disk_that_refuses_costs_a_warning(suite, pytester, how):
    suite(test_a=MIXED)
    for name in BOTH:
        (pytester.path / name).mkdir()  # a folder where the file should be; root may write anywhere else
    result = pytester.runpytest("--equi-report", *how)
    result.assert_outcomes(passed=2, failed=2, xfailed=1)
    result.stdout.fnmatch_lines(["warning: *equi-report.json was not written: Is a directory"])


def test_a_device_that_is_full_costs_a_warning(suite, pytester):
    suite(test_a=MIXED)
    result = pytester.runpytest_inprocess("--equi-json=/dev/full")
    result.assert_outcomes(passed=2, failed=2, xfailed=1)
    result.stdout.fnmatch_lines(["warning: /dev/full was not written: No space left on device"])


def test_a_folder_that_may_not_be_written_is_refused_before_the_first_test(suite, pytester, monkeypatch):
    suite(test_a=MIXED)
    locked = pytester.mkdir("locked")
    locked.chmod(0o500)
    if os.access(locked, os.W_OK):  # root, and Windows
        allowed = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(locked) and allowed(path, mode))
    result = pytester.runpytest_inprocess("--equi-json=locked/a.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --equi-json: *a.json can't be written: no permission in *locked"])


def test_a_page_that_fails_costs_a_warning(suite, pytester, monkeypatch):
    html = pytest.importorskip("equiaudit.report.html")
    pytest.importorskip("matplotlib")
    suite(test_a=MIXED)

    def fail(*args, **kwargs):
        raise KeyError("template")

    monkeypatch.setattr(html, "write_html", fail)
    result = pytester.runpytest_inprocess("--equi-report")
    result.assert_outcomes(passed=2, failed=2, xfailed=1)
    result.stdout.fnmatch_lines(["wrote equi-report.json", "warning: *.html was not written: KeyError: 'template'"])


@pytest.mark.long
def test_a_terminal_without_unicode(suite, pytester):
    suite(test_a="def test_b(): check(0.5, 'π ≈ 3')\ndef test_c(): check(0.5, 'g⁻¹', tolerance=1)")
    command = [sys.executable, "-m", "pytest", "--equi-report", "-v"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C", "PYTHONUTF8": "0", "COLUMNS": "80"}
    done = subprocess.run(command, cwd=pytester.path, env=env, capture_output=True)
    assert done.returncode == 1, done.stdout.decode() + done.stderr.decode()
    assert b"INTERNALERROR" not in done.stdout
    assert b"UnicodeEncodeError" not in done.stdout + done.stderr
    assert "π ≈ 3" in (pytester.path / "equi-report.json").read_text(encoding="utf-8")
