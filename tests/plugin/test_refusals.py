"""Paths and baselines that can't serve are refused before the first test; none is overwritten by the way."""

from __future__ import annotations

import json

import pytest

ENTRY = {"test_a.py::test_b": {"net": {"verdict": "EXACT", "error": 1e-14, "floor": 1e-12}}}


def baseline(**changes):
    return {"baseline_version": 1, "environment": {}, "entries": ENTRY, **changes}


def entry(**changes):
    return baseline(entries={"test_a.py::test_b": {"net": {**ENTRY["test_a.py::test_b"]["net"], **changes}}})


def refused(pytester, *line):
    result = pytester.runpytest_inprocess(*line)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not (pytester.path / "ran").exists()
    return result.stderr.str()


@pytest.fixture(autouse=True)
def one_test(suite):
    suite(test_a="def test_b(): open('ran', 'w').close(); check(2e-3)")


@pytest.mark.parametrize("option", ["json", "html", "markdown"])
def test_a_report_in_place_of_its_baseline_is_refused(pytester, option):
    if option == "html":
        pytest.importorskip("matplotlib")
    (pytester.path / "base.json").write_text(json.dumps(baseline()))
    text = refused(pytester, f"--equi-{option}=base.json", "--equi-baseline=./base.json")
    assert f"is also the path of --equi-{option}; give each a file of its own" in text
    assert json.loads((pytester.path / "base.json").read_text()) == baseline()


def test_the_report_by_the_flag_too(pytester):
    (pytester.path / "equi-report.json").write_text(json.dumps(baseline()))
    text = refused(pytester, "--equi-report", "--equi-baseline=equi-report.json")
    assert "is also the path of --equi-json (by --equi-report); give each a file of its own" in text


def test_outputs_of_one_path_are_refused(pytester):
    assert "--equi-markdown: " in refused(pytester, "--equi-json=o", "--equi-markdown=o")
    (pytester.path / "link").symlink_to("o")
    assert "is also the path of --equi-json" in refused(pytester, "--equi-json=o", "--equi-markdown=link")
    assert pytester.runpytest_inprocess("--equi-json=/dev/null", "--equi-markdown=/dev/null").ret == 0


@pytest.mark.parametrize("how", [[], ["--equi-update-baseline"]], ids=["compare", "update"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps(entry(error="high")), "expected a number from 0 up or null, got 'high'"),
        (json.dumps(entry(error=-1)), "expected a number from 0 up or null, got -1"),
        (json.dumps(entry(error=True)), "expected a number from 0 up or null, got True"),
        (json.dumps(entry(error=float("nan"))), "JSON has no NaN"),
        (json.dumps(entry(error=1)).replace('"error": 1', '"error": 1e999'), "got inf"),
        (json.dumps(entry(verdict="GOOD")), "'GOOD' is not a valid Verdict"),
        (json.dumps(baseline(environment=5)), "'environment', which is an object"),
        (json.dumps(baseline(entries={"test_a.py::test_b": 5})), "expected entries"),
        (json.dumps(baseline(baseline_version=0)), "expected baseline version 1, got 0"),
        (json.dumps(baseline())[:-20], "expected a baseline, which is JSON"),
        ('{"schema_version": 1, "records": 5}', "a record is not one of equiaudit"),
        ('{"schema_version": 1, "records": [{}]}', "a record is not one of equiaudit"),
        ('{"schema_version": 1, "records": [{"nodeid": "a", "verdict": "EXACT", "error": "high"}]}', "a record is not"),
        (
            '{"schema_version": 1, "records": [{"nodeid": "a", "verdict": "EXACT", "environment": 5}]}',
            "a record is not",
        ),
        ("[]", "expected a baseline (a JSON object with 'entries') or an equiaudit report"),
    ],
)
def test_a_malformed_baseline_is_refused(pytester, text, said, how):
    (pytester.path / "base.json").write_text(text)
    refusal = refused(pytester, "--equi-baseline=base.json", *how)
    assert "ERROR: --equi-baseline: " in refusal
    assert said in refusal
    assert (pytester.path / "base.json").read_text() == text


def test_what_the_message_says_helps(pytester):
    path = pytester.path / "base.json"
    path.write_text(json.dumps(baseline(baseline_version=0)))
    said = refused(pytester, "--equi-baseline=base.json", "--equi-update-baseline")
    assert "restore the file, or delete it and make it anew with --equi-update-baseline" in said
    path.unlink()
    assert pytester.runpytest_inprocess("--equi-baseline=base.json", "--equi-update-baseline").ret == 0
