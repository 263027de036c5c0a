"""Verdicts on the corpus: audit, e3nn's assert_equivariant, and one random element with allclose.

Run from the root of the repository::

    python -m benchmarks.verdicts --seeds 5 --only "leak-*" --effort default

Prints one row per case, wrong verdicts first, and writes results/verdicts.json.
"""

from __future__ import annotations

import argparse
import collections
import fnmatch
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from corpus import CASES, Case  # noqa: E402
from corpus.case import APPROXIMATE, BROKEN, EXACT  # noqa: E402

from benchmarks.peers import ACCEPTED, REJECTED, judge_by_allclose, judge_by_e3nn  # noqa: E402
from benchmarks.record import about, write  # noqa: E402
from equiaudit import audit  # noqa: E402

LIBRARIES = ("torch-equiaudit", "torch", "numpy", "e3nn", "escnn", "torch_geometric")
KINDS = ("clean", "faulty", "meaningless")
PEERS = {"e3nn": judge_by_e3nn, "allclose": judge_by_allclose}


def kind_of(expect: str) -> str:
    """Clean (to be accepted), faulty, or meaningless (VACUOUS and INVALID)."""
    return "clean" if expect in (EXACT, APPROXIMATE) else "faulty" if expect == BROKEN else "meaningless"


def run_case(case: Case, seeds: range, effort: str, with_peers: bool = True) -> dict[str, Any]:
    """The verdicts of audit and of the peers on one case, one for each seed."""
    verdicts: collections.Counter[str] = collections.Counter()
    causes: collections.Counter[str] = collections.Counter()
    peers: dict[str, collections.Counter[str]] = {name: collections.Counter() for name in PEERS}
    forwards, wrong, failures = [], [], []
    started = time.perf_counter()
    for seed in seeds:
        model, inputs, symmetry = case.build()
        try:
            found = audit(model, inputs, symmetry, seed=seed, effort=effort, **case.options)
            verdict, cause = found.verdict.value, found.cause
            forwards.append(found.cost.total)
        except Exception as e:
            verdict, cause = "RAISED", None
            failures.append(f"seed {seed}: {type(e).__name__}: {e}"[:300])
        verdicts[verdict] += 1
        if cause:
            causes[cause] += 1
        if verdict != case.expect or (case.cause is not None and cause != case.cause):
            wrong.append(seed)
    spent = time.perf_counter() - started
    for name, judge in PEERS.items():
        for seed in seeds if with_peers else ():
            peers[name][judge(case, seed)] += 1
    return {
        "name": case.name,
        "source": case.source,
        "expect": case.expect,
        "cause": case.cause,
        "violation": case.size,
        "verdicts": dict(verdicts),
        "causes": dict(causes),
        "wrong_seeds": wrong,
        "failures": failures,
        "forwards": sum(forwards) / len(forwards) if forwards else None,
        "seconds": spent / len(seeds),
        "peers": {name: dict(counts) for name, counts in peers.items()},
    }


def peer_is_right(row: dict[str, Any], name: str) -> tuple[int, int]:
    """(right, judged): a clean model is to be accepted, everything else rejected."""
    counts = row["peers"][name]
    wanted = ACCEPTED if kind_of(row["expect"]) == "clean" else REJECTED
    return counts.get(wanted, 0), counts.get(ACCEPTED, 0) + counts.get(REJECTED, 0)


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Right and judged, for audit and the peers, apart for clean, faulty and meaningless cases."""
    out: dict[str, Any] = {}
    for kind in KINDS:
        members = [r for r in rows if kind_of(r["expect"]) == kind]
        total = sum(sum(r["verdicts"].values()) for r in members)
        out[kind] = {"cases": len(members), "audit": [total - sum(len(r["wrong_seeds"]) for r in members), total]}
        for name in PEERS:
            pairs = [peer_is_right(r, name) for r in members]
            out[kind][name] = [sum(a for a, _ in pairs), sum(b for _, b in pairs)]
        spent = [r["forwards"] for r in members if r["forwards"] is not None]
        out[kind]["forwards"] = sum(spent) / len(spent) if spent else None
    return out


def show(rows: list[dict[str, Any]], summary: dict[str, Any], console: Console) -> None:
    """One row per case, wrong first, and the sums below."""
    table = Table(title="verdicts on the corpus")
    for column in ("case", "expected", "audit", "forwards", "e3nn", "allclose"):
        table.add_column(column, justify="right" if column == "forwards" else "left")
    for row in sorted(rows, key=lambda r: (-len(r["wrong_seeds"]), r["name"])):
        verdicts = ", ".join(f"{v} {n}" for v, n in sorted(row["verdicts"].items()))
        style = "red" if row["wrong_seeds"] else ""
        cells = [", ".join(f"{v} {n}" for v, n in sorted(row["peers"][name].items())) for name in PEERS]
        mean = "" if row["forwards"] is None else f"{row['forwards']:.0f}"
        table.add_row(row["name"], row["expect"], verdicts, mean, *cells, style=style)
    console.print(table)
    sums = Table(title="right of judged")
    for column in ("", "cases", "audit", "e3nn", "allclose", "mean forwards of audit"):
        sums.add_column(column)
    for kind, s in summary.items():
        mean = "" if s["forwards"] is None else f"{s['forwards']:.1f}"
        sums.add_row(kind, str(s["cases"]), *("{} of {}".format(*s[k]) for k in ("audit", *PEERS)), mean)
    console.print(sums)
    for row in rows:
        for failure in row["failures"]:
            console.print(f"[red]{row['name']}[/red] {failure}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2, help="audits per case")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", default="*", help="pattern of case names")
    parser.add_argument("--kind", choices=KINDS, help="only cases of this kind")
    parser.add_argument("--no-peers", action="store_true", help="judge by audit alone")
    parser.add_argument("--effort", default="default", choices=("quick", "default", "thorough"))
    parser.add_argument("--output", type=Path, default=HERE / "results" / "verdicts.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    chosen = [c for c in CASES if fnmatch.fnmatch(c.name, arguments.only)]
    chosen = [c for c in chosen if arguments.kind in (None, kind_of(c.expect))]
    present = [c for c in chosen if not c.missing]
    console = Console(width=None if sys.stdout.isatty() else 140)
    rows = [
        run_case(c, seeds, arguments.effort, not arguments.no_peers)
        for c in track(present, "cases", console=console, transient=True)
    ]
    summary = summarise(rows)
    show(rows, summary, console)
    record = {
        **about("benchmarks.verdicts", None, LIBRARIES),
        "skipped": [c.name for c in chosen if c.missing],
        "summary": summary,
        "cases": rows,
    }
    write(record, arguments.output)
    return int(any(row["wrong_seeds"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
