"""Inputs: the poses are what their names say, they shrink to the fewest atoms, and variations keep what is not declared."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import find, settings
from torch import Tensor

from equiaudit import Symmetry
from equiaudit.groups import E, O
from equiaudit.representations.structures import StructureError
from equiaudit.strategies import (
    graph,
    graphs,
    hunt,
    image,
    images,
    inputs,
    molecule,
    molecules,
    point_cloud,
    point_clouds,
    tensors,
    vary,
)  # fmt: skip
from equiaudit.strategies.hunting import search

RIGID = Symmetry(E(3), {"pos": "points"}, "invariant")


def system(n: int = 5) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    edges = torch.tensor([[0, 1, 1, 2, 3], [1, 0, 2, 1, 4]])
    return {
        "pos": torch.randn(n, 3, generator=generator),
        "z": torch.arange(n),
        "edge_index": edges,
        "edge_attr": torch.arange(5.0),
        "cell": torch.eye(3),
    }


def test_edges_and_features_follow_their_nodes() -> None:
    found = vary(system(), RIGID, keep=(1, 2, 4))
    assert found["z"].tolist() == [1, 2, 4]
    assert found["edge_index"].tolist() == [[0, 1], [1, 0]]
    assert found["edge_attr"].tolist() == [2.0, 3.0]
    assert torch.equal(found["cell"], torch.eye(3))
    assert torch.equal(found["pos"], system()["pos"][[1, 2, 4]])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 12])
def test_poses_are_what_they_are_called(n: int) -> None:
    x = torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def posed(pose: str) -> Tensor:
        p = vary({"pos": x}, RIGID, pose=pose)["pos"]
        assert p.shape == x.shape
        return p - p.mean(0)

    assert int(torch.linalg.matrix_rank(posed("along z"), atol=1e-9)) <= 1
    assert int(torch.linalg.matrix_rank(posed("diagonal"), atol=1e-9)) <= 1
    assert float(posed("coplanar")[:, 2].abs().max()) < 1e-12
    assert float(posed("zeros").abs().max()) < 1e-12
    assert torch.equal(posed("coincident")[-1], posed("coincident")[0])
    for pose in ("whole", "regular"):
        if n > 1:
            assert float(torch.pdist(posed(pose)).min()) > 0.1
    if n in (4, 6, 8):  # the moments of a regular figure are those of a ball
        spread = posed("regular").T @ posed("regular")
        assert torch.allclose(spread, spread[0, 0] * torch.eye(3, dtype=x.dtype), atol=1e-9)


@pytest.mark.long
def test_inputs_shrink_to_the_fewest_atoms_in_the_simplest_pose() -> None:
    for number in range(3):
        found = search(point_clouds(nodes=(1, 8)), lambda x: len(x) >= 2, 100, number)
        assert found is not None
        assert found.tolist() == [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    small = find(inputs(RIGID, like=system()), lambda x: len(x["pos"]) >= 3, settings=settings(database=None))
    assert len(small["pos"]) == 3


@pytest.mark.parametrize(
    ("strategy", "holds"),
    [
        (point_clouds((1, 6)), lambda x: len(x) > 2 and torch.linalg.matrix_rank(x - x[0], atol=1e-6) == 1),
        (point_clouds((1, 6)), lambda x: len(x) > 3 and torch.linalg.matrix_rank(x - x[0], atol=1e-6) == 2),
        (point_clouds((2, 6)), lambda x: bool(torch.pdist(x).min() == 0)),
        (point_clouds((1, 6)), lambda x: float(x.mean()) > 1000),
        (point_clouds((3, 6)), lambda x: len(set((x[1:] - x[0]).norm(dim=-1).tolist())) == 1),
        (molecules(), lambda m: len(m["positions"]) == 1),
        (graphs(), lambda g: g["edge_index"].shape[1] == 0),
        (images(), lambda i: bool((i == 0).all())),
        (tensors((3, 3)), lambda t: bool((t[:, :2] == 0).all() and t.any())),
    ],
    ids=["collinear", "coplanar", "coincident", "far", "ties", "one atom", "no edge", "zeros", "axis-aligned"],
)
def test_degenerate_inputs_are_drawn(strategy: Any, holds: Any) -> None:
    assert search(strategy, lambda x: bool(holds(x)), 400, 0) is not None


def test_generic_inputs_are_drawn_too() -> None:
    assert (
        search(point_clouds((4, 4)), lambda x: torch.linalg.matrix_rank(x - x.mean(0), atol=1e-2) == 3, 50, 0)
        is not None
    )


def test_dtypes_and_devices_stay() -> None:
    x = {"pos": torch.randn(4, 3, dtype=torch.float64), "z": torch.arange(4)}
    found = vary(x, RIGID, keep=(0, 1), pose="whole", scale=2.0, jitter=0.1, seed=3)
    assert (found["pos"].dtype, found["z"].dtype) == (torch.float64, torch.int64)
    assert torch.equal(found["pos"], vary(x, RIGID, keep=(0, 1), pose="whole", scale=2.0, jitter=0.1, seed=3)["pos"])
    assert vary(x, RIGID)["pos"] is x["pos"]
    assert molecule(3, dtype=torch.float64)["positions"].dtype == torch.float64
    assert graph(3)["pos"].dtype == point_cloud(3).dtype == image(5).dtype == torch.float32


def test_messages() -> None:
    with pytest.raises(ValueError, match=r"pose must be one of 'as given', 'whole', .*, got 'upside down'"):
        vary(system(), RIGID, pose="upside down")
    with pytest.raises(ValueError, match=r"probe must be one of 'generic', .*, got 'odd'"):
        point_cloud(3, "odd")
    with pytest.raises(ValueError, match=r"a number of at least 0, or \(fewest, most\), is needed, got \(3, 2\)"):
        point_clouds((3, 2))
    with pytest.raises(StructureError, match="no floating-point leaf of the example is declared"):
        inputs(Symmetry(O(3), {"z": None}, "invariant"), like={"z": torch.arange(3)})


def test_hunt_returns_what_it_was_given() -> None:
    assert hunt(0.5) == 0.5
    assert hunt(0.0, floor=1e-9) == 0.0
    seen = []

    def fails(x: Tensor) -> bool:
        seen.append(hunt(float("nan")))
        hunt(float(x.abs().max()), floor=1e-3, label="size")
        return False

    assert search(point_clouds((1, 3)), fails, 20, 0) is None
    assert len(seen) == 20
