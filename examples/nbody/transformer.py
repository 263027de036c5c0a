"""A plain transformer over the particles: permutations and translations hold by construction, rotations do not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from examples.nbody.data import TIME


class Block(nn.Module):
    """Attention over the particles and a two-layer network, each after a layer norm and added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, h: Tensor) -> Tensor:
        """New tokens from tokens [batch, n, width]."""
        query, key, value = self.attend(self.before(h)).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        scores = torch.einsum("...ihc,...jhc->...hij", query, key) * query.shape[-1] ** -0.5
        mixed = torch.einsum("...hij,...jhc->...ihc", scores.softmax(-1), value)
        h = h + self.out(mixed.flatten(-2))
        return h + self.mlp(self.between(h))


class Transformer(nn.Module):
    """Positions after ``TIME``, as the answer of free motion plus what the tokens say; a token is a particle."""

    def __init__(self, layers: int = 4, width: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.embed = nn.Linear(7, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 3)

    def forward(self, positions: Tensor, velocities: Tensor, charges: Tensor) -> Tensor:
        """Positions [batch, n, 3] from positions, velocities [batch, n, 3] and charges [batch, n]."""
        centred = positions - positions.mean(-2, keepdim=True)
        h = self.embed(torch.cat([centred, velocities, charges.unsqueeze(-1)], -1))
        for block in self.blocks:
            h = block(h)
        return positions + TIME * velocities + self.head(self.norm(h))
