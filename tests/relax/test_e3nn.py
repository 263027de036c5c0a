"""e3nn layers: relaxed from their irreps, folded over their path normalisation."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from equiaudit import Symmetry, Verdict, intertwiners, project, relax, relaxable
from equiaudit.groups import SO, E, O
from equiaudit.relaxation import RelaxationError, Relaxed

e3nn = pytest.importorskip("e3nn")
from e3nn import o3  # noqa: E402
from e3nn.nn import Gate  # noqa: E402

IN, OUT = "4x0e+3x1o+2x2e", "3x0e+2x1o+1x1o+1x2e"


def test_a_linear_layer() -> None:
    layer, x = o3.Linear(IN, OUT), torch.randn(9, 23)
    keys, before = list(layer.state_dict()), layer(x)
    relaxed = relax(layer, init="default")
    assert relaxed.new_parameters()[0].shape == (17, 23)
    assert torch.equal(layer(x), before)
    assert [key for key in layer.state_dict() if "relaxation" not in key] == keys
    relaxed.theta = 0.5
    torch.testing.assert_close(layer(x), before + 0.5 * x @ relaxed.new_parameters()[0].T)


@pytest.mark.parametrize("options", [{}, {"path_normalization": "path"}, {"biases": True}])
@pytest.mark.parametrize("group", [O(3), SO(3), E(3)], ids=repr)
def test_fold_is_exact_over_the_path_normalisation(options: dict, group: object) -> None:
    torch.set_default_dtype(torch.float64)
    layer, x = o3.Linear(IN, OUT, **options), torch.randn(9, 23)
    before = layer(x).detach()
    relaxed = relax(layer, Symmetry(group, IN, OUT), init="default")
    relaxed.theta = 0.5
    part = intertwiners.project(relaxed.new_parameters()[0].detach(), IN, OUT, group)
    model, report = project(relaxed, "fold", inputs=x, confirm=None)
    torch.testing.assert_close(model(x), before + 0.5 * x @ part.T)
    assert report.layers[0].held == pytest.approx(1.0)
    assert report.audit_after.verdict is Verdict.EXACT
    assert type(model) is o3.Linear
    assert list(model.state_dict()) == list(o3.Linear(IN, OUT, **options).state_dict())


def test_paths_that_are_missing_are_not_folded() -> None:
    layer = o3.Linear(IN, OUT, instructions=[(0, 0)])
    relaxed = relax(layer, init="default")
    relaxed.theta = 1.0
    _, report = project(relaxed, "fold")
    assert 0.1 < report.layers[0].held < 0.9


def test_reducible_irreps_are_shared_between_their_paths() -> None:
    torch.set_default_dtype(torch.float64)
    layer, x = o3.Linear("2x1o", "1x1o", instructions=[(0, 0), (0, 0)]), torch.randn(5, 6)
    before = layer(x).detach()
    relaxed = relax(layer, init="default")
    relaxed.theta = 1.0
    part = intertwiners.project(relaxed.new_parameters()[0].detach(), "2x1o", "1x1o", O(3))
    model, report = project(relaxed, "fold")
    torch.testing.assert_close(model(x), before + x @ part.T)
    assert report.layers[0].held == pytest.approx(1.0)


class Layer(nn.Module):
    """A tensor product with a gate after it, as SEGNN has it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate("8x0e", [torch.tanh], "4x0e", [torch.sigmoid], "4x1o")
        self.product = o3.FullyConnectedTensorProduct("4x0e+2x1o", "1x0e+1x1o", self.gate.irreps_in)

    def forward(self, x: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        return self.gate(self.product(x, attributes))


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Layer()
        self.last = o3.Linear("8x0e+4x1o", "1x1o")

    def forward(self, x: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x, attributes))


CLAIM = Symmetry(O(3), ("4x0e+2x1o", "1x0e+1x1o"), "1x1o")


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(30, 10), torch.randn(30, 4)


