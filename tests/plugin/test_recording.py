"""What is recorded, under which name, and with which outcome."""

from __future__ import annotations

import importlib.util
import re

import pytest

from tests.plugin import SERIAL_AND_PARALLEL

needs_hypothesis = pytest.mark.skipif(not importlib.util.find_spec("hypothesis"), reason="hypothesis not installed")
FACTS = ("nodeid", "label", "verdict", "outcome", "phase")


def test_an_audit_in_a_test_needs_no_fixture(suite, pytester, rows):
    suite(test_a="def test_b(): check()")
    assert pytester.runpytest_inprocess("--equi-report").ret == 0
    assert rows(*FACTS) == [("test_a.py::test_b", "net", "EXACT", "passed", "call")]


@SERIAL_AND_PARALLEL
def test_every_outcome_is_named(suite, pytester, rows, how):
    suite(
        test_a="""
        def test_passes(): check()
        def test_fails(): check(0.5)
        def test_fails_otherwise():
            check()
            assert False
        @pytest.mark.xfail(reason="a sample failure that is expected")
        def test_known(): check(0.5)
        @pytest.mark.xfail(reason="a sample that passes unexpectedly")
        def test_mended(): check()
        def test_skips():
            check()
            pytest.skip("enough")
        def test_expects():
            with pytest.raises(AssertionError):
                check(0.5)
        @pytest.fixture
        def bad(): check(0.5, "in setup")
        def test_setup(bad): pass
        @pytest.fixture
        def late():
            yield
            check(0.5, "in teardown")
        def test_teardown(late): check()
        """
    )
    pytester.runpytest("--equi-report", *how)
    assert rows(*FACTS) == [
        ("test_a.py::test_expects", "net", "BROKEN", "passed", "call"),
        ("test_a.py::test_fails", "net", "BROKEN", "failed", "call"),
        ("test_a.py::test_fails_otherwise", "net", "EXACT", "failed", "call"),
        ("test_a.py::test_known", "net", "BROKEN", "xfailed", "call"),
        ("test_a.py::test_mended", "net", "EXACT", "xpassed", "call"),
        ("test_a.py::test_passes", "net", "EXACT", "passed", "call"),
        ("test_a.py::test_setup", "in setup", "BROKEN", "error", "setup"),
        ("test_a.py::test_skips", "net", "EXACT", "skipped", "call"),
        ("test_a.py::test_teardown", "net", "EXACT", "error", "call"),
        ("test_a.py::test_teardown", "in teardown", "BROKEN", "error", "teardown"),
    ]


def test_equal_labels_of_one_test_are_numbered(suite, pytester, rows):
    suite(
        test_a="""
        def test_b():
            for label in ("net", "net", "net #2", "other", "net"):
                check(label=label)
        """
    )
    pytester.runpytest_inprocess("--equi-report")
    assert [label for (label,) in rows("label")] == ["net", "net #2", "net #2 #2", "other", "net #3"]


def test_unittest_classes_and_parameters(suite, pytester, rows):
    suite(
        test_a="""
        class TestModels(unittest.TestCase):
            @classmethod
            def setUpClass(cls): check(label="class")
            def setUp(self): check(label="set up")
            def test_one(self):
                check()
                with self.subTest("first"):
                    check(label="sub")
        @pytest.mark.parametrize("label", ["<script>", "a b", "π"])
        def test_many(label): check(label=label)
        class TestPlain:
            def test_two(self): check()
        """
    )
    assert pytester.runpytest_inprocess("--equi-report").ret == 0
    assert rows("nodeid", "label") == [
        ("test_a.py::TestModels::fixture setUpClass", "class"),
        ("test_a.py::TestModels::test_one", "set up"),
        ("test_a.py::TestModels::test_one", "net"),
        ("test_a.py::TestModels::test_one", "sub"),
        ("test_a.py::TestPlain::test_two", "net"),
        ("test_a.py::test_many[<script>]", "<script>"),
        ("test_a.py::test_many[\\u03c0]", "π"),
        ("test_a.py::test_many[a b]", "a b"),
    ]


@SERIAL_AND_PARALLEL
def test_a_shared_fixture_records_under_its_own_name(suite, pytester, rows, how):
    pytester.makeini("[pytest]\nequi_effort = quick")
    suite(
        test_a="""
        @pytest.fixture(scope="session")
        def trained(): check(label="trained")
        @pytest.fixture(scope="module", params=["a", "b"])
        def model(request, trained): check(label=request.param); check(0.5, request.param, tolerance=1)
        @pytest.fixture
        def own(request): request.getfixturevalue("model"); check(label="own")
        @pytest.mark.equi(seed=3)
        @pytest.mark.parametrize("n", range(6))
        def test_b(own, model, n): assert current() == {"effort": "quick", "seed": 3}
        """
    )
    assert pytester.runpytest("--equi-report", *how).ret == 0
    found = [r for r in rows("nodeid", "label", "phase", "seed", "effort", "outcome") if r[2] == "fixture"]
    assert found == [
        ("test_a.py::fixture model[a]", "a", "fixture", 0, "quick", "passed"),
        ("test_a.py::fixture model[a]", "a #2", "fixture", 0, "quick", "passed"),
        ("test_a.py::fixture model[b]", "b", "fixture", 0, "quick", "passed"),
        ("test_a.py::fixture model[b]", "b #2", "fixture", 0, "quick", "passed"),
        ("test_a.py::fixture trained", "trained", "fixture", 0, "quick", "passed"),
    ]
    assert len([r for r in rows("label", "seed") if r == ("own", 3)]) == 12


