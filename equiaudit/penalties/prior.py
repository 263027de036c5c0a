"""The residual-pathway prior: Gaussians of different width on the equivariant part of a weight and on the rest."""

from __future__ import annotations

import torch
from torch import Tensor

from equiaudit.intertwiners.maps import Hom, squared
from equiaudit.representations.base import RepresentationError
from equiaudit.symmetry import Symmetry


class ResidualPathwayPrior:
    """−log p(W) up to a constant: ‖P W‖² / 2σ_e² + ‖W − P W‖² / 2σ_r², P the projection on the equivariant maps.

    A soft constraint: directions in which a layer may move without breaking the symmetry cost little, the others more.
    For W = A + B with A equivariant of width σ_a and B any of width σ_b, as the paper has it, σ_e² = σ_a² + σ_b² and
    σ_r = σ_b. A bias counts the same way.

    Args:
        symmetry: the group, and one representation each for the inputs and the outputs of the layer.
        equivariant: σ_e, the width on the equivariant part.
        rest: σ_r, the width on the rest.

    >>> import torch
    >>> from equiaudit.groups import SO
    >>> prior = ResidualPathwayPrior(Symmetry(SO(3), "vector", "vector"), equivariant=1.0, rest=0.1)
    >>> round(float(prior(torch.eye(3))), 4), round(float(prior(torch.diag(torch.tensor([1.0, -1.0, 0.0])))), 4)
    (1.5, 100.0)

    Source: Finzi, Benton and Wilson 2021, "Residual Pathway Priors for Soft Equivariance Constraints", equation 3.
    """

    def __init__(self, symmetry: Symmetry, *, equivariant: float = 1.0, rest: float = 0.1) -> None:
        if not isinstance(symmetry, Symmetry):
            raise TypeError(f"expected one Symmetry, got {type(symmetry).__name__}")
        if not (equivariant > 0 and rest > 0):
            raise ValueError(f"widths must be above 0, got equivariant={equivariant!r}, rest={rest!r}")
        self.symmetry, self.equivariant, self.rest = symmetry, equivariant, rest
        self._homs: dict[tuple[int, int, str], Hom] = {}

    def __call__(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The negative logarithm of the prior, a scalar; weight [dim_out, dim_in], bias [dim_out]."""
        if weight.dim() != 2:
            raise RepresentationError(f"the weight must be a matrix [dim_out, dim_in], got {list(weight.shape)}")
        s = self.symmetry
        with torch.autocast(weight.device.type, enabled=False):
            total = self._cost(weight, self._hom(s.inputs, (weight.shape[0], weight.shape[1])))
            if bias is not None:
                hom = self._hom("invariant", (len(bias), 1))
                hom.__dict__["shifts"] = None  # a constant: translations leave it alone
                total = total + self._cost(bias[:, None], hom)
        return total

    def _hom(self, inputs: object, shape: tuple[int, int]) -> Hom:
        key = (*shape, repr(inputs))
        if key not in self._homs:
            self._homs[key] = Hom(self.symmetry.acts, inputs, self.symmetry.outputs, shape)
        return self._homs[key]

    def _cost(self, weight: Tensor, hom: Hom) -> Tensor:
        wide = weight.float() if weight.dtype in (torch.float16, torch.bfloat16) else weight
        part = hom.project(wide)
        left = wide - part
        return squared(part) / (2 * self.equivariant**2) + squared(left) / (2 * self.rest**2)

    def __repr__(self) -> str:
        return f"ResidualPathwayPrior({self.symmetry!r}, equivariant={self.equivariant:g}, rest={self.rest:g})"
