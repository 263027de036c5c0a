"""The task: positions, velocities and charges at frame 30 in, positions at frame 40 out; made once, then read from a cache."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from examples.nbody.simulate import simulate

FRAME_IN, FRAME_OUT = 30, 40
TIME = 1.0
"""Simulated time between the two frames: ten frames of a hundred steps of 1e-3."""
SPLITS = {"train": (9000, 1001), "valid": (2000, 1002), "test": (2000, 1003)}
"""How many windows there are and the seed of the generator. A training run takes a subset that its own seed draws."""
FORMAT = 1


@dataclass(frozen=True)
class Windows:
    """Inputs and labels of the task, one window for each trajectory, in float32 unless ``to`` says otherwise.

    ``positions``, ``velocities`` and ``targets`` are [windows, particles, 3], ``charges`` [windows, particles].
    """

    positions: Tensor
    velocities: Tensor
    charges: Tensor
    targets: Tensor

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """What a model is called with."""
        return self.positions, self.velocities, self.charges

    def __len__(self) -> int:
        return len(self.charges)

    def __getitem__(self, index: Tensor | slice) -> Windows:
        return Windows(*(t[index] for t in (*self.inputs, self.targets)))

    def to(self, *where: object) -> Windows:
        """On another device or in another dtype."""
        return Windows(*(t.to(*where) for t in (*self.inputs, self.targets)))  # type: ignore[arg-type]


def make_windows(count: int, seed: int, clip: str = "norm", progress: Callable[[int], None] | None = None) -> Windows:
    """Simulate trajectories and keep the two frames of the task.

    >>> make_windows(2, seed=0).targets.shape
    torch.Size([2, 5, 3])
    """
    found = simulate(count, seed, clip=clip, progress=progress)

    def frame(array: np.ndarray, which: int) -> Tensor:
        return torch.tensor(array[:, which].transpose(0, 2, 1), dtype=torch.float32)

    return Windows(
        frame(found.positions, FRAME_IN),
        frame(found.velocities, FRAME_IN),
        torch.tensor(found.charges, dtype=torch.float32),
        frame(found.positions, FRAME_OUT),
    )


def load(split: str, clip: str = "norm", *, folder: Path | None = None) -> Windows:
    """The windows of a split, from the cache; made and kept there the first time, with a progress bar.

    A file that does not match its checksum is made again.

    Args:
        split: "train", "valid" or "test".
        clip: of the force: "norm" keeps the labels equivariant, "component" is the published simulator's.
        folder: of the cache; ``cache_folder()`` if left out.

    Raises:
        ValueError: another split.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(map(repr, SPLITS))}, got {split!r}")
    count, seed = SPLITS[split]
    path = (folder or cache_folder()) / f"nbody-{FORMAT}-{split}-{clip}-{count}-{seed}.npz"
    kept = _read(path)
    if kept is None:
        kept = _simulate_with_bar(split, count, seed, clip)
        _write(path, kept)
    return kept


def cache_folder() -> Path:
    """Where data are kept: ``$EQUIAUDIT_CACHE``, or the platform's place for caches."""
    if chosen := os.environ.get("EQUIAUDIT_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "equiaudit"


def checksum(windows: Windows) -> str:
    """SHA-256 of the numbers."""
    digest = hashlib.sha256()
    for tensor in (*windows.inputs, windows.targets):
        digest.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    return digest.hexdigest()


def _simulate_with_bar(split: str, count: int, seed: int, clip: str) -> Windows:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{split} trajectories, {clip} clip", total=count)
        return make_windows(count, seed, clip, lambda done: bar.update(task, completed=done))


def _read(path: Path) -> Windows | None:
    try:
        with path.open("rb") as stream, np.load(stream) as file:  # np.load leaves a damaged file open
            found = Windows(
                *(torch.from_numpy(file[name]) for name in ("positions", "velocities", "charges", "targets"))
            )
            return found if str(file["checksum"]) == checksum(found) else None
    except (OSError, ValueError, KeyError, EOFError):
        return None
    except Exception as error:  # a damaged zip raises its own kinds
        if type(error).__module__ in ("zipfile", "zlib"):
            return None
        raise


def _write(path: Path, windows: Windows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {n: getattr(windows, n).numpy() for n in ("positions", "velocities", "charges", "targets")}
    part = path.with_suffix(f".{os.getpid()}.tmp.npz")
    np.savez(part, checksum=checksum(windows), **arrays)
    part.replace(path)  # two processes may write at once: each file is whole