def test_a_tensor_product_before_the_gate_or_the_layer_after_it() -> None:
    assert relaxable(Network(), CLAIM).names == ("first.product", "last")
    after = Symmetry(O(3), CLAIM.inputs, "1x1o", hidden={"first": ("4x0e+2x1o", "8x0e+4x1o")})
    listing = relaxable(Network(), after)
    assert listing.names == ("first", "first.product", "last")
    relaxed = relax(Network(), after, ["first"], init="normal(1e-4)", check=False)
    assert relaxed.new_parameters()[0].shape == (20, 10)


def test_a_tensor_product_is_relaxed_in_its_first_input() -> None:
    torch.set_default_dtype(torch.float64)
    relaxed = relax(Network(), CLAIM, init="default")
    relaxed.theta = 0.5
    model, report = project(relaxed, "fold", inputs=inputs(), confirm=None)
    assert [row.outcome for row in report.layers] == ["not foldable", "folded"]
    assert report.audit_before.verdict is Verdict.BROKEN
    assert report.audit_after.verdict is Verdict.EXACT
    assert list(model.state_dict()) == list(Network().state_dict())


@pytest.mark.long
def test_a_network_that_e3nn_ships() -> None:
    from e3nn.nn.models.v2106.gate_points_networks import SimpleNetwork

    network = SimpleNetwork(
        irreps_in="3x0e", irreps_out="1x0e+1x1o", max_radius=2.0, num_neighbors=3.0, num_nodes=5.0, mul=4, layers=1,
        lmax=1, pool_nodes=False,
    )  # fmt: skip
    claim = Symmetry(E(3), {"pos": "points", "x": "invariant"}, "1x0e+1x1o")
    relaxed = relax(network, claim, init="normal(1e-1)")
    assert not any("gate" in name for name in relaxed.thetas)
    relaxed.theta = 1.0
    data = {"pos": torch.randn(6, 3), "x": torch.randn(6, 3)}
    model, report = project(relaxed, inputs=data, confirm=None)
    assert report.audit_before.verdict is Verdict.BROKEN
    assert report.exact
    assert type(model) is SimpleNetwork
    assert report.change < report.bound


def test_a_declared_block_can_not_be_tried_with_one_argument() -> None:
    after = Symmetry(O(3), CLAIM.inputs, "1x1o", hidden={"first": ("4x0e+2x1o", "8x0e+4x1o")})
    with pytest.raises(RelaxationError, match=r"first could not be tried with random features \[16, 10\].*check=False"):
        relax(Network(), after, ["first"])


def test_copies_of_scripted_layers() -> None:
    relaxed = relax(Network(), CLAIM, init="default")
    other = Relaxed(copy.deepcopy(relaxed.module))
    other.theta = 1.0
    x = inputs()
    assert not torch.allclose(other(*x), relaxed(*x))


def test_what_e3nn_layers_are_refused() -> None:
    with pytest.raises(RelaxationError, match="f_in and f_out has channels besides its irreps"):
        relax(nn.Sequential(o3.Linear("1x0e", "1x0e", f_in=2, f_out=2)), layers="0")
    with pytest.raises(RelaxationError, match="0 can't be relaxed: its irreps are empty -> 1x0e"):
        relax(nn.Sequential(o3.Linear("", "1x0e")), layers="0")
    with pytest.raises(RelaxationError, match="its representations are declared as"):
        relax(nn.Sequential(o3.Linear("1x1o", "1x1o")), Symmetry(O(3), hidden={"0": ("1x1e", "3x0e")}), layers="0")


def test_a_tensor_product_of_millions_of_entries_is_refused() -> None:
    product = o3.TensorProduct("128x0e+128x1o+128x2e", "0e+1o+2e+3o", "128x0e+128x1o+128x2e+128x3o+512x1o+512x2e", [],
                               shared_weights=False)  # fmt: skip
    with pytest.raises(RelaxationError, match="more than 4,000,000 entries beside 0"):
        relax(nn.Sequential(product))


def test_external_weights_can_be_relaxed_and_not_folded() -> None:
    layer = o3.Linear("2x1o", "2x1o", internal_weights=False)
    relaxed = relax(layer, init="default")
    relaxed.theta = 1.0
    assert layer(torch.randn(3, 6), torch.randn(4)).shape == (3, 6)
    assert project(relaxed, "fold")[1].layers[0].outcome == "not foldable"
