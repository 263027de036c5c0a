"""A rerun beside the published records, seed by seed."""

from __future__ import annotations

from pathlib import Path

from benchmarks.nbody import store
from benchmarks.nbody.plan import TUNING_SEEDS


def beside_published(folder: Path, published: Path | None = None) -> list[str]:
    """Lines of a table: the test error of each reported run in ``folder`` and of the same setting in the published records.

    Runs are the same when their keys are. A seed that was never published has no number beside it.
    """
    known = {record["key"]: record for record in store.read(published or store.RESULTS)}
    rows = [
        f"| {' | '.join(str(r['setting'][k]) for k in ('cell', 'arm', 'seed'))} | {_shown(known.get(r['key']))} | {_shown(r)} |"
        for r in sorted(
            store.read(folder), key=lambda r: (r["setting"]["cell"], r["setting"]["arm"], r["setting"]["seed"])
        )
        if r["setting"]["seed"] < min(TUNING_SEEDS)
    ]
    if not rows:
        return []
    return ["| cell | arm | seed | published test MSE · 1000 | this run |", "|---" * 5 + "|", *rows]


def _shown(record: store.Record | None) -> str:
    if record is None:
        return "not published"
    return f"{1e3 * record['test']:.4f}" if "test" in record else "diverged"
