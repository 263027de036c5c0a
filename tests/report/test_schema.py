"""The JSON Schema: what is published is what the classes write, and reports hold to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from equiaudit.records import Audit, Check, Tried, Verdict, Worst
from equiaudit.report import schema
from equiaudit.report.json import Record, Report, make_report, to_text

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "schema" / "equi-report.schema.json"


@pytest.fixture
def validate():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema.schema())
    return jsonschema.Draft202012Validator(schema.schema(), format_checker=jsonschema.FormatChecker()).validate


def records(make):
    tried = Tried("a turn", "SO(3).identity()", "given", "out", 1e-3, 1e-9, False, angle=90.0)
    return [
        Record(make(tried=(tried,)), "test_a.py::test_b", phase="call", outcome="failed", audits=7, tries=2),
        Record(make(), factory="models:net", case="small"),
        Record(Audit(Verdict.INVALID, error=float("nan"), worst=Worst("e", "out", (), float("inf"), float("nan")))),
        Record(Audit(Verdict.EXACT, checks=(Check("rotations", "finite", Verdict.EXACT, 0),), seed=0)),
    ]


def test_the_published_file_is_the_schema():
    assert PUBLISHED.read_text(encoding="utf-8") == schema.to_text(), (
        "write it anew: python -m equiaudit.report.schema > docs/schema/equi-report.schema.json"
    )


def test_reports_hold_to_it(make, validate):
    validate(json.loads(to_text(records(make))))
    report = Report(tuple(records(make)), "2026-01-01T00:00:00+00:00", crashed=("a",), interrupted="KeyboardInterrupt")
    validate(json.loads(to_text(report)))
    validate(json.loads(to_text([])))


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda data: data.update(schema_version=2), "schema_version"),
        (lambda data: data.pop("environment"), "environment"),
        (lambda data: data["records"][0].update(verdict="FINE"), "FINE"),
        (lambda data: data["records"][0].pop("status"), "status"),
        (lambda data: data["records"][0].update(eror=1), "eror"),
        (lambda data: data["records"][0]["checks"][0].update(error="small"), "small"),
    ],
)
def test_what_is_wrong_is_refused(make, validate, change, path):
    data = make_report(records(make)).to_dict()
    data = json.loads(json.dumps(data))
    change(data)
    with pytest.raises(Exception, match=path) as caught:
        validate(data)
    assert type(caught.value).__name__ == "ValidationError"


def test_every_status_phase_and_outcome_is_named(make):
    found = {r.status for r in records(make)} | {Record(Audit(Verdict.VACUOUS)).status}
    assert found == set(schema.STATUS)
    from pytest_equiaudit.ledger import PHASES

    assert set(PHASES) < set(schema.PHASES)
