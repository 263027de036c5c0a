"""A plain transformer on a point cloud: it must learn what a turn is, and nothing in it knows."""

from __future__ import annotations

from torch import Tensor, nn


class PointTransformer(nn.Module):
    """A displacement for every point, [points, 3] to [points, 3], by self-attention without positional encoding."""

    def __init__(self, width: int = 32, layers: int = 2):
        super().__init__()
        self.lift = nn.Linear(3, width)
        block = nn.TransformerEncoderLayer(width, nhead=4, dim_feedforward=64, dropout=0.0, batch_first=True)
        self.body = nn.TransformerEncoder(block, layers)
        self.out = nn.Linear(width, 3)

    def forward(self, points: Tensor) -> Tensor:
        return self.out(self.body(self.lift(points)[None])[0])
