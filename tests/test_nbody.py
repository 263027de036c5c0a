"""The charged-particle task: the generator against reference trajectories of the published simulator, and its symmetry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples.nbody.simulate import SPEED, draw_starts, simulate

REFERENCE = Path(__file__).parent / "data" / "nbody_reference.npz"


def test_trajectories_are_those_of_the_published_simulator() -> None:
    wanted = np.load(REFERENCE)
    found = simulate(len(wanted["charges"]), int(wanted["seed"]), clip="component")
    assert np.array_equal(found.charges, wanted["charges"][:, :, 0])
    # close encounters amplify rounding: 1e-10 of it after 4,900 steps in the worst of these
    assert np.abs(found.positions - wanted["positions"]).max() < 1e-8
    assert np.abs(found.velocities - wanted["velocities"]).max() < 1e-7


def test_the_reference_tells_the_two_clips_apart() -> None:
    """The test above could fail: with the other clip it does, for some trajectories of a larger set."""
    component, norm = (simulate(64, 43, clip=clip, steps=4100).positions for clip in ("component", "norm"))
    changed = np.abs(component - norm).max(axis=(1, 2, 3)) > 1e-8
    assert 0.02 < changed.mean() < 0.6


def test_chunks_do_not_change_a_trajectory(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = simulate(10, 1, steps=500).positions
    monkeypatch.setattr("examples.nbody.simulate.CHUNK", 3)
    assert np.array_equal(simulate(10, 1, steps=500).positions, whole)


def test_starts() -> None:
    start = draw_starts(200, 0)
    assert set(np.unique(start.charges)) == {-1.0, 1.0}
    assert np.abs(np.sqrt((start.velocities**2).sum(1)) - SPEED).max() < 1e-12
    assert abs(start.positions.std() - 1.0) < 0.05


def test_momentum_is_kept_where_no_force_is_clipped() -> None:
    found = simulate(20, 5, steps=1000)
    drift = np.abs(found.velocities.sum(-1) - found.velocities[:, :1].sum(-1)).max(axis=(1, 2))
    assert np.median(drift) < 1e-12


def test_an_unknown_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="clip must be 'norm' or 'component', got 'box'"):
        simulate(1, 0, clip="box")
