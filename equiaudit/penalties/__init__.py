"""Differentiable versions of what an audit measures, for training loops, and weights for them."""

from __future__ import annotations

from equiaudit.penalties.operator import OperatorPenalty

__all__ = ["OperatorPenalty"]
