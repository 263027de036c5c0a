"""The same verdicts on a CUDA device; skipped where there is none."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from equiaudit import Symmetry, Verdict, audit, equivariance_error, lie_derivative
from equiaudit.groups import SO, Cyclic, E, Permutations

pytestmark = pytest.mark.gpu


class Energy(nn.Module):
    """Distances through a small network, with forces."""

    def __init__(self, fault: float = 0.0):
        super().__init__()
        self.net, self.fault = nn.Sequential(nn.Linear(16, 64), nn.SiLU(), nn.Linear(64, 1)), fault

    def forward(self, positions):
        positions = positions.requires_grad_()
        r = ((positions[:, None] - positions).square().sum(-1) + 1e-3).sqrt()
        centres = torch.linspace(0, 3, 16, dtype=r.dtype, device=r.device)
        energy = self.net(torch.exp(-((r[..., None] - centres) ** 2))).sum()
        return {"energy": energy, "forces": self.fault - torch.autograd.grad(energy, positions)[0]}


RIGID = Symmetry(E(3), "points", {"energy": "invariant", "forces": "vector"})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clean_and_faulty(dtype):
    x = torch.randn(20, 3, device="cuda", dtype=dtype)
    relabel = Symmetry(Permutations(), "nodes", {"energy": "invariant", "forces": "nodes"})
    assert audit(Energy().to("cuda", dtype), x, [RIGID, relabel]).verdict is Verdict.EXACT
    assert audit(Energy(1e-5).to("cuda", dtype), x, RIGID).verdict is Verdict.BROKEN


def test_tf32_is_found():
    before = torch.backends.cuda.matmul.allow_tf32
    weight = torch.randn(64, 3, device="cuda")

    class Wide(nn.Module):
        def forward(self, x):
            inner = x @ x.mT  # invariant in exact arithmetic
            return (inner @ torch.ones_like(inner)).sum(-1) + 0 * weight.sum().to(x.dtype)

    try:
        torch.backends.cuda.matmul.allow_tf32 = True
        found = audit(Wide(), torch.randn(64, 3, device="cuda"), Symmetry(SO(3), "vector"))
        assert found.verdict is Verdict.BROKEN
        assert found.cause == "low precision"
        torch.backends.cuda.matmul.allow_tf32 = False
        assert audit(Wide(), torch.randn(64, 3, device="cuda"), Symmetry(SO(3), "vector")).verdict is Verdict.EXACT
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def test_the_random_state_of_the_device_is_restored():
    x = torch.randn(8, 3, device="cuda")
    before = torch.cuda.get_rng_state()
    audit(nn.Dropout(0.5), x, Symmetry(SO(3), "vector", "vector"))
    assert torch.equal(before, torch.cuda.get_rng_state())


def test_numbers_agree_with_the_cpu():
    x, turn = torch.randn(8, 3, dtype=torch.float64), SO(3).sample(0)
    claim = Symmetry(SO(3), "vector", "vector")
    model = lambda x: x * x.abs()  # noqa: E731
    here, there = (equivariance_error(model, x.to(d), claim, [turn])[0] for d in ("cpu", "cuda"))
    assert there == pytest.approx(here, rel=1e-9)
    here, there = (lie_derivative(model, x.to(d), claim).cpu() for d in ("cpu", "cuda"))
    torch.testing.assert_close(here, there)


def test_images():
    x = torch.randn(2, 1, 16, 16, device="cuda")
    assert audit(torch.square, x, Symmetry(Cyclic(4), "image", "image")).verdict is Verdict.EXACT
    assert audit(lambda x: x.cumsum(-1), x, Symmetry(Cyclic(4), "image", "image")).verdict is Verdict.BROKEN
