"""The sentence on what to suspect, from real audits of typical faults."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from equiaudit import Symmetry, audit
from equiaudit.groups import SO, Cyclic, E, Lorentz, O, Permutations
from equiaudit.records import Audit, Check, Verdict
from equiaudit.report.suspects import suspect

CLOUD = torch.randn(8, 3, generator=torch.Generator().manual_seed(4))
POINTS = Symmetry(E(3), "points", "vector")
SQUARE = torch.tensor([[1.0, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]])


def centred(x):
    return x - x.mean(0)


def nearest(x):
    d = torch.cdist(x, x) + 1e3 * torch.eye(len(x), dtype=x.dtype)
    return x[d.argmin(-1)] - x


def padded(x):
    return nn.functional.avg_pool2d(nn.functional.pad(x, (0, 2, 1, 1)), 3, 1)


FAULTS = {
    "shifts": (lambda x: centred(x) * x.mean(0).norm(), CLOUD, POINTS, "only translations break: absolute positions"),
    "turns": (lambda x: centred(x).tanh(), CLOUD, POINTS, "turns break and shifts do not: components are treated"),
    "both": (lambda x: x.tanh(), CLOUD, POINTS, "turns and shifts both break: coordinates enter as plain numbers"),
    "no shifts": (torch.tanh, CLOUD, Symmetry(SO(3), "vector", "vector"), "turns break: components"),
    "mirrors": (
        lambda x: torch.linalg.cross(x, x.roll(1, 0)), CLOUD, Symmetry(O(3), "vector", "vector"),
        "only reflections break: a cross product",
    ),
    "far": (lambda x: x - x.clamp(-100, 100).mean(0), CLOUD, POINTS, "only large shifts break: positions are clamped"),
    "order": (
        lambda x: x + torch.arange(8)[:, None], CLOUD, Symmetry(Permutations(), "nodes", "nodes"),
        "the order of nodes or edges enters",
    ),
    "tie": (nearest, SQUARE, Symmetry(SO(3), "vector", "vector"), "only the given input breaks: rounding decides"),
    "image": (
        padded, torch.randn(1, 1, 9, 9), Symmetry(Cyclic(4), "image", "image"),
        "images: a kernel that is not steered, or padding",
    ),
    "boosts": (
        lambda p: p[:, 1:].norm(dim=-1), torch.randn(6, 4), Symmetry(Lorentz(), "vector", "invariant"),
        "only boosts break: a Euclidean norm",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_typical_fault_is_suspected(name: str) -> None:
    model, inputs, symmetry, sentence = FAULTS[name]
    found = audit(model, inputs, symmetry)
    assert found.verdict is Verdict.BROKEN
    assert re.match(re.escape(sentence), suspect(found) or "nothing"), (suspect(found), [c.part for c in found.checks])


def test_a_bias_is_named_with_its_layer() -> None:
    net = nn.Sequential(nn.Identity(), nn.Linear(3, 3))
    nn.init.eye_(net[1].weight)
    found = audit(net, CLOUD, Symmetry(SO(3), "vector", "vector"), layers=True)
    assert suspect(found) == "a bias on features that turn, in 1: only scalars may have one"


def test_several_symmetries_keep_their_parts() -> None:
    rows = (
        Check("E(3): rotations", "finite", Verdict.EXACT),
        Check("E(3): translations", "finite", Verdict.EXACT),
        Check("Permutations(): permutations", "finite", Verdict.BROKEN),
        Check("Lie derivative, rotations", "lie", Verdict.BROKEN),
    )
    assert "the order of nodes" in (suspect(Audit(Verdict.BROKEN, checks=rows)) or "")


@pytest.mark.parametrize("verdict", [Verdict.EXACT, Verdict.VACUOUS, Verdict.INVALID])
def test_nothing_is_suspected_without_a_violation(verdict: Verdict) -> None:
    assert suspect(Audit(verdict, checks=(Check("rotations", "finite", Verdict.BROKEN),))) is None


def test_special_poses_are_named() -> None:
    rows = (Check("rotations", "finite", Verdict.EXACT), Check("quarter turn z", "finite", Verdict.BROKEN))
    assert "only special poses break (quarter turn z)" in (suspect(Audit(Verdict.BROKEN, checks=rows)) or "")
