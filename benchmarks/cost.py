"""What an audit costs, in forwards of the model's own dtype, beside e3nn and escnn on the same models.

Run from the root of the repository::

    python -m benchmarks.cost --rounds 7 --device cpu --only e3nn

Everything is timed side by side with plain forwards, round after round; the table shows medians of ratios, and
results/cost.json keeps the quartiles, the versions and the command.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.breakdown import REST, break_down
from benchmarks.models import LARGE, SMALL, Subject
from benchmarks.record import about, write
from benchmarks.rivals import rival_of
from benchmarks.timing import CLOCKS, Clock, Ratio, compare, count_forwards
from equiaudit import Symmetry, audit
from equiaudit.measure.derivatives import RUNGS, directional_derivative
from equiaudit.measure.evaluate import Evaluator
from equiaudit.measure.noise import NoiseMode
from equiaudit.measure.precision import CopyFailed, copy_model, declared_dtype
from equiaudit.representations.structures import map_leaves

EFFORTS = ("quick", "default", "thorough")
AIMS = {"quick": 8.0, "default": 20.0, "jvp": 2.5, "checks": 3.0}
SHORT = 0.02
"""Seconds that one reading of a short run lasts."""
LIBRARIES = ("torch", "numpy", "e3nn", "escnn")


def plain_forward(model: Any, inputs: Any) -> Callable[[], Any]:
    """The yardstick: the model called as it is, on fresh copies of its input."""
    evaluator = Evaluator(model, None)
    return lambda: evaluator.call(evaluator.cast(inputs))


def measure_audits(subject: Subject, clock: Clock, rounds: int) -> dict[str, Any]:
    """The three efforts and the rival, each beside plain forwards."""
    model, inputs, symmetry = subject.build(clock.device)
    found: dict[str, Any] = {}

    def auditing(effort: str) -> Callable[[], Any]:
        def run() -> Any:
            found[effort] = audit(model, inputs, symmetry, effort=effort)
            return found[effort]

        return run

    runs = {effort: auditing(effort) for effort in EFFORTS}
    rival = rival_of(model, inputs, symmetry)
    if rival is not None:
        runs[rival.name] = rival.run
    forward = plain_forward(model, inputs)
    long = {"thorough": runs.pop("thorough")}
    seconds, ratios = compare(clock, forward, runs, rounds, SHORT)
    ratios |= compare(clock, forward, long, 1, SHORT, warm=False)[1]  # dozens of trials: one round averages over them
    row: dict[str, Any] = {"forward_seconds": seconds, "audits": {}}
    for effort in EFFORTS:
        result = found[effort]
        # counted by a hook; where that would take minutes, as the audit counts itself (the small derivative checks left out)
        counted = count_forwards(model, runs[effort]) if effort in runs else result.cost.total
        row["audits"][effort] = {
            **as_dict(ratios[effort]),
            "verdict": result.verdict.value,
            "cause": result.cause,
            "expected": subject.expected,
            "calls": counted,
            "forwards": dict(result.cost.forwards),
            "probes": result.cost.probes,
            "jvps": result.cost.jvps,
            "derivative": result.method.derivative,
            "pairs": sum(check.elements for check in result.checks),
        }
    if rival is not None:
        calls = count_forwards(model if "e3nn" in rival.name else model.body, rival.run)
        row["rival"] = {**as_dict(ratios[rival.name]), "name": rival.name, "calls": calls, "pairs": rival.pairs}
    return row


def measure_parts(subject: Subject, clock: Clock, rounds: int) -> dict[str, Any]:
    """A float64 forward, a noise probe, a copy, each in plain forwards; and where the time of an audit goes."""
    model, inputs, symmetry = subject.build(clock.device)
    declared = declared_dtype(model, inputs)
    try:
        double = Evaluator(copy_model(model, torch.float64), torch.float64)
    except CopyFailed as problem:
        return {"refused": str(problem)}
    wide = double.cast(inputs)
    runs = {
        "float64 forward": lambda: double(wide),
        "noise probe": lambda: double(wide, NoiseMode(2.0, declared, 0)),
        "copy": lambda: copy_model(model, torch.float64),
    }
    _, ratios = compare(clock, plain_forward(model, inputs), runs, rounds, SHORT)
    shares = {}
    for effort in EFFORTS[:2]:
        audit(model, inputs, symmetry, effort=effort)
        shares[effort] = break_down(clock, lambda effort=effort: audit(model, inputs, symmetry, effort=effort))
    return {"parts": {name: as_dict(ratio) for name, ratio in ratios.items()}, "breakdown": shares}


def measure_derivatives(subject: Subject, clock: Clock, rounds: int) -> dict[str, Any]:
    """Each rung of the derivative ladder in the model's own dtype, in forwards under the same conditions."""
    model, inputs, symmetry = subject.build(clock.device)
    model.requires_grad_(False)
    leaves = [(p, x) for p, x, _ in symmetry.velocity(_direction(symmetry), inputs)]
    place = {path: n for n, (path, _) in enumerate(leaves)}
    primals = [x for _, x in leaves]
    tangents = [v for _, _, v in symmetry.velocity(_direction(symmetry), inputs)]
    evaluator = Evaluator(model, None)

    def function(flat: Any) -> list[torch.Tensor]:
        out = evaluator.call(map_leaves(lambda p, v: flat[place[p]] if p in place else v, inputs))
        return [v for _, v, rep in symmetry.output_leaves(out) if isinstance(v, torch.Tensor) and rep is not None]

    def plain() -> Any:
        return function([x.clone() for x in primals])

    runs, refused = {}, {}
    for name in RUNGS:

        def run(name: str = name) -> Any:
            return directional_derivative(function, primals, tangents, method=name, check=False)

        try:
            run()
            runs[name] = run
        except Exception as problem:  # whatever a model raises when it is differentiated
            refused[name] = str(problem).splitlines()[-1].strip()[:160]
    seconds, ratios = compare(clock, plain, runs, rounds, SHORT)
    return {
        "forward_seconds": seconds,
        "rungs": {name: as_dict(ratio) for name, ratio in ratios.items()},
        "refused": refused,
    }


