"""The Markdown summary: what it says, that it appends, and that names in it stay names."""

from __future__ import annotations

import pytest

from equiaudit.records import Audit, Verdict
from equiaudit.report.baseline import Baseline, Mark, compare
from equiaudit.report.json import Record, Report
from equiaudit.report.markdown import ROWS, TEXTS, append_markdown, escape, render_markdown


def test_failures_stand_in_a_table_with_their_text(make):
    text = render_markdown([Record(make(), "tests/test_a.py::test_b", outcome="failed"), Record(Audit(Verdict.EXACT))])
    assert "2 audits: 1 EXACT, 1 BROKEN. 1 failed." in text
    assert "| BROKEN | 2.8e-04 | 2.0e-11 | mix | leaky | <code>tests/test\\_a.py\\:\\:test\\_b</code> |" in text
    assert "```text\nBROKEN: leaky is not equivariant under E(3)" in text


def test_what_a_test_expects_is_no_failure(make):
    text = render_markdown([Record(make(), "t", outcome="xfailed"), Record(make(), "u", outcome="passed")])
    assert "2 audits: 2 BROKEN (2 expected). None failed." in text
    assert "|" not in text


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a|b", "a`b", "[x](javascript:1)", "line\nbreak", "# x"])
def test_a_name_stays_a_name(make, name):
    text = render_markdown([Record(make(label=name), f"t.py::{name}", outcome="failed")])
    assert "<script>" not in text.partition("```text")[0]
    rows = [line for line in text.splitlines() if line.startswith("| BROKEN")]
    assert len(rows) == 1
    assert rows[0].replace("\\|", "").count("|") == 7
    for special in "`[#":
        assert rows[0].count(special) == rows[0].count("\\" + special)


def test_a_text_can_not_leave_its_fence(make):
    text = render_markdown([Record(make(reason="x\n```\n<b>"), "t", outcome="failed")])
    assert "\n````text\n" in text


def test_long_reports_are_cut_and_say_so(make):
    records = [Record(make(), f"t{n}", outcome="failed") for n in range(ROWS + 5)]
    text = render_markdown(records)
    assert "5 more are in the report." in text
    assert text.count("<details>") == TEXTS
    assert len(text) < 100_000


def test_it_appends(make, tmp_path):
    path = tmp_path / "summary.md"
    path.write_text("# Job\n")
    append_markdown([make()], path)
    append_markdown([make(label="\udc80 π")], path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# Job\n")
    assert text.count("## Equivariance") == 2
    assert "π" in text


def test_trouble_is_told(make):
    text = render_markdown(Report((Record(make()),), crashed=("t.py::test_c",), interrupted="KeyboardInterrupt"))
    assert "Interrupted: KeyboardInterrupt." in text
    assert "A process died in" in text


def test_changes_against_a_baseline_are_listed(make):
    old = Baseline({("t", "leaky"): Mark(Verdict.BROKEN, 1e-4, 1e-11), ("t", "old"): Mark(Verdict.EXACT, 0.0, 1e-11)})
    records = [Record(make(), "t", outcome="passed"), Record(make(label="fresh"), "t", outcome="passed")]
    text = render_markdown(records, compare(old, records, "base.json"))
    assert "0 as before, 1 grew; 0 did not run." in text
    assert "| grew | 1.0e-04 before, 2.8e-04 now (2.8 times) | leaky |" in text
    assert "| new | 2.8e-04 now, not in the baseline | fresh |" in text
    assert "| unused | 0 before, no longer measured | old |" in text


def test_escape_leaves_words_alone():
    assert escape("model net 2") == "model net 2"


def test_failures_stand_worst_first_and_those_without_text_are_counted():
    audits = [Audit(Verdict.BROKEN, error=n / 100, floor=1e-12, label=f"net{n}") for n in range(1, 13)]
    text = render_markdown(audits)
    assert text.index("net12") < text.index("net11") < text.index("net1 ")
    assert text.count("<details>") == 10
    assert "The full text of 2 more failures is in the report." in text
    assert "more failure" not in render_markdown(audits[:10])
