"""Measure how far a PyTorch model is from equivariant, and fail a test when a symmetry is broken.

Public names load on first use, so that importing the package imports neither torch nor numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from equiaudit._version import __version__

if TYPE_CHECKING:
    from equiaudit import groups, intertwiners, representations
    from equiaudit.assertions import (
        AuditFailed,
        InvalidError,
        NotEquivariantError,
        VacuousError,
        assert_equivariant,
        assert_invariant,
    )
    from equiaudit.diagnose.localize import localize
    from equiaudit.measure.audit import audit
    from equiaudit.measure.lie import lie_derivative
    from equiaudit.measure.replay import replay
    from equiaudit.measure.residual import equivariance_error
    from equiaudit.penalties import weighting
    from equiaudit.penalties.augmentation import AugmentationPenalty
    from equiaudit.penalties.lie import LieDerivativePenalty
    from equiaudit.penalties.nuclear import NuclearNormPenalty
    from equiaudit.penalties.operator import OperatorPenalty
    from equiaudit.penalties.prior import ResidualPathwayPrior
    from equiaudit.records import Audit, Check, Verdict
    from equiaudit.relaxation import ProjectionReport, Relaxed, project, relax, relaxable, schedules
    from equiaudit.representations import Irreps, Representation
    from equiaudit.strategies.confirm import confirm_equivariant
    from equiaudit.symmetry import Symmetry

_HOME = {
    "Audit": "records",
    "AuditFailed": "assertions",
    "AugmentationPenalty": "penalties.augmentation",
    "Check": "records",
    "InvalidError": "assertions",
    "Group": "groups",
    "Irreps": "representations",
    "LieDerivativePenalty": "penalties.lie",
    "NotEquivariantError": "assertions",
    "NuclearNormPenalty": "penalties.nuclear",
    "OperatorPenalty": "penalties.operator",
    "ProjectionReport": "relaxation",
    "Relaxed": "relaxation",
    "Representation": "representations",
    "ResidualPathwayPrior": "penalties.prior",
    "Symmetry": "symmetry",
    "VacuousError": "assertions",
    "Verdict": "records",
    "assert_equivariant": "assertions",
    "assert_invariant": "assertions",
    "audit": "measure.audit",
    "confirm_equivariant": "strategies",
    "equivariance_error": "measure.residual",
    "lie_derivative": "measure.lie",
    "localize": "diagnose.localize",
    "project": "relaxation",
    "relax": "relaxation",
    "relaxable": "relaxation",
    "replay": "measure.replay",
    "schedules": "relaxation",
    "weighting": "penalties",
}
_SUBPACKAGES = ("groups", "intertwiners", "representations", "relaxation")
__all__ = [*_HOME, *_SUBPACKAGES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    if name in _SUBPACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
