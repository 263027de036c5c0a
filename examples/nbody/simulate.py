"""Charged particles in free space: many trajectories at once, in float64.

Five unit masses with charges ±1 start at normal positions with speed ½ and move under
F_i = Σ_j q_i q_j (r_i − r_j) / |r_i − r_j|³, without softening. The task is the one of Satorras, Hoogeboom and Welling 2021
("E(n) Equivariant Graph Neural Networks", section 5.1): positions, velocities and charges at one frame in, positions at a
later frame out.

The published simulator clips each *component* of the force at ±100, which makes the labels themselves depend on the frame
of reference; ``clip="norm"`` clips the length of the force instead and keeps the task equivariant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
DT = 1e-3
LARGEST_FORCE = 0.1 / DT
SPEED = 0.5
BOX = 5.0
CHUNK = 256
"""Trajectories that move together: their state stays in the processor's cache."""


@dataclass(frozen=True)
class Trajectories:
    """Saved frames: positions and velocities [trajectories, frames, 3, particles], charges [trajectories, particles]."""

    positions: Array
    velocities: Array
    charges: Array


def simulate(
    count: int,
    seed: int,
    *,
    particles: int = 5,
    clip: str = "norm",
    steps: int = 5000,
    every: int = 100,
    progress: Callable[[int], None] | None = None,
) -> Trajectories:
    """Trajectories from random starts, frame k at step (k + 1) · every.

    Args:
        count: of trajectories.
        seed: of numpy's legacy generator, which the published data were drawn from.
        particles: in each trajectory.
        clip: "norm" for the length of the force, "component" as published.
        steps: of length 1e-3.
        every: how many steps lie between frames.
        progress: called with the number of trajectories that are done.

    Raises:
        ValueError: another ``clip``.

    >>> simulate(2, seed=0, steps=300).positions.shape
    (2, 2, 3, 5)
    """
    if clip not in ("norm", "component"):
        raise ValueError(f"clip must be 'norm' or 'component', got {clip!r}")
    frames = max(steps // every - 1, 0)
    start = draw_starts(count, seed, particles, frames)
    out = Trajectories(np.empty((count, frames, 3, particles)), np.empty((count, frames, 3, particles)), start.charges)
    for first in range(0, count, CHUNK):
        part = slice(first, min(first + CHUNK, count))
        _move(
            Trajectories(*(a[part] for a in (start.positions, start.velocities, start.charges))),
            out,
            part,
            clip,
            steps,
            every,
        )
        if progress is not None:
            progress(part.stop)
    return out


def draw_starts(count: int, seed: int, particles: int = 5, frames: int = 49) -> Trajectories:
    """Positions and velocities [count, 3, particles] and charges, in the published order of draws.

    The published simulator draws measurement noise of scale zero after each trajectory; it is drawn here too, so that
    trajectory number n is the same.
    """
    rng = np.random.RandomState(seed)
    x, v = np.empty((count, 3, particles)), np.empty((count, 3, particles))
    q = np.empty((count, particles))
    spread = (particles / 5.0) ** (1 / 3)
    for n in range(count):
        q[n] = rng.choice([-1.0, 0.0, 1.0], size=(particles, 1), p=[0.5, 0.0, 0.5])[:, 0]
        x[n] = rng.randn(3, particles) * spread
        v[n] = rng.randn(3, particles)
        rng.randn(2 * frames, 3, particles)
    v *= SPEED / np.sqrt((v**2).sum(1, keepdims=True))
    for sign in (1.0, -1.0):  # the walls are felt once, before the first step
        out = sign * x > BOX
        x[out] = sign * 2 * BOX - x[out]
        v[out] = -sign * np.abs(v[out])
    return Trajectories(x, v, q)


def _move(start: Trajectories, out: Trajectories, part: slice, clip: str, steps: int, every: int) -> None:
    # The batch comes last: every operation runs over contiguous memory.
    x = np.ascontiguousarray(start.positions.transpose(1, 2, 0))  # [3, particles, batch]
    v = np.ascontiguousarray(start.velocities.transpose(1, 2, 0))
    q = np.ascontiguousarray(start.charges.T)
    first, second = np.triu_indices(len(q), 1)
    strength = q[first] * q[second]
    force = np.empty_like(x)
    _kick(x, v, force, first, second, strength, clip)
    for step in range(1, steps):
        x += DT * v
        if step % every == 0 and step // every <= out.positions.shape[1]:
            out.positions[part, step // every - 1] = x.transpose(2, 0, 1)
            out.velocities[part, step // every - 1] = v.transpose(2, 0, 1)
        _kick(x, v, force, first, second, strength, clip)


def _kick(x: Array, v: Array, force: Array, first: Array, second: Array, strength: Array, clip: str) -> None:
    apart = x[:, first] - x[:, second]
    square = apart[0] ** 2 + apart[1] ** 2 + apart[2] ** 2
    apart *= strength / (square * np.sqrt(square))
    force[:] = 0.0
    for pair, (i, j) in enumerate(zip(first, second, strict=True)):
        force[:, i] += apart[:, pair]
        force[:, j] -= apart[:, pair]
    if clip == "component":
        np.clip(force, -LARGEST_FORCE, LARGEST_FORCE, out=force)
    else:
        length = np.sqrt(force[0] ** 2 + force[1] ** 2 + force[2] ** 2)
        if length.max() > LARGEST_FORCE:
            force *= np.minimum(1.0, LARGEST_FORCE / np.maximum(length, 1e-300))
    force *= DT
    v += force
