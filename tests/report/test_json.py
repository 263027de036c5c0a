"""The JSON report: what it holds, that it reads back, and what is refused."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from equiaudit import __version__
from equiaudit.records import SCHEMA_VERSION, Audit, Verdict
from equiaudit.report.json import Record, Report, make_report, read_json, to_text, write_json


def test_audits_come_back_as_they_were(make, tmp_path):
    audits = [make(), Audit(Verdict.EXACT, label="π ≈ 3"), make(verdict=Verdict.APPROXIMATE, tolerance=0.1, worst=None)]
    report = read_json(write_json(audits, tmp_path / "report.json"))
    assert list(report.audits) == audits
    assert [str(a) for a in report.audits] == [str(a) for a in audits]


def test_the_object_has_its_keys(make):
    data = json.loads(to_text([make()]))
    assert list(data) == ["schema_version", "equiaudit_version", "created", "environment", "records"]
    assert data["schema_version"] == SCHEMA_VERSION
    assert data["equiaudit_version"] == __version__
    assert datetime.fromisoformat(data["created"]).tzinfo is not None
    record = data["records"][0]
    assert {"nodeid", "label", "verdict", "error", "floor", "tolerance"} <= record.keys()
    assert record["nodeid"] is None
    assert (record["verdict"], record["passed"]) == ("BROKEN", False)


def test_where_a_record_came_from_is_kept(make, tmp_path):
    records = [
        Record(make(), nodeid="tests/test_a.py::test_b"),
        Record(make(), factory="models:net", case="small"),
        Record(make()),
    ]
    report = read_json(write_json(records, tmp_path / "report.json"))
    assert list(report.records) == records
    assert [r.origin for r in report.records] == ["tests/test_a.py::test_b", "models:net small", None]


def test_the_environment_is_what_all_share(make):
    report = make_report([make(), make(environment={"torch": "2.13.0", "device": "cuda:0"})])
    assert report.environment == {"torch": "2.13.0"}
    assert make_report([]).environment == {}


def test_a_report_stays_as_it_is(make):
    report = Report((Record(make()),), "2026-01-01T00:00:00+00:00", "0.0.1")
    assert make_report(report) is report
    assert json.loads(to_text(report))["created"] == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_null(make, value):
    text = to_text([make(error=value)])
    assert json.loads(text)["records"][0]["error"] is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1, 2]", "expected an equiaudit report: a JSON object with 'schema_version' and 'records'"),
        ('{"records": []}', "expected an equiaudit report"),
        ("{", "Expecting property name"),
        (
            '{"schema_version": 99, "equiaudit_version": "9.0", "records": []}',
            rf"expected schema version {SCHEMA_VERSION}, got 99: the report was written by equiaudit 9\.0, "
            r"this is \S+; read it with the former",
        ),
    ],
)
def test_what_is_no_report_is_refused_with_its_name(tmp_path, content, said):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"other\.json: {said}"):
        read_json(path)
