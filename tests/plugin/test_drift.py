"""Baselines in a run: what fails it, what is listed, and that a partial run forgets nothing."""

from __future__ import annotations

import json

import pytest

from tests.plugin import SERIAL_AND_PARALLEL

SUITE = """
from pathlib import Path
ERRORS = eval(Path(__file__).with_name("errors").read_text()) if Path(__file__).with_name("errors").exists() else {}
def test_one(): check(ERRORS.get("one", 1e-3))
def test_two(): check(ERRORS.get("two", 2e-3), "b")
@pytest.mark.parametrize("n", [1, 2])
def test_many(n): check(ERRORS.get(n, 1e-16), "c")
"""
ONE, TWO = "test_a.py::test_one", "test_a.py::test_two"
MANY = ["test_a.py::test_many[1]", "test_a.py::test_many[2]"]


@pytest.fixture
def run(suite, pytester):
    """A suite with a baseline; further runs against it."""
    suite(test_a=SUITE)
    made = pytester.runpytest_inprocess("--equi-baseline=base.json", "--equi-update-baseline")
    assert made.ret == 0
    assert sorted(entries(pytester)) == sorted([ONE, TWO, *MANY])

    def again(*how, **errors):
        found = {int(k[1:]) if k[1:].isdigit() else k: v for k, v in errors.items()}
        (pytester.path / "errors").write_text(repr(found))
        return pytester.runpytest("--equi-baseline=base.json", *how)

    return again


def entries(pytester):
    return json.loads((pytester.path / "base.json").read_text())["entries"]


def error(pytester, nodeid, label):
    return entries(pytester)[nodeid][label]["error"]


@SERIAL_AND_PARALLEL
def test_the_same_errors_pass(run, how):
    result = run(*how)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["baseline base.json: 4 same"])


@SERIAL_AND_PARALLEL
def test_a_grown_error_fails_a_run_whose_tests_pass(run, how):
    result = run(*how, one=3e-3)
    assert result.ret == 1
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "baseline base.json: 1 grew, 3 same",
            "  grew    test_a.py::test_one net: 1.0e-03 before, 3.0e-03 now (3 times)",
            "The run fails because an error grew. To accept it, add --equi-update-baseline.",
        ]
    )


def test_growth_below_the_floor_is_none(run):
    assert run(_1=9e-13).ret == 0


def test_the_ratio_decides(run):
    assert run(one=1.05e-3).ret == 0
    assert run("--equi-baseline-ratio=1.01", one=1.05e-3).ret == 1
    assert run("--equi-baseline-ratio=4", one=3e-3).ret == 0


@SERIAL_AND_PARALLEL
def test_an_update_accepts_what_grew(run, pytester, how):
    result = run("--equi-update-baseline", *how, one=3e-3)
    assert result.ret == 0
    assert error(pytester, ONE, "net") == 3e-3
    result.stdout.fnmatch_lines(["baseline base.json: 1 grew, 3 same", "*wrote base.json"])
    assert run(one=3e-3).ret == 0


@SERIAL_AND_PARALLEL
def test_new_and_unused_entries_are_listed_and_fail_nothing(run, suite, pytester, how):
    text = SUITE.replace("test_two", "test_three").replace('"c")', '"d")')
    suite(test_a=text)
    result = run(*how)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "baseline base.json: 1 same, 3 new, 3 unused",
            "  new     test_a.py::test_many[[]1] d: 1.0e-16 now, not in the baseline",
            "  new     test_a.py::test_many[[]2] d: *",
            "  new     test_a.py::test_three b: 2.0e-03 now, not in the baseline",
            "  unused  test_a.py::test_many[[]1] c: 1.0e-16 before, no longer measured",
            "  unused  test_a.py::test_many[[]2] c: *",
            "  unused  test_a.py::test_two b: *",
            "New and unused entries fail nothing; --equi-update-baseline brings the file up to date.",
        ]
    )
    assert run("--equi-update-baseline", *how).ret == 0
    assert sorted(entries(pytester)) == [*MANY, ONE, "test_a.py::test_three"]
    assert list(entries(pytester)[MANY[0]]) == ["d"]


