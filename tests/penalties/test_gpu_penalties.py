"""The same penalties and projections on a CUDA device; skipped where there is none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from equiaudit import Symmetry, intertwiners
from equiaudit.groups import SO, Cyclic, E
from equiaudit.penalties import AugmentationPenalty, LieDerivativePenalty, NuclearNormPenalty, OperatorPenalty
from equiaudit.representations import Regular

pytestmark = pytest.mark.gpu
CLOUDS = Symmetry(E(3), "points", "vector", batch=0)


@pytest.mark.parametrize("kind", [LieDerivativePenalty, AugmentationPenalty, NuclearNormPenalty])
def test_values_and_gradients_agree_with_the_cpu(kind: Any) -> None:
    torch.manual_seed(0)
    model, x, y = nn.Linear(3, 3).double(), torch.randn(8, 5, 3).double(), torch.randn(8, 5, 3).double()
    found = []
    for device in ("cpu", "cuda"):
        model = model.to(device)
        model.zero_grad()
        before = torch.cuda.get_rng_state()
        value = kind(CLOUDS, seed=1)(model, x.to(device), y.to(device))
        assert torch.equal(before, torch.cuda.get_rng_state())
        value.backward()
        found.append((value.detach().cpu(), model.weight.grad.cpu().clone()))
    torch.testing.assert_close(found[0], found[1])


def test_weights() -> None:
    for claim, shape in (
        (Symmetry(SO(3), "2x0e+1x1o+1x2e", "1x0e+2x1o+1x2e"), (12, 10)),
        (Symmetry(Cyclic(4), Regular(), Regular()), (4, 4, 3, 3)),
    ):
        weight = torch.randn(shape, dtype=torch.float64)
        torch.testing.assert_close(OperatorPenalty(claim)(weight.cuda()).cpu(), OperatorPenalty(claim)(weight))
    weight = torch.randn(12, 10, device="cuda")
    reps = "2x0e+1x1o+1x2e", "1x0e+2x1o+1x2e"
    here = intertwiners.project(weight, *reps, SO(3))
    assert here.device == weight.device
    torch.testing.assert_close(here.cpu(), intertwiners.project(weight.cpu(), *reps, SO(3)))
