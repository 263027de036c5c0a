"""Options of audits: where they may come from, which wins, and what is refused."""

from __future__ import annotations

import importlib.util
import inspect

import pytest

from equiaudit.ambient import OPTIONS
from pytest_equiaudit.options import AUDIT, MARKER, PATHS, RATIO

SHOW = "def test_b(): check(label=repr(sorted(current().items())))"


def found(rows):
    ((label,),) = rows("label")
    return dict(eval(label))


@pytest.mark.parametrize(
    ("ini", "marker", "line", "effort"),
    [
        ("", "", [], None),
        ("equi_effort = quick", "", [], "quick"),
        ("equi_effort = quick", "@pytest.mark.equi(effort='default')\n", [], "default"),
        ("equi_effort = quick", "@pytest.mark.equi(effort='default')\n", ["--equi-effort=thorough"], "thorough"),
        ("equi_effort = quick", "", ["--equi-effort", "thorough"], "thorough"),
    ],
)
def test_the_command_line_wins_over_the_marker_over_the_ini_file(suite, pytester, rows, ini, marker, line, effort):
    pytester.makeini(f"[pytest]\n{ini}")
    suite(test_a=marker + SHOW)
    assert pytester.runpytest_inprocess("--equi-report", *line).ret == 0
    assert found(rows).get("effort") == effort


@pytest.mark.long
def test_a_keyword_of_the_call_wins_over_the_command_line(pytester):
    pytester.makepyfile(
        """
        import torch
        from equiaudit import Symmetry
        from equiaudit.groups import SO

        def test_b(equi):
            turns = Symmetry(SO(3), "vector", "vector")
            assert equi.audit(lambda x: 2 * x, torch.ones(5, 3), turns, effort="quick").effort == "quick"
            assert equi.audit(lambda x: 2 * x, torch.ones(5, 3), turns).effort == "thorough"
            assert equi.options == {"effort": "thorough", "seed": 2}
        """
    )
    assert pytester.runpytest_subprocess("--equi-effort=thorough", "--equi-seed=2").ret == 0


def test_the_closest_marker_wins(suite, pytester, rows):
    suite(
        test_a="""
        pytestmark = pytest.mark.equi(seed=1, effort="quick")
        @pytest.mark.equi(seed=2, atol=0.5)
        class TestA:
            @pytest.mark.equi(seed=3)
            def test_b(self): check(label=repr(sorted(current().items())))
        """
    )
    assert pytester.runpytest_inprocess("--equi-report").ret == 0
    assert found(rows) == {"seed": 3, "atol": 0.5, "effort": "quick"}


