"""Differentiable versions of what an audit measures, for training loops, and weights for them."""

from __future__ import annotations

from equiaudit.penalties import weighting
from equiaudit.penalties.augmentation import AugmentationPenalty
from equiaudit.penalties.lie import LieDerivativePenalty
from equiaudit.penalties.nuclear import NuclearNormPenalty
from equiaudit.penalties.operator import OperatorPenalty
from equiaudit.penalties.prior import ResidualPathwayPrior

__all__ = [
    "AugmentationPenalty",
    "LieDerivativePenalty",
    "NuclearNormPenalty",
    "OperatorPenalty",
    "ResidualPathwayPrior",
    "weighting",
]
