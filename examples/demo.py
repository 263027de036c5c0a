"""The main job: audit real models on real inputs, print a table, write a report that opens anywhere.

``python -m examples.demo --html demo.html``; the exit status is 0 where every verdict is the right one.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from equiaudit import Audit, audit
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases, print what was found, write the reports; exit status 1 where a verdict is wrong or nothing ran."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--html", metavar="FILE", help="write a self-contained HTML report")
    parser.add_argument("--json", metavar="FILE", help="write a JSON report")
    parser.add_argument("--only", metavar="TEXT", default="", help="only cases whose label contains this")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    cases = [case for case in CASES if options.only.lower() in case.label.lower()]
    if not cases:
        parser.error(f"no case contains {options.only!r}; there are: {'; '.join(c.label for c in CASES)}")
    skipped = {c.label: missing for c in cases if (missing := missing_libraries(c.needs))}
    found: list[tuple[Case, Audit]] = []
    with quiet(), console.status("") as status:
        for case in cases:
            if case.label not in skipped:
                found.append((case, run(case, lambda step, c=case: status.update(f"{c.label}: {step}"))))
    console.print(make_table(found))
    for case, result in found:
        if not result.passed:
            print_failure(console, case, result)
    for label, missing in skipped.items():
        how = " && ".join(dict.fromkeys(INSTALL[name] for name in missing))
        console.print(f"\nnot run: {label}, which needs {', '.join(missing)}: [cyan]{escape(how)}[/]", soft_wrap=True)
    write(console, [result for _, result in found], options.html, options.json)
    wrong = [(case, result) for case, result in found if result.verdict != case.expected]
    for case, result in wrong:
        console.print(f"[red]expected {case.expected}, got {result.verdict}[/]: {case.label}\n{escape(str(result))}")
    seconds = time.perf_counter() - started
    right = f"{len(found) - len(wrong)} of {len(found)} verdicts as expected"
    console.print(f"\n{right}, in {seconds:.1f} s" + (f"; {len(skipped)} not run" if skipped else ""))
    return 1 if wrong or not found else 0


def run(case: Case, progress: Callable[[str], None] = lambda step: None) -> Audit:
    """The audit of one case, with the command that replays it."""
    progress("building")
    model, inputs, symmetry = case.build()
    result = audit(model, inputs, symmetry, label=case.label, layers=case.layers, progress=progress)
    if result.passed:
        return result
    return dataclasses.replace(result, replay=command_line(result, f"{case.build.__module__}:{case.build.__name__}"))


def make_table(found: Sequence[tuple[Case, Audit]]) -> Table:
    """One row for each case."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", title_justify="left")
    for name in ("verdict", "model and symmetry"):
        table.add_column(name, no_wrap=True)
    for name in ("error", "floor", "forwards", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what it says")
    for case, result in found:
        verdict = f"[{COLOURS[result.verdict.value]}]{result.verdict}[/]"
        numbers = (number(result.error), number(result.floor), str(result.cost.total), f"{result.cost.seconds:.1f}")
        table.add_row(verdict, case.label, *numbers, case.says)
    return table


def print_failure(console: Console, case: Case, result: Audit) -> None:
    """What breaks the symmetry, where, by how much, and how to see it again."""
    console.print(f"\n[{COLOURS[result.verdict.value]}]{result.verdict}[/] [bold]{case.label}[/]")
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


def write(console: Console, results: Sequence[Audit], html: str | None, json: str | None) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
