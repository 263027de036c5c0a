"""A suite as a project would have it, with real models: the same report however it is run."""

from __future__ import annotations

import collections
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long  # the suite runs twice, with real models

SUITE = Path(__file__).parent / "suite"
TIMED = ("created", "seconds")


def without_times(data):
    """The same data without what a clock gave."""
    if isinstance(data, dict):
        return {k: without_times(v) for k, v in data.items() if k not in TIMED}
    return [without_times(v) for v in data] if isinstance(data, list) else data


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The report, the JUnit file and the text of the suite, in one process and in two."""
    found = {}
    for name, how in {"serial": [], "parallel": ["-n", "2"]}.items():
        folder = tmp_path_factory.mktemp(name) / "a folder with spaces"
        shutil.copytree(SUITE, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n")
        command = [sys.executable, "-m", "pytest", "--equi-report", "--junitxml=junit.xml", "-p", "no:cacheprovider"]
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"COLUMNS": "80"}
        done = subprocess.run([*command, *how], cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 1, done.stdout + done.stderr
        found[name] = (json.loads((folder / "equi-report.json").read_text(encoding="utf-8")), done.stdout, folder)
    return found


def test_serial_and_parallel_give_the_same_report(runs):
    serial, parallel = (without_times(runs[name][0]) for name in ("serial", "parallel"))
    assert [(r["nodeid"], r["label"]) for r in serial["records"]] == [
        (r["nodeid"], r["label"]) for r in parallel["records"]
    ]
    assert serial == parallel


@pytest.mark.parametrize("name", ["serial", "parallel"])
def test_keys_are_unique_and_the_schema_holds(runs, name):
    data = runs[name][0]
    keys = [(r["nodeid"], r["label"]) for r in data["records"]]
    assert len(set(keys)) == len(keys)
    jsonschema = pytest.importorskip("jsonschema")
    from equiaudit.report.schema import schema

    jsonschema.Draft202012Validator(schema()).validate(data)


def test_every_audit_is_there(runs):
    data, text, _ = runs["serial"]
    records = {(r["nodeid"].partition("::")[2], r["label"]): r for r in data["records"]}
    verdicts = {key: (r["verdict"], r.get("outcome")) for key, r in records.items()}
    assert verdicts["fixture potential", "potential as built"] == ("EXACT", "passed")
    assert verdicts["test_leak", "Potential"] == ("BROKEN", "failed")
    assert verdicts["test_leak_within_a_tolerance", "Potential"] == ("APPROXIMATE", "passed")
    assert verdicts["test_known_leak", "Potential"] == ("BROKEN", "xfailed")
    assert verdicts["test_that_the_leak_is_found", "found"] == ("BROKEN", "passed")
    assert verdicts["test_two_audits", "Potential #2"] == ("EXACT", "passed")
    assert verdicts["test_another_failure", "before the failure"] == ("EXACT", "failed")
    assert verdicts["TestImages::test_known", "known"] == ("BROKEN", "xfailed")
    assert verdicts["TestSets::test_order", "power 2"] == ("BROKEN", "failed")
    assert verdicts["test_zero_is_vacuous", "zero"] == ("VACUOUS", "passed")
    assert verdicts["test_nan_fails", "nan"] == ("INVALID", "failed")
    assert records["test_in_teardown", "late"]["phase"] == "teardown"
    assert records["test_nan_fails", "nan"]["status"] == "not finite"
    assert records["TestLinear::test_full_matrix", "Linear"]["effort"] == "quick"
    assert ("test_parts[<script>alert(1)</script>]", "energy") in records
    assert data["environment"]["torch"]
    assert {"python", "device", "dtype", "tf32_matmul", "tf32_convolution"} <= data["environment"].keys()
    assert int(text.partition(" audits: ")[0].rpartition("\n")[2]) == len(records)


def test_under_given_one_record_stands_for_all(runs):
    pytest.importorskip("hypothesis")
    records = {r["label"]: r for r in runs["parallel"][0]["records"]}
    assert records["any scale"]["audits"] > 3
    assert "which hypothesis shrank" in records["any shift"]["notes"][-1]


def test_at_least_thirty_tests_ran(runs):
    counted = collections.Counter()
    for word in ("passed", "failed", "skipped", "xfailed"):
        before = runs["serial"][1].rstrip().rpartition("\n")[2].partition(f" {word}")[0].split()
        counted[word] = int(before[-1])
    assert sum(counted.values()) >= 30


def test_the_failure_text_is_for_people_who_do_not_know_the_library(runs):
    """Their own call, the verdict in words, the numbers, how to run it again; no frame of this library."""
    text = runs["serial"][1]
    failure = text.partition("____ test_leak ____")[2].partition("\n____")[0]
    assert "assert_equivariant(leaky, positions, rigid)" in failure
    assert "BROKEN: Potential is not equivariant under E(3)" in failure
    for word in ("error", "floor", "allowed", "real", "element", "worst at", "suspect", "replay"):
        assert f"E         {word:<10}" in failure or f"E     {word:<10}" in failure, word
    assert 'pytest "test_potential.py::test_leak"' in failure
    assert "assertions.py" not in failure
    assert "measure/" not in failure


def test_junit_has_the_verdicts(runs):
    import xml.etree.ElementTree as tree

    for _, _, folder in runs.values():
        cases = {case.get("name"): case for case in tree.parse(folder / "junit.xml").iter("testcase")}
        values = [p.get("value") for p in cases["test_leak"].iter("property") if p.get("name") == "equiaudit"]
        assert len(values) == 1
        assert values[0].startswith("Potential: BROKEN, error ")
        assert not list(cases["test_nothing_to_audit"].iter("property"))


def test_a_hostile_name_is_escaped_in_the_page(runs):
    page = runs["serial"][2] / "equi-report.html"
    if not page.exists():
        pytest.skip("jinja2 or matplotlib not installed")
    text = page.read_text(encoding="utf-8")
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text
