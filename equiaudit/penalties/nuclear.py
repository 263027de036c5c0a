"""A penalty that promotes symmetry under some subgroup, which need not be known: the nuclear norm of the Lie derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.penalties.base import Forward, Penalty
from equiaudit.penalties.passes import Ladder, centred
from equiaudit.penalties.roots import trace_of_root
from equiaudit.penalties.surroundings import Moment
from equiaudit.representations.structures import StructureError
from equiaudit.symmetry import Symmetry


class NuclearNormPenalty(Penalty):
    """The nuclear norm of A ↦ L_A f over the algebra of a group of candidates: Σ √λ_i of its Gram matrix.

    Like a sum of absolute values it is small when many directions of the algebra leave the model alone, so that
    training keeps the subalgebra that the data allow and breaks the rest. K_ij = mean ⟨L_i f, L_j f⟩ over the entries is
    k × k for k candidates; the norm is tr (K + ε² 1)^½ − k ε, with gradients of every order also where K vanishes or its
    eigenvalues meet. It costs k forward-mode passes.

    Args:
        symmetry: the claim about the group of all candidates: ``Group("candidates", generators)`` for your own.
        smoothing: ε, in the units of f.
        derivative, forward, seed: see ``LieDerivativePenalty``.

    Raises:
        StructureError: a group without an algebra, or nothing to differentiate.

    >>> import torch
    >>> from equiaudit.groups import SO
    >>> penalty, x = NuclearNormPenalty(Symmetry(SO(3), "vector", "vector", batch=0)), torch.randn(64, 3)
    >>> about_z = torch.diag(torch.tensor([1.0, 1.0, 2.0]))  # breaks two of three directions
    >>> bool(penalty(lambda v: 2 * v, x) < 1e-6 < penalty(lambda v: v @ about_z, x))
    True

    Source: Otto, Zolman, Kutz and Brunton 2023, "A Unified Framework to Enforce, Discover, and Promote Symmetry in Machine
    Learning", section 6.
    """

    def __init__(
        self,
        symmetry: Symmetry | Sequence[Symmetry] | None = None,
        *,
        smoothing: float = 1e-6,
        derivative: str = "auto",
        forward: Forward | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(symmetry, forward, seed)
        if not smoothing > 0:
            raise ValueError(f"smoothing must be above 0, or the gradient is infinite at zero; got {smoothing!r}")
        self.smoothing, self.ladder = smoothing, Ladder(derivative)

    def measure(self, model: Any, symmetry: Symmetry, inputs: Any, targets: Any, start: Moment) -> tuple[Any, Tensor]:
        """f(x) and the nuclear norm for one symmetry."""
        outputs, gram = self.gram(model, symmetry, inputs, start)
        return outputs, trace_of_root(gram, self.smoothing)

    def gram(self, model: Any, symmetry: Symmetry, inputs: Any, start: Moment | None = None) -> tuple[Any, Tensor]:
        """f(x) and the Gram matrix K [k, k] of the Lie derivatives; its null space is the symmetry that the model has."""
        group = symmetry.acts
        if not group.dim:
            raise StructureError(f"{group!r} has no Lie algebra of candidates; AugmentationPenalty takes its elements")
        start = start or Moment(model)
        outputs, columns = None, []
        for n, row in enumerate(np.eye(group.dim)):
            c = centred(symmetry, inputs, row)
            if n == 0:
                found = self.ladder.push(model, lambda x: self.call(model, x), symmetry, inputs, c)
                outputs = found.outputs
            else:
                with start.again(model):
                    found = self.ladder.push(model, lambda x: self.call(model, x), symmetry, inputs, c)
            columns.append(torch.cat([_flat(v) for v in found.slopes.values() if v.numel()]))
        stacked = torch.stack(columns)
        if stacked.device.type != "mps":  # squares of single precision would hide what is below 3e-4 of the largest
            stacked = stacked.double()
        return outputs, stacked @ stacked.mT


def _flat(x: Tensor) -> Tensor:
    # each leaf counts by its mean, whatever its size
    wide = torch.view_as_real(x) if x.is_complex() else x
    flat = wide.to(torch.promote_types(wide.dtype, torch.float32)).reshape(-1)
    return flat / x.numel() ** 0.5
