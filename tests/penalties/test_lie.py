"""The Lie derivative as a penalty: its size, gradients, precisions, wrappers, and what it leaves alone."""

from __future__ import annotations

import copy
import pickle
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from equiaudit import Symmetry, lie_derivative
from equiaudit.groups import SO, Cyclic, DirectProduct, E, Lorentz, O, Permutations
from equiaudit.measure.derivatives import DerivativeRefusedError
from equiaudit.measure.lie import directions
from equiaudit.penalties import LieDerivativePenalty
from equiaudit.penalties.passes import centred, draw_directions
from equiaudit.penalties.splitting import SplitTangents
from equiaudit.representations import OnMember, Points
from equiaudit.representations.structures import StructureError

VECTORS = Symmetry(SO(3), "vector", "vector", batch=0)


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


class Gated(nn.Module):
    """v ↦ v g(|v|²) + b: equivariant where b = 0."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gate = nn.Sequential(nn.Linear(1, 8), nn.SiLU(), nn.Linear(8, 1)).to(dtype)
        self.offset = nn.Parameter(torch.zeros(3, dtype=dtype))

    def forward(self, v: Tensor) -> Tensor:
        return v * self.gate(v.square().sum(-1, keepdim=True)) + self.offset


def test_all_generators_give_the_mean_square_of_the_lie_derivative() -> None:
    layer, x = nn.Linear(3, 3, dtype=torch.float64), draw(16, 3)
    found = LieDerivativePenalty(VECTORS, directions="all")(layer, x)
    reference = lie_derivative(layer, x, VECTORS).square().mean((1, 2)).sum()
    assert float(found.detach()) == pytest.approx(float(reference), rel=1e-12)


def test_random_directions_have_that_mean() -> None:
    layer, x = nn.Linear(3, 3, dtype=torch.float64), draw(16, 3)
    penalty = LieDerivativePenalty(VECTORS, seed=1)
    with torch.no_grad():
        draws = torch.stack([penalty(layer, x) for _ in range(400)])
        every = LieDerivativePenalty(VECTORS, directions="all")(layer, x)
    assert not draws.requires_grad
    deviation = float(draws.std() / draws.mean() / 20)
    assert abs(float(draws.mean() / every) - 1) < 4 * deviation < 0.2


@pytest.mark.parametrize("batch", [None, 0])
def test_an_exact_model_has_no_penalty(batch: int | None) -> None:
    model, x = Gated(), draw(32, 3)
    penalty = LieDerivativePenalty(Symmetry(O(3), "vector", "vector", batch=batch), elements=2)
    assert float(penalty(model, x).detach()) < 1e-28
    model.offset.data += 0.1
    assert float(penalty(model, x).detach()) > 1e-4


@pytest.mark.parametrize(("dtype", "floor"), [(torch.float32, 1e-12), (torch.bfloat16, 1e-3)])
def test_precisions(dtype: torch.dtype, floor: float) -> None:
    model, x = Gated().to(dtype), draw(32, 3).to(dtype)
    found = LieDerivativePenalty(VECTORS)(model, x)
    assert found.dtype == torch.float32
    assert float(found.detach()) < floor
    found.backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)


def test_autocast() -> None:
    model, x = Gated(torch.float32), draw(32, 3).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, found = LieDerivativePenalty(VECTORS).with_output(model, x)
    assert found.dtype == torch.float32
    assert 0 <= float(found.detach()) < 1e-3 * float(output.detach().square().mean())
    found.backward()
    assert bool(torch.isfinite(model.gate[0].weight.grad).all())


def test_size_of_the_batch_and_number_of_points_do_not_change_the_scale() -> None:
    layer, x = nn.Linear(3, 3, dtype=torch.float64), draw(8, 5, 3)
    penalty = LieDerivativePenalty(Symmetry(SO(3), "vector", "vector"), directions="all")
    one = float(penalty(layer, x).detach())
    assert float(penalty(layer, x.repeat(3, 1, 1)).detach()) == pytest.approx(one, rel=1e-12)
    assert float(penalty(layer, x.repeat(1, 4, 1)).detach()) == pytest.approx(one, rel=1e-12)


def test_relative_size_does_not_depend_on_units() -> None:
    layer, x = nn.Linear(3, 3, dtype=torch.float64), draw(8, 3)
    penalty = LieDerivativePenalty(VECTORS, directions="all", relative=True)
    a, b = float(penalty(layer, x).detach()), float(penalty(lambda v: 1000 * layer(v), x).detach())
    assert a == pytest.approx(b, rel=1e-12)
    assert float(penalty(lambda v: 0 * layer(v), x).detach()) == 0.0


def test_zero_has_finite_gradients() -> None:
    layer = nn.Linear(3, 3)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    found = LieDerivativePenalty(VECTORS)(layer, torch.zeros(4, 3))
    found.backward()
    assert float(found.detach()) == 0.0
    assert torch.equal(layer.weight.grad, torch.zeros(3, 3))


@pytest.mark.long
def test_gradients_to_second_order() -> None:
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double(), draw(5, 3)
    names = [name for name, _ in model.named_parameters()]

    def of(*values: Tensor) -> Tensor:
        def call(v: Tensor) -> Tensor:
            return torch.func.functional_call(model, dict(zip(names, values, strict=True)), (v,))

        return LieDerivativePenalty(VECTORS, seed=3)(call, x)

    values = tuple(p.detach().clone().requires_grad_() for p in model.parameters())
    assert torch.autograd.gradcheck(of, values)
    assert torch.autograd.gradgradcheck(of, values)


def test_one_primal_pass_is_shared() -> None:
    calls = [0]
    model = Gated()
    model.register_forward_hook(lambda *_: calls.__setitem__(0, calls[0] + 1))
    penalty, x = LieDerivativePenalty(VECTORS), draw(4, 3)
    penalty(model, x)  # finds the method
    calls[0] = 0
    output, _ = penalty.with_output(model, x)
    assert calls[0] == 1
    assert torch.allclose(output, model(x))


def test_seed_and_state_repeat_the_draws() -> None:
    layer, x = nn.Linear(3, 3), draw(4, 3).float()
    first, second = LieDerivativePenalty(VECTORS, seed=5), LieDerivativePenalty(VECTORS, seed=5)
    assert torch.equal(first(layer, x), second(layer, x))
    state = copy.deepcopy(first.state_dict())
    later = [first(layer, x) for _ in range(3)]
    resumed = LieDerivativePenalty(VECTORS)
    resumed.load_state_dict(state)
    assert all(torch.equal(a, resumed(layer, x)) for a in later)


# -- state and randomness -----------------------------------------------------------------------------------------------


class Normed(nn.Module):
    """Batch norm and dropout on invariants."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.SiLU(), nn.Dropout(0.5), nn.Linear(8, 1))

    def forward(self, v: Tensor) -> Tensor:
        return v * self.body(v.square().sum(-1, keepdim=True))


