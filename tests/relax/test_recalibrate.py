"""Running statistics: every module that keeps some gets new ones, or is named."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from equiaudit import Symmetry, project, relax
from equiaudit.groups import O
from equiaudit.relaxation.vector_neurons import VNBatchNorm, VNLinear


def after_many_calls(model: nn.Module, *x, count: int = 200) -> dict[str, torch.Tensor]:
    twin = copy.deepcopy(model).train()
    for _ in range(count):
        twin(*x)
    return {k: v for k, v in twin.state_dict().items() if "running" in k}


def test_batch_norms_of_e3nn() -> None:
    pytest.importorskip("e3nn")
    from e3nn import nn as en
    from e3nn import o3

    model = nn.Sequential(o3.Linear("4x0e+3x1o", "4x0e+3x1o"), en.BatchNorm("4x0e+3x1o"))
    relaxed = relax(model, Symmetry(O(3), "4x0e+3x1o", "4x0e+3x1o"), init="default")
    relaxed.theta = 1.0
    x = torch.randn(60, 13)
    assert any("statistics are those of the relaxed" in note for note in project(relaxed)[1].notes)
    plain, report = project(relaxed, loader=[x, x, x])
    assert report.recalibrated == ("1",)
    for key, value in after_many_calls(plain, x).items():
        torch.testing.assert_close(plain.state_dict()[key], value, rtol=1e-4, atol=1e-5)
    assert plain[1].momentum == model[1].momentum == 0.1


@pytest.mark.parametrize("norm", ["IIDBatchNorm2d", "NormBatchNorm", "GNormBatchNorm", "InnerBatchNorm"])
def test_batch_norms_of_escnn(norm: str) -> None:
    pytest.importorskip("escnn")
    from escnn import gspaces
    from escnn import nn as enn

    space = gspaces.rot2dOnR2(4)
    inside = enn.FieldType(space, [space.regular_repr if norm == "InnerBatchNorm" else space.irrep(1)])
    fields = enn.FieldType(space, [space.trivial_repr])
    model = enn.SequentialModule(enn.R2Conv(fields, inside, 3, padding=1), getattr(enn, norm)(inside))
    relaxed = relax(model, init="default")
    relaxed.theta = 1.0
    x = fields(torch.randn(3, 1, 5, 5))
    plain, report = project(relaxed, loader=[x, x])
    assert len(report.recalibrated) == 1
    assert not any("running statistics" in note for note in report.notes)
    for key, value in after_many_calls(plain, x).items():
        torch.testing.assert_close(plain.state_dict()[key], value, rtol=1e-4, atol=1e-5)


class Odd(nn.Module):
    """Keeps statistics: its momentum is the weight of what is old, or it has none, or it is not called."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("running_mean", torch.zeros(()))
        if kind != "without":
            self.momentum = 0.9

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            old = getattr(self, "momentum", 0.9)
            self.running_mean.mul_(old).add_((1 - old) * x.mean())
        return x


@pytest.mark.parametrize("kind", ["otherwise", "without", "not called"])
def test_what_can_not_be_estimated_keeps_its_statistics_and_is_named(kind: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.odd = VNLinear(4, 2), Odd(kind)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x) if self.odd.kind == "not called" else self.odd(self.linear(x))

    model = Model()
    model.odd.running_mean.fill_(0.3)
    plain, report = project(relax(model), loader=2 * [torch.randn(5, 4, 3)])
    assert report.recalibrated == ()
    assert any(note.startswith("running statistics of odd are still those") for note in report.notes)
    assert plain.odd.running_mean == pytest.approx(0.3)
    assert getattr(plain.odd, "momentum", 0.9) == 0.9


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = VNLinear(4, 4), VNBatchNorm(4)

    def forward(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(x + v))


def test_batches_of_several_inputs() -> None:
    x, v = torch.randn(40, 4, 3), torch.randn(40, 4, 3)
    relaxed = relax(Two(), Symmetry(O(3), ("vector", "vector"), "vector"))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, v, torch.zeros(40)), batch_size=20)
    wanted = after_many_calls(relaxed.module, x, v)
    named = Symmetry(O(3), {"a": "vector", "b": "vector"}, "vector")

    def forward(model, given):
        return model(given["a"], given["b"])

    ways = [
        {"inputs": (x, v), "loader": loader},
        {"loader": [((x, v), 0)]},
        {"loader": [{"x": x, "v": v}]},
        {"loader": [({"a": x, "b": v}, 0)], "forward": forward},
        {"loader": [{"a": x, "b": v}], "forward": forward, "inputs": {"a": x, "b": v}, "symmetry": named},
    ]
    for way in ways:
        plain, report = project(relaxed, confirm=None, **way)
        assert report.recalibrated == ("norm.norm",)
        for key, value in wanted.items():
            torch.testing.assert_close(plain.state_dict()[key], value, rtol=0.2, atol=0.1)
