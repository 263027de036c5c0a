"""escnn layers: relaxed from their field types, folded on their bases."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from equiaudit import Verdict, audit, project, relax
from equiaudit.relaxation import RelaxationError

escnn = pytest.importorskip("escnn")
from escnn import gspaces  # noqa: E402
from escnn import nn as enn  # noqa: E402

from equiaudit import Symmetry  # noqa: E402
from equiaudit.interop.escnn_relax import on_basis  # noqa: E402


def types(space, hidden: int = 2):
    trivial = enn.FieldType(space, 2 * [space.trivial_repr])
    mixed = enn.FieldType(space, [space.regular_repr, space.trivial_repr] + (hidden - 1) * [space.regular_repr])
    return trivial, mixed


def network(space=None) -> nn.Module:
    trivial, mixed = types(space or gspaces.rot2dOnR2(4))
    return enn.SequentialModule(
        enn.R2Conv(trivial, mixed, 3, padding=1), enn.ReLU(mixed), enn.R2Conv(mixed, trivial, 3, padding=1, bias=False)
    )


def images(model: nn.Module):
    return model.in_type(torch.randn(2, 2, 9, 9))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("method", ["drop", "fold"])
def test_a_network_is_relaxed_and_projected(method: str, training: bool) -> None:
    model = network().train(training)
    x = images(model)
    before = model(x).tensor
    keys = list(model.state_dict())
    relaxed = relax(model, Symmetry.of(model), init="default")
    assert list(relaxed.thetas) == ["0", "2"]
    assert torch.equal(model(x).tensor, before)
    relaxed.theta = 0.5
    assert not torch.allclose(model(x).tensor, before)
    plain, report = project(relaxed, method, inputs=x, confirm=None)
    assert list(plain.state_dict()) == keys == [k for k in model.state_dict() if "relaxation" not in k]
    assert report.audit_before.verdict is Verdict.BROKEN
    assert report.audit_after.verdict is Verdict.EXACT, str(report.audit_after)
    assert plain.training is training
    fresh = network().train()
    torch.testing.assert_close(plain(x).tensor, plain.train()(x).tensor)  # the filter of the eval mode is not stale
    fresh.load_state_dict(plain.train().state_dict())
    assert (torch.allclose(fresh(x).tensor, before, atol=1e-5)) is (method == "drop")


@pytest.mark.parametrize("space", [gspaces.rot2dOnR2(4), gspaces.flipRot2dOnR2(4), gspaces.rot2dOnR2(8)], ids=str)
def test_the_part_on_the_basis_is_a_projection_and_is_held(space) -> None:
    model = network(space)
    relaxed = relax(model, init="default", layers=["0"])
    layer, weight = model[0], relaxed.new_parameters()[0].detach()
    part = on_basis(layer, weight)
    torch.testing.assert_close(on_basis(layer, part), part, rtol=1e-4, atol=1e-5)
    assert abs(((weight - part) * part).sum()) < 1e-4 * weight.square().sum()
    own = layer.basisexpansion(layer.weights).detach().reshape(weight.shape)
    torch.testing.assert_close(on_basis(layer, own), own, rtol=1e-4, atol=1e-5)
    relaxed.theta = 0.5
    x = images(model)
    before = model.eval()[0](x).tensor - 0.5 * relaxed.relaxations["0"].site.apply(weight, x.tensor)
    plain, report = project(relaxed, "fold")
    wanted = before + 0.5 * relaxed.relaxations["0"].site.apply(part, x.tensor)
    torch.testing.assert_close(plain[0](x).tensor, wanted, rtol=1e-4, atol=1e-5)
    assert report.layers[0].held == pytest.approx(1.0, abs=1e-4)


def test_the_penalty_is_zero_on_steerable_kernels_alone() -> None:
    model = network()
    relaxed = relax(model, layers=["0"])
    weight = relaxed.new_parameters()[0]
    with torch.no_grad():
        weight.copy_(model[0].basisexpansion(model[0].weights).reshape(weight.shape))
    assert relaxed.penalty("operator") < 1e-10 * weight.square().mean()
    nn.init.normal_(weight)
    penalty = relaxed.penalty("operator")
    assert penalty > 0.1
    penalty.backward()
    assert weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    "options", [{"stride": 2, "padding": 1}, {"padding": 2, "dilation": 2, "padding_mode": "circular"}], ids=str
)
def test_w_slides_as_the_layer_does(options: dict) -> None:
    trivial, mixed = types(gspaces.rot2dOnR2(4))
    layer = enn.R2Conv(trivial, mixed, 3, bias=False, **options)
    x = trivial(torch.randn(2, 2, 9, 9))
    plain = layer(x).tensor
    kernel = layer.basisexpansion(layer.weights).detach()
    relaxed = relax(layer, init=lambda w: w.copy_(kernel.reshape(w.shape)))
    relaxed.theta = 1.0
    torch.testing.assert_close(layer(x).tensor, 2 * plain)


@pytest.mark.long
def test_a_linear_layer_of_a_group_without_a_base_space() -> None:
    space = gspaces.no_base_space(escnn.group.so3_group(1))
    fields = enn.FieldType(space, [space.irrep(0), space.irrep(1), space.irrep(1)])
    layer = enn.Linear(fields, fields)
    x = fields(torch.randn(12, 7))
    relaxed = relax(layer, Symmetry.of(layer), init="default")
    relaxed.theta = 0.5
    model, report = project(relaxed, "fold", inputs=x, confirm=None)
    assert report.layers[0].held == pytest.approx(1.0, abs=1e-4)
    assert audit(model, x, Symmetry.of(layer)).passed


def test_groups_are_refused() -> None:
    space = gspaces.rot2dOnR2(4)
    fields = enn.FieldType(space, 2 * [space.regular_repr])
    with pytest.raises(RelaxationError, match="an escnn convolution in 2 groups; W would connect all channels"):
        relax(nn.Sequential(enn.R2Conv(fields, fields, 3, groups=2)), layers="0")