def test_training_mode_is_disturbed_as_by_one_forward() -> None:
    x, claim = draw(16, 3).float(), Symmetry(O(3), "vector", "vector", batch=0)
    penalty, model = LieDerivativePenalty(claim, directions="all", discrete="all", elements=1), Normed().train()
    twin = copy.deepcopy(model)
    torch.manual_seed(7)
    output, found = penalty.with_output(model, x)
    after = torch.rand(1)
    torch.manual_seed(7)
    expected = twin(x)
    assert torch.equal(torch.rand(1), after)
    assert torch.allclose(output, expected)
    for a, b in zip(model.buffers(), twin.buffers(), strict=True):
        assert torch.allclose(a, b)
    assert float(found.detach()) < 1e-11  # one mask for all passes: dropout is no violation
    (output.square().mean() + found).backward()
    assert bool(torch.isfinite(model.body[0].weight.grad).all())


def test_the_penalty_alone_leaves_no_trace() -> None:
    model, x = Normed().train(), draw(16, 3).float()
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(7)
    expected = torch.rand(1)
    numbers = np.random.get_state()[1].copy()  # noqa: NPY002  models draw from it
    torch.manual_seed(7)
    LieDerivativePenalty(Symmetry(O(3), "vector", "vector", batch=0), elements=1)(model, x)
    assert torch.equal(torch.rand(1), expected)
    assert (np.random.get_state()[1] == numbers).all()  # noqa: NPY002
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


# -- what the ladder is for ---------------------------------------------------------------------------------------------


