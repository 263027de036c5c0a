"""A graph network with PyTorch Geometric: scores for the nodes of a graph."""

from __future__ import annotations

from torch import Tensor, nn
from torch_geometric.nn import GCNConv, GINConv


class NodeScores(nn.Module):
    """A GIN layer and a GCN layer: features [nodes, f] and edges [2, edges] to scores [nodes, classes]."""

    def __init__(self, features: int, classes: int, width: int = 16):
        super().__init__()
        self.first = GINConv(nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width)))
        self.second = GCNConv(width, classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.second(self.first(x, edge_index).relu(), edge_index)
