"""A five-layer e3nn message-passing network: clean, and with a bias on the l = 2 features of one layer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from equiaudit import Symmetry, audit
from equiaudit.groups import E

o3 = pytest.importorskip("e3nn.o3")
HIDDEN, HARMONICS = "6x0e+3x1o+2x2e", "1x0e+1x1o+1x2e"


class Layer(nn.Module):
    def __init__(self, bias: float) -> None:
        super().__init__()
        self.up, self.down = o3.Linear(HIDDEN, HIDDEN), o3.Linear(HIDDEN, HIDDEN)
        self.product = o3.FullyConnectedTensorProduct(HIDDEN, HARMONICS, HIDDEN, shared_weights=False)
        self.radial = nn.Sequential(nn.Linear(1, 8), nn.SiLU(), nn.Linear(8, self.product.weight_numel))
        self.bias = bias

    def forward(self, h: Tensor, ends: Tensor, harmonics: Tensor, d: Tensor) -> Tensor:
        i, j = ends
        m = self.product(self.up(h)[j], harmonics, self.radial(d)) / 3
        out = self.down(torch.zeros_like(h).index_add(0, i, m))
        scalars, rest = torch.nn.functional.silu(out[:, :6]), out[:, 6:] * torch.sigmoid(out[:, :1])
        return h + torch.cat([scalars, rest[:, :9], rest[:, 9:] + self.bias], -1)


class Net(nn.Module):
    def __init__(self, faulty: int | None = None) -> None:
        super().__init__()
        self.embed = nn.Embedding(2, 6)
        self.layers = nn.ModuleList(Layer(0.05 if k == faulty else 0.0) for k in range(5))
        self.out = o3.Linear(HIDDEN, "1x0e+1x1o")

    def forward(self, x: Tensor) -> Tensor:
        ends = torch.tensor([(a, b) for a in range(len(x)) for b in range(len(x)) if a != b]).T
        v = x[ends[1]] - x[ends[0]]
        harmonics = o3.spherical_harmonics(HARMONICS, v, True, "component")
        h = self.embed(torch.arange(len(x)) % 2)
        h = torch.cat([h, h.new_zeros(len(x), 19)], -1)
        for layer in self.layers:
            h = layer(h, ends, harmonics, torch.exp(-v.norm(dim=-1, keepdim=True)))
        return self.out(h)


@pytest.mark.parametrize("faulty", [pytest.param(None, marks=pytest.mark.long), 2])
def test_a_bias_on_features_of_degree_two_is_found_in_its_layer(faulty: int | None) -> None:
    torch.set_default_dtype(torch.float64)  # Clebsch-Gordan constants without float32 rounding
    found = audit(Net(faulty), torch.randn(6, 3), Symmetry(E(3), "points", "1x0e+1x1o"), layers=True)
    rows = {row["layer"]: row for row in found.layers}
    assert not any("compiled" in name for name in rows)
    before = [row for name, row in rows.items() if faulty is None or name < f"layers.{faulty}" or name == "embed"]
    assert before
    assert max(row["error"] for row in before if row["layer"] != "outputs") < 1e-14
    if faulty is None:
        assert found.first_bad_layer is None
        assert {row["verdict"] for row in rows.values()} == {"ok"}
        return
    assert found.first_bad_layer == "layers.2"
    assert rows["layers.2"]["error"] > 1e-3
    assert "a constant is added to features that turn" in rows["layers.2"]["note"]
    assert rows["layers.4"]["verdict"] == rows["out"]["verdict"] == "broken after"
