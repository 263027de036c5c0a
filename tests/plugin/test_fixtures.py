"""Fixtures that several tests share: a name for each, and what became of their setup."""

from __future__ import annotations

import pytest


def test_fixtures_of_one_name_have_records_of_their_own(suite, pytester, rows):
    suite(
        test_a="""
        class TestA:
            @pytest.fixture(scope="module")
            def model(self): check(0.5, tolerance=1)
            def test_a(self, model): pass
        class TestB:
            @pytest.fixture(scope="module")
            def model(self): check()
            def test_b(self, model): pass
        @pytest.fixture(scope="module")
        def ind(request): check(request.param * 1e-14)
        @pytest.mark.parametrize("ind", [0.1], indirect=True)
        def test_c(ind): pass
        @pytest.mark.parametrize("ind", [0.2], indirect=True)
        def test_d(ind): pass
        """
    )
    pytester.runpytest_inprocess("--equi-report")
    assert rows("nodeid", "verdict", "error") == [
        ("test_a.py::TestA::fixture model", "APPROXIMATE", 0.5),
        ("test_a.py::TestB::fixture model", "EXACT", 1e-16),
        ("test_a.py::fixture ind[0.1]", "EXACT", pytest.approx(1e-15)),
        ("test_a.py::fixture ind[0.2]", "EXACT", pytest.approx(2e-15)),
    ]


def test_parameters_name_fixtures_that_depend_on_them(suite, pytester, rows):
    suite(
        test_a="""
        class Net: pass
        @pytest.fixture(scope="module", params=[4, "a", (1, 2.5), Net(), Net(), "4"])
        def size(request): return request.param
        @pytest.fixture(scope="module")
        def model(size): check()
        def test_a(model): pass
        """
    )
    pytester.runpytest_inprocess("--equi-report").assert_outcomes(passed=6)
    names = [nodeid.partition("fixture ")[2] for (nodeid,) in rows("nodeid")]
    assert names == ["model[(1, 2.5)]", "model[4#0]", "model[4#5]", "model[Net3]", "model[Net4]", "model[a]"]


def test_a_shared_fixture_has_the_outcome_of_its_setup(suite, pytester, rows, report):
    suite(
        test_a="""
        def bad(label): return announce(Audit(Verdict.BROKEN, error=0.5, floor=1e-12, label=label))
        @pytest.fixture(scope="module")
        def kept(): return bad("kept")
        @pytest.fixture(scope="module")
        def failed(): bad("failed"); assert 0
        @pytest.fixture(scope="module")
        def skipped(): bad("skipped"); pytest.skip("no device")
        def test_a(kept): assert kept.verdict is Verdict.BROKEN
        def test_b(failed): pass
        def test_c(skipped): pass
        """
    )
    result = pytester.runpytest_inprocess("--equi-report")
    result.assert_outcomes(passed=1, errors=1, skipped=1)
    assert rows("label", "outcome") == [("failed", "error"), ("kept", "passed"), ("skipped", "skipped")]
    result.stdout.fnmatch_lines(["3 audits: 3 BROKEN (2 expected); 1 failed"])


def test_a_fixture_that_fails_between_its_audits_loses_no_entry(suite, pytester):
    text = """
    @pytest.fixture(scope="module")
    def two(): check(label="f1"); BETWEEN; check(label="f2")
    def test_a(two): pass
    """
    base = "--equi-baseline=base.json", "--equi-update-baseline"
    suite(test_a=text.replace("BETWEEN", "pass"))
    pytester.runpytest_inprocess(*base)
    suite(test_a=text.replace("BETWEEN", "assert 0"))
    pytester.runpytest_inprocess(*base).stdout.fnmatch_lines(["baseline base.json: 1 same, 1 not run"])
    assert '"f2"' in (pytester.path / "base.json").read_text()
    suite(test_a=text.replace("BETWEEN", "return"))
    pytester.runpytest_inprocess(*base).stdout.fnmatch_lines(["baseline base.json: 1 same, 1 unused"])


def test_of_a_fixture_too_the_last_try_counts(suite, pytester, rows):
    pytest.importorskip("pytest_rerunfailures")
    suite(
        test_a="""
        tries = []
        @pytest.fixture(scope="module")
        def model():
            tries.append(1)
            check(0.5 if len(tries) == 1 else 1e-16)
        def test_a(model): pass
        def test_b(model): pass
        """
    )
    assert pytester.runpytest_inprocess("--equi-report", "--reruns", "2").ret == 0
    assert rows("verdict", "outcome") == [("EXACT", "passed")]
