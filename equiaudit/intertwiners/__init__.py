"""The linear maps W that commute with a group, ρ_out(g) W = W ρ_in(g): projection on them, their basis and their number."""

from __future__ import annotations

from equiaudit.intertwiners.dimension import dimension
from equiaudit.intertwiners.maps import basis, defect, project, project_bias

__all__ = ["basis", "defect", "dimension", "project", "project_bias"]
