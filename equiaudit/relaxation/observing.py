"""observe(): the data-dependent terms of the paper, from the features that pass by; nothing is kept on the modules."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from equiaudit.relaxation.module import Relaxation
from equiaudit.relaxation.site import RelaxationError

TERMS = ("lie", "magnitude")


class Observed:
    """The features that relaxed layers were given inside ``relaxed.observe()``.

    The terms are means over rows and features, so that their weight keeps its meaning when the batch or the number of
    points changes; they are squares, so that their gradient is finite at W = 0.
    """

    def __init__(self, found: dict[str, Relaxation], layers: dict[str, nn.Module]) -> None:
        self._found, self._layers = found, layers
        self._inputs: dict[str, list[Tensor]] = {}
        self._lost: set[str] = set()

    def record(self, name: str, x: Tensor) -> None:
        """Keep the features that a layer was given; recomputation in a backward pass is not a call of its own."""
        if torch._C._current_graph_task_id() != -1:
            return
        if self._layers[name].training and not torch.is_grad_enabled():
            self._lost.add(name)
        self._inputs.setdefault(name, []).append(x)

    @property
    def calls(self) -> dict[str, int]:
        """How often each layer was called; 0 for one whose hook did not run."""
        return {name: len(self._inputs.get(name, [])) for name in self._found}

    def penalties(self, term: str = "lie") -> dict[str, Tensor]:
        """One term for each layer that was called.

        "lie": mean |θ (dρ_out(A) W − W dρ_in(A) ± (ρ_out(h) W − W ρ_in(h))) x|² for a random direction A ~ N(0, I) of the
        algebra and random signs for the discrete generators h: on average the sum of the squares of all parts. For kernels
        mean |θ (W − P W) x|² with P the equivariant part.
        "magnitude": mean |θ W x|².

        Raises:
            ValueError: another term. RelaxationError: no relaxed layer was called inside the block.
        """
        if term not in TERMS:
            raise ValueError(f"term must be one of {', '.join(map(repr, TERMS))}, got {term!r}")
        if not self._inputs:
            raise RelaxationError(
                "no relaxed layer was called inside observe(); a compiled model does not run hooks that came later: call the "
                "module itself, or use relaxed.penalty()"
            )
        if self._lost:
            warnings.warn(
                f"{', '.join(sorted(self._lost))} ran without gradient (torch.utils.checkpoint with use_reentrant=True?): the "
                "penalty reaches W, not the layers before it",
                stacklevel=2,
            )
        of = _lie if term == "lie" else _magnitude
        out = {}
        for name, inputs in self._inputs.items():
            with torch.autocast(inputs[0].device.type, enabled=False):
                values = [of(self._found[name], self._layers[name], _full(x)) for x in inputs]
            out[name] = torch.stack(values).mean()
        return out

    def penalty(self) -> Tensor:
        """The sum over layers of both terms."""
        values = [value for term in TERMS for value in self.penalties(term).values()]
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total

    def log(self) -> dict[str, float]:
        """RMS of θ W x for each layer as plain numbers."""
        with torch.no_grad():
            found = self.penalties("magnitude")
        return {f"{key(name)}/rms": float(value.detach()) ** 0.5 for name, value in found.items()}


def key(name: str) -> str:
    """Under which name a layer is logged."""
    return f"relaxation/{name or '(model)'}"


@contextmanager
def observing(found: dict[str, Relaxation], layers: dict[str, nn.Module]) -> Iterator[Observed]:
    """Hooks for the length of a block."""
    seen = Observed(found, layers)
    hooks = [layer.register_forward_hook(_recorder(name, seen), with_kwargs=True) for name, layer in layers.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _recorder(name: str, seen: Observed) -> Callable[..., None]:
    def record(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        relaxation = layer.relaxation
        seen.record(name, relaxation.site.read(args[0] if args else kwargs[relaxation.argument]))

    return record


def _full(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _strength(found: Relaxation) -> Tensor:
    return found.strength().square()


def _weight(found: Relaxation, x: Tensor) -> Tensor:
    return found.weight.to(x.dtype) if found.weight.dtype != x.dtype else found.weight


def _magnitude(found: Relaxation, layer: nn.Module, x: Tensor) -> Tensor:
    return _strength(found) * found.site.apply(_weight(found, x), x).abs().square().mean()


def _lie(found: Relaxation, layer: nn.Module, x: Tensor) -> Tensor:
    site, weight = found.site, _weight(found, x)
    if site.convolution is not None:
        part = site.equivariant_part(layer, weight)
        if part is None:
            return _strength(found) * 0.0 * weight.abs().square().sum()
        return _strength(found) * site.apply(weight - part, x).abs().square().mean()
    # the commutators are matrices of their own: the group acts on W, not on every row of x; random signs take the parts
    # together, as their cross terms vanish on average
    eye = torch.eye(site.dim_in, dtype=weight.dtype, device=weight.device)
    total = torch.zeros_like(weight)
    if site.group.dim:
        direction = torch.randn(site.group.dim).double().numpy()
        out, into = (
            rep.act_tangent(site.group, direction, m) for rep, m in ((site.rep_out, weight.mT), (site.rep_in, eye))
        )
        total = total + out.mT - weight @ into.mT
    for name in site.group.discrete:
        h = site.group.generator(name)
        sign = 1.0 if bool(torch.rand(()) < 0.5) else -1.0
        total = total + sign * (site.rep_out.act(h, weight.mT).mT - weight @ site.rep_in.act(h, eye).mT)
    x = x.flatten(-len(site.shape_in)) if len(site.shape_in) > 1 else x
    return _strength(found) * torch.nn.functional.linear(x, total).abs().square().mean()
