"""Lines that are there to be copied: they run the same test with the same options, from the folder where pytest was started."""

from __future__ import annotations

import shlex

import pytest

REPLAYED = """
from equiaudit.records import Worst
from equiaudit.ambient import command
from equiaudit.report.lines import pytest_line
def test_b():
    bad = Audit(Verdict.BROKEN, error=0.5, floor=1e-12, seed=7, label="net", worst=Worst("SO(3).id", "", (), 1.0, 1.0))
    print("replay", pytest_line(bad, "test_a.py::test_b", command("test_a.py::test_b")))
    announce(bad)
    assert 0
"""


def commands(result):
    lines = result.stdout.lines
    (replay,) = (line.removeprefix("replay ") for line in lines if line.startswith("replay "))
    return replay, lines[next(n for n, line in enumerate(lines) if line.endswith("again with:")) + 1].strip()


def test_options_of_the_run_are_in_both_lines(suite, pytester):
    pytester.makeini("[pytest]\nequi_effort = quick")
    suite(test_a=REPLAYED)
    line = ["--equi-seed=3", "--equi-perturb", "-o", "equi_layers=true"]
    replay, again = commands(pytester.runpytest_inprocess("--equi-report", *line))
    assert again == 'pytest "test_a.py::test_b" -o equi_layers=true --equi-seed 3 --equi-perturb'
    assert replay == f"{again}  # seed 7, element SO(3).id"
    replay, again = commands(pytester.runpytest_inprocess("--equi-report"))
    assert again == 'pytest "test_a.py::test_b"'
    assert pytester.runpytest_inprocess(*shlex.split(again)[1:]).ret == 1


def test_a_run_from_another_folder_names_the_test_from_there(suite, pytester, monkeypatch):
    pytester.makeini("[pytest]")
    suite(test_a=REPLAYED)
    below = pytester.mkdir("below")
    monkeypatch.chdir(below)
    result = pytester.runpytest_inprocess("..", "--equi-report")
    replay, again = commands(result)
    assert again == 'pytest "../test_a.py::test_b"'
    assert replay.startswith(f"{again}  # ")
    result.stdout.fnmatch_lines(["BROKEN *  ../test_a.py::test_b net"])
    result = pytester.runpytest_inprocess(*shlex.split(again)[1:])
    result.assert_outcomes(failed=1)


@pytest.mark.parametrize("identifier", ["$(touch x)", "`touch x`", 'a"b', "a\\b", "a'b", "$HOME'"])
def test_names_mean_nothing_to_a_shell(suite, pytester, identifier):
    suite(
        test_a=f"""
        @pytest.mark.parametrize("n", [1], ids=[{identifier!r}])
        def test_b(n): check(0.5)
        """
    )
    result = pytester.runpytest_inprocess("--equi-report")
    lines = result.stdout.lines
    again = lines[next(n for n, line in enumerate(lines) if line.endswith("again with:")) + 1].strip()
    done = pytester.run("bash", "-c", f"printf '%s\\n' {again}")
    done.stdout.fnmatch_lines(["pytest", f"test_a.py::test_b[[]{identifier}]".replace("\\", "\\\\")])
    assert not (pytester.path / "x").exists()


def test_long_names_are_cut_for_a_terminal_only(suite, pytester, monkeypatch):
    name = "test_" + "very_" * 20 + "long"
    suite(test_a=f"def {name}(): check(0.5, '{'label ' * 8}')")
    assert f"test_a.py::{name} {'label ' * 8}" in pytester.runpytest_inprocess("--equi-report").stdout.str()
    pytester.makeconftest(
        "import pytest\n"
        "@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_terminal_summary(terminalreporter): terminalreporter.isatty = True\n"
    )
    (row,) = (r for r in pytester.runpytest_inprocess("--equi-report").stdout.lines if r.startswith("BROKEN"))
    assert len(row) <= 80
    assert f"test_a.py::{name} " in pytester.runpytest_inprocess("--equi-report", "-v").stdout.str()
