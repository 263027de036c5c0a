"""What counts as a failure, and what is kept of tests that end in another way."""

from __future__ import annotations

import pytest

BAD = "announce(Audit(Verdict.BROKEN, error=0.5, floor=1e-12, label='net'))"


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        (f"def test_b(): {BAD}; pytest.skip('known')", "skipped"),
        (f"@pytest.mark.xfail\ndef test_b(): {BAD}", "xpassed"),
        (f"def test_b(): {BAD}", "passed"),
    ],
    ids=["skipped", "xpassed", "passed"],
)
def test_a_test_that_does_not_fail_expected_its_audits(suite, pytester, rows, test, outcome):
    suite(test_a=test)
    result = pytester.runpytest_inprocess("--equi-report")
    assert result.ret == 0
    assert rows("outcome") == [(outcome,)]
    result.stdout.fnmatch_lines(["1 audit: 1 BROKEN (1 expected); none failed"])
    assert "Run the first of them" not in result.stdout.str()


def test_a_strict_xpass_is_a_failure(suite, pytester, rows):
    suite(test_a=f"@pytest.mark.xfail(strict=True)\ndef test_b(): {BAD}")
    pytester.runpytest_inprocess("--equi-report").stdout.fnmatch_lines(["1 audit: 1 BROKEN; 1 failed"])
    assert rows("outcome") == [("failed",)]


def test_subtests_do_not_decide_what_became_of_the_test(suite, pytester, rows):
    suite(
        test_a=f"""
        class TestA(unittest.TestCase):
            def test_skips(self):
                {BAD}
                with self.subTest("one"): self.skipTest("later")
                with self.subTest("two"): pass
            def test_fails(self):
                {BAD}
                with self.subTest("one"): assert 0
                with self.subTest("two"): pass
        """
    )
    pytester.runpytest_inprocess("--equi-report")
    assert rows("nodeid", "outcome") == [
        ("test_a.py::TestA::test_fails", "failed"),
        ("test_a.py::TestA::test_skips", "passed"),
    ]


def test_a_test_that_is_interrupted_keeps_its_audits(suite, pytester, rows):
    suite(
        test_a="""
        @pytest.fixture
        def early(): check(label="in setup")
        def test_1(): check()
        def test_2(early):
            check(0.5, "before", tolerance=1)
            raise KeyboardInterrupt
        """
    )
    result = pytester.runpytest_inprocess("--equi-report", no_reraise_ctrlc=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert rows("label", "phase", "outcome") == [
        ("net", "call", "passed"),
        ("in setup", "setup", "interrupted"),
        ("before", "call", "interrupted"),
    ]


@pytest.mark.long
def test_a_process_that_dies_and_a_try_that_passes(suite, pytester, report):
    pytest.importorskip("pytest_rerunfailures")
    suite(
        test_a="""
        import os
        def test_crash_once():
            check()
            if not os.path.exists("flag"):
                open("flag", "w").close()
                os._exit(1)
        """
    )
    result = pytester.runpytest("--equi-report", "--equi-markdown=m.md", "-n", "1", "--reruns", "3")
    assert result.ret == 0
    data = report()
    assert (data.get("crashed"), data["retried"]) == (None, ["test_a.py::test_crash_once"])
    assert [(r["tries"], r["outcome"]) for r in data["records"]] == [(2, "passed")]
    result.stdout.fnmatch_lines(["a process died in test_a.py::test_crash_once, which was tried again (tries: 2)"])
    assert "are lost" not in result.stdout.str() + (pytester.path / "m.md").read_text()


def test_a_marker_that_a_fixture_adds_holds(suite, pytester):
    suite(
        test_a="""
        @pytest.fixture
        def seeded(request): request.node.add_marker(pytest.mark.equi(seed=5))
        @pytest.fixture
        def wrong(request): request.node.add_marker(pytest.mark.equi(sead=5))
        def test_b(seeded): assert current() == {"seed": 5}
        def test_c(wrong): pass
        def test_d(): assert current() == {}
        """
    )
    result = pytester.runpytest_inprocess("--equi-report")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["test_a.py::test_c: @pytest.mark.equi: unknown option 'sead'; there are *"])
