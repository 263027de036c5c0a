"""Cells: a task and a network, everything that all arms of a comparison share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from examples.nbody.egnn import EGNN, linear_site
from examples.nbody.transformer import Transformer


@dataclass(frozen=True)
class Cell:
    """Windows to train on, network, and length of the training."""

    name: str
    says: str
    samples: int
    layers: int = 2
    network: str = "egnn"
    clip: str = "norm"
    steps: int = 2000
    batch: int = 50
    rates: tuple[float, ...] = ()
    """Where the learning rate is searched, if not where the arms say."""
    rate: float | None = None
    """A learning rate that no arm may change, kept constant: the cell that is left under-tuned on purpose."""


@dataclass(frozen=True)
class Network:
    """How a network is built, which of its layers are relaxed, and by which adapters."""

    build: Callable[[int], nn.Module]
    relaxed: str = ""
    adapters: tuple[Callable[..., object], ...] = ()


def build_segnn(layers: int) -> nn.Module:
    """e3nn is imported where it is needed."""
    from examples.nbody.segnn import SEGNN

    return SEGNN(layers=layers)


NETWORKS = {
    "egnn": Network(EGNN, "layers.*.self_connection", (linear_site,)),
    "segnn": Network(build_segnn, "layers.*.self_connection"),
    "transformer": Network(lambda layers: Transformer()),
}
NEAR = (8e-3, 1.6e-2)
"""Around what all arms of the primary cell chose."""
SEGNN_RATES = (2e-3, 4e-3, 8e-3, 1.6e-2)
CELLS = {
    cell.name: cell
    for cell in (
        Cell("n1000", "1000 samples, 2 layers: the primary cell, with every arm", 1000),
        Cell("n300", "300 samples", 300),
        Cell("n3000", "3000 samples", 3000),
        Cell("deep", "1000 samples, 4 layers", 1000, layers=4, rates=NEAR),
        Cell("low-rate", "3000 samples at the papers' constant learning rate of 5e-4", 3000, rate=5e-4),
        Cell("component", "1000 samples, labels as published (component clip)", 1000, clip="component", rates=NEAR),
        Cell("segnn", "1000 samples, SEGNN on e3nn, 2 layers", 1000, network="segnn", rates=SEGNN_RATES),
        Cell("segnn-deep", "1000 samples, SEGNN, 4 layers", 1000, layers=4, network="segnn", rates=SEGNN_RATES),
        Cell("n9000", "9000 samples, 4 layers, SEGNN", 9000, layers=4, network="segnn", steps=20000, rates=SEGNN_RATES),
        Cell("smoke", "64 samples, 30 steps: does it run", 64, steps=30, batch=16),
    )
}
