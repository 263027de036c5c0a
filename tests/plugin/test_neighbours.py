"""Beside other plugins that write reports, and at start-up."""

from __future__ import annotations

import html
import importlib.util
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as tree

import pytest

from tests.plugin import SERIAL_AND_PARALLEL

SUITE = """
def test_exact(): check()
def test_broken(): check(0.5, "net <b>")
def test_two(request):
    request.node.user_properties.append(("mine", "3"))
    check()
    check(label="second")
def test_none(): pass
"""


@SERIAL_AND_PARALLEL
def test_junit_has_a_property_for_each_audit(suite, pytester, how):
    suite(test_a=SUITE)
    pytester.runpytest("--junitxml=j.xml", *how)
    found = {
        case.get("name"): [(p.get("name"), p.get("value")) for p in case.iter("property")]
        for case in tree.parse(pytester.path / "j.xml").iter("testcase")
    }
    assert found == {
        "test_exact": [("equiaudit", "net: EXACT, error 1.0e-16, floor 1.0e-12")],
        "test_broken": [("equiaudit", "net <b>: BROKEN, error 5.0e-01, floor 1.0e-12, layer mix")],
        "test_two": [
            ("mine", "3"),
            ("equiaudit", "net: EXACT, error 1.0e-16, floor 1.0e-12"),
            ("equiaudit", "second: EXACT, error 1.0e-16, floor 1.0e-12"),
        ],
        "test_none": [],
    }


@SERIAL_AND_PARALLEL
def test_rows_of_pytest_html_show_the_audit(suite, pytester, how):
    pytest.importorskip("pytest_html")
    pytester.makeconftest(
        """
        import pytest
        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_makereport(item, call):
            report = (yield).get_result()
            report.extras = [*getattr(report, "extras", []), {"name": "mine", "format_type": "text", "content": "own",
                             "mime_type": "text/plain", "extension": "txt"}]
        """
    )
    suite(test_a=SUITE)
    pytester.runpytest("--html=other.html", "--self-contained-html", *how)
    page = (pytester.path / "other.html").read_text(encoding="utf-8")
    blob = html.unescape(page.partition('data-jsonblob="')[2].partition('"></div>')[0])
    tests = {name.partition("::")[2]: rows for name, rows in json.loads(blob)["tests"].items()}
    names = {name: [e["name"] for row in rows for e in row["extras"]] for name, rows in tests.items()}
    assert [n for n in names["test_broken"] if n != "mine"] == ["audit net <b>"]
    assert [n for n in names["test_two"] if n != "mine"] == ["audit net", "audit second"]
    assert "mine" in names["test_none"]
    assert "audit net <b>" not in page.replace(page.partition('data-jsonblob="')[2].partition('"></div>')[0], "")


@SERIAL_AND_PARALLEL
def test_beside_two_other_plugins_that_write_reports(suite, pytester, report, how):
    """JUnit and pytest-html, and one that writes every report of a test as JSON lines."""
    pytest.importorskip("pytest_html")
    pytester.makeconftest(
        """
        import json
        class Log:
            def __init__(self, config): self.config = config
            def pytest_runtest_logreport(self, report):
                data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
                data.pop("node", None)  # xdist's
                with open("log.jsonl", "a") as file:
                    file.write(json.dumps(data) + "\\\\n")
        def pytest_configure(config):
            if not hasattr(config, "workerinput"):
                config.pluginmanager.register(Log(config))
        """.replace("\\\\", "\\")
    )
    suite(test_a=SUITE)
    result = pytester.runpytest("--equi-report", "--html=other.html", "--junitxml=j.xml", *how)
    result.assert_outcomes(passed=3, failed=1)
    lines = [json.loads(line) for line in (pytester.path / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 12
    assert sum(bool(line.get("equiaudit")) for line in lines) == 3
    assert len(report()["records"]) == 4
    assert len(list(tree.parse(pytester.path / "j.xml").iter("testcase"))) == 4


HOSTILE = """
from equiaudit.records import Check, Worst
def test_b():
    bad = "\\ud800\\x00"
    announce(Audit(Verdict.BROKEN, error=0.5, floor=1e-12, label=bad, first_bad_layer=bad, notes=(bad,), reason=bad, symmetry=bad,
                   checks=(Check(bad, "finite", Verdict.BROKEN, note=bad),), environment={bad: bad}, cause=bad,
                   worst=Worst(bad, bad, (0,), 1.0, 1.0, inputs=bad), replay=bad, untested=(bad,)))
"""


@SERIAL_AND_PARALLEL
def test_text_that_no_file_can_hold_is_spelt_out_everywhere(suite, pytester, report, how):
    suite(test_a=HOSTILE)
    others = ["--html=other.html", "--self-contained-html"] if importlib.util.find_spec("pytest_html") else []
    result = pytester.runpytest("--equi-report", "--equi-markdown=m.md", "--junitxml=j.xml", "-v", *others, *how)
    result.assert_outcomes(passed=1)
    if importlib.util.find_spec("matplotlib"):
        assert "was not written" not in result.stdout.str()
    assert report()["records"][0]["first_bad_layer"] == "\\ud800\\x00"
    tree.parse(pytester.path / "j.xml")


def loaded(folder, *arguments):
    """Which heavy libraries a run of pytest has loaded at its end."""
    (folder / "conftest.py").write_text(
        "import sys\n"
        "def pytest_unconfigure(config):\n"
        "    heavy = ('torch', 'numpy', 'scipy', 'hypothesis', 'matplotlib', 'jinja2', 'rich', 'optree')\n"
        "    print('loaded:', *sorted(m for m in heavy if m in sys.modules))\n"
        "    print('report:', *sorted(m for m in sys.modules if m.startswith(('equiaudit', 'pytest_equiaudit'))))\n"
    )
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-s", *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True)
    names = {
        line.partition(":")[0]: line.split()[1:] for line in done.stdout.splitlines() if ": " in line or ":" in line
    }
    return names["loaded"], names["report"]


def test_nothing_heavy_is_loaded_at_start_up(tmp_path):
    (tmp_path / "test_a.py").write_text("def test_b(): pass")
    heavy, own = loaded(tmp_path, "-p", "pytest_equiaudit.plugin")
    assert heavy == []
    assert "pytest_equiaudit.plugin" in own
    for late in ("records", "measure", "assertions", "report", "groups", "strategies"):
        assert not any(name.startswith(f"equiaudit.{late}") for name in own)


def test_nothing_heavy_is_loaded_for_a_report_without_audits(tmp_path):
    (tmp_path / "test_a.py").write_text("def test_b(equi): assert equi.options == {}")
    heavy, _ = loaded(tmp_path, "-p", "pytest_equiaudit.plugin", "--equi-json=a.json", "--equi-markdown=a.md")
    assert heavy == []


def test_what_is_loaded_is_seen(tmp_path):
    (tmp_path / "test_a.py").write_text("import numpy\ndef test_b(): pass")
    assert loaded(tmp_path, "-p", "pytest_equiaudit.plugin")[0] == ["numpy"]


def test_nothing_is_kept_where_nobody_reads(suite, pytester):
    """Audits are kept for a report only; without one their objects go with the test."""
    suite(
        test_a="""
        import gc
        import weakref
        kept = []
        @pytest.mark.parametrize("n", range(3))
        def test_b(n): kept.append(weakref.ref(check()))
        def test_c():
            gc.collect()
            assert [ref() for ref in kept] == [None] * 3
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=4)
