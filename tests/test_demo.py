"""The demo: every verdict is the expected one, the report is written, and a wrong verdict gives exit status 1."""

from __future__ import annotations

import dataclasses
import importlib.util
import time

import pytest
import torch

from equiaudit.records import Audit, Verdict
from equiaudit.report.json import read_json
from equiaudit.report.suspects import suspect
from examples import gallery as demo
from examples.cases import CASES
from examples.heartbeat import heartbeat


def named(label):
    return next(case for case in CASES if case.label.startswith(label))


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, id=c.label, marks=[pytest.mark.long] * (c.label == "e3nn potential")) for c in CASES],
)
def test_each_case_has_its_verdict(case):
    if demo.missing_libraries(case.needs):
        pytest.skip(f"needs {', '.join(case.needs)}")
    with demo.quiet():
        found = demo.run(case)
    assert found.verdict == case.expected, str(found)
    if found.passed:
        return
    assert found.error > 1000 * found.floor
    assert found.replay.startswith(f"equiaudit replay examples.cases:{case.build.__name__} --element")
    assert bool(found.layers) == case.layers
    if case is named("e3nn potential, a bias"):  # the planted bug is found in its layer
        assert found.first_bad_layer == "layers.1.linear"
        rows = {c.part: c.verdict.value for c in found.checks}
        assert (rows["E(3): rotations"], rows["E(3): translations"]) == ("BROKEN", "EXACT")
    if case is named("escnn C4 network, 64"):  # told apart from a special pose
        assert suspect(found).startswith("images: a kernel that is not steered, or padding, strides")


@pytest.fixture
def two(monkeypatch):
    """Only the two cases that are quick."""
    pytest.importorskip("ase")
    pytest.importorskip("torch_geometric")
    monkeypatch.setattr(demo, "CASES", (named("transformer, turned"), named("graph")))


def test_it_prints_a_table_the_element_and_the_name_of_the_file(two, tmp_path, capsys):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    html, json = tmp_path / "demo.html", tmp_path / "demo.json"
    threads = torch.get_num_threads()
    assert demo.main(["--html", str(html), "--json", str(json)]) == 0
    assert torch.get_num_threads() == threads
    out = capsys.readouterr().out
    report = read_json(json)
    assert [a.verdict.value for a in report.audits] == ["BROKEN", "EXACT"]
    assert report.audits[0].worst.element in out
    for words in (
        "transformer, turned points",
        "graph network",
        "replay",
        "2 of 2 verdicts as expected: 1 sound models pass, 1 planted faults are found",
        "1 have a fault that was planted",
        "(planted fault, found)",
        f"wrote {html}",
    ):
        assert words in out, words
    assert "transformer, turned points (planted) is not equivariant under SO(3)" in html.read_text(encoding="utf-8")


def test_a_wrong_verdict_gives_exit_status_1_and_its_whole_text(monkeypatch, capsys):
    pytest.importorskip("torch_geometric")
    monkeypatch.setattr(demo, "CASES", (dataclasses.replace(named("graph"), expected="BROKEN"),))
    assert demo.main([]) == 1
    out = capsys.readouterr().out
    assert "expected BROKEN, got EXACT: graph network" in out
    assert "0 of 1 verdicts as expected" in out


def test_a_missing_library_is_told_and_the_rest_goes_on(two, monkeypatch, capsys):
    real = importlib.util.find_spec
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None if name == "ase" else real(name))
    assert demo.main([]) == 0
    out = capsys.readouterr().out
    assert 'not run: transformer, turned points (planted), which needs ase: pip install -e ".[demo]"' in out
    assert "1 of 1 verdicts as expected" in out
    assert "1 not run" in out


def test_where_nothing_could_run_nothing_passes(two, monkeypatch, capsys):
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None)
    assert demo.main([]) == 1
    assert "0 of 0 verdicts as expected" in capsys.readouterr().out


def test_without_the_libraries_for_html_it_says_how(two, monkeypatch, tmp_path, capsys):
    def refuse(*args, **kwargs):
        raise ImportError('the HTML report needs jinja2; from the checkout: pip install -e ".[report]"')

    monkeypatch.setattr("equiaudit.report.html.write_html", refuse)
    assert demo.main(["--only", "graph", "--html", str(tmp_path / "demo.html")]) == 0
    assert (
        'no HTML file: the HTML report needs jinja2; from the checkout: pip install -e ".[report]"'
        in capsys.readouterr().out
    )


def test_a_case_that_does_not_exist(capsys):
    with pytest.raises(SystemExit) as stopped:
        demo.main(["--only", "nonsense"])
    assert stopped.value.code == 2
    assert "no case contains 'nonsense'; there are: e3nn potential;" in capsys.readouterr().err


def test_how_to_install_is_known_for_every_library_that_a_case_needs():
    assert {name for case in CASES for name in case.needs} <= demo.INSTALL.keys()
    assert not any("install equiaudit" in line for line in demo.INSTALL.values())


def test_something_is_said_while_something_runs_and_nothing_after_it(capsys):
    with heartbeat("training", interval=0.05) as beating:
        time.sleep(0.5)
        beating.begin("auditing")
        time.sleep(0.5)
        for _ in range(20):  # who speaks often is not interrupted
            print("said")
            time.sleep(0.01)
    time.sleep(0.3)
    out = capsys.readouterr().out
    assert "  … training (0 s)\n" in out
    assert "  … auditing (" in out
    assert out.count("said\n") == 20
    assert not out.endswith("s)\n")
    print("normal again")
    assert capsys.readouterr().out == "normal again\n"


@pytest.mark.parametrize(("cause", "said"), [("float32 constants", True), (None, False)])
def test_an_exact_row_says_why_its_error_is_over_the_floor(cause, said, capsys):
    found = Audit(Verdict.EXACT, cause=cause, error=1e-7, floor=1e-13)
    demo.print_row(demo.Console(highlight=False), named("e3nn potential"), found)
    assert ("exact to float32: the error is the rounding of stored constants" in capsys.readouterr().out) == said


def test_the_page_does_not_call_a_planted_fault_a_failure():
    planted, sound = named("e3nn potential, a bias"), named("e3nn potential")
    broken, exact = Audit(Verdict.BROKEN, error=0.5, floor=1e-12), Audit(Verdict.EXACT)
    assert [demo.record(*pair).failed for pair in ((planted, broken), (sound, exact), (sound, broken))] == [
        False,
        False,
        True,
    ]
