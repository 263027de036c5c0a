"""A message-passing potential with e3nn, in the manner of NequIP: energies of molecules, forces on their atoms."""

from __future__ import annotations

from itertools import pairwise

import torch
from e3nn import o3
from e3nn.math import soft_one_hot_linspace
from e3nn.nn import FullyConnectedNet, Gate
from torch import Tensor, nn

CUTOFF = 4.0
"""How far atoms see each other, in Å."""
RADIAL = 8
NEIGHBOURS = 8.0
"""A typical number of them: sums over neighbours are divided by its square root."""
HIDDEN = "16x0e + 8x1o"


class BiasedLinear(o3.Linear):
    """The planted bug: a bias on every feature. Scalars may have one; for vectors it is a fixed direction."""

    def __init__(self, irreps_in: o3.Irreps, irreps_out: o3.Irreps):
        super().__init__(irreps_in, irreps_out)
        self.offset = nn.Parameter(0.05 * torch.randn(self.irreps_out.dim))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) + self.offset


class Interaction(nn.Module):
    """Messages: neighbours' features times spherical harmonics, weighted by distance; a gate and a skip connection."""

    def __init__(self, irreps_in: o3.Irreps, irreps_edge: o3.Irreps, irreps_out: o3.Irreps, linear: type = o3.Linear):
        super().__init__()
        scalars = o3.Irreps([(mul, ir) for mul, ir in irreps_out if ir.l == 0])
        gated = o3.Irreps([(mul, ir) for mul, ir in irreps_out if ir.l > 0])
        gates = o3.Irreps([(gated.num_irreps, "0e")])
        self.gate = Gate(scalars, [torch.nn.functional.silu], gates, [torch.sigmoid], gated)
        self.product = o3.FullyConnectedTensorProduct(
            irreps_in, irreps_edge, self.gate.irreps_in, shared_weights=False, internal_weights=False
        )
        self.radial = FullyConnectedNet([RADIAL, 16, self.product.weight_numel], torch.nn.functional.silu)
        self.linear = linear(self.gate.irreps_in, self.gate.irreps_in)
        self.skip = o3.Linear(irreps_in, self.gate.irreps_out)

    def forward(self, features: Tensor, edges: Tensor, harmonics: Tensor, basis: Tensor, smooth: Tensor) -> Tensor:
        to, source = edges
        messages = self.product(features[source], harmonics, self.radial(basis) * smooth)
        gathered = messages.new_zeros(len(features), messages.shape[1]).index_add(0, to, messages) / NEIGHBOURS**0.5
        return self.skip(features) + self.gate(self.linear(gathered))


class Potential(nn.Module):
    """The energy of each molecule as a sum over atoms, and the forces as minus its gradient.

    Takes ``positions`` [atoms, 3] in Å, ``species`` [atoms] (atomic numbers) and ``batch`` [atoms], which molecule each
    atom is in; gives ``energy`` [molecules] and ``forces`` [atoms, 3]. ``broken_layer`` plants the bug in one layer.
    """

    def __init__(self, layers: int = 3, broken_layer: int | None = None):
        super().__init__()
        edge, hidden = o3.Irreps.spherical_harmonics(2), o3.Irreps(HIDDEN)
        self.embed = nn.Embedding(20, 16)
        irreps = [o3.Irreps("16x0e")] + [hidden] * layers
        self.layers = nn.ModuleList(
            Interaction(a, edge, b, BiasedLinear if n == broken_layer else o3.Linear)
            for n, (a, b) in enumerate(pairwise(irreps))
        )
        self.readout = nn.Sequential(nn.Linear(16, 16), nn.SiLU(), nn.Linear(16, 1))
        self.harmonics = o3.SphericalHarmonics(edge, normalize=True, normalization="component")

    def energies(self, positions: Tensor, species: Tensor, batch: Tensor) -> Tensor:
        edges = neighbours(positions, batch)
        lines = positions[edges[1]] - positions[edges[0]]
        distance = lines.norm(dim=-1)
        basis = soft_one_hot_linspace(distance, 0.0, CUTOFF, RADIAL, basis="gaussian", cutoff=False) * RADIAL**0.5
        smooth = envelope(distance / CUTOFF)[:, None]
        harmonics, features = self.harmonics(lines), self.embed(species)
        for layer in self.layers:
            features = layer(features, edges, harmonics, basis, smooth)
        atomic = self.readout(features[:, :16])[:, 0]
        return atomic.new_zeros(int(batch.max()) + 1).index_add(0, batch, atomic)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        positions = inputs["positions"].requires_grad_()
        energy = self.energies(positions, inputs["species"], inputs["batch"])
        (slope,) = torch.autograd.grad(energy.sum(), positions, create_graph=True)
        return {"energy": energy, "forces": -slope}


def neighbours(positions: Tensor, batch: Tensor) -> Tensor:
    """Pairs of atoms of one molecule that are closer than the cutoff: [2, edges]."""
    with torch.no_grad():
        apart = (positions[:, None] - positions).square().sum(-1)
        near = (
            (apart < CUTOFF**2)
            & (batch[:, None] == batch)
            & ~torch.eye(len(batch), dtype=torch.bool, device=batch.device)
        )
        return near.nonzero().T


def envelope(x: Tensor) -> Tensor:
    """One at 0, zero from 1 on, with two continuous derivatives: atoms come and go without a jump."""
    return 1 + (x.clamp(max=1) ** 3) * (-10 + x.clamp(max=1) * (15 - 6 * x.clamp(max=1)))