class Doubling(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return 2 * slope


class Energy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(1, 8), nn.SiLU(), nn.Linear(8, 1)).double()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = x if x.requires_grad else x.requires_grad_()
        energy = self.body((x - x.mean(-2, keepdim=True)).square().sum(-1, keepdim=True)).sum((-1, -2))
        (slope,) = torch.autograd.grad(energy.sum(), x, create_graph=True)
        return {"energy": energy, "forces": -slope}


def attention(q: Tensor) -> Tensor:
    return torch.nn.functional.scaled_dot_product_attention(q, q, q)


def test_forces_attention_and_custom_functions_take_a_rung_that_works() -> None:
    forces = Symmetry(E(3), "points", {"energy": "invariant", "forces": "vector"}, batch=0)
    model = Energy()
    found = LieDerivativePenalty(forces)(model, draw(4, 6, 3))
    assert float(found.detach()) < 1e-26
    found.backward()
    weight = nn.Parameter(torch.eye(3, dtype=torch.float64) * torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    for inner in (attention, Doubling.apply):
        penalty = LieDerivativePenalty(VECTORS)
        found = penalty(lambda v, inner=inner: inner(v @ weight), draw(4, 5, 3))
        (slope,) = torch.autograd.grad(found, weight)
        assert float(found.detach()) > 0.1
        assert float(slope.norm()) > 0.1


def test_images_by_grid_sample() -> None:
    def shrink(image: Tensor) -> Tensor:
        theta = torch.tensor([[[0.5, 0.0, 0.1], [0.0, 0.5, 0.0]]], dtype=image.dtype).expand(len(image), 2, 3)
        grid = torch.nn.functional.affine_grid(theta, list(image.shape), align_corners=False)
        return torch.nn.functional.grid_sample(scale * image, grid, align_corners=False)

    scale = nn.Parameter(torch.ones((), dtype=torch.float64))
    found = LieDerivativePenalty(Symmetry(SO(2), "image", "image"))(shrink, draw(2, 1, 9, 9))
    (slope,) = torch.autograd.grad(found, scale)
    assert float(slope) > 1e-3


def test_gradient_checkpointing_takes_a_method_whose_graph_can_be_used() -> None:
    layer, x = nn.Linear(3, 3, dtype=torch.float64), draw(4, 3)

    def saving(v: Tensor) -> Tensor:
        return checkpoint(lambda a: torch.tanh(layer(a)), v, use_reentrant=False)

    found = []
    for model in (saving, lambda v: torch.tanh(layer(v))):
        (slope,) = torch.autograd.grad(LieDerivativePenalty(VECTORS, seed=2)(model, x), layer.weight)
        found.append(slope)
    assert torch.allclose(found[0], found[1], atol=1e-14)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * slope


def test_a_function_that_can_be_differentiated_once_is_refused_by_name() -> None:
    class Layer(nn.Linear):
        def forward(self, v: Tensor) -> Tensor:
            return Once.apply(super().forward(v))

    with pytest.raises(DerivativeRefusedError, match=r"(?s)no method gave .*double_backward: .*AugmentationPenalty"):
        LieDerivativePenalty(VECTORS)(Layer(3, 3, dtype=torch.float64), draw(4, 3))


def test_undeclared_outputs_come_back_and_are_not_penalised() -> None:
    def model(x: Tensor) -> dict[str, Any]:
        size = x.square().sum(-1)
        return {"energy": size, "largest": size.argmax(), "frame": 2 * x.detach(), "nothing": None, "count": 3}

    claim, x = Symmetry(SO(3), "vector", {"energy": "invariant"}), draw(4, 3)
    for derivative in ("auto", "forward_ad", "double_backward"):
        output, found = LieDerivativePenalty(claim, derivative=derivative).with_output(model, x)
        assert float(found.detach()) < 1e-26
        assert torch.equal(output["frame"], 2 * x)
        assert int(output["largest"]) == int(x.square().sum(-1).argmax())
        assert (output["nothing"], output["count"]) == (None, 3)


def test_pickle_and_no_grad() -> None:
    penalty, layer, x = LieDerivativePenalty(VECTORS), nn.Linear(3, 3), draw(4, 3).float()
    penalty(layer, x)
    twin = pickle.loads(pickle.dumps(penalty))
    with torch.no_grad():
        assert not penalty(layer, x).requires_grad
    with torch.inference_mode():
        assert float(twin(layer, x)) > 0


def test_a_model_that_detaches_is_refused_by_name() -> None:
    weight = nn.Parameter(torch.ones(3, dtype=torch.float64))
    with pytest.raises(DerivativeRefusedError, match=r"(?s)torch.func.jvp.*disagrees.*AugmentationPenalty needs no"):
        LieDerivativePenalty(VECTORS)(lambda v: weight * v * v.detach(), draw(4, 3))


# -- parts --------------------------------------------------------------------------------------------------------------


def test_reflections_are_seen_only_by_the_discrete_part() -> None:
    def chiral(v: Tensor) -> Tensor:
        return v * torch.linalg.det(v)[..., None, None]

    x = draw(6, 3, 3)
    claim = Symmetry(O(3), "vector", "vector", batch=0)
    assert float(LieDerivativePenalty(claim, discrete=None)(chiral, x)) < 1e-26
    assert float(LieDerivativePenalty(claim)(chiral, x)) > 1e-2


def test_finite_groups_and_permutations() -> None:
    image = draw(2, 1, 6, 6)
    turns = LieDerivativePenalty(Symmetry(Cyclic(4), "image", "image"))
    assert float(turns(lambda x: x.square(), image)) == 0.0
    assert float(turns(lambda x: x.cumsum(-1), image)) > 0.1
    nodes = LieDerivativePenalty(Symmetry(Permutations(), "nodes", "nodes"))
    assert float(nodes(lambda x: x - x.mean(0), draw(7, 2))) < 1e-28
    assert float(nodes(lambda x: x.cumsum(0), draw(7, 2))) > 0.1


def test_several_symmetries_add_up() -> None:
    claims = [Symmetry(SO(3), "vector", "vector"), Symmetry(Permutations(), "nodes", "nodes")]
    penalty = LieDerivativePenalty(claims, directions="all", elements=1)
    x = draw(7, 3)
    output, found = penalty.with_output(lambda v: v.cumsum(0), x)
    assert torch.equal(output, x.cumsum(0))
    assert float(found) > 0.1
    alone = LieDerivativePenalty(claims[0], directions="all")
    assert float(alone(lambda v: v.cumsum(0), x)) < 1e-26


def test_translations_are_about_the_centroid_in_units_of_the_radius() -> None:
    claim = Symmetry(E(3), "points", "points", batch=0)
    weight = torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))

    def squeeze(x: Tensor) -> Tensor:
        centre = x.mean(-2, keepdim=True)
        return centre + (x - centre) @ weight

    penalty = LieDerivativePenalty(claim, directions="all", discrete=None)
    near = float(penalty(squeeze, draw(3, 5, 3)))
    far = float(penalty(squeeze, draw(3, 5, 3) + 1000.0))
    assert far == pytest.approx(near, rel=1e-9)


