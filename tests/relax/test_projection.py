"""project: the plain model comes back, exact; folding keeps what is equivariant; the report says what was lost."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from equiaudit import Symmetry, Verdict, audit, intertwiners, project, relax, schedules
from equiaudit.groups import SO, Cyclic, Dihedral, O, Permutations
from equiaudit.relaxation import LinearSite, Relaxation, RelaxationError
from equiaudit.relaxation.module import add_relaxation
from equiaudit.relaxation.vector_neurons import VNBatchNorm, VNInvariant, VNLeakyReLU, VNLinear
from equiaudit.representations import Image, Regular, Scalar, Vector

RIGID = Symmetry(O(3), "vector", "invariant")


def network() -> nn.Sequential:
    return nn.Sequential(
        VNLinear(4, 8), VNLeakyReLU(8), VNBatchNorm(8), VNLinear(8, 5), VNInvariant(5), nn.Linear(15, 2)
    )


def relaxed_network(theta: float = 0.5, init: object = "default"):
    relaxed = relax(network(), RIGID, init=init)
    relaxed.theta = theta
    return relaxed


def points(rows: int = 24) -> torch.Tensor:
    return torch.randn(rows, 4, 3)


@pytest.mark.parametrize("method", ["drop", "fold"])
def test_the_result_is_the_plain_model_and_exact(method: str) -> None:
    plain, relaxed = network(), relaxed_network()
    model, report = project(relaxed, method, inputs=points(), confirm=None)
    assert list(model.state_dict()) == list(plain.state_dict())
    assert type(model) is nn.Sequential
    assert not any(isinstance(m, Relaxation) for m in model.modules())
    assert not any(add_relaxation in m._forward_hooks.values() for m in model.modules())
    assert not any(m._forward_hooks_with_kwargs for m in model.modules())
    assert report.audit_before.verdict is Verdict.BROKEN
    assert report.audit_after.verdict is Verdict.EXACT, str(report.audit_after)
    assert report.exact
    plain.load_state_dict(model.state_dict(), strict=True)


def test_a_copy_by_default_and_in_place_on_request() -> None:
    relaxed = relaxed_network()
    model, _ = project(relaxed)
    assert model is not relaxed.module
    assert relaxed.theta == 0.5
    again, _ = project(relaxed, inplace=True)
    assert again is relaxed.module
    assert not hasattr(again[0], "relaxation")
    with pytest.raises(RelaxationError, match="nothing in this Sequential is relaxed"):
        project(again)


def test_drop_at_theta_zero_changes_nothing() -> None:
    relaxed, x = relaxed_network(theta=0.0), points()
    model, report = project(relaxed, inputs=x, confirm=None)
    assert torch.equal(model.eval()(x), relaxed.module.eval()(x))
    assert report.change == 0
    assert report.bound == 0
    assert report.left == 0


@pytest.mark.parametrize("channels", [(4, 6), (6, 1)])
def test_fold_adds_the_equivariant_part_to_vector_neurons(channels: tuple[int, int]) -> None:
    n, m = channels
    relaxed = relax(VNLinear(n, m).double(), Symmetry(O(3), "vector", "vector"), init="default")
    relaxed.theta = 0.5
    weight = relaxed.new_parameters()[0].detach()
    part = intertwiners.project(weight, n * Vector(), m * Vector(), O(3))
    x = points()[:, :1].double().expand(-1, n, 3).contiguous() * torch.randn(n, 1).double()
    before = relaxed.module.weight.detach().clone() @ x
    model, report = project(relaxed, "fold")
    wanted = before + 0.5 * (x.flatten(-2) @ part.T).unflatten(-1, (m, 3))
    torch.testing.assert_close(model(x), wanted)
    (row,) = report.layers
    assert row.outcome == "folded"
    assert row.held == pytest.approx(1.0)
    assert row.share == pytest.approx(float(part.norm() / weight.norm()) ** 2)
    assert row.distance == pytest.approx(0.5 * float(weight.norm()))


def test_what_a_layer_can_not_hold_of_the_equivariant_part_is_said() -> None:
    # in the plane the maps that turn every vector by a quarter are equivariant too, and channel mixing is none of them
    x = torch.randn(30, 3, 2).double()
    relaxed = relax(VNLinear(3, 2).double(), Symmetry(SO(2), "vector", "vector"), init="default")
    relaxed.theta = 1.0
    _, report = project(relaxed, "fold", inputs=x, confirm=None)
    assert 0.2 < report.layers[0].held < 0.95
    assert report.exact


def test_an_equivariant_w_loses_nothing_when_it_is_folded() -> None:
    relaxed = relax(VNLinear(4, 6).double(), Symmetry(O(3), "vector", "vector"))
    with torch.no_grad():
        relaxed.new_parameters()[0].copy_(torch.kron(torch.randn(6, 4), torch.eye(3)))
    relaxed.theta = 1.0
    x = points().double()
    _, dropped = project(relaxed, "drop", inputs=x, confirm=None)
    _, folded = project(relaxed, "fold", inputs=x, confirm=None)
    assert folded.change < 1e-14 < 0.1 < dropped.change
    assert folded.layers[0].share == pytest.approx(1.0)


def test_fold_of_a_linear_layer_on_vector_channels() -> None:
    layer = nn.Sequential(nn.Linear(4, 6, bias=False)).double()
    claim = Symmetry(O(3), Vector(dim=-2), Vector(dim=-2), hidden={"0": (Vector(dim=-2), Vector(dim=-2))})
    relaxed = relax(layer, claim, init="default")
    relaxed.theta = 1.0
    weight = relaxed.new_parameters()[0].detach()
    before = layer[0].weight.detach().clone()
    model, report = project(relaxed, "fold", inputs=torch.randn(9, 3, 4).double(), confirm=None)
    torch.testing.assert_close(model[0].weight, before + weight.reshape(3, 6, 3, 4).diagonal(dim1=0, dim2=2).mean(-1))
    assert report.layers[0].held == pytest.approx(1.0)
    assert report.exact


def test_fold_of_a_linear_layer_between_irreps() -> None:
    claim = Symmetry(O(3), "2x0e+2x1o", "3x0e+1x1o", hidden={"0": ("2x0e+2x1o", "3x0e+1x1o")})
    layer = nn.Sequential(nn.Linear(8, 6, bias=False)).double()
    with torch.no_grad():  # a dense layer that happens to be equivariant
        layer[0].weight.copy_(intertwiners.project(layer[0].weight, "2x0e+2x1o", "3x0e+1x1o", O(3)))
    relaxed = relax(layer, claim, init="default")
    relaxed.theta = 1.0
    _, report = project(relaxed, "fold", inputs=torch.randn(9, 8).double(), confirm=None)
    assert report.exact
    assert report.layers[0].held == pytest.approx(1.0)


def convolution(group, padding: str = "zeros") -> tuple[nn.Sequential, Symmetry]:
    order = len(group.elements())
    hidden = {"0": (Image(channels=2 * Scalar()), Image(channels=Regular()))}
    layer = nn.Sequential(nn.Conv2d(2, order, 3, padding=1, padding_mode=padding, bias=False)).double()
    claim = Symmetry(group, Image(), Image(channels=Regular()), hidden=hidden)
    free = relax(layer, claim, init="default", check=False)
    free.theta = 1.0
    nn.init.zeros_(layer[0].weight)
    return project(free, "fold")[0], claim  # an exact group convolution: the equivariant part of a random kernel


@pytest.mark.parametrize("group", [Cyclic(4), Dihedral(4)], ids=repr)
@pytest.mark.parametrize("padding", ["zeros", "circular"])
def test_convolutions_of_a_finite_group(group, padding: str) -> None:
    model, claim = convolution(group, padding)
    images = torch.randn(2, 2, 9, 9).double()
    assert audit(model, images, claim).verdict is Verdict.EXACT
    assert model[0].weight.abs().max() > 0.01
    plain = model(images)
    relaxed = relax(model, claim, init="default")  # checked: the declaration holds
    assert torch.equal(model(images), plain)
    relaxed.theta = 0.5
    result, report = project(relaxed, "fold", inputs=images, confirm=None)
    assert report.audit_before.verdict is Verdict.BROKEN
    assert report.exact
    assert report.layers[0].held == pytest.approx(1.0)
    assert 0 < report.layers[0].share < 1
    assert not torch.allclose(result(images), plain)
    assert relaxed.penalty("operator") > 1e-4


def test_the_penalty_of_a_kernel_is_zero_where_it_is_equivariant() -> None:
    model, claim = convolution(Cyclic(4))
    relaxed = relax(model, claim)
    with torch.no_grad():
        relaxed.new_parameters()[0].copy_(model[0].weight)
    assert relaxed.penalty("operator") < 1e-28
    relaxed.theta = 1.0
    with relaxed.observe() as seen:
        relaxed(torch.randn(2, 2, 9, 9).double())
    assert seen.penalties("lie")["0"] < 1e-28
    assert seen.penalties("magnitude")["0"] > 1e-3


def test_a_wrongly_declared_convolution_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1))
    claim = Symmetry(Cyclic(4), Image(), Image(), hidden={"0": (2 * Scalar(), Regular())})
    with pytest.raises(RelaxationError, match=r"0 \(Conv2d\) is not equivariant from 2 \* Scalar\(\) to"):
        relax(model, claim)


def test_grouped_convolutions_take_what_they_can_hold() -> None:
    layer = nn.Sequential(nn.Conv2d(4, 4, 1, groups=2, bias=False)).double()
    relaxed = relax(
        layer, Symmetry(Cyclic(4), Image(), Image(), hidden={"0": ("scalar", "scalar")}), "0", init="default"
    )
    relaxed.theta = 1.0
    before, weight = layer[0].weight.detach().clone(), relaxed.new_parameters()[0].detach()
    model, report = project(relaxed, "fold")
    blocks = torch.cat([weight[:2, :2], weight[2:, 2:]])
    torch.testing.assert_close(model[0].weight, before + blocks)
    assert report.layers[0].held == pytest.approx(float(blocks.norm() / weight.norm()))


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x


def fold_scale(layer: nn.Module, weight: torch.Tensor) -> torch.Tensor:
    factor = weight.diagonal().mean()
    layer.factor += factor
    return factor * torch.eye(3, dtype=weight.dtype)


def scale_adapter(layer: nn.Module) -> LinearSite | None:
    return LinearSite(Vector(), Vector(), O(3), 3, 3, "scale", fold=fold_scale) if isinstance(layer, Scale) else None


def test_the_fold_of_an_adapter() -> None:
    relaxed = relax(nn.Sequential(Scale()), adapters=(scale_adapter,), init=nn.init.eye_)
    relaxed.theta = 0.5
    model, report = project(relaxed, "fold")
    assert model[0].factor.item() == 1.5
    assert report.layers[0].outcome == "folded"


def test_what_can_not_be_folded_is_said() -> None:
    layer = nn.Sequential(Scale())
    relaxed = relax(layer, Symmetry(O(3), "vector", "vector", hidden={"0": ("vector", "vector")}), init="default")
    relaxed.theta = 0.5
    _, report = project(relaxed, "fold")
    assert report.layers[0].outcome == "not foldable"
    assert "0: not foldable" in str(report)
    assert "a Scale has no parameters for a linear map of its first input" in str(report)
    parametrized = nn.utils.parametrizations.weight_norm(VNLinear(2, 2))
    relaxed = relax(parametrized, init="default")
    relaxed.theta = 0.5
    assert project(relaxed, "fold")[1].layers[0].note == "its weight is parametrized"


def test_parameters_that_are_shared_or_computed_are_left_alone() -> None:
    first, second = VNLinear(4, 4), VNLinear(4, 4)
    second.weight = first.weight
    tied = nn.Sequential(first, second)
    relaxed = relax(tied, Symmetry(O(3), "vector", "vector"), ["0"], init="default")
    relaxed.theta = 1.0
    before = tied[0].weight.detach().clone()
    model, report = project(relaxed, "fold")
    assert report.layers[0].note == "it shares a parameter with 1"
    assert torch.equal(model[1].weight, before)
    with pytest.warns(FutureWarning):
        normed = nn.utils.weight_norm(VNLinear(4, 4))
    relaxed = relax(normed, init="default")
    relaxed.theta = 1.0
    # torch can not copy such a layer
    assert project(relaxed, "fold", inplace=True)[1].layers[0].note == "its weight is computed from other parameters"


def test_stopped_early_is_said_and_still_exact() -> None:
    relaxed = relaxed_network(theta=0.0)
    schedule = schedules.triangle(relaxed, 4)
    schedule.step()
    _, report = project(relaxed, inputs=points(), confirm=None)
    assert report.left == 0.5
    assert report.exact
    assert "projected 6 layers by drop, stopped at theta 0.5: exact" in str(report)
    assert "the schedule had not ended: theta is 0.5 at every layer" in str(report)


@pytest.mark.long
def test_the_bound_is_above_the_change_and_not_far() -> None:
    ratios = []
    for seed in range(5):
        torch.manual_seed(seed)
        relaxed = relaxed_network(theta=0.05)
        _, report = project(relaxed, inputs=points(), confirm=None)
        ratios.append(report.bound / report.change)
    assert min(ratios) > 1
    assert max(ratios) < 100


def test_the_bound_of_one_linear_layer_is_tight() -> None:
    # two layers without a nonlinearity: the gain from the first to the output is the second's largest singular value
    model = nn.Sequential(VNLinear(4, 4), VNLinear(4, 2)).double()
    relaxed = relax(model, Symmetry(O(3), "vector", "vector"), ["0"], init="default")
    relaxed.theta = 0.5
    x = points(40).double()
    _, report = project(relaxed, inputs=x, confirm=None)
    gain = torch.linalg.matrix_norm(model[1].weight.detach(), 2)
    step = 0.5 * (x.flatten(-2) @ relaxed.new_parameters()[0].detach().T).norm()
    assert report.bound == pytest.approx(float(gain * step / relaxed(x).detach().norm()), rel=0.05)
    assert report.change <= report.bound


def test_the_metric_before_and_after() -> None:
    x = points()
    _, report = project(relaxed_network(), metric=lambda model: model(x).square().mean())
    assert report.metric_before != report.metric_after
    assert f"metric {report.metric_before:.4g} before, {report.metric_after:.4g} after" in str(report)


def test_batch_norm_statistics_are_estimated_anew() -> None:
    relaxed, x = relaxed_network(theta=1.0), points(200)
    relaxed.module.train()
    for _ in range(50):
        relaxed(x)
    kept, report = project(relaxed)
    assert any("batch-norm statistics are those of the relaxed forward" in note for note in report.notes)
    model, report = project(relaxed, loader=[(x[:100], None), (x[100:], None)])
    assert report.recalibrated == ("2.norm",)
    assert report.notes == tuple(note for note in report.notes if "batch-norm" not in note)
    lengths = model[1](model[0](x)).square().sum(-1).sqrt()
    torch.testing.assert_close(model[2].norm.running_mean, lengths.mean(0), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(kept[2].norm.running_mean, model[2].norm.running_mean)
    assert model.training
    assert model[2].norm.momentum == 0.1
    with pytest.raises(ValueError, match="loader= gave no batch"):
        project(relaxed, loader=[])


def test_the_mode_of_the_model_is_kept() -> None:
    relaxed = relaxed_network()
    relaxed.module.train()
    relaxed.module[2].eval()  # frozen on purpose
    model, _ = project(relaxed, inputs=points(), confirm=None)
    for network in (relaxed.module, model):
        assert network.training
        assert not network[2].training


def test_a_hidden_representation_that_moved_is_found() -> None:
    # W undoes the layer and puts a turned, and reflected, copy of the features in its place: still a representation,
    # not the declared one
    relaxed = moved(3, torch.float64)
    _, report = project(relaxed, inputs=torch.randn(64, 2, 3).double(), confirm=None)
    first, second = report.hidden
    assert (first.verdict, first.note) == ("unknown", "linear in the input: not decidable")
    assert second.verdict == "moved"
    assert second.fitted < 1e-10
    assert second.declared > 0.1
    assert "the features of 2 carry another representation than the declared one" in str(report)


def moved(channels: int, dtype: torch.dtype):
    """Two layers about a nonlinearity that work in turned coordinates: a representation, not the declared one."""
    model = nn.Sequential(VNLinear(2, 3), Cubed(), VNLinear(3, channels)).to(dtype)
    relaxed = relax(model, Symmetry(O(3), "vector", "vector"))
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=dtype)).Q.contiguous()
    with torch.no_grad():
        for name in ("0", "2"):
            weight = model.get_submodule(name).weight
            wanted = torch.kron(torch.randn_like(weight), turn)
            relaxed.relaxations[name].weight.copy_(wanted - torch.kron(weight.contiguous(), torch.eye(3, dtype=dtype)))
    relaxed.theta = 1.0
    return relaxed


class Cubed(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x.square().sum(-1, keepdim=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_another_basis_is_told_from_features_that_do_not_span(dtype: torch.dtype) -> None:
    for channels, note in ((3, "the declared one in another basis"), (5, "the features do not span")):
        relaxed = moved(channels, dtype)
        row = project(relaxed, inputs=torch.randn(64, 2, 3, dtype=dtype), confirm=None)[1].hidden[1]
        assert row.verdict == "moved"
        assert row.note.startswith(note)


def test_a_trained_w_that_stays_equivariant_has_not_moved() -> None:
    relaxed = moved(3, torch.float64)
    with torch.no_grad():
        for found in relaxed.relaxations.values():
            n, m = (size // 3 for size in found.weight.shape)
            found.weight.copy_(torch.kron(torch.randn(n, m), torch.eye(3)))
    _, report = project(relaxed, inputs=torch.randn(64, 2, 3).double(), confirm=None)
    assert [row.verdict for row in report.hidden] == ["as declared", "as declared"]


def test_linear_features_decide_nothing_whatever_w_is() -> None:
    relaxed = relax(nn.Sequential(VNLinear(4, 8), VNLinear(8, 3)), Symmetry(O(3), "vector", "vector"), init="default")
    relaxed.theta = 1.0
    _, report = project(relaxed, inputs=points(400), confirm=None)
    assert [row.note for row in report.hidden] == 2 * ["linear in the input: not decidable"]
    assert not any("another representation" in note for note in report.notes)
    # linear in features that carry the declared representation, after a nonlinearity
    model = nn.Sequential(VNLinear(4, 3), Cubed(), VNLinear(3, 2))
    relaxed = relax(model, Symmetry(O(3), "vector", "vector"), ["2"], init="default")
    relaxed.theta = 1.0
    assert project(relaxed, inputs=points(400), confirm=None)[1].hidden[0].note == "linear in the input: not decidable"


def test_hidden_representations_that_stay_or_break_or_are_unknown() -> None:
    x = points(400)
    still = project(relaxed_network(theta=0.0), inputs=x, confirm=None)[1]
    assert {row.verdict for row in still.hidden} == {"as declared"}
    relaxed = relaxed_network(theta=1.0)
    assert project(relaxed, inputs=x, confirm=None)[1].hidden[2].verdict == "not equivariant"
    few = project(relaxed_network(theta=1.0), inputs=points(6), confirm=None)[1]
    assert any(row.verdict == "unknown" and "6 rows for 15 features; give 45 or more" in row.note for row in few.hidden)


def test_several_symmetries() -> None:
    order = Symmetry(Permutations(), "nodes", "nodes")
    for claims in ([RIGID, order], [order, RIGID]):
        relaxed = relax(network(), claims, init="default")
        relaxed.theta = 1.0
        assert relaxed.relaxations["0"].site.group == O(3)
        _, report = project(relaxed, inputs=points(), confirm=None)
        assert report.exact
        assert {check.verdict.value for check in report.audit_after.checks} <= {"EXACT", "VACUOUS"}


class Twice(nn.Module):
    """One layer called twice, and a force by a gradient inside: outputs in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = VNLinear(4, 4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            energy = self.layer(self.layer(x)).square().sum((-1, -2))
            (force,) = torch.autograd.grad(energy.sum(), x, create_graph=True)
        return {"energy": energy, "force": force}


def test_a_layer_that_is_called_twice_and_forces() -> None:
    claim = Symmetry(O(3), "vector", {"energy": "invariant", "force": "vector"})
    relaxed = relax(Twice(), claim, init="default")
    relaxed.theta = 0.02
    _, report = project(relaxed, inputs=points(), confirm=None)
    assert report.exact
    assert report.change <= report.bound


def test_without_inputs_or_symmetry_nothing_is_claimed() -> None:
    _, report = project(relaxed_network())
    assert report.exact is None
    assert "not audited" in str(report)
    relaxed = relax(network())
    _, report = project(relaxed, inputs=points(), confirm=None)
    assert any("no symmetry of the whole model was given" in note for note in report.notes)


def test_confirm_is_asked() -> None:
    asked = []

    def confirm(model, inputs, symmetry):
        asked.append((model, symmetry))
        return audit(model, inputs, symmetry, effort="quick")

    model, report = project(relaxed_network(), inputs=points(), confirm=confirm)
    assert asked == [(model, RIGID)]
    assert report.confirmed.passed
    assert "confirm: EXACT" in str(report)


@pytest.mark.long
def test_without_hypothesis_the_report_says_that_nothing_was_confirmed() -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import torch\n"
        "from equiaudit import Symmetry, groups, project, relax\n"
        "from equiaudit.relaxation.vector_neurons import VNLinear\n"
        "relaxed = relax(VNLinear(2, 2), Symmetry(groups.O(3), 'vector', 'vector'))\n"
        "print(project(relaxed, inputs=torch.randn(8, 2, 3))[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "projected 1 layer by drop: exact" in done.stdout
    assert "note: not confirmed: hypothesis is not installed" in done.stdout


def test_a_model_that_is_called_otherwise() -> None:
    relaxed = relaxed_network()
    _, report = project(relaxed, inputs={"x": points()}, symmetry=Symmetry(O(3), {"x": "vector"}, "invariant"),
                        forward=lambda model, batch: model(batch["x"]), confirm=None)  # fmt: skip
    assert report.exact


def test_the_report_is_plain_data() -> None:
    _, report = project(relaxed_network(), inputs=points(), confirm=None)
    data = json.loads(json.dumps(report.to_dict()))
    assert data["exact"] is True
    assert data["layers"][0]["name"] == "0"
    assert copy.deepcopy(report) == report
    with pytest.raises(AttributeError):
        report.method = "fold"
