"""Constraint relaxation: train with a dense map beside equivariant layers, take it away, and say what that cost."""

from __future__ import annotations

from equiaudit.relaxation import schedules, vector_neurons
from equiaudit.relaxation.discover import Listing, Relaxable, relaxable
from equiaudit.relaxation.module import Relaxation
from equiaudit.relaxation.projection import project
from equiaudit.relaxation.relaxed import Relaxed, strip
from equiaudit.relaxation.relaxing import relax
from equiaudit.relaxation.report import HiddenFit, LayerProjection, ProjectionReport
from equiaudit.relaxation.site import Convolution, LinearSite, RelaxationError

__all__ = [
    "Convolution",
    "HiddenFit",
    "LayerProjection",
    "LinearSite",
    "Listing",
    "ProjectionReport",
    "Relaxable",
    "Relaxation",
    "RelaxationError",
    "Relaxed",
    "project",
    "relax",
    "relaxable",
    "schedules",
    "strip",
    "vector_neurons",
]
