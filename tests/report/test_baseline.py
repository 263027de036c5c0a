"""Baselines: what counts as grown, what stays, what the file holds, what is refused."""

from __future__ import annotations

import json

import pytest

from equiaudit.records import Audit, Verdict
from equiaudit.report.baseline import Baseline, Change, Mark, compare, mark, read_baseline, updated, write_baseline
from equiaudit.report.json import Record, Report, make_report, write_json

KEY = ("test_a.py::test_b", "net")


def record(error, floor=1e-12, verdict=Verdict.APPROXIMATE, key=KEY):
    return Record(Audit(verdict, error=error, floor=floor, label=key[1]), nodeid=key[0])


def status(before, now, **options):
    (change,) = compare(Baseline({KEY: mark(before)}), [now], **options).changes
    return change.status


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        (record(1e-3), record(1.2e-3), "grew"),
        (record(1e-3), record(1.05e-3), "same"),  # another machine, another release
        (record(1.2e-3), record(1e-3), "shrank"),
        (record(1e-16, verdict=Verdict.EXACT), record(9e-13, verdict=Verdict.EXACT), "same"),  # both below the floor
        (record(1e-16, verdict=Verdict.EXACT), record(0.5, verdict=Verdict.BROKEN), "grew"),
        (record(0.0, 0.0, Verdict.EXACT), record(0.0, 0.0, Verdict.EXACT), "same"),  # permutations: no rounding at all
        (record(0.0, 0.0, Verdict.EXACT), record(1e-9, 0.0, Verdict.BROKEN), "grew"),
        (record(1e-3, 1e-3), record(2.5e-3, 1e-3), "same"),  # two floors explain that much
        (record(1e-3, 1e-3), record(3.5e-3, 1e-3), "grew"),
        (record(1e-3, 1e-12), record(3e-3, 3e-3), "same"),  # measured more coarsely now
        (record(1e-3), record(None, None, Verdict.INVALID), "grew"),
        (record(1e-3), record(None, None, Verdict.VACUOUS), "grew"),
        (record(None, None, Verdict.INVALID), record(1e-3), "shrank"),
        (record(None, None, Verdict.INVALID), record(None, None, Verdict.INVALID), "same"),
        (record(1e-3), record(float("nan"), 1e-12, Verdict.INVALID), "grew"),
        (record(1e-3), record(float("inf"), 1e-12, Verdict.BROKEN), "grew"),
    ],
)
def test_growth_is_more_than_both_floors_and_more_than_the_ratio(before, now, found):
    assert status(before, now) == found


def test_the_ratio_can_be_set():
    assert status(record(1e-3), record(1.2e-3), ratio=1.5) == "same"
    assert status(record(1e-3), record(1.05e-3), ratio=1.0) == "grew"


def test_new_and_unused_are_listed_after_what_grew():
    old = {KEY: Mark(Verdict.EXACT, 1e-16, 1e-12), ("test_a.py::test_gone", "net"): Mark(Verdict.EXACT, 0.0, 1e-12)}
    now = [record(0.5, verdict=Verdict.BROKEN), record(0.1, key=("test_a.py::test_new", "net"))]
    found = compare(Baseline(old), [*now, Record(Audit(Verdict.EXACT))], "base.json")
    assert [(c.status, c.nodeid) for c in found.changes] == [
        ("grew", "test_a.py::test_b"),
        ("new", "test_a.py::test_new"),
        ("unused", "test_a.py::test_gone"),
    ]
    assert found.grew == found.having("grew") == found.changes[:1]
    assert found.find(*KEY) is found.changes[0]
    assert found.find("test_a.py::test_b", "other") is None
    assert (found.path, found.unseen) == ("base.json", 0)


