"""Relaxation: the submodule that holds W and θ, and the hook that adds θ·W x to what its layer returns."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from equiaudit.relaxation.site import LinearSite, RelaxationError

NAME = "relaxation"
"""The name of the submodule on a relaxed layer."""
Init = str | float | Callable[[Tensor], Any]
NORMAL = re.compile(r"^normal\(\s*([0-9.eE+-]+)\s*\)$")


class Relaxation(nn.Module):
    """A dense map W beside a layer, and the level θ at which it counts.

    The level is a buffer without dimensions, so that it travels in the ``state_dict``; with ``learned`` it is multiplied
    by a parameter of its own.
    """

    def __init__(
        self, site: LinearSite, like: Tensor, argument: str, learned: float | None = None, init: Init = "zeros"
    ) -> None:
        super().__init__()
        self.site, self.argument, self.learned = site, argument, learned
        # a local function can't be pickled, and the model must be
        self.init = None if callable(init) and "<" in getattr(init, "__qualname__", "<") else init
        self.weight = nn.Parameter(torch.zeros(site.shape, dtype=like.dtype, device=like.device))
        real = torch.empty(0, dtype=like.dtype).real.dtype if like.dtype.is_complex else like.dtype
        self.register_buffer("theta", torch.zeros((), dtype=real, device=like.device))
        self.theta: Tensor
        self.level: nn.Parameter | None = None
        if learned is not None:
            self.level = nn.Parameter(torch.full((), float(learned), dtype=real, device=like.device))
        initialise(self.weight, init)
        self.start = self.norm()

    def norm(self) -> float:
        """‖W‖; 0 where W has no values."""
        return 0.0 if self.weight.is_meta else float(self.weight.detach().norm())

    def reset_parameters(self) -> None:
        """W and the level as ``relax`` made them, θ = 0: for parameters that were made without values (the meta device).

        Raises:
            RelaxationError: W was filled by a local function, which is not kept.
        """
        if self.init is None:
            raise RelaxationError(
                "W was filled by a local function, which is not kept; fill relaxation.weight yourself"
            )
        initialise(self.weight, self.init)
        with torch.no_grad():
            self.theta.zero_()
            if self.level is not None and self.learned is not None:
                self.level.fill_(self.learned)
        self.start = self.norm()

    def _apply(self, fn: Any, recurse: bool = True) -> Relaxation:
        empty = self.weight.is_meta
        super()._apply(fn, recurse)
        if empty and not self.weight.is_meta:  # to_empty gives memory, not values
            self.reset_parameters()
        return self

    def strength(self) -> Tensor:
        """θ, times the learned level where there is one; a copy, so that θ may be set before the backward pass."""
        theta = self.theta.clone()
        return theta if self.level is None else theta * self.level

    def forward(self, x: Tensor) -> Tensor:
        """θ·W x. W stays in the graph at θ = 0: a distributed run waits for the gradient of every parameter."""
        return self.strength() * self.site.apply(self.weight, x)

    def extra_repr(self) -> str:
        """The kind of layer, the shape of W and θ."""
        theta = "?" if self.theta.is_meta else f"{float(self.theta):g}"
        return f"{self.site.kind}, {list(self.site.shape)}, theta={theta}"

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        # a checkpoint of the plain model knows nothing of this submodule: what is here stays
        if any(key.startswith(prefix) for key in state_dict):
            return super()._load_from_state_dict(state_dict, prefix, *args)
        if self.weight.is_meta and args[0].get(
            "assign_to_params_buffers"
        ):  # the layer gets its values, and so must this
            self.to_empty(device=torch.get_default_device())


def add_relaxation(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    """The forward hook: output + θ·W x, with x the first argument of the layer."""
    relaxation: Any = layer.relaxation
    first = args[0] if args else kwargs[relaxation.argument]
    return relaxation.site.write(output, relaxation(relaxation.site.read(first)))


def attach(layer: nn.Module, site: LinearSite, like: Tensor, learned: float | None, init: Init) -> Relaxation:
    """Give a layer its relaxation."""
    names = list(inspect.signature(layer.forward).parameters)
    relaxation = Relaxation(site, like, names[0] if names else "", learned, init)
    relaxation.train(layer.training)
    layer.add_module(NAME, relaxation)
    layer.register_forward_hook(add_relaxation, with_kwargs=True)
    return relaxation


def detach(layer: nn.Module) -> None:
    """Take the relaxation and its hook off a layer."""
    for key, hook in list(layer._forward_hooks.items()):
        if hook is add_relaxation:
            del layer._forward_hooks[key]
            layer._forward_hooks_with_kwargs.pop(key, None)
            layer._forward_hooks_always_called.pop(key, None)
    del layer._modules[NAME]


def relaxations(module: nn.Module) -> dict[str, Relaxation]:
    """Every relaxation inside a module, by the name of its layer."""
    return {
        name.removesuffix(NAME).removesuffix("."): found
        for name, found in module.named_modules()
        if isinstance(found, Relaxation)
    }


def initialise(weight: Tensor, init: Init) -> None:
    """Fill W: "zeros", "default" (as ``torch.nn.Linear``), "normal(1e-4)", or a function of the tensor.

    The paper's models: VN-PointNet "zeros", VN-DGCNN "default", SEGNN "normal(1e-4)" (Pertigkiozoglou et al. 2024).

    Raises:
        RelaxationError: an initialisation that is not known.
    """
    with torch.no_grad():
        match = NORMAL.match(init) if isinstance(init, str) else None
        if callable(init):
            init(weight)
        elif init == "zeros":
            weight.zero_()
        elif init == "default":
            fan_in = max(1, math.prod(weight.shape[1:]))
            real = torch.view_as_real(weight) if weight.is_complex() else weight
            real.uniform_(-(fan_in**-0.5), fan_in**-0.5)
        elif match is not None:
            weight.normal_(0.0, float(match[1]))
        else:
            raise RelaxationError(
                f"init must be 'zeros', 'default', 'normal(1e-4)' or a function that fills a tensor, got {init!r}"
            )
