"""Audits in threads: steps of one search stay unheard, and nothing else does."""

from __future__ import annotations

THREADS = """
import threading
from equiaudit.ambient import unheard

def search(label, started, go_on):
    with unheard():
        check(label="a step")
        started.set()
        assert go_on.wait(60)
        check(label="a step")
    check(label=label)

def test_searches_that_overlap():
    a, b, c, d = (threading.Event() for _ in range(4))
    first = threading.Thread(target=search, args=("first", a, b))
    second = threading.Thread(target=search, args=("second", c, d))
    first.start(); a.wait(60); second.start(); c.wait(60)
    b.set(); first.join(60)
    d.set(); second.join(60)

def test_another_thread_is_heard_meanwhile():
    started, go_on = threading.Event(), threading.Event()
    other = threading.Thread(target=search, args=("search", started, go_on))
    other.start(); started.wait(60)
    check(label="meanwhile")
    go_on.set(); other.join(60)

def test_after(): check(0.5, "after")
"""


def test_searches_in_threads_silence_neither_each_other_nor_what_follows(suite, pytester, rows):
    suite(test_a=THREADS)
    pytester.runpytest_inprocess("--equi-report").assert_outcomes(passed=2, failed=1)
    assert rows("nodeid", "label") == [
        ("test_a.py::test_after", "after"),
        ("test_a.py::test_another_thread_is_heard_meanwhile", "meanwhile"),
        ("test_a.py::test_another_thread_is_heard_meanwhile", "search"),
        ("test_a.py::test_searches_that_overlap", "first"),
        ("test_a.py::test_searches_that_overlap", "second"),
    ]


def test_threads_take_the_options_of_the_test(suite, pytester):
    suite(
        test_a="""
        import threading
        from equiaudit.ambient import defaults
        @pytest.mark.equi(seed=3)
        def test_b():
            seen = []
            with defaults(effort="quick"):  # of this thread only
                other = threading.Thread(target=lambda: seen.append(current()))
                other.start(); other.join(60)
                assert current() == {"seed": 3, "effort": "quick"}
            assert seen == [{"seed": 3}]
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=1)
