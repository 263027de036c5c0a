"""Running statistics estimated anew: those of the relaxed forward belong to another model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from equiaudit.relaxation.modes import evaluating
from equiaudit.symmetry import as_arguments

Forward = Callable[[Any, Any], Any]


def statistics(module: nn.Module) -> dict[str, Tensor]:
    """The running means and variances that a module keeps itself: its floating-point buffers named ``…running_…``."""
    return {k: b for k, b in module._buffers.items() if b is not None and "running_" in k and b.is_floating_point()}


class _Averaging:
    """Turn an exponential average into the plain mean: before call k the momentum is 1/k, so the first call sets it."""

    def __init__(self, module: Any) -> None:
        self.module, self.calls, self.answers = module, 0, True
        self.momentum = getattr(module, "momentum", None)
        self.kept = {name: buffer.clone() for name, buffer in statistics(module).items()}
        if hasattr(module, "reset_running_stats"):
            module.reset_running_stats()
        self.start = {name: buffer.clone() for name, buffer in statistics(module).items()}
        module.training = True  # this module alone: what is inside it, such as dropout, stays as it is
        self.hooks = [
            module.register_forward_pre_hook(lambda *_: self.before()),
            module.register_forward_hook(lambda *_: self.after()),
        ]

    def before(self) -> None:
        """Set the weight of the coming call."""
        self.calls += 1
        self.module.momentum = 1.0 / self.calls

    def after(self) -> None:
        """Find a module whose momentum means something else: at 1 its statistics stay."""
        if self.calls == 1:
            now = statistics(self.module)
            self.answers = any(not torch.equal(b, self.start[name]) for name, b in now.items() if b.numel())

    def end(self) -> bool:
        """Give back the momentum, and the statistics where they are not new; whether they are."""
        for hook in self.hooks:
            hook.remove()
        self.module.momentum = self.momentum
        done = self.calls > 0 and self.answers
        if not done:
            for name, buffer in statistics(self.module).items():
                buffer.copy_(self.kept[name])
        return done


@torch.no_grad()
def recalibrate(
    model: nn.Module, loader: Iterable[Any], inputs: Any = None, forward: Forward | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Average the running statistics of every module that keeps some over the batches of a loader.

    Modules are known by their buffers (``…running_mean``, ``…running_var``) and their ``momentum``: those of torch, of e3nn
    and of escnn.

    Args:
        model: in place.
        loader: batches, read as ``as_inputs`` says.
        inputs: an input of the model, by which batches are read.
        forward: ``forward(model, inputs)`` for models that are called otherwise.

    Returns:
        The names of the modules with new statistics, and of those whose statistics could not be estimated.

    Raises:
        ValueError: the loader gave no batch.
    """
    keeping = {name: module for name, module in model.named_modules() if statistics(module)}
    if not keeping:
        return (), ()
    count = 0
    with evaluating(model):
        averaging = {name: _Averaging(module) for name, module in keeping.items() if hasattr(module, "momentum")}
        done: set[str] = set()
        try:
            for batch in loader:
                _call(model, batch, inputs, forward)
                count += 1
        finally:
            done = {name for name, one in averaging.items() if one.end()}
    if not count:
        raise ValueError("loader= gave no batch, so the batch-norm statistics could not be estimated")
    return tuple(n for n in keeping if n in done), tuple(n for n in keeping if n not in done)


def as_inputs(batch: Any, inputs: Any) -> Any:
    """What of a batch the model is given: in the form of ``inputs``.

    A tuple or list is read as (inputs, …): its first entry; its first n entries where ``inputs`` is a tuple of n arguments.
    Anything else is an input as a whole.

    >>> as_inputs(["x", "label"], "x"), as_inputs(["x", "v", "label"], ("x", "v")), as_inputs((["x", "v"], 0), None)
    ('x', ('x', 'v'), ('x', 'v'))
    """
    if not isinstance(batch, (tuple, list)):
        return batch
    if isinstance(batch[0], (tuple, list)):
        return tuple(batch[0])
    n = len(inputs) if type(inputs) is tuple else 1
    return tuple(batch[:n]) if n > 1 else batch[0]


def _call(model: nn.Module, batch: Any, inputs: Any, forward: Forward | None) -> None:
    given = as_inputs(batch, inputs)
    if forward is not None:
        forward(model, given)
    elif isinstance(batch, Mapping) and not isinstance(inputs, Mapping):
        model(**batch)
    else:
        model(*as_arguments(given))
