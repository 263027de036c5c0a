"""Relaxed: the handle on a relaxed model. It sets and reads θ, gives new parameters and penalties, logs, and strips."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from equiaudit.penalties.operator import OperatorPenalty
from equiaudit.relaxation.module import NAME, Relaxation, relaxations
from equiaudit.relaxation.observing import Observed, key, observing
from equiaudit.relaxation.site import RelaxationError
from equiaudit.symmetry import Symmetry

PENALTIES = ("operator", "magnitude")


class Thetas(MutableMapping[str, float]):
    """θ of each relaxed layer; setting one fills its buffer in place."""

    def __init__(self, found: dict[str, Relaxation]) -> None:
        self._found = found

    def __getitem__(self, name: str) -> float:
        return float(self._at(name).theta)

    def __setitem__(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise ValueError(f"theta must be a finite number, got {value!r} for {name!r}")
        with torch.no_grad():
            self._at(name).theta.fill_(float(value))

    def __delitem__(self, name: str) -> None:
        raise TypeError("a relaxed layer always has a theta; project(relaxed) takes the relaxation off")

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def _at(self, name: str) -> Relaxation:
        if name not in self._found:
            raise KeyError(f"no relaxed layer is called {name!r}; there are {', '.join(self._found)}")
        return self._found[name]


class Relaxed:
    """A handle on a relaxed model: sets and reads θ, gives the new parameters and the penalties on them.

    ``Relaxed(model)`` also takes a copy of a relaxed model (an exponential moving average, an unpickled one) or a wrapper
    around one (DistributedDataParallel, torch.compile).

    Raises:
        RelaxationError: nothing in the model is relaxed.
    """

    def __init__(self, module: nn.Module, symmetry: Symmetry | Sequence[Symmetry] | None = None) -> None:
        self.module: nn.Module = unwrapped(module)
        self.symmetry = symmetry
        self.relaxations = relaxations(self.module)
        self._operators: dict[str, OperatorPenalty] = {}
        if not self.relaxations:
            raise RelaxationError(f"nothing in this {type(self.module).__name__} is relaxed; call relax(model) first")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The relaxed model."""
        return self.module(*args, **kwargs)

    @property
    def thetas(self) -> Thetas:
        """θ by layer: ``relaxed.thetas["layers.0"] = 0.1``."""
        return Thetas(self.relaxations)

    @property
    def theta(self) -> float:
        """The largest θ of all layers; setting it sets all."""
        return max(self.thetas.values(), key=abs)

    @theta.setter
    def theta(self, value: float) -> None:
        for name in self.relaxations:
            self.thetas[name] = value

    @contextmanager
    def at(self, theta: float | Mapping[str, float]) -> Iterator[Relaxed]:
        """Inside the block θ has another value; afterwards each layer has its own again.

        Under torch.distributed every process must enter the block.
        """
        before = {name: found.theta.clone() for name, found in self.relaxations.items()}
        try:
            if isinstance(theta, Mapping):
                self.thetas.update(theta)
            else:
                self.theta = theta
            yield self
        finally:
            with torch.no_grad():
                for name, value in before.items():
                    self.relaxations[name].theta.copy_(value)

    def layer(self, name: str) -> nn.Module:
        """The relaxed layer of this name."""
        return self.module.get_submodule(name)

    # -- training -------------------------------------------------------------------------------------------------

    def new_parameters(self) -> list[nn.Parameter]:
        """W of every layer, and the learned levels: for ``optimizer.add_param_group({"params": …})``."""
        return [p for found in self.relaxations.values() for p in found.parameters()]

    def check_optimizer(self, *optimizers: Any) -> None:
        """Raise where an optimizer made before ``relax`` does not train the new parameters.

        Raises:
            RelaxationError: names the layers whose W no optimizer has.
        """
        known = {id(p) for opt in optimizers for group in opt.param_groups for p in group["params"]}
        missed = [n for n, found in self.relaxations.items() if any(id(p) not in known for p in found.parameters())]
        if missed:
            raise RelaxationError(
                f"the optimizer does not train the relaxation of {', '.join(missed)}: it was made before relax(); call "
                "optimizer.add_param_group({'params': relaxed.new_parameters()})"
            )

    def penalties(self, kind: str = "operator") -> dict[str, Tensor]:
        """A penalty for each layer, from the weights alone: independent of the batch.

        "operator": the squared commutator of W with the group per entry of W, zero where W is equivariant.
        "magnitude": the mean square of the entries of W.

        Raises:
            ValueError: another kind. RelaxationError: a kernel whose equivariant part is not known.
        """
        if kind not in PENALTIES:
            raise ValueError(f"kind must be one of {', '.join(map(repr, PENALTIES))}, got {kind!r}")
        if kind == "magnitude":
            return {name: magnitude_penalty(found) for name, found in self.relaxations.items()}
        return {name: self._operator(name, found) for name, found in self.relaxations.items()}

    def _operator(self, name: str, found: Relaxation) -> Tensor:
        site = found.site
        if site.equivariant is not None:
            return kernel_penalty(name, self.layer(name), found)
        if name not in self._operators:  # its closed form is found once
            claim = Symmetry(site.group, site.rep_in, site.rep_out)
            self._operators[name] = OperatorPenalty(claim, reduction="mean")
        return self._operators[name](found.weight.reshape(site.dim_out, site.dim_in))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_operators": {}}

    def penalty(self, kind: str = "operator") -> Tensor:
        """The sum of ``penalties(kind)``."""
        first, *others = self.penalties(kind).values()
        return sum(others, first)

    def observe(self) -> AbstractContextManager[Observed]:
        """``with relaxed.observe() as seen: y = relaxed(x)``; then ``seen.penalty()``: the terms that depend on the data.

        Temporary hooks see the features of each relaxed layer; what gradient checkpointing recomputes is seen once.
        """
        return observing(self.relaxations, {name: self.layer(name) for name in self.relaxations})

    def log(self, penalty: bool = False) -> dict[str, float]:
        """θ, the learned level, ‖W‖ and, if asked, the operator penalty of each layer: plain numbers for any logger."""
        out: dict[str, float] = {}
        for name, found in self.relaxations.items():
            out[f"{key(name)}/theta"] = float(found.theta)
            if found.level is not None:
                out[f"{key(name)}/level"] = float(found.level.detach())
            out[f"{key(name)}/norm"] = float(found.weight.detach().norm())
        if penalty:
            for name, found in self.relaxations.items():
                with torch.no_grad(), suppress(RelaxationError):  # not known for this kernel
                    out[f"{key(name)}/penalty"] = float(self._operator(name, found))
        return out

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def plain_state_dict(self) -> dict[str, Any]:
        """The ``state_dict`` without relaxation, copied: what the original model loads with ``strict=True``.

        A copy, so that the best model that was kept does not change as training goes on.
        """
        kept = _without(self.module.state_dict(), {f"{name}.{NAME}.".lstrip(".") for name in self.relaxations})
        return {key: value.clone() if isinstance(value, Tensor) else value for key, value in kept.items()}

    def __str__(self) -> str:
        rows = [
            f"  {name or '(model)'}: {found.site.kind}, W {' x '.join(map(str, found.site.shape))}, theta {float(found.theta):g}"
            for name, found in self.relaxations.items()
        ]
        count = sum(p.numel() for p in self.new_parameters())
        return "\n".join([f"{len(rows)} relaxed layer{'s' * (len(rows) != 1)}, {count:,} new parameters:", *rows])