@pytest.mark.parametrize(
    "part",
    [
        ["-k", "test_one"],
        ["test_a.py::test_one"],
        ["--deselect", "test_a.py::test_two", "--deselect", "test_a.py::test_many"],
        pytest.param(["-k", "test_one", "-n", "2"], marks=pytest.mark.long),
        pytest.param(["test_a.py::test_one", "-n", "2"], marks=pytest.mark.long),
    ],
    ids=" ".join,
)
def test_a_part_of_the_run_forgets_nothing(run, pytester, part):
    result = run(*part, "--equi-update-baseline", one=9e-3)
    result.stdout.fnmatch_lines(["baseline base.json: 1 grew, 3 not run"])
    assert error(pytester, ONE, "net") == 9e-3
    assert sorted(entries(pytester)) == sorted([ONE, TWO, *MANY])


def test_another_file_forgets_nothing(run, suite, pytester):
    suite(test_other="def test_x(): check()")
    result = run("test_other.py", "--equi-update-baseline")
    result.stdout.fnmatch_lines(["baseline base.json: 1 new, 4 not run"])
    assert len(entries(pytester)) == 5


def test_last_failed_forgets_nothing(run, pytester):
    assert run(one=0.5).ret == 1
    result = run("--lf", "--equi-update-baseline", one=0.5)
    result.stdout.fnmatch_lines(["baseline base.json: 1 grew, 3 not run"])
    assert len(entries(pytester)) == 4


@pytest.mark.parametrize("how", [("-x",), pytest.param(("-x", "-n", "1"), marks=pytest.mark.long)], ids=" ".join)
def test_a_run_that_stops_forgets_nothing(run, pytester, how):
    result = run(*how, "--equi-update-baseline", one=0.5)
    assert result.ret in (1, 2)
    assert len(entries(pytester)) == 4


def test_a_test_that_fails_or_skips_before_its_audit_is_not_unused(run, suite, pytester):
    text = SUITE.replace("def test_one():", "def test_one(): assert False;")
    suite(test_a=text.replace("def test_two():", "def test_two(): pytest.skip('x');"))
    result = run("--equi-update-baseline")
    result.stdout.fnmatch_lines(["baseline base.json: 2 same, 2 not run"])
    assert len(entries(pytester)) == 4


def test_a_file_that_does_not_import_is_not_unused(run, suite, pytester):
    suite(test_a="import no_such_module")
    run("--equi-update-baseline")
    assert len(entries(pytester)) == 4


def test_a_deleted_file_is_unused(run, suite, pytester):
    suite(test_other="def test_x(): check()")
    (pytester.path / "test_a.py").unlink()
    result = run("--equi-update-baseline")
    result.stdout.fnmatch_lines(["baseline base.json: 1 new, 4 unused"])
    assert sorted(entries(pytester)) == ["test_other.py::test_x"]


@SERIAL_AND_PARALLEL
def test_entries_of_a_shared_fixture(suite, pytester, how):
    text = """
    @pytest.fixture(scope="module")
    def model(): check(label="shared")
    def test_b(model): pass
    def test_c(): pass
    """
    suite(test_a=text)
    base = ["--equi-baseline=base.json", *how]
    pytester.runpytest(*base, "--equi-update-baseline")
    assert sorted(entries(pytester)) == ["test_a.py::fixture model"]
    pytester.runpytest(*base, "-k", "test_c").stdout.fnmatch_lines(
        ["baseline base.json: nothing to compare, 1 not run"]
    )
    pytester.runpytest(*base).stdout.fnmatch_lines(["baseline base.json: 1 same"])
    suite(test_a=text.replace("test_b(model)", "test_b()"))
    pytester.runpytest(*base).stdout.fnmatch_lines(["baseline base.json: 1 unused"])


