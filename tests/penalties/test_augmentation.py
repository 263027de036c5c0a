"""REMUL by labels and by the model's own output: values by hand, any group, structures, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from equiaudit import Symmetry
from equiaudit.groups import SE, SL, SO, Cyclic, E, Permutations
from equiaudit.penalties import AugmentationPenalty
from equiaudit.penalties.passes import draw_elements, placed
from equiaudit.representations.structures import StructureError

VECTORS = Symmetry(SO(3), "vector", "vector", batch=0)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("anchor", ["label", "model"])
def test_one_element_for_each_sample_by_hand(anchor: str) -> None:
    layer, x, y = nn.Linear(3, 3, dtype=torch.float64), draw(6, 3), draw(6, 3, seed=1)
    penalty = AugmentationPenalty(VECTORS, anchor=anchor, seed=4)
    twin = AugmentationPenalty(VECTORS, seed=4)
    found = penalty(layer, x, y)
    turns = torch.stack([torch.from_numpy(SO(3).sample(twin.rng).matrix) for _ in range(6)])
    moved = (turns @ x[..., None])[..., 0]
    wanted = (turns @ (y if anchor == "label" else layer(x))[..., None])[..., 0]
    assert float(found.detach()) == pytest.approx(float((layer(moved) - wanted).square().mean().detach()), rel=1e-12)
    assert len({tuple(t.flatten().tolist()) for t in turns}) == 6


def test_the_model_anchor_ignores_labels_and_the_label_anchor_needs_them() -> None:
    x = draw(6, 3)
    assert float(AugmentationPenalty(VECTORS, anchor="model")(lambda v: 3 * v, x)) < 1e-28
    assert float(AugmentationPenalty(VECTORS)(lambda v: 3 * v, x, x)) > 1.0
    assert float(AugmentationPenalty(VECTORS)(lambda v: 3 * v, x, 3 * x)) < 1e-28
    with pytest.raises(StructureError, match=r"anchor='label' compares with transformed targets"):
        AugmentationPenalty(VECTORS)(lambda v: 3 * v, x)


def test_the_output_is_the_plain_one_and_costs_one_forward() -> None:
    calls = [0]
    layer, x, y = nn.Linear(3, 3, dtype=torch.float64), draw(6, 3), draw(6, 3)
    layer.register_forward_hook(lambda *_: calls.__setitem__(0, calls[0] + 1))
    for anchor, alone in (("label", 1), ("model", 2)):
        penalty = AugmentationPenalty(VECTORS, anchor=anchor)
        calls[0] = 0
        penalty(layer, x, y)
        assert calls[0] == alone
        calls[0] = 0
        output, _ = penalty.with_output(layer, x, y)
        assert calls[0] == 2
        assert torch.equal(output, layer(x))


def test_classes_with_a_loss_of_ones_own() -> None:
    image, labels = draw(4, 1, 6, 6), torch.tensor([0, 2, 1, 2])
    claim = Symmetry(Cyclic(4), "image", "invariant", batch=0)
    penalty = AugmentationPenalty(claim, loss=nn.functional.cross_entropy)

    def invariant(x: Tensor) -> Tensor:
        return torch.stack([x.mean((1, 2, 3)), x.square().mean((1, 2, 3)), x.abs().mean((1, 2, 3))], -1)

    plain = nn.functional.cross_entropy(invariant(image), labels)
    assert float(penalty(invariant, image, labels)) == pytest.approx(float(plain), rel=1e-12)


def test_graphs_permutations_and_non_compact_groups() -> None:
    graph = {"positions": draw(9, 3), "batch": torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2])}
    claim = Symmetry(E(3), {"positions": "points", "batch": None}, {"away": "vector"}, batch="batch")

    def away(g: dict[str, Tensor], leak: float = 0.0) -> dict[str, Tensor]:
        x, owner = g["positions"], g["batch"]
        count = torch.bincount(owner).to(x.dtype)[:, None]
        centre = torch.zeros(3, 3, dtype=x.dtype).index_add(0, owner, x) / count
        return {"away": x - centre[owner] + leak}

    penalty = AugmentationPenalty(claim, anchor="model")
    assert float(penalty(away, graph)) < 1e-26
    assert float(penalty(lambda g: away(g, 0.1), graph)) > 1e-3
    assert float(AugmentationPenalty(claim)(away, graph, away(graph))) < 1e-26
    nodes = AugmentationPenalty(Symmetry(Permutations(), "nodes", "nodes"), anchor="model")
    assert float(nodes(lambda x: x.cumsum(0), draw(8, 2))) > 0.1
    shear = AugmentationPenalty(Symmetry(SL(2), "vector", "invariant", batch=0), anchor="model")
    assert float(shear(lambda x: torch.linalg.det(x), draw(5, 2, 2))) < 1e-20


def test_elements_are_about_the_centroid() -> None:
    claim = Symmetry(E(3), "points", "points", batch=0)
    x = draw(4, 5, 3) + 1000.0
    g = placed(claim, [E(3).sample(n) for n in range(4)], x)
    moved = claim.act_on_inputs(g, x)
    assert float((moved.mean(1) - x.mean(1)).norm(dim=-1).max()) < 20.0


@pytest.mark.parametrize("group", [E(3), SE(3), E(2)])
def test_placing_many_at_once_is_the_group_s_own_recentring(group: Any) -> None:
    claim = Symmetry(group, "points", "points", batch=0)
    x = draw(70, 5, group.space_dim) + 10.0
    frame = claim.frame(x)
    drawn = [group.sample(n) for n in range(70)]
    for g, h, o, r in zip(placed(claim, drawn, x), drawn, frame.origin, frame.radius, strict=True):
        reference = group.recentre(h, o, float(r))
        assert np.allclose(g.matrix, reference.matrix, atol=1e-12)
        assert np.allclose(group.product(g.factors), reference.matrix, atol=1e-12)
        assert np.allclose(g.inverse().matrix @ g.matrix, np.eye(group.size), atol=1e-12)
    many = draw_elements(claim, x, np.random.default_rng(0))
    assert len(many) == 70
    assert 30 < len({g.linear.tobytes() for g in many}) <= 64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AugmentationPenalty(VECTORS, anchor="both"), "anchor must be 'label' or 'model', got 'both'"),
        (lambda: AugmentationPenalty(VECTORS)(lambda v: v, draw(4, 3), draw(4, 1, 3)), r"shape \[4, 3\], the target"),
        (
            lambda: AugmentationPenalty(Symmetry(SO(3), "vector", None))(lambda v: v, draw(4, 3), draw(4, 3)),
            "no output is declared",
        ),
        (
            lambda: AugmentationPenalty(Symmetry(SO(3), "vector", "vector"))(
                lambda v: {"a": v}, draw(4, 3), {"b": draw(4, 3)}
            ),
            "a is an output and missing among the targets",
        ),
    ],
)
def test_messages(call: Any, message: str) -> None:
    with pytest.raises((StructureError, ValueError), match=message):
        call()