@pytest.mark.parametrize("batch", [None, 0])
@pytest.mark.parametrize("group", [E(3), E(2), SO(3), E(3) * Cyclic(4)])
def test_directions_are_those_of_an_audit(group: Any, batch: int | None) -> None:
    rep: Any = "points" if not isinstance(group, DirectProduct) else OnMember(0, Points())
    x = draw(5, 4, 2 if group == E(2) else 3) + 10.0
    claim = Symmetry(group, rep, "invariant", batch=batch)
    for c in (np.ones(group.dim), draw_directions(claim, x, np.random.default_rng(0))):
        assert np.allclose(centred(claim, x, c), directions(claim, x, c), atol=1e-12)


def test_linear_maps_are_split_without_changing_a_number() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3, stride=2), nn.SiLU(), nn.Flatten(), nn.Linear(27, 4)).double()
    matrix = draw(4, 4)
    x, v = draw(2, 2, 7, 7), draw(2, 2, 7, 7, seed=1)

    def call(a: Tensor, split: bool) -> tuple[Tensor, Tensor]:
        def run(z: Tensor) -> Tensor:
            with SplitTangents() if split else nullcontext():
                y = model(z)
                return (
                    y @ matrix
                    + matrix[0] @ y.mT.sum(1, keepdim=True).mT.mT
                    + torch.bmm(y[:, None], y[:, :, None])[:, 0]
                )

        return torch.func.jvp(run, (a,), (v,))

    for plain, split in zip(call(x, False), call(x, True), strict=True):
        assert torch.allclose(plain, split, atol=1e-14)
        one, two = (
            torch.autograd.grad(y.square().sum(), list(model.parameters()), retain_graph=True) for y in (plain, split)
        )
        assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(one, two, strict=True))