@pytest.mark.long
def test_a_process_that_dies_forgets_nothing(run, suite, pytester):
    suite(test_a=SUITE.replace('check(ERRORS.get("two", 2e-3), "b")', "__import__('os')._exit(1)"))
    result = run("-n", "2", "--equi-update-baseline")
    assert result.ret == 1
    assert sorted(entries(pytester)) == sorted([ONE, TWO, *MANY])


def test_a_missing_file_fails_before_the_tests_and_says_how_to_make_one(suite, pytester):
    suite(test_a="def test_b(): check()")
    pytester.makeini("[pytest]\nequi_baseline = no such folder/base.json")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            'ERROR: --equi-baseline: there is no baseline *base.json; make one: pytest --equi-baseline "*" --equi-update-*'
        ]
    )
    assert pytester.runpytest_inprocess("--equi-update-baseline").ret == 0
    assert pytester.runpytest_inprocess().ret == 0


def test_a_report_serves_as_baseline(suite, pytester):
    suite(test_a="def test_b(): check(1e-3)")
    pytester.runpytest_inprocess("--equi-json=old.json")
    suite(test_a="def test_b(): check(2e-3)")
    assert pytester.runpytest_inprocess("--equi-baseline=old.json").ret == 1


def test_the_other_files_show_what_grew(run, pytester):
    pytest.importorskip("matplotlib")
    run("--equi-markdown=m.md", "--equi-report", one=3e-3)
    assert "| grew | 1.0e-03 before, 3.0e-03 now (3 times) | net |" in (pytester.path / "m.md").read_text()
    assert (pytester.path / "equi-report.html").exists()


def test_a_failed_run_stays_failed(run):
    result = run(one=0.5)
    assert result.ret == 1
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["baseline base.json: 1 grew, 3 same"])


@pytest.mark.parametrize("broken", ["class", "module", "module, going on"])
@pytest.mark.long
def test_after_errors_in_collection_nothing_is_dropped(run, suite, pytester, broken):
    (pytester.path / "test_a.py").unlink()
    suite(test_c="class TestC:\n    def test_d(self): check()\ndef test_e(): check()\n", test_f="def test_g(): check()")
    assert pytester.runpytest_inprocess("--equi-baseline=new.json", "--equi-update-baseline").ret == 0
    before = (pytester.path / "new.json").read_text()
    wrong = "class TestC:\n    def test_d(self): check()\n    @pytest.mark.parametrize('n', 3)\n    def test_x(self, n): pass\n"
    suite(test_c=wrong if broken == "class" else "import no_such_module")
    how = ["--continue-on-collection-errors"] if broken != "module" else []
    result = pytester.runpytest_inprocess("--equi-baseline=new.json", "--equi-update-baseline", *how)
    result.stdout.fnmatch_lines(["warning: *new.json was not written: test_c.py* could not be collected*"])
    assert (pytester.path / "new.json").read_text() == before
    result = pytester.runpytest_inprocess("--equi-baseline=new.json", *how)
    assert "unused  test_c.py::TestC" not in result.stdout.str()


def test_failures_that_are_as_before_are_named(suite, pytester):
    suite(test_a="def test_b(): check(0.5)\ndef test_c(): check()\ndef test_d(): announce(Audit(Verdict.INVALID))")
    pytester.runpytest_inprocess("--equi-baseline=base.json", "--equi-update-baseline")
    pytester.runpytest_inprocess("--equi-baseline=base.json").stdout.fnmatch_lines(
        ["baseline base.json: 3 same (1 BROKEN, 1 INVALID, as in the baseline)"]
    )


def test_a_disk_that_fills_while_the_baseline_is_written_leaves_the_old_one(run, pytester, monkeypatch):
    before = (pytester.path / "base.json").read_text()

    def fill(self, text, **kwargs):
        with self.open("w") as file:
            file.write(text[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", fill)
    from equiaudit.report.baseline import Baseline, write_baseline

    with pytest.raises(OSError, match="No space"):
        write_baseline(Baseline(), pytester.path / "base.json")
    assert (pytester.path / "base.json").read_text() == before
    assert not [p for p in pytester.path.iterdir() if p.name.startswith(".base")]
