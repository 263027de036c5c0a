"""Declarations by generators, examples, structured outputs, undecided audits, the meta device, half precision."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from equiaudit import Symmetry, Verdict, project, relax
from equiaudit.groups import O
from equiaudit.relaxation import LinearSite, RelaxationError
from equiaudit.relaxation.vector_neurons import VNBatchNorm, VNInvariant, VNLeakyReLU, VNLinear
from equiaudit.representations import Vector

TWO = 2 * Vector()


@dataclass
class Output:
    vectors: torch.Tensor


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = VNLinear(4, 2)

    def forward(self, x: torch.Tensor) -> Output:
        return Output(self.layer(x))


def test_outputs_in_a_dataclass_have_a_change_and_a_bound() -> None:
    relaxed = relax(Wrapped(), Symmetry(O(3), "vector"), init="default")
    relaxed.theta = 0.5
    _, report = project(relaxed, inputs=torch.randn(8, 4, 3), symmetry=[], confirm=None)
    assert 0 < report.change <= 1.01 * report.bound
    assert any(
        "no bound: it is one for dropping" in n
        for n in project(relaxed, "fold", inputs=torch.randn(8, 4, 3), symmetry=[])[1].notes
    )


def test_outputs_without_numbers_are_said() -> None:
    relaxed = relax(VNLinear(4, 2))
    _, report = project(relaxed, inputs=torch.randn(8, 4, 3), forward=lambda m, x: len(m(x)), confirm=None)
    assert (report.change, report.bound) == (None, None)
    assert "no change and no bound: the output, a int, holds no floating-point tensor" in report.notes


def test_outputs_that_a_projection_reshapes_have_no_change() -> None:
    relaxed = relax(VNLinear(4, 2), init="default")
    relaxed.theta = 0.5
    _, report = project(relaxed, inputs=torch.randn(8, 4, 3), confirm=None,
                        forward=lambda m, x: m(x) if hasattr(m, "relaxation") else m(x)[:1])  # fmt: skip
    assert report.change is None
    assert "no change: the outputs of the relaxed and of the projected model differ in shape" in report.notes


def test_an_output_of_zero_has_no_relative_bound() -> None:
    layer = VNLinear(4, 2)
    nn.init.zeros_(layer.weight)
    _, report = project(relax(layer), inputs=torch.randn(8, 4, 3), confirm=None)
    assert (report.change, report.bound) == (0, None)
    assert "no bound: the output of the relaxed model is zero or holds no floating-point tensor" in report.notes


def test_a_change_above_its_bound_is_said() -> None:
    relaxed = relax(VNLinear(4, 2), init="default")
    relaxed.theta = 0.5
    note = "the change is above the bound: the Jacobian does not see all that the layers do to the output"
    _, report = project(relaxed, inputs=torch.randn(8, 4, 3), confirm=None, forward=lambda m, x: m(x).detach())
    assert report.change > report.bound == 0
    assert note in report.notes
    assert note not in project(relaxed, inputs=torch.randn(8, 4, 3), confirm=None)[1].notes


@pytest.mark.parametrize("pair", [("4x1e", "4x1e"), ("4x1o", "4x1e")])
def test_a_wrong_parity_of_an_e3nn_layer_is_refused(pair: tuple[str, str]) -> None:
    o3 = pytest.importorskip("e3nn.o3")
    with pytest.raises(RelaxationError, match="its representations are declared as"):
        relax(nn.Sequential(o3.Linear("4x1o", "4x1o")), Symmetry(O(3), hidden={"0": pair}))


def test_a_tensor_product_declared_as_it_is() -> None:
    o3 = pytest.importorskip("e3nn.o3")
    model = nn.ModuleDict({"tp": o3.FullyConnectedTensorProduct("2x1o", "1x1o", "2x0e")})
    assert list(relax(model, Symmetry(O(3), hidden={"tp": ("2x1o", "2x0e")})).thetas) == ["tp"]


def test_weights_for_each_edge_as_mace_has_them() -> None:
    o3 = pytest.importorskip("e3nn.o3")
    tp = o3.TensorProduct(
        "4x0e+4x1o", "0e+1o", "4x0e+4x1o", [(0, 0, 0, "uvu", True), (1, 0, 1, "uvu", True)],
        shared_weights=False, internal_weights=False,
    )  # fmt: skip
    x, y, w = torch.randn(6, 16), torch.randn(6, 4), torch.randn(6, tp.weight_numel)
    before = tp(x, y, w)
    relaxed = relax(tp, init="default")
    relaxed.theta = 0.5
    torch.testing.assert_close(tp(x, y, w), before + 0.5 * x @ relaxed.new_parameters()[0].T)


class Bad(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(6, 6)

    def forward(self, v: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return self.dense(v) * scale


class Good(Bad):
    def forward(self, v: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return v * scale


def example(layer: nn.Module, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    return torch.randn(4, 6, generator=generator), torch.rand(4, 1, generator=generator)


def test_an_example_is_used_for_the_trial() -> None:
    site = LinearSite(TWO, TWO, O(3), 6, 6, "scaled", example=example)

    def adapter(layer: nn.Module) -> LinearSite | None:
        return site if isinstance(layer, Bad) else None

    with pytest.raises(RelaxationError, match=r"0 \(Bad\) is not equivariant"):
        relax(nn.Sequential(Bad()), adapters=(adapter,))
    relax(nn.Sequential(Good()), adapters=(adapter,))
    with pytest.raises(RelaxationError, match="let an adapter give example="):
        relax(
            nn.Sequential(Good()),
            adapters=(lambda layer: replace(site, example=None) if isinstance(layer, Bad) else None,),
        )


def test_an_audit_that_decides_nothing_is_no_refutation() -> None:
    relaxed = relax(VNLinear(4, 2), Symmetry(O(3), "vector", "vector"))
    _, report = project(relaxed, inputs=torch.zeros(8, 4, 3), confirm=None)
    assert report.audit_after.verdict is Verdict.VACUOUS
    assert report.exact is None
    assert f"not decided, VACUOUS: {report.audit_after.reason}" in str(report)
    broken = replace(report, audit_after=replace(report.audit_after, verdict=Verdict.BROKEN))
    assert broken.exact is False
    assert "NOT exact" in str(broken)


@pytest.mark.parametrize("assign", [False, True])
def test_a_model_made_on_the_meta_device(assign: bool) -> None:
    with torch.device("meta"):
        model = nn.Sequential(VNLinear(4, 2))
    relaxed = relax(model, init="default", learned=0.5)
    if not assign:
        model.to_empty(device="cpu")
    model.load_state_dict(nn.Sequential(VNLinear(4, 2)).state_dict(), assign=assign)
    found = relaxed.relaxations["0"]
    assert relaxed.theta == 0
    assert float(found.level.detach()) == 0.5
    assert 0 < found.weight.abs().max() <= 12**-0.5
    assert model(torch.randn(3, 4, 3)).isfinite().all()


def test_a_declaration_can_not_be_tried_on_the_meta_device() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(3, 3, bias=False))
    claim = Symmetry(O(3), hidden={"0": ("vector", "vector")})
    with pytest.raises(RelaxationError, match="0 is on the meta device and has no values to try its declaration on"):
        relax(model, claim)
    relax(model, claim, check=False)


def test_a_local_init_is_not_kept() -> None:
    relaxed = relax(VNLinear(2, 2), init=lambda w: w.fill_(1.0))
    with pytest.raises(RelaxationError, match="W was filled by a local function, which is not kept"):
        relaxed.relaxations[""].reset_parameters()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_has_finite_gradients_under_loss_scaling(dtype: torch.dtype) -> None:
    model = nn.Sequential(VNLinear(4, 8), VNBatchNorm(8), VNLeakyReLU(8), VNInvariant(8))
    x = torch.randn(64, 4, 3) * 1e-2
    with torch.autocast("cpu", dtype):
        out = model(x)
    (out.float().square().mean() * 2.0**16).backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0 for p in model.parameters() if p.grad is not None)
    assert VNBatchNorm(4).to(dtype)(x.to(dtype)).dtype is dtype


def test_an_inversion_finds_what_no_rotation_of_a_still_layer_finds() -> None:
    """Scalars do not move, nor do pseudoscalars under rotations: the discrete elements decide."""
    assert torch.linalg.det(torch.as_tensor(O(3).sample(0).matrix)) > 0
    claim = Symmetry(O(3), "invariant", "pseudoscalar", hidden={"0": ("3x0e", "2x0o")})
    with pytest.raises(
        RelaxationError, match=r"from Irreps\('3x0e'\) to Irreps\('2x0o'\) under O\(3\) \(relative error 2"
    ):
        relax(nn.Sequential(nn.Linear(3, 2)), claim, ["0"])
