"""The projection of a weight on the equivariant maps, beside EMLP on the same spaces, the same weights and one thread.

EMLP needs jax, so it runs in a Python of its own, which this one talks to::

    python -m venv elsewhere && elsewhere/bin/pip install emlp six pytest
    OMP_NUM_THREADS=1 python -m benchmarks.emlp --emlp-python elsewhere/bin/python

Each round projects once here and once there. Times are CPU seconds of each process, all its threads counted. The projected
weights of both must agree. results/emlp.json keeps every time, the versions and the command.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.record import about, write
from equiaudit import intertwiners
from equiaudit.groups import SO
from equiaudit.intertwiners.maps import Hom
from equiaudit.representations import Kronecker, Scalar, Vector

AGREE = 1e-4
"""The relative difference of two projections in single precision that still counts as the same map."""

WORKER = """
import importlib.metadata, json, sys, time
import numpy as np
from emlp.groups import SO
from emlp.reps import V
talk, sys.stdout = sys.stdout, sys.stderr
def say(**found):
    print(json.dumps(found), file=talk, flush=True)
say(**{n: importlib.metadata.version(n) for n in ("emlp", "jax", "jaxlib", "objax", "plum-dispatch", "numpy")})
for line in sys.stdin:
    order = json.loads(line)
    start = time.process_time()
    if "space" in order:
        s, v, t = order["space"]
        rep = (s * V**0 + v * V + t * V**2 if t else s * V**0 + v * V)(SO(3))
        projector = (rep >> rep).equivariant_projector()
        weight = np.load(order["weight"])
        say(seconds=time.process_time() - start, size=int(rep.size()))
    else:
        found = np.asarray(projector @ weight.reshape(-1)).reshape(weight.shape)
        took = time.process_time() - start
        if "save" in order:
            np.save(order["save"], found)
        say(seconds=took)
"""


@dataclass(frozen=True)
class Space:
    """So many scalars, vectors and matrices V ⊗ V of SO(3)."""

    scalars: int
    vectors: int
    matrices: int = 0

    @property
    def size(self) -> int:
        """The dimension."""
        return self.scalars + 3 * self.vectors + 9 * self.matrices

    @property
    def rep(self) -> Any:
        """The representation here."""
        rep = self.scalars * Scalar() + self.vectors * Vector()
        return rep + self.matrices * Kronecker(Vector(), Vector()) if self.matrices else rep

    def __str__(self) -> str:
        text = f"{self.scalars} scalars + {self.vectors} vectors"
        return f"{text} + {self.matrices} matrices" if self.matrices else text


SPACES = (Space(32, 32), Space(256, 256), Space(250, 123, 45))


class Peer:
    """EMLP in another process: orders and answers are lines of JSON."""

    def __init__(self, python: Path) -> None:
        one = {"OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
        self.process = subprocess.Popen(
            [str(python), "-W", "ignore", "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | one,
        )
        self.versions = self._answer()

    def order(self, **order: Any) -> dict[str, Any]:
        """What it says to an order."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("EMLP ended without an answer; its errors are above. Is emlp installed in that Python?")
        return dict(json.loads(line))

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def seconds(run: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its CPU time."""
    start = time.process_time()
    found = run()
    return found, time.process_time() - start


def measure(peer: Peer, space: Space, rounds: int, seed: int, folder: Path) -> dict[str, Any]:
    """Seconds here and there, round after round, and how far the two projections are apart."""
    weight = np.random.default_rng(seed).standard_normal((space.size, space.size)).astype(np.float32)
    np.save(folder / "weight.npy", weight)
    ours = torch.from_numpy(weight)
    hom, built = seconds(lambda: Hom(SO(3), space.rep, space.rep, (space.size, space.size)))
    found, first = seconds(lambda: hom.project(ours))
    their_build = peer.order(space=[space.scalars, space.vectors, space.matrices], weight=str(folder / "weight.npy"))
    if their_build["size"] != space.size:
        raise RuntimeError(f"EMLP has dimension {their_build['size']} for {space}, expected {space.size}")
    their_first = peer.order(save=str(folder / "found.npy"))["seconds"]
    gap = float(np.linalg.norm(np.load(folder / "found.npy") - found.numpy()) / np.linalg.norm(found.numpy()))
    if gap > AGREE:
        raise RuntimeError(f"the projections differ by {gap:.1e} of their size on {space}; they are compared in vain")
    pairs = [(seconds(lambda: hom.project(ours))[1], peer.order()["seconds"]) for _ in range(rounds)]
    return {
        "size": space.size,
        "maps": intertwiners.dimension(SO(3), space.rep, space.rep),
        "apart": gap,
        "ours": {"prepare, s": built, "first, s": first, "later, s": [a for a, _ in pairs]},
        "emlp": {"prepare, s": their_build["seconds"], "first, s": their_first, "later, s": [b for _, b in pairs]},
        "later, ratio": statistics.median(b / a for a, b in pairs),
        "prepare and first, ratio": (their_build["seconds"] + their_first) / (built + first),
    }


def show(results: Mapping[str, Any]) -> Table:
    """One row for each space."""
    table = Table("space", "prepare + first, here", "EMLP", "ratio", "again, here", "EMLP", "ratio", title="CPU time")
    for name, found in results.items():
        cells = []
        for key in ("ours", "emlp"):
            once = found[key]
            cells.append((once["prepare, s"] + once["first, s"], statistics.median(once["later, s"])))
        ratios = found["prepare and first, ratio"], found["later, ratio"]
        row = [x for n in (0, 1) for x in (*(f"{1e3 * c[n]:.1f} ms" for c in cells), f"{ratios[n]:.0f}")]
        table.add_row(name, *row)
    return table


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run and write results/emlp.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.emlp", description=__doc__)
    parser.add_argument("--emlp-python", type=Path, required=True, help="a Python that has emlp")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="spaces whose name contains this")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "emlp.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    console, peer = Console(), Peer(options.emlp_python)
    results: dict[str, Any] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            for space in SPACES:
                if options.only in str(space):
                    results[str(space)] = measure(peer, space, options.rounds, options.seed, Path(folder))
                    console.print(show(results))
    finally:
        peer.close()
    given = arguments if arguments is not None else sys.argv[1:]
    shown = ["elsewhere/bin/python" if a == str(options.emlp_python) else a for a in given]
    head = about("benchmarks.emlp", shown, ("torch", "numpy"))
    record = {
        **head,
        "versions": {"here": head["versions"], "emlp": peer.versions},
        "seed": options.seed,
        "clock": "CPU time of the process",
        "group": "SO(3)",
        "dtype": "float32",
        "spaces": results,
    }
    write(record, options.output)
    console.print(f"written to {options.output}")
    return record


if __name__ == "__main__":
    main()