def test_what_did_not_run_is_counted_and_kept():
    old = Baseline({KEY: Mark(Verdict.EXACT), ("gone.py::t", "net"): Mark(Verdict.EXACT)})
    found = compare(old, [], unused=lambda nodeid: nodeid.startswith("gone"))
    assert ([c.nodeid for c in found.changes], found.unseen) == (["gone.py::t"], 1)
    assert list(updated(old, Report(()), lambda nodeid: nodeid.startswith("gone")).marks) == [KEY]


def test_what_grew_most_comes_first():
    old = Baseline({("t", str(n)): Mark(Verdict.APPROXIMATE, 1e-3, 1e-12) for n in range(3)})
    found = compare(old, [record(1e-3 * x, key=("t", str(n))) for n, x in enumerate((2, 9, 4))])
    assert [c.label for c in found.grew] == ["1", "2", "0"]
    assert found.grew[0].times == pytest.approx(9)


def test_times_are_of_the_floor_where_that_was_larger():
    assert Change(*KEY, "grew", 1e-16, 0.5, 0.25).times == 2
    assert Change(*KEY, "new", None, 0.5, 0.25).times is None
    assert Change(*KEY, "grew", 0.0, 0.5, 0.0).times is None


def test_the_file_reads_back_and_is_made_for_diffs(tmp_path):
    marks = {
        ("b.py::t", "π"): Mark(Verdict.APPROXIMATE, 1.2345678e-3, 2e-12),
        ("a.py::t", "net"): Mark(Verdict.EXACT, 0.0, 0.0),
        ("a.py::t", "bad"): Mark(Verdict.INVALID),
    }
    path = write_baseline(Baseline(marks, {"torch": "2.13.0"}), tmp_path / "b.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    assert list(data["entries"]) == ["a.py::t", "b.py::t"]
    assert data["entries"]["b.py::t"]["π"] == {"verdict": "APPROXIMATE", "error": 0.00123, "floor": 2e-12}
    again = read_baseline(path)
    assert set(again.marks) == set(marks)
    assert again.marks["a.py::t", "bad"] == Mark(Verdict.INVALID)
    assert again.environment == {"torch": "2.13.0"}
    assert write_baseline(again, tmp_path / "c.json").read_text() == path.read_text()


def test_rounding_to_three_digits_is_no_growth(tmp_path):
    for error in (1.2345e-3, 9.996e-7, 0.5):
        path = write_baseline(updated(Baseline(), make_report([record(error)])), tmp_path / "b.json")
        assert compare(read_baseline(path), [record(error)], ratio=1.01).changes[0].status == "same"


def test_a_whole_report_is_a_baseline_too(tmp_path):
    path = write_json([record(1e-3)], tmp_path / "report.json")
    assert compare(read_baseline(path), [record(2e-3)]).grew


def test_a_missing_file_says_how_to_make_one(tmp_path):
    path = tmp_path / "no such.json"
    with pytest.raises(
        FileNotFoundError, match=r'there is no baseline .*; make one: pytest --equi-baseline ".*no such\.json" '
    ) as caught:
        read_baseline(path)
    assert "--equi-update-baseline" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "expected a baseline, which is JSON"),
        ("[]", "expected a baseline .a JSON object with 'entries'. or an equiaudit report"),
        ('{"entries": {}}', "expected baseline version 1, got None; restore the file, or delete it"),
        ('{"baseline_version": 9, "entries": {}}', "expected baseline version 1, got 9"),
        (
            '{"baseline_version": 1, "entries": {"t": {"net": {}}}}',
            "expected entries with a 'verdict', an 'error' and a 'floor'",
        ),
        ('{"baseline_version": 1, "entries": {"t": []}}', "expected entries with a 'verdict'"),
        (
            '{"baseline_version": 1, "entries": {"t": {"net": {"verdict": "FINE"}}}}',
            "expected entries with a 'verdict'",
        ),
        ('{"schema_version": 99, "records": []}', "expected schema version 1, got 99"),
    ],
)
def test_what_is_no_baseline_is_refused_with_its_name(tmp_path, content, said):
    path = tmp_path / "b.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"b\.json: {said}"):
        read_baseline(path)