def test_options_hold_in_setup_and_teardown_and_end_with_the_test(suite, pytester):
    suite(
        test_a="""
        @pytest.fixture
        def around():
            assert current() == {"seed": 3}
            yield
            assert current() == {"seed": 3}
        @pytest.mark.equi(seed=3)
        def test_b(around): assert current() == {"seed": 3}
        def test_c(): assert current() == {}
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("efort='quick'", "unknown option 'efort'; there are atol, derivative, effort"),
        ("'quick'", "takes keywords only, got 'quick'"),
        ("label='x'", "unknown option 'label'"),
    ],
)
def test_a_marker_with_an_unknown_option_is_refused_and_names_the_test(suite, pytester, marker, said):
    suite(test_a=f"@pytest.mark.equi({marker})\ndef test_b(): check()\ndef test_c(): check()")
    result = pytester.runpytest_inprocess("--equi-report")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: test_a.py::test_b: @pytest.mark.equi*{said}*"])
    assert not (pytester.path / "equi-report.json").exists()


@pytest.mark.long
def test_in_parallel_that_test_fails_with_the_same_words(suite, pytester):
    suite(test_a="@pytest.mark.equi(efort=1)\ndef test_b(): check()\ndef test_c(): check()")
    result = pytester.runpytest("-n", "2")
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["test_a.py::test_b: @pytest.mark.equi: unknown option 'efort'; there are *"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--equi-effort=much"], "--equi-effort: expected quick, default or thorough, got 'much'"),
        (["--equi-seed=-1"], "--equi-seed: expected a whole number that is not negative, got '-1'"),
        (["-o", "equi_layers=perhaps"], "equi_layers: expected true or false, got 'perhaps'"),
        (["--equi-json="], "--equi-json: expected a path, got an empty string (is the variable set?)"),
        (["--equi-json=."], "--equi-json: * is a folder; name a file in it"),
        (["--equi-html=test_a.py/page.html"], "--equi-html: * can't be written: *test_a.py is not a folder"),
        (["--equi-markdown=new/deep/.."], "--equi-markdown: * is a folder; name a file in it"),
        (["--equi-update-baseline"], "--equi-update-baseline needs --equi-baseline PATH (or equi_baseline in the ini*"),
        (["--equi-baseline=b.json"], "--equi-baseline: there is no baseline *b.json; make one: pytest *"),
        (["--equi-baseline=test_a.py"], "--equi-baseline: *test_a.py: expected a baseline, which is JSON: *"),
        (["--equi-baseline-ratio=0.5"], "--equi-baseline-ratio: expected a number from 1 up, got '0.5'"),
        (["--equi-baseline-ratio=x"], "--equi-baseline-ratio: expected a number from 1 up, got 'x'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_first_test(suite, pytester, line, said):
    (pytester.path / "new" / "deep").mkdir(parents=True)
    suite(test_a="def test_b(): open('ran', 'w')")
    result = pytester.runpytest_inprocess(*line)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said.replace('[', '[[]')}"])
    assert not (pytester.path / "ran").exists()


def test_a_page_without_its_libraries_is_refused_before_the_first_test(suite, pytester, monkeypatch):
    suite(test_a="def test_b(): check()")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "jinja2" else find(name, *a))
    result = pytester.runpytest_inprocess("--equi-html=a.html")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(['ERROR: --equi-html needs jinja2*; from the checkout: pip install -e ".[[]report]"'])


def test_every_option_is_an_ini_key_too(suite, pytester, rows):
    pytester.makeini(
        """
        [pytest]
        equi_report = true
        equi_markdown = out/summary.md
        equi_seed = 5
        equi_effort = quick
        equi_layers = yes
        equi_perturb = false
        """
    )
    suite(test_a=SHOW)
    assert pytester.runpytest_inprocess().ret == 0
    assert found(rows) == {"seed": 5, "effort": "quick", "layers": True, "perturb": False}
    assert (pytester.path / "out" / "summary.md").exists()


def test_paths_of_the_ini_file_are_beside_it_and_of_the_line_here(suite, pytester):
    suite(test_a="def test_b(): check()")
    pytester.makeini("[pytest]\nequi_json = ini.json")
    below = pytester.mkdir("below")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(below)
        assert pytester.runpytest_inprocess("..", "--equi-markdown=line.md").ret == 0
    assert (pytester.path / "ini.json").exists()
    assert (below / "line.md").exists()


def test_the_flag_takes_no_value(suite, pytester):
    suite(test_a="def test_b(): check()", test_c="def test_d(): check()")
    pytester.runpytest_inprocess("--equi-report", "test_a.py").assert_outcomes(passed=1)


def test_the_flag_can_be_off_again(suite, pytester):
    pytester.makeini("[pytest]\nequi_report = true")
    suite(test_a="def test_b(): check()")
    pytester.runpytest_inprocess("-o", "equi_report=false")
    assert not (pytester.path / "equi-report.json").exists()


def test_help_and_markers_name_everything(pytester):
    text = pytester.runpytest_inprocess("--help").stdout.str()
    for name in (*PATHS, *AUDIT, "report", "update-baseline", "baseline-ratio"):
        assert f"--equi-{name}" in text
        assert name == "update-baseline" or f"equi_{name.replace('-', '_')} (" in text
    assert all(option in MARKER for option in OPTIONS)
    pytester.runpytest_inprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.equi(*"])


def test_options_of_a_run_are_options_of_audits():
    assert set(AUDIT) <= set(OPTIONS)


def test_the_ratio_is_that_of_baselines():
    from equiaudit.report import baseline

    assert RATIO == baseline.RATIO


def test_the_fixture_offers_what_the_library_does(pytester):
    from pytest_equiaudit.plugin import Equi

    names = {n for n, value in inspect.getmembers(Equi) if not n.startswith("_")}
    assert names == {"assert_equivariant", "assert_invariant", "audit", "confirm_equivariant", "options"}


def test_the_fixture_serves_unittest(suite, pytester, rows):
    suite(
        test_a="""
        class TestA(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _equi(self, equi): self.equi = equi
            @pytest.mark.equi(seed=4)
            def test_b(self): check(); assert self.equi.options == {"seed": 4}
        """
    )
    assert pytester.runpytest_inprocess("--equi-report", "--strict-markers").ret == 0
    assert rows("seed") == [(4,)]
