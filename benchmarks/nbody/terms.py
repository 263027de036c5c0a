"""What is added to the loss: the paper's terms on W, the released code's version of them, and REMUL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from equiaudit import Symmetry
from equiaudit.penalties import AugmentationPenalty, OperatorPenalty, weighting
from equiaudit.relaxation import LinearSite, Relaxed
from examples.nbody.claims import TURNS
from examples.nbody.data import Windows

Options = dict[str, Any]
Loss = Callable[[nn.Module, Windows], Tensor]


def mean_squared_error(model: nn.Module, batch: Windows) -> Tensor:
    """Over windows, particles and components, as the published tables have it."""
    return (model(*batch.inputs) - batch.targets).square().mean()


class WeightTerms:
    """lie · Σ_layers ‖[A, W]‖² / entries + magnitude · Σ_layers ‖W‖² / entries."""

    def __init__(self, relaxed: Relaxed, options: Options) -> None:
        make = scrambled if options["term"] == "scrambled" else operator
        found = relaxed.relaxations.values()
        self.terms = [(relaxation, make(relaxation.site)) for relaxation in found]
        self.lie, self.magnitude = options["lie"], options["magnitude"]

    def __call__(self) -> Tensor:
        total = torch.zeros(())
        for relaxation, of in self.terms:
            weight = relaxation.weight
            if self.lie:
                total = total + self.lie * of(weight)
            if self.magnitude:
                total = total + self.magnitude * weight.square().mean()
        return total


def operator(site: LinearSite) -> Callable[[Tensor], Tensor]:
    """The squared commutator of W with the group, per entry."""
    return OperatorPenalty(Symmetry(site.group, site.rep_in, site.rep_out), reduction="mean")


def scrambled(site: LinearSite) -> Callable[[Tensor], Tensor]:
    """The Lie term as the released code has it, on weights: [A_1 x | A_2 x | A_3 x] is read as (features, 3), not (3, features).

    What it computes for normal x is Σ_k ‖W B_k − C_k W‖² with the rows of the stacked generators dealt out in the wrong order.
    """
    into, out = (_scramble(rep.algebra_matrices(site.group)) for rep in (site.rep_in, site.rep_out))

    def of(weight: Tensor) -> Tensor:
        b, c = into.to(weight), out.to(weight)
        return (weight @ b - c @ weight).square().sum() / weight.numel()

    return of


def _scramble(generators: Any) -> Tensor:
    stacked = torch.as_tensor(generators).float()  # [3, features, features]
    return stacked.flatten(0, 1).unflatten(0, (-1, stacked.shape[0])).transpose(0, 1)


class Remul:
    """Task loss and augmentation penalty, weighted by β or by GradNorm on the last layer."""

    def __init__(self, model: Any, options: Options, seed: int) -> None:
        self.penalty = AugmentationPenalty(TURNS, anchor=options["anchor"], seed=seed)
        last = model.head.parameters()
        self.weighting = (
            weighting.GradNorm(last) if options["weighting"] == "gradnorm" else weighting.Constant(options["beta"])
        )

    def __call__(self, model: nn.Module, batch: Windows) -> Tensor:
        outputs, penalty = self.penalty.with_output(model, batch.inputs, batch.targets)
        task = (outputs - batch.targets).square().mean()
        loss = self.weighting(task, penalty)
        self.weighting.step(task, penalty)
        return loss


def turned(batch: Windows, generator: torch.Generator) -> Windows:
    """Each window turned by a rotation of its own, drawn from the Haar measure; inverted with probability one half."""
    q = torch.randn(len(batch), 4, generator=generator)
    w, x, y, z = (q / q.norm(dim=-1, keepdim=True)).unbind(-1)
    matrix = torch.stack(
        [
            *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
            *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
            *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
        ],
        -1,
    ).unflatten(-1, (3, 3))
    matrix = matrix * (torch.randint(2, (len(batch), 1, 1), generator=generator) * 2 - 1)
    moved = (torch.einsum("bxy,bny->bnx", matrix, t) for t in (batch.positions, batch.velocities, batch.targets))
    positions, velocities, targets = moved
    return Windows(positions, velocities, batch.charges, targets)