def test_graphs_with_an_assignment_vector() -> None:
    claim = Symmetry(
        E(3), {"positions": "points", "batch": None}, {"energy": "invariant", "moved": "points"}, batch="batch"
    )
    inputs = {"positions": draw(9, 3), "batch": torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2])}

    def model(graph: dict[str, Tensor], leak: float = 0.0) -> dict[str, Tensor]:
        x, owner = graph["positions"], graph["batch"]
        count = torch.bincount(owner).to(x.dtype)[:, None]
        centre = torch.zeros(3, 3, dtype=x.dtype).index_add(0, owner, x) / count
        away = x - centre[owner]
        size = away.square().sum(-1)
        energy = torch.zeros(3, dtype=x.dtype).index_add(0, owner, size + leak * away[:, 0])
        return {"energy": energy, "moved": x + away * size[:, None] + leak * away[:, :1].abs()}

    penalty = LieDerivativePenalty(claim, elements=1)
    assert float(penalty(model, inputs)) < 1e-25
    assert float(penalty(lambda g: model(g, 0.5), inputs)) > 1e-3


# -- layers -------------------------------------------------------------------------------------------------------------


def test_chosen_layers_at_their_own_activations() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 1)).double()
    hidden = {"1": (2 * as_vector(), 2 * as_vector())}
    claim = Symmetry(SO(3), "vector", "invariant", batch=0, hidden=hidden)
    penalty, x = LieDerivativePenalty(claim, layers="1", directions="all"), draw(8, 3)
    output, found = penalty.with_output(model, x)
    assert torch.equal(output, model(x))
    inner = Symmetry(SO(3), *hidden["1"])
    reference = lie_derivative(model[1], model[0](x).detach(), inner).square().mean((1, 2)).sum()
    assert float(found.detach()) == pytest.approx(float(reference), rel=1e-12)
    found.backward()
    assert model[0].weight.grad is None
    assert float(model[1].weight.grad.norm()) > 0
    assert not model[1]._forward_pre_hooks


def as_vector() -> Any:
    from equiaudit.representations import Vector

    return Vector()


class Named(nn.Module):
    """A linear layer that takes its input, and one more, by keyword alone."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3, dtype=torch.float64)

    def forward(self, *, v: Tensor, scale: Any = 1.0) -> Tensor:
        return scale * self.linear(v)


class Calling(nn.Module):
    def __init__(self, call: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.inner, self.call = nn.Linear(3, 3, dtype=torch.float64), Named(), call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.inner, self.first(x))


@pytest.mark.parametrize(
    ("call", "rep_in"),
    [
        (lambda inner, v: inner(v=v), "vector"),
        (lambda inner, v: inner(v=v, scale=2), ("vector",)),
        (lambda inner, v: inner(v=v, scale=v.square().sum(-1, keepdim=True)), {"v": "vector"}),
        (lambda inner, v: inner(scale=v.square().sum(-1, keepdim=True), v=v), {"scale": "invariant", "v": "vector"}),
        (lambda inner, v: inner(scale=v.square().sum(-1, keepdim=True), v=v), ("vector", "invariant")),
    ],
)
def test_layers_called_by_keyword(call: Any, rep_in: Any) -> None:
    model, x = Calling(call), draw(8, 3)
    claim = Symmetry(SO(3), "vector", "vector", hidden={"inner": (rep_in, "vector")})
    found = LieDerivativePenalty(claim, layers="inner", directions="all")(model, x)
    h = model.first(x).detach()
    reference = lie_derivative(lambda v: call(model.inner, v), h, Symmetry(SO(3), "vector", "vector")).square()
    if (
        isinstance(rep_in, dict) and "scale" not in rep_in
    ):  # the scale is a constant of the layer there; so is it in size
        scale = h.square().sum(-1, keepdim=True)
        reference = lie_derivative(lambda v: scale * model.inner(v=v), h, Symmetry(SO(3), "vector", "vector")).square()
    assert float(found.detach()) == pytest.approx(
        float(reference.mean((0, 2, 3) if reference.dim() == 4 else (1, 2)).sum()), rel=1e-10
    )
    found.backward()
    assert model.first.weight.grad is None
    assert float(model.inner.linear.weight.grad.norm()) > 0


@pytest.mark.parametrize("rep_in", ["vector", {"w": "vector"}, ("vector",) * 3])
def test_a_layer_called_by_other_keywords_is_named(rep_in: Any) -> None:
    model = Calling(lambda inner, v: inner(v=v, scale=v))
    claim = Symmetry(SO(3), "vector", "vector", hidden={"inner": (rep_in, "vector")})
    with pytest.raises(
        StructureError, match=r"'inner' is called with the keywords \['scale', 'v'\].*hidden=\{'inner': \(\{'"
    ):
        LieDerivativePenalty(claim, layers="inner")(model, draw(8, 3))


class Careless(Energy):
    """Forces without the graph that their derivative needs."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x if x.requires_grad else x.requires_grad_()
            energy = self.body(x.square().sum(-1, keepdim=True)).sum()
            return -torch.autograd.grad(energy, x)[0]