def test_audits_outside_any_test_are_not_recorded(suite, pytester, rows):
    suite(test_a="check(label='at import')\ndef test_b(): check()")
    pytester.runpytest_inprocess("--equi-report")
    assert rows("label") == [("net",)]


@needs_hypothesis
@SERIAL_AND_PARALLEL
def test_under_given_the_worst_passing_example_stands_for_all(suite, pytester, report, how):
    suite(
        test_a="""
        from hypothesis import given, settings, strategies as st
        @settings(max_examples=30, database=None, derandomize=True)
        @given(n=st.integers(0, 9))
        def test_b(equi, n): check(n * 1e-13, label="net"); check(label="other")
        """
    )
    result = pytester.runpytest("--equi-report", "-W", "error", *how)
    assert result.ret == 0
    first, second = report()["records"]
    assert (first["label"], second["label"]) == ("net", "other")
    assert first["error"] == pytest.approx(9e-13)
    assert first["audits"] == second["audits"] > 5
    assert first["notes"] == [f"the worst of {first['audits']} examples"]


@needs_hypothesis
def test_under_given_the_smallest_failing_example_stands_for_all(suite, pytester, report):
    suite(
        test_a="""
        from hypothesis import given, settings, strategies as st
        @settings(max_examples=50, database=None, derandomize=True)
        @given(n=st.integers(0, 1000))
        def test_b(n): check(n / 1000, tolerance=0.1)
        """
    )
    assert pytester.runpytest_inprocess("--equi-report").ret == 1
    (found,) = report()["records"]
    assert found["error"] == pytest.approx(0.101)
    assert "which hypothesis shrank" in found["notes"][0]
    assert found["audits"] > 10


@pytest.mark.long
def test_a_label_that_no_file_can_hold_is_spelt_out(suite, pytester, report):
    suite(test_a="def test_b(): check(label='a\\ud800\\x00\\n')")
    assert pytester.runpytest("--equi-report", "--junitxml=j.xml", "-n", "1").ret == 0
    assert report()["records"][0]["label"] == "a\\ud800\\x00\\n"
    import xml.etree.ElementTree as tree

    assert [p.get("value") for p in tree.parse(pytester.path / "j.xml").iter("property")][-1].startswith("a\\ud800")


@pytest.mark.long
def test_numbers_of_other_libraries_cross_to_the_controller(suite, pytester, rows):
    suite(
        test_a="""
        import numpy
        def test_b():
            announce(Audit(Verdict.EXACT, error=numpy.float32(0.5), seed=numpy.int64(3), label=numpy.str_("net")))
        """
    )
    assert pytester.runpytest("--equi-report", "-n", "1").ret == 0
    assert rows("label", "error", "seed") == [("net", 0.5, 3)]


def test_what_is_not_finite_is_null_with_a_status(suite, pytester, rows):
    suite(
        test_a="""
        def test_b():
            announce(Audit(Verdict.INVALID, error=math.nan, label="nan"))
            announce(Audit(Verdict.INVALID, cause="not finite", label="early"))
            announce(Audit(Verdict.VACUOUS, label="zero"))
            check()
        """
    )
    pytester.runpytest_inprocess("--equi-report")
    assert rows("label", "error", "status") == [
        ("nan", None, "not finite"),
        ("early", None, "not finite"),
        ("zero", None, "no number"),
        ("net", 1e-16, "measured"),
    ]


@SERIAL_AND_PARALLEL
def test_of_reruns_the_last_counts(suite, pytester, rows, how):
    pytest.importorskip("pytest_rerunfailures")
    suite(
        test_a="""
        from pathlib import Path
        def test_b():
            tries = Path(__file__).with_name("tries")
            n = len(tries.read_text()) if tries.exists() else 0
            tries.write_text("x" * (n + 1))
            check(0.5 if n < 2 else 1e-3)
        """
    )
    result = pytester.runpytest("--equi-report", "--reruns", "5", "--junitxml=j.xml", *how)
    assert result.ret == 0
    assert rows("verdict", "outcome", "tries") == [("APPROXIMATE", "passed", 3)]
    said = re.findall(r'value="(net: \w+)', (pytester.path / "j.xml").read_text())
    assert said == ["net: BROKEN", "net: BROKEN", "net: APPROXIMATE"]  # JUnit lists every try, each with its own
    result.stdout.fnmatch_lines(["*test_a.py::test_b net (tries: 3)*"])


@pytest.mark.long
def test_an_inner_pytest_keeps_its_audits_to_itself(suite, pytester, rows):
    suite(
        test_a="""
        pytest_plugins = ["pytester"]
        def test_b(pytester):
            check()
            pytester.makepyfile(HEAD + "def test_inner(): check(label='inner')")
            assert pytester.runpytest_inprocess("--equi-json=inner.json").ret == 0
            assert '"inner"' in pytester.path.joinpath("inner.json").read_text()
        """.replace("HEAD", "open(__file__).read().partition('pytest_plugins')[0]")
    )
    assert pytester.runpytest_subprocess("--equi-report", "-p", "pytester").ret == 0
    assert rows("label") == [("net",)]