def strip(state: Mapping[str, Any]) -> dict[str, Any]:
    """A ``state_dict`` without the keys of relaxations, for a checkpoint that is to be loaded into the plain model.

    >>> strip({"layer.weight": 1, "layer.relaxation.weight": 2, "layer.relaxation.theta": 0})
    {'layer.weight': 1}
    """
    return _without(state, {key.removesuffix("theta") for key in state if f".{key}".endswith(f".{NAME}.theta")})


def _without(state: Mapping[str, Any], prefixes: set[str]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if not key.startswith(tuple(prefixes))}


def kernel_penalty(name: str, layer: nn.Module, found: Relaxation) -> Tensor:
    """The squared distance of a kernel to its equivariant part, per entry."""
    part = found.site.equivariant_part(layer, found.weight)
    if part is None:
        raise RelaxationError(
            f"{name}: the equivariant part of its kernel is not known for {found.site.group!r}; use "
            "relaxed.penalty('magnitude')"
        )
    return (found.weight - part).abs().square().mean()


def magnitude_penalty(found: Relaxation) -> Tensor:
    """The mean square of the entries of W."""
    return found.weight.abs().square().mean()


def unwrapped(module: nn.Module) -> nn.Module:
    """The model inside torch.compile, DistributedDataParallel and AveragedModel."""
    while True:
        inner = getattr(module, "_orig_mod", None)
        if inner is None and _is_wrapper(module):
            inner = module.module
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def _is_wrapper(module: nn.Module) -> bool:
    from torch.optim.swa_utils import AveragedModel

    kinds: Iterable[type] = (nn.parallel.DistributedDataParallel, nn.DataParallel, AveragedModel)
    return isinstance(module, tuple(kinds))
