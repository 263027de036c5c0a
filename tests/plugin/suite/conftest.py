"""Fixtures of a project that uses the plugin: models of different scopes, data, a profile for hypothesis."""

import pytest
import torch
from torch import nn

from equiaudit import Symmetry, assert_equivariant
from equiaudit.groups import E

try:
    from hypothesis import settings
except ImportError:
    pass
else:
    settings.register_profile("suite", deadline=None, derandomize=True, database=None, max_examples=8)
    settings.load_profile("suite")


class Potential(nn.Module):
    """Energy from distances; forces by autograd."""

    def __init__(self, leak=0.0):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 8), nn.SiLU(), nn.Linear(8, 1))
        self.leak = leak

    def energy(self, positions):
        lines = positions[:, None] - positions[None]
        return self.net(lines.square().sum(-1, keepdim=True)).sum() + self.leak * positions[0, 0]

    def forward(self, positions):
        with torch.enable_grad():
            positions = positions.requires_grad_()
            energy = self.energy(positions)
            (slope,) = torch.autograd.grad(energy, positions, create_graph=True)
        return {"energy": energy, "forces": -slope}


def build(cls, *args, **kwargs):
    torch.manual_seed(0)
    return cls(*args, **kwargs)


@pytest.fixture(scope="session")
def rigid():
    return Symmetry(E(3), "points", {"energy": "invariant", "forces": "vector"})


@pytest.fixture(scope="session")
def positions():
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def potential(rigid, positions):
    """Checked once for all tests of a module."""
    model = build(Potential)
    assert_equivariant(model, positions, rigid, label="potential as built")
    return model


@pytest.fixture
def leaky():
    return build(Potential, leak=0.01)
