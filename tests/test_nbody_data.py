"""The windows of the charged-particle task: known errors of trivial predictions, and the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from examples.nbody import data
from examples.nbody.data import Windows, cache_folder, checksum, load, make_windows
from examples.nbody.simulate import simulate


@pytest.fixture(scope="module")
def published() -> Windows:
    return make_windows(1024, seed=43, clip="component")


@pytest.mark.parametrize(("velocity", "known"), [(0.0, 0.270), (1.0, 0.110)])
@pytest.mark.long
def test_trivial_predictions_have_their_known_error(published: Windows, velocity: float, known: float) -> None:
    wrong = published.positions + velocity * published.velocities - published.targets
    each = wrong.square().mean((1, 2))
    standard_error = float(each.std()) / len(each) ** 0.5
    assert abs(float(each.mean()) - known) < 3 * standard_error
    assert standard_error < 0.1 * known


def test_frames(published: Windows) -> None:
    whole = simulate(2, 43, clip="component")
    assert torch.equal(published.positions[:2], torch.tensor(whole.positions[:, 30]).mT.float())
    assert torch.equal(published.targets[:2], torch.tensor(whole.positions[:, 40]).mT.float())
    assert torch.equal(published.velocities[:2], torch.tensor(whole.velocities[:, 30]).mT.float())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "SPLITS", {"train": (3, 7)})


def forbid(*_: object, **__: object) -> None:
    raise AssertionError("simulated again")


@pytest.mark.usefixtures("small")
def test_the_cache_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = load("train", folder=tmp_path)
    monkeypatch.setattr(data, "simulate", forbid)
    again = load("train", folder=tmp_path)
    assert checksum(again) == checksum(made)
    with pytest.raises(AssertionError, match="simulated again"):
        load("train", "component", folder=tmp_path)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "fault", ["cut", *(pytest.param(f, marks=pytest.mark.long) for f in ("changed", "empty", "rewritten"))]
)
def test_a_damaged_file_is_made_again(tmp_path: Path, fault: str) -> None:
    made = load("train", folder=tmp_path)
    (path,) = tmp_path.glob("*.npz")
    content = bytearray(path.read_bytes())
    if fault == "cut":
        del content[len(content) // 2 :]
    elif fault == "changed":
        content[len(content) // 3] ^= 1
    elif fault == "empty":
        content.clear()
    path.write_bytes(content)
    if fault == "rewritten":
        with np.load(path) as file:
            arrays = dict(file)
        np.savez(path, **(arrays | {"targets": arrays["targets"] + 1e-3}))
    assert checksum(load("train", folder=tmp_path)) == checksum(made)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EQUIAUDIT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("EQUIAUDIT_CACHE")
    assert cache_folder().name == "equiaudit"


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="split must be one of 'train', 'valid', 'test', got 'dev'"):
        load("dev")
