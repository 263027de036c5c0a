"""Vector-neuron layers are exactly equivariant, in training too, and refuse features in another order."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from equiaudit import Symmetry, Verdict, audit
from equiaudit.groups import SO, O
from equiaudit.relaxation.vector_neurons import (
    VNBatchNorm,
    VNInvariant,
    VNLeakyReLU,
    VNLinear,
    VNMaxPool,
    VNMeanPool,
)

LAYERS = {
    "linear": (lambda: VNLinear(4, 6), "vector"),
    "leaky": (lambda: VNLeakyReLU(4), "vector"),
    "shared": (lambda: VNLeakyReLU(4, slope=0.0, shared=True), "vector"),
    "batch norm": (lambda: VNBatchNorm(4), "vector"),
    "mean": (lambda: VNMeanPool(), "vector"),
    "max": (lambda: VNMaxPool(4), "vector"),
    "invariant": (lambda: VNInvariant(4), "invariant"),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_is_exact(name: str, dtype: torch.dtype) -> None:
    make, output = LAYERS[name]
    found = audit(make().to(dtype), torch.randn(5, 8, 4, 3, dtype=dtype), Symmetry(O(3), "vector", output))
    assert found.verdict is Verdict.EXACT, str(found)


def test_other_dimensions_of_space() -> None:
    model = nn.Sequential(VNLinear(4, 8), VNLeakyReLU(8), VNBatchNorm(8), VNLinear(8, 2))
    assert audit(model, torch.randn(16, 4, 2), Symmetry(SO(2), "vector", "vector")).verdict is Verdict.EXACT


def test_a_bias_would_be_caught() -> None:
    class Biased(VNLinear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + 0.1

    assert audit(Biased(4, 4), torch.randn(9, 4, 3), Symmetry(O(3), "vector", "vector")).verdict is Verdict.BROKEN


def test_features_in_another_order_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"VNLinear takes features \[\.\.\., 4, d\]: channels before space; got \[2, 3, 4\]"
    ):
        VNLinear(4, 4)(torch.randn(2, 3, 4))


@pytest.mark.parametrize("layer", [VNLeakyReLU(3), VNBatchNorm(3), VNInvariant(3)])
def test_zero_vectors_give_finite_gradients(layer: nn.Module) -> None:
    x = torch.zeros(4, 3, 3, requires_grad=True)
    layer(x).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters() if p.grad is not None)


def test_the_leak_is_what_it_says() -> None:
    layer = VNLeakyReLU(1, slope=0.25)
    nn.init.constant_(layer.direction.weight, -1.0)  # every vector points against its direction
    x = torch.randn(6, 1, 3)
    torch.testing.assert_close(layer(x), 0.25 * x)
