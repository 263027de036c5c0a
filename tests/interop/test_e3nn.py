"""e3nn: its irreps as they are, its modules read, its cuts and conventions shared."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("e3nn")
from e3nn import nn, o3

from equiaudit import Irreps, Symmetry
from equiaudit.declared import random_inputs
from equiaudit.groups import SO, E, O
from equiaudit.interop.e3nn import as_representation
from equiaudit.representations import RepresentationError

MODULES = {
    "linear": lambda: o3.Linear("4x0e+3x1o", "2x1o+1x0e"),
    "tensor product": lambda: o3.FullyConnectedTensorProduct("2x0e+1x1o", "1x1o+1x2e", "3x1o+1x0o"),
    "weights from outside": lambda: o3.FullyConnectedTensorProduct(
        "2x0e+1x1o", "1x1o", "3x1o", shared_weights=False, internal_weights=False
    ),
    "shared weights from outside": lambda: o3.Linear("2x1o", "3x1o", internal_weights=False, shared_weights=True),
    "elementwise": lambda: o3.ElementwiseTensorProduct("2x1o", "2x1o"),
    "full": lambda: o3.FullTensorProduct("2x1o", "2x1e"),
    "harmonics": lambda: o3.SphericalHarmonics("1o+2e+3o", True),
    "norm": lambda: o3.Norm("2x1o+1x0e"),
    "gate": lambda: nn.Gate("2x0e", [torch.tanh], "1x0e", [torch.sigmoid], "1x1o"),
    "batch norm": lambda: nn.BatchNorm("2x0e+1x1o").eval(),
    "norm activation": lambda: nn.NormActivation("2x1o", torch.tanh),
    "activation": lambda: nn.Activation("2x0e", [torch.tanh]),
    "extract": lambda: nn.ExtractIr("2x1o+1x0e", "1o"),
    "sequential": lambda: torch.nn.Sequential(o3.Linear("1o", "2x1o"), torch.nn.Identity(), o3.Linear("2x1o", "1x1o")),
}


def defect(model, symmetry, seed=0):
    x = random_inputs(symmetry, model, seed=seed)
    g = symmetry.group.sample(seed)

    def call(v):
        return model(*v) if type(v) is tuple else model(v)

    out = call(x).detach()
    return float(
        (call(symmetry.act_on_inputs(g, x)).detach() - symmetry.act_on_outputs(g, out, x)).abs().max() / out.abs().max()
    )


@pytest.mark.parametrize("name", MODULES)
def test_modules_declare_a_symmetry_that_they_have(name):
    torch.set_default_dtype(torch.float64)
    model = MODULES[name]()
    symmetry = Symmetry.of(model)
    assert symmetry.group == O(3)
    assert max(defect(model, symmetry, seed) for seed in range(4)) < 1e-13


def test_a_broken_module_is_seen():
    torch.set_default_dtype(torch.float64)
    model = o3.Linear("1x0e+2x1o", "2x1o")
    symmetry = Symmetry.of(model)
    biased = torch.nn.Sequential(model)
    biased[0].register_forward_hook(lambda module, inputs, output: output + 0.1)
    assert defect(biased, symmetry) > 1e-3


@pytest.mark.parametrize("spec", [o3.Irreps("2x0e+1x1o"), o3.Irrep("1o"), o3.Irreps("3x2e")[0]], ids=str)
def test_objects_are_taken_as_they_are(spec):
    rep = as_representation(spec)
    assert isinstance(rep, Irreps)
    assert rep.dim == spec.dim
    symmetry = Symmetry(O(3), spec, spec)
    x = torch.randn(3, rep.dim)
    assert torch.equal(symmetry.act_on_inputs(O(3).sample(0), x), rep.act(O(3).sample(0), x))


def test_actions_agree_with_e3nn():
    torch.set_default_dtype(torch.float64)
    irreps, g = o3.Irreps("3x0o+2x1e+1x1o+2x4e+1x5o"), O(3).sample(3)
    x = torch.randn(6, irreps.dim)
    wanted = x @ irreps.D_from_matrix(torch.from_numpy(g.matrix)).T
    torch.testing.assert_close(as_representation(irreps).act(g, x), wanted, atol=1e-12, rtol=0)


def test_another_group_may_be_asked_for():
    model = o3.Linear("1o", "1o")
    assert Symmetry.of(model, SO(3)).group == SO(3)


def test_a_module_is_no_representation():
    with pytest.raises(RepresentationError, match=r"Linear of e3nn is no representation; .* Symmetry.of\(module\)"):
        Symmetry(O(3), o3.Linear("1o", "1o"))


def test_mappings_of_fields_are_read_as_nequip_has_them():
    layer = torch.nn.Identity()
    layer.irreps_in = {"pos": o3.Irreps("1o"), "edge_index": None, "node_features": o3.Irreps("4x0e")}
    layer.irreps_out = {**layer.irreps_in, "total_energy": o3.Irreps("1x0e"), "forces": o3.Irreps("1x1o")}
    symmetry = Symmetry.of(layer)
    assert symmetry.group == E(3)
    assert repr(symmetry.inputs) == "{'pos': Points(), 'node_features': Irreps('4x0e')}"
    assert repr(symmetry.outputs) == "{'total_energy': Irreps('1x0e'), 'forces': Irreps('1x1o')}"


def test_strings_will_do_on_a_module_of_ones_own():
    class Net(torch.nn.Module):
        irreps_in, irreps_out = "2x0e+1x1o", "1x1o"

    assert repr(Symmetry.of(Net())) == "Symmetry(O(3), inputs=Irreps('2x0e+1x1o'), outputs=Irreps('1x1o'))"
