"""What ``python -m examples.demo`` does: audit real models on real inputs, print a table, write reports."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from equiaudit import Audit, audit
from equiaudit.records import Cause
from equiaudit.report.json import Record
from equiaudit.report.lines import command_line
from equiaudit.report.suspects import suspect
from equiaudit.report.text import number, place
from examples.cases import CASES, Case

INSTALL = {
    "escnn": 'pip install -e ".[escnn]" && pip install --no-deps escnn==1.0.11',
    "e3nn": 'pip install -e ".[e3nn]"',
    "ase": 'pip install -e ".[demo]"',
    "torch_geometric": 'pip install -e ".[pyg]"',
    "matplotlib": 'pip install -e ".[report]"',
    "PIL": 'pip install -e ".[report]"',
    "jinja2": 'pip install -e ".[report]"',
}
COLOURS = {"EXACT": "green", "APPROXIMATE": "blue", "BROKEN": "red", "VACUOUS": "magenta", "INVALID": "yellow"}
WIDTH = 120
LABEL = max(len(case.label) for case in CASES)


def main(arguments: Sequence[str] | None = None, say: Callable[[str], None] = lambda doing: None) -> int:
    """Run the cases, print each as it is done, write the reports; exit status 1 where a verdict is wrong or nothing ran.

    Args:
        arguments: of the command line.
        say: called with a few words whenever something else begins.
    """
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--html", metavar="FILE", help="write a self-contained HTML report")
    parser.add_argument("--json", metavar="FILE", help="write a JSON report")
    parser.add_argument("--only", metavar="TEXT", default="", help="only cases whose label contains this")
    parser.add_argument("--train", action="store_true", help="then train a relaxed model, project it and confirm it")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    cases = [case for case in CASES if options.only.lower() in case.label.lower()]
    if not cases:
        parser.error(f"no case contains {options.only!r}; there are: {'; '.join(c.label for c in CASES)}")
    announce(console, cases)
    skipped = {c.label: missing for c in cases if (missing := missing_libraries(c.needs))}
    found: list[tuple[Case, Audit]] = []
    with quiet():
        for case in cases:
            if case.label not in skipped:
                result = run(case, lambda step, c=case: say(f"{c.label}: {step}"))
                found.append((case, result))
                print_row(console, case, result)
    for case, result in found:
        if not result.passed:
            print_failure(console, case, result)
    for label, missing in skipped.items():
        how = " && ".join(dict.fromkeys(INSTALL[name] for name in missing))
        console.print(f"\nnot run: {label}, which needs {', '.join(missing)}: [cyan]{escape(how)}[/]", soft_wrap=True)
    say("writing the report")
    write(console, [record(case, result) for case, result in found], options.html, options.json)
    wrong = [(case, result) for case, result in found if result.verdict != case.expected]
    for case, result in wrong:
        console.print(f"[red]expected {case.expected}, got {result.verdict}[/]: {case.label}\n{escape(str(result))}")
    seconds = time.perf_counter() - started
    right = f"{len(found) - len(wrong)} of {len(found)} verdicts as expected"
    faults = sum(case.planted for case, result in found if result.verdict == case.expected)
    told = f": {len(found) - len(wrong) - faults} sound models pass, {faults} planted faults are found" if found else ""
    console.print(f"\n{right}{told}, in {seconds:.1f} s" + (f"; {len(skipped)} not run" if skipped else ""))
    if options.train:
        from examples.training import show

        console.print()
        show(say=say)
    return 1 if wrong or not found else 0


def announce(console: Console, cases: Sequence[Case]) -> None:
    """What is going to happen, and which faults are there on purpose; then the head of the table."""
    planted = [case.label for case in cases if case.planted]
    console.print(f"{len(cases)} models on real inputs, {len(cases) - len(planted)} of them sound.")
    if planted:
        console.print(f"{len(planted)} have a fault that was planted, to show how it is found: BROKEN is right there.")
    head = f"{'verdict':<8} {'':<8} {'model and symmetry':<{LABEL}} {'error':>8} {'floor':>8} {'forwards':>8} {'seconds':>7}"
    console.print(f"\n[dim]{head}[/]")


def print_row(console: Console, case: Case, result: Audit) -> None:
    """The numbers of a case, and what they say."""
    as_it_is = "planted" if case.planted else "sound"
    numbers = f"{number(result.error):>8} {number(result.floor):>8} {result.cost.total:>8} {result.cost.seconds:>7.1f}"
    verdict = f"[{COLOURS[result.verdict.value]}]{result.verdict.value:<8}[/]"
    console.print(f"{verdict} {as_it_is:<8} {case.label:<{LABEL}} {numbers}")
    console.print(f"{'':<17} [dim]{says(case, result)}[/]", soft_wrap=True)


def says(case: Case, result: Audit) -> str:
    """What an outcome means; and to which precision a model is exact whose constants are rounded."""
    if result.passed and Cause.is_of_constants(result.cause):
        kind = str(result.cause).removesuffix(" constants")
        return f"{case.says}; exact to {kind}: the error is the rounding of stored constants, above the float64 floor"
    return case.says


def record(case: Case, result: Audit) -> Record:
    """The audit as a record of the report; a planted fault that was found is what this demo expects."""
    return Record(result, outcome="passed" if result.verdict == case.expected else "failed")


def run(case: Case, progress: Callable[[str], None] = lambda step: None) -> Audit:
    """The audit of one case, with the command that replays it."""
    progress("building")
    model, inputs, symmetry = case.build()
    result = audit(model, inputs, symmetry, label=case.label, layers=case.layers, progress=progress)
    if result.passed:
        return result
    return dataclasses.replace(result, replay=command_line(result, f"{case.build.__module__}:{case.build.__name__}"))


def print_failure(console: Console, case: Case, result: Audit) -> None:
    """What breaks the symmetry, where, by how much, and how to see it again."""
    why = "planted fault, found" if case.planted else "not expected"
    console.print(f"\n[{COLOURS[result.verdict.value]}]{result.verdict}[/] [bold]{case.label}[/] ({why})")
    parts = [c.part for c in result.checks if not c.verdict.passed]
    holds = [c.part for c in result.checks if c.verdict.passed and c.kind != "sanity"]
    lines = {
        "fails": ", ".join(parts),
        "holds": ", ".join(holds),
        "worst at": place(result),
        "layer": f"{result.first_bad_layer} is the first that breaks it" if result.first_bad_layer else "",
        "suspect": suspect(result) or "",
        "element": result.worst.element if result.worst else "",
    }
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True, min_width=8)
    grid.add_column(overflow="fold")
    for name, text in lines.items():
        if text:
            grid.add_row(f"  {name}", escape(text))
    console.print(grid)
    console.print(f"  [dim]replay[/]    {escape(result.replay)}", soft_wrap=True)  # one line, to be copied


def write(console: Console, results: Sequence[Record], html: str | None, json: str | None) -> None:
    """The reports that were asked for; without the libraries for HTML, how to install them."""
    from equiaudit.report.html import write_html
    from equiaudit.report.json import write_json

    if json:
        console.print(f"\nwrote {write_json(results, json)}", soft_wrap=True)
    if html:
        try:
            path = write_html(results, html, title="equiaudit: the demo")
        except ImportError as problem:
            console.print(f"\nno HTML file: {escape(str(problem))}", soft_wrap=True)
        else:
            console.print(f"\nwrote [bold]{path}[/], which opens in any browser without a network", soft_wrap=True)


def missing_libraries(names: Sequence[str]) -> list[str]:
    """Which of these libraries are not installed."""
    return [name for name in names if importlib.util.find_spec(name) is None]


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of other libraries about themselves; one thread, which is fastest on models as small as these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)
