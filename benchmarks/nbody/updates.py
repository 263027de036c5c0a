"""Steps of the optimizer: of one network by itself, or of many that differ in their seed alone as one stacked network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from benchmarks.nbody.terms import Remul, WeightTerms, mean_squared_error
from equiaudit.relaxation import Relaxed
from examples.nbody.data import Windows

Compile = Callable[[Callable[..., Tensor]], Callable[..., Tensor]]
Loss = Callable[[nn.Module, Windows], Tensor]


@dataclass(frozen=True)
class Learner:
    """A network with what its loss depends on."""

    model: nn.Module
    relaxed: Relaxed | None
    schedule: Any
    options: dict[str, Any]
    seed: int

    def names(self) -> tuple[list[str], list[str]]:
        """The parameters of the network, and those that relaxation brought."""
        new = {id(p) for p in self.relaxed.new_parameters()} if self.relaxed else set()
        found = [(name, id(p) in new) for name, p in self.model.named_parameters()]
        return [name for name, is_new in found if not is_new], [name for name, is_new in found if is_new]


class Alone:
    """One network."""

    def __init__(self, learner: Learner, compiled: Compile | None) -> None:
        self.model = learner.model
        self.optimizer = make_optimizer(learner, dict(learner.model.named_parameters()))
        self.loss = make_loss(learner, compiled)

    def rate(self, share: float) -> None:
        """Set the learning rate, as a share of its top."""
        set_rate(self.optimizer, share)

    def __call__(self, batches: Sequence[Windows]) -> list[float]:
        """One step; the loss before it."""
        loss = self.loss(self.model, batches[0])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return [float(loss.detach())]


class Stacked:
    """Networks that differ in their seed alone: one call for all, by ``torch.func.vmap`` over their stacked parameters.

    The parameters and buffers of every network become views of its slice, so that it can be looked at, folded and
    projected at any time as if it were alone.

    Raises:
        ValueError: networks whose settings differ, or an arm whose loss is not a function of parameters and batch.
    """

    def __init__(self, learners: Sequence[Learner], compiled: Compile | None) -> None:
        first = learners[0]
        if any(other.options != first.options for other in learners):
            raise ValueError("runs that are stacked differ in more than their seed")
        if not stackable(first.options):
            raise ValueError(f"runs with {first.options} can't be stacked: each needs a step of its own")
        self.parameters, self.buffers = stack_module_state([learner.model for learner in learners])
        for k, learner in enumerate(learners):
            for name, parameter in learner.model.named_parameters():
                parameter.data = self.parameters[name].data[k]
            for name, stacked in self.buffers.items():
                owner, _, own = name.rpartition(".")
                learner.model.get_submodule(owner)._buffers[own] = stacked[k]
        self.optimizer = make_optimizer(first, self.parameters)
        objective = Objective(first.model, make_loss(first, None))

        def losses(parameters: dict[str, Tensor], buffers: dict[str, Tensor], batch: tuple[Tensor, ...]) -> Tensor:
            def one(*state: Any) -> Tensor:
                *held, data = state
                return functional_call(objective, tuple(prefixed(part) for part in held), data)

            return torch.vmap(one)(parameters, buffers, batch)

        self.losses = compiled(losses) if compiled else losses

    def rate(self, share: float) -> None:
        """Set the learning rate, as a share of its top."""
        set_rate(self.optimizer, share)

    def __call__(self, batches: Sequence[Windows]) -> list[float]:
        """One step of each; their losses before it."""
        batch = tuple(torch.stack(parts) for parts in zip(*((*b.inputs, b.targets) for b in batches), strict=True))
        losses = self.losses(self.parameters, self.buffers, batch)
        self.optimizer.zero_grad()
        losses.sum().backward()
        self.optimizer.step()
        return losses.detach().tolist()  # type: ignore[no-any-return]


class Objective(nn.Module):
    """A loss as a module, so that ``functional_call`` can put other parameters under it."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *data: Tensor) -> Tensor:
        """The loss on one batch."""
        return self.loss(self.model, Windows(*data))


def stackable(options: dict[str, Any]) -> bool:
    """Whether the loss is a function of parameters, buffers and batch alone, and not of hooks, multipliers or weights."""
    return compiles(options) and options["theta"] not in ("adaptive", "learned")


def compiles(options: dict[str, Any]) -> bool:
    """Whether the network of an arm is compiled where others are: hooks and REMUL's weights of gradients run eagerly."""
    return options["anchor"] is None and options["term"] != "activations"


def prefixed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as ``Objective`` has them."""
    return {f"model.{name}": value for name, value in state.items()}


def make_optimizer(learner: Learner, parameters: dict[str, Any]) -> torch.optim.Optimizer:
    """AdamW with a group of its own for what relaxation brought."""
    options = learner.options
    tops = (options["rate"], options["rate"] * options["w_rate"])
    groups: Iterable[dict[str, Any]] = (
        {"params": [parameters[name] for name in names], "top": top}
        for names, top in zip(learner.names(), tops, strict=True)
        if names
    )
    return torch.optim.AdamW(groups, lr=options["rate"], weight_decay=options["weight_decay"], fused=True)


def set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """The learning rate of every group, as a share of its top."""
    for group in optimizer.param_groups:
        group["lr"] = group["top"] * share


def make_loss(learner: Learner, compiled: Compile | None) -> Loss:
    """Task, and what the arm adds to it."""
    relaxed, options = learner.relaxed, learner.options
    if options["anchor"] is not None:
        return Remul(learner.model, options, learner.seed)
    task = compiled(mean_squared_error) if compiled else mean_squared_error
    if relaxed is None:
        return task
    if options["term"] == "activations":

        def on_activations(model: nn.Module, batch: Windows) -> Tensor:
            with relaxed.observe() as seen:
                loss = mean_squared_error(model, batch)
            for term in ("lie", "magnitude"):
                loss = loss + options[term] * sum(seen.penalties(term).values())
            return loss

        return on_activations
    terms = WeightTerms(relaxed, options)
    levels = learner.schedule.penalty if options["theta"] in ("adaptive", "learned") else None

    def on_weights(model: nn.Module, batch: Windows) -> Tensor:
        loss = task(model, batch) + terms()
        return loss if levels is None else loss + levels()

    return on_weights