def test_forces_without_create_graph_are_refused_by_name() -> None:
    message = (
        r"(?s)calls torch.autograd.grad without create_graph=True, .* torch.func.grad of torch.func.functional_call"
    )
    with pytest.raises(DerivativeRefusedError, match=message):
        LieDerivativePenalty(VECTORS)(Careless(), draw(4, 3))


def test_forces_by_a_function_transform() -> None:
    class Transformed(Energy):
        def forward(self, x: Tensor) -> Tensor:
            weights = dict(self.body.named_parameters())

            def energy(z: Tensor) -> Tensor:
                return (
                    torch.func.functional_call(self.body, weights, (z.square().sum(-1, keepdim=True),)).sum()
                    + z[..., 0].pow(3).sum()
                )

            return -torch.func.grad(energy)(x)

    found = LieDerivativePenalty(VECTORS)(Transformed(), draw(4, 3))
    assert float(found.detach()) > 1e-2
    found.backward()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: LieDerivativePenalty(VECTORS, layers="9")(nn.Linear(3, 3), x), "needs? their representations"),
        (
            lambda x: LieDerivativePenalty(Symmetry(SO(3), "vector", hidden={"a": ("vector",) * 2}), layers="a")(
                nn.Sequential(nn.Linear(3, 3)), x
            ),
            r"no submodule fits \['a'\] and is declared in hidden=\['a'\]; there are 0",
        ),
        (
            lambda x: LieDerivativePenalty(Symmetry(SO(3), None, "vector"))(nn.Linear(3, 3), x),
            "no floating-point input",
        ),
        (lambda x: LieDerivativePenalty(Symmetry(SO(3), "vector", None))(nn.Linear(3, 3), x), "no output is declared"),
        (lambda x: LieDerivativePenalty("vector"), "expected a Symmetry or a sequence of them, got str"),
        (lambda x: LieDerivativePenalty(VECTORS, directions="one"), "directions must be 'random' or 'all', got 'one'"),
        (lambda x: LieDerivativePenalty(VECTORS, discrete="one"), "discrete must be 'random', 'all' or None"),
        (lambda x: LieDerivativePenalty(VECTORS, derivative="magic"), "derivative must be 'auto' or one of"),
        (
            lambda x: LieDerivativePenalty(Symmetry(Cyclic(4), "image", "image"), discrete=None)(lambda v: v, x[None]),
            r"nothing of .* was tried",
        ),
    ],
)
def test_messages(call: Any, message: str) -> None:
    with pytest.raises((StructureError, TypeError, ValueError), match=message):
        call(torch.ones(3, 3))


# -- wrappers -----------------------------------------------------------------------------------------------------------


def test_a_compiled_model_is_differentiated_inside() -> None:
    model = Gated()
    compiled = torch.compile(model, backend="eager")
    output, found = LieDerivativePenalty(VECTORS).with_output(compiled, draw(4, 3))
    assert torch.allclose(output, model(draw(4, 3)))
    assert float(found.detach()) < 1e-28


def test_lorentz_boosts() -> None:
    claim = Symmetry(Lorentz(), "vector", "invariant", batch=0)
    metric = torch.from_numpy(Lorentz().metric)
    penalty = LieDerivativePenalty(claim)
    assert float(penalty(lambda p: ((p @ metric) * p).sum(-1), draw(8, 4))) < 1e-26
    assert float(penalty(lambda p: p.square().sum(-1), draw(8, 4))) > 0.1