def _direction(symmetry: Symmetry) -> Any:
    import numpy as np

    return np.random.default_rng(0).standard_normal(symmetry.acts.dim)


def as_dict(ratio: Ratio) -> dict[str, float]:
    """Builtins, short."""
    return {k: float(f"{v:.4g}") for k, v in vars(ratio).items()}


# -- printing ---------------------------------------------------------------------------------------------------------


def show_audits(rows: dict[str, Any]) -> Table:
    table = Table(title="audits in forwards of the model's own dtype (aim: default 20, quick 8)")
    for name in ("model", "forward, ms", *EFFORTS, "calls (f64, own)", "probes", "derivative", "verdict", "peer"):
        table.add_column(name, justify="left" if name in ("model", "derivative", "verdict", "peer") else "right")
    for name, row in rows.items():
        audits, rival = row["audits"], row.get("rival")
        default = audits["default"]
        cells = [
            f"[{'green' if e not in AIMS or audits[e]['median'] <= AIMS[e] else 'red'}]{audits[e]['median']:.1f}[/]"
            for e in EFFORTS
        ]
        calls = default["forwards"]
        table.add_row(
            name, f"{row['forward_seconds'] * 1e3:.1f}", *cells,
            f"{calls.get('float64', 0)}, {calls.get('own', 0)}", str(default["probes"]), default["derivative"],
            default["verdict"] + (f" ({default['cause']})" if default["cause"] else ""),
            f"{rival['name']}: {rival['median']:.1f} in {rival['calls']} calls" if rival else "",
        )  # fmt: skip
    return table


