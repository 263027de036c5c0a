"""Gradients of the penalties through operations whose second derivatives PyTorch or a user gets wrong."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equiaudit import Symmetry
from equiaudit.groups import SO
from equiaudit.measure.derivatives import DerivativeRefusedError
from equiaudit.measure.rungs import push_with_jvp
from equiaudit.penalties import LieDerivativePenalty, NuclearNormPenalty
from equiaudit.penalties.seconds import wrong_gradient
from equiaudit.penalties.splitting import SplitTangents

VECTORS = Symmetry(SO(3), "vector", "vector")


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def spread(module: nn.Module) -> nn.Module:
    """The module with weights and biases away from one and zero."""
    for n, p in enumerate(module.parameters()):
        p.data += 0.3 * draw(*p.shape, seed=n).to(p.dtype)
    return module


NORMS = {
    "layer": lambda: nn.LayerNorm(8),
    "layer over two axes": lambda: nn.Sequential(nn.Unflatten(1, (2, 4)), nn.LayerNorm((2, 4)), nn.Flatten(1)),
    "instance": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 4)), nn.InstanceNorm1d(2, affine=True, track_running_stats=True), nn.Flatten(1)
    ),
    "batch": lambda: nn.BatchNorm1d(8),
    "batch of images": lambda: nn.Sequential(nn.Unflatten(1, (2, 2, 2)), nn.BatchNorm2d(2), nn.Flatten(1)),
    "batch, evaluation": lambda: nn.BatchNorm1d(8).eval(),
    "group": lambda: nn.GroupNorm(2, 8),
    "root mean square": lambda: nn.RMSNorm(8),
    "encoder": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 4)),
        nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True, activation="gelu"),
        nn.Flatten(1),
    ),
}


def model_with(norm: str) -> nn.Module:
    torch.manual_seed(0)
    inner = NORMS[norm]()
    model = spread(nn.Sequential(nn.Linear(3, 8), inner, nn.Tanh(), nn.Linear(8, 3)).double())
    return model if norm != "batch, evaluation" else model.eval()


@pytest.mark.parametrize("kind", [LieDerivativePenalty, NuclearNormPenalty])
@pytest.mark.parametrize("norm", NORMS)
def test_gradients_through_norms_are_those_of_differences(norm: str, kind: Any) -> None:
    model, x = model_with(norm), draw(6, 3)
    penalty = kind(VECTORS, **({"directions": "all"} if kind is LieDerivativePenalty else {"smoothing": 1e-3}))
    parameters = list(model.parameters())
    moves = [draw(*p.shape, seed=9) for p in parameters]
    grads = torch.autograd.grad(penalty(model, x), parameters, allow_unused=True)
    slope = sum(float((g * m).sum()) for g, m in zip(grads, moves, strict=True) if g is not None)
    values, step = [], 1e-6
    for sign in (1, -1):
        for p, m in zip(parameters, moves, strict=True):
            p.data += sign * step * m
        values.append(float(penalty(model, x).detach()))
        for p, m in zip(parameters, moves, strict=True):
            p.data -= sign * step * m
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)


@pytest.mark.parametrize("momentum", [0.3, None])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_composed_norms_are_those_of_torch_and_count_statistics_once(dtype: torch.dtype, momentum: float) -> None:
    images = draw(4, 3, 5, 2).to(dtype)
    for layer in (
        nn.BatchNorm2d(3, momentum=momentum),
        nn.InstanceNorm2d(3, affine=True, track_running_stats=True, momentum=momentum or 0.1),
        nn.LayerNorm((5, 2)),
    ):
        plain = spread(layer).to(dtype)
        composed = copy.deepcopy(plain)
        for _ in range(2):
            expected = plain(images)
            with SplitTangents():
                found = composed(images)
        assert found.dtype == expected.dtype
        floor = 40 * torch.finfo(dtype).eps
        assert torch.allclose(found.double(), expected.double(), atol=floor, rtol=floor)
        for a, b in zip(plain.buffers(), composed.buffers(), strict=True):
            assert torch.allclose(a.double(), b.double(), atol=floor, rtol=floor)


def test_batch_norm_of_one_value_is_refused_as_by_torch() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"), SplitTangents():
        nn.BatchNorm1d(3)(torch.ones(1, 3))


def test_functions_of_torch_without_their_module() -> None:
    x = draw(4, 3, 5)
    with SplitTangents():
        assert torch.allclose(torch.layer_norm(x, (5,)), F.layer_norm(x, (5,)))
        assert torch.allclose(
            torch.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, False),
            F.batch_norm(x, None, None, training=True),
        )
        assert torch.allclose(
            torch.instance_norm(x, None, None, None, None, True, 0.1, 1e-5, False), F.instance_norm(x)
        )


class Crooked(torch.autograd.Function):
    """sin, with a derivative that is right and a second one that is not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return CrookedSlope.apply(ctx.saved_tensors[0], slope)


class CrookedSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return x.cos() * slope

    @staticmethod
    def backward(ctx: Any, pulled: Tensor) -> Any:
        x, slope = ctx.saved_tensors
        cosine = 0.9 * x.cos() + 0.1 * x.cos().detach()  # a tenth is taken as a constant
        return -x.sin() * slope * pulled, cosine * pulled


class CrookedTangent(torch.autograd.Function):
    """sin, whose tangent takes the point as a constant."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.sin()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return ctx.saved_tensors[0].detach().cos() * tangent

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return ctx.saved_tensors[0].cos() * slope


class Bent(nn.Module):
    def __init__(self, function: Any, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.outer, self.function = nn.Linear(3, 8, dtype=dtype), nn.Linear(8, 3, dtype=dtype), function

    def forward(self, v: Tensor) -> Tensor:
        return self.outer(self.function(self.inner(v)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_wrong_second_derivative_is_refused_by_name(dtype: torch.dtype) -> None:
    message = r"(?s)double_backward: the gradient of its derivative is wrong by .*float64; it runs through Crooked.*gradgradcheck"
    model = Bent(Crooked.apply, dtype)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(DerivativeRefusedError, match=message):
        LieDerivativePenalty(VECTORS)(model, draw(6, 3, dtype=dtype))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.dtype == dtype for p in model.parameters())


def test_a_wrong_second_derivative_of_one_method_leaves_the_next() -> None:
    penalty, model, x = LieDerivativePenalty(VECTORS, seed=2), Bent(CrookedTangent.apply), draw(6, 3)
    found = torch.autograd.grad(penalty(model, x), model.inner.weight)
    model.function = torch.sin
    expected = torch.autograd.grad(LieDerivativePenalty(VECTORS, seed=2)(model, x), model.inner.weight)
    assert torch.allclose(found[0], expected[0], atol=1e-12)
    assert list(penalty.ladder._known[next(iter(penalty.ladder._known))].values()) == ["double_backward"]


class Single(nn.Module):
    """A model that can't run in double precision."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.bent = Bent(function, torch.float32)

    def forward(self, v: Tensor) -> Tensor:
        if v.dtype != torch.float32:
            raise TypeError("single precision only")
        return self.bent(v)


def test_models_that_run_in_single_precision_alone_are_compared_there() -> None:
    x = draw(6, 3, dtype=torch.float32)
    LieDerivativePenalty(VECTORS)(Single(torch.sin), x)
    with pytest.raises(DerivativeRefusedError, match=r"(?s)is wrong by .*float32; it runs through Crooked"):
        LieDerivativePenalty(VECTORS)(Single(Crooked.apply), x)


@pytest.mark.parametrize("zeros", ["weights", "inputs"])
def test_kinks_and_zeros_are_no_faults(zeros: str) -> None:
    model, x = Bent(torch.relu), draw(64, 3)
    if zeros == "weights":
        nn.init.zeros_(model.inner.weight)
        nn.init.zeros_(model.inner.bias)
        nn.init.zeros_(model.outer.weight)
    else:
        nn.init.zeros_(model.inner.bias)
        x[32:] = 0.0
    penalty = LieDerivativePenalty(VECTORS)
    penalty(model, x)
    assert list(next(iter(penalty.ladder._known.values())).values()) == ["torch.func.jvp"]


def test_weights_in_closures_and_inputs_with_a_graph_are_compared_too() -> None:
    weight, x = nn.Parameter(draw(3, 3, dtype=torch.float32)), draw(6, 3, dtype=torch.float32)
    with pytest.raises(DerivativeRefusedError, match="Crooked"):
        LieDerivativePenalty(VECTORS)(lambda v: Crooked.apply(v @ weight), x)
    assert weight.dtype == torch.float32
    with pytest.raises(DerivativeRefusedError, match="Crooked"):
        LieDerivativePenalty(VECTORS)(lambda v: Crooked.apply(v), x.requires_grad_())


def test_the_comparison_sees_layer_norm_as_torch_has_it() -> None:
    # fails once PyTorch is right: penalties.norms can go then
    model = model_with("layer")

    def run(flat: Any) -> list[Tensor]:
        return [model(flat[0])]

    def composed(flat: Any) -> list[Tensor]:
        with SplitTangents():
            return run(flat)

    x, v = (draw(6, 3),), (draw(6, 3, seed=1),)
    assert wrong_gradient(composed, x, v, push_with_jvp, [model]) is None
    assert "wrong by" in str(wrong_gradient(run, x, v, push_with_jvp, [model]))