def show_checks(rows: dict[str, Any]) -> Table:
    table = Table(
        title="small models: (element, part of the group) pairs tried per second (aim: default 3 times the peer)"
    )
    for name in (
        "model",
        "forward, ms",
        "audit",
        "calls",
        "pairs",
        "pairs per s",
        "forwards",
        "peer",
        "times the peer",
    ):
        table.add_column(name, justify="left" if name in ("model", "audit", "peer") else "right")
    for name, row in rows.items():
        rival = row.get("rival")
        other = rival["pairs"] / rival["seconds"] if rival else None
        for effort in EFFORTS:
            found = row["audits"][effort]
            rate = found["pairs"] / found["seconds"]
            said = (
                f"{rival['name']}: {other:.0f} per s, {rival['calls']} calls, {rival['median']:.0f} forwards"
                if rival
                else ""
            )
            table.add_row(
                name, f"{row['forward_seconds'] * 1e3:.2f}", effort, str(found["calls"]), str(found["pairs"]),
                f"{rate:.0f}", f"{found['median']:.0f}", said, f"{rate / other:.2f}" if other else "",
            )  # fmt: skip
    return table


def show_parts(rows: dict[str, Any]) -> Table:
    table = Table(title="what an audit (at the default effort) is made of, in forwards of the model's own dtype")
    kinds = list(dict.fromkeys(k for row in rows.values() for k in row.get("parts", {})))
    spent = list(
        dict.fromkeys(k for row in rows.values() for k in row.get("breakdown", {}).get("default", {}) if k != REST)
    )
    for name in ("model", *kinds, *(f"· {k}" for k in spent), f"· {REST}"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for name, row in rows.items():
        if "parts" not in row:
            continue
        one = row["parts"]["float64 forward"]["seconds"] / row["parts"]["float64 forward"]["median"]
        took = row["breakdown"]["default"]
        cells = [f"{row['parts'][k]['median']:.2f}" for k in kinds]
        for k in (*spent, REST):
            times = f" ({took[k]['calls']}×)" if k in took and took[k]["calls"] else ""
            cells.append(f"{took[k]['seconds'] / one:.1f}{times}" if k in took else "")
        table.add_row(name, *cells)
    return table


def show_derivatives(rows: dict[str, Any]) -> Table:
    table = Table(title="one directional derivative in forwards, own dtype (aim: 2.5 where compute dominates)")
    for name in ("model", "forward, ms", *RUNGS, "refused"):
        table.add_column(name, justify="left" if name in ("model", "refused") else "right")
    for name, row in rows.items():
        cells = [f"{row['rungs'][r]['median']:.2f}" if r in row["rungs"] else "—" for r in RUNGS]
        table.add_row(name, f"{row['forward_seconds'] * 1e3:.1f}", *cells, "; ".join(row["refused"]))
    return table


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, write; returns what was written."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="torch device, such as cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; medians are over them")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: for one thread on a busy machine")
    parser.add_argument("--only", default="", help="only models whose name contains this")
    parser.add_argument("--parts", default="audits,checks,parts,derivatives", help="which tables, by comma")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "cost.json")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    if device.type == "cuda" and options.clock == "cpu":
        parser.error("--clock cpu sees nothing of a GPU: leave it at wall")
    clock, console = Clock(device, options.clock), Console(width=None if sys.stdout.isatty() else 170)
    parts = options.parts.split(",")
    large = [s for s in LARGE if options.only in s.name and s.available]
    small = [s for s in SMALL if options.only in s.name and s.available]
    smooth = [s for s in large if "C4" not in s.name]
    results: dict[str, Any] = {}
    record = {
        **about("benchmarks.cost", arguments, LIBRARIES, device),
        "seed": 0,
        "clock": options.clock,
        "aims": AIMS,
        "results": results,
    }
    for part, subjects, measure, show in (
        ("audits", large, measure_audits, show_audits),
        ("checks", small, measure_audits, show_checks),
        ("parts", large, measure_parts, show_parts),
        ("derivatives", smooth, measure_derivatives, show_derivatives),
    ):
        if part not in parts:
            continue
        results[part] = {}
        for subject in subjects:
            with console.status(f"{part}: {subject.name}"):
                results[part][subject.name] = measure(subject, clock, options.rounds)
        console.print(show(results[part]))
        write(record, options.output)  # a part at a time: the whole takes minutes
    console.print(f"written to {options.output}")
    return record


if __name__ == "__main__":
    main()
