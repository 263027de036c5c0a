"""What each module takes and returns during one call of a model, in the order in which they return."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _global_forward_hooks_with_kwargs, register_module_forward_hook

from equiaudit.measure.evaluate import Evaluator
from equiaudit.measure.noise import NoiseMode
from equiaudit.measure.precision import is_inexact
from equiaudit.measure.state import modules_of
from equiaudit.representations.structures import Path, leaves

MAX_CALLS = 16
"""Calls of one module that are kept; recurrent models call theirs very often."""


@dataclass
class Call:
    """One call of one module: its name, its class, and the floating-point tensors that went in and came out."""

    name: str
    kind: str
    number: int
    taken: dict[Path, Tensor]
    given: dict[Path, Tensor]
    container: bool

    @property
    def label(self) -> str:
        """The name; with the number of the call where it is not the first."""
        return self.name if self.number == 1 else f"{self.name} (call {self.number})"


@dataclass
class Recording:
    """The calls of one forward, by label, in the order in which they returned; and what the model returned."""

    calls: dict[str, Call] = field(default_factory=dict)
    outputs: Any = None


def record(evaluator: Evaluator, inputs: Any, noise: NoiseMode | None = None) -> Recording:
    """Call the model once and keep what every module took and returned; nothing stays attached to the model."""
    found = Recording()
    # The fast path of transformer encoders goes round the modules inside; math attention switches it off.
    found_by = replace(evaluator, math=True)
    with _listening(evaluator, found):
        found.outputs = found_by(inputs, noise)
    return found


@contextmanager
def _listening(evaluator: Evaluator, found: Recording) -> Iterator[None]:
    names = names_of(evaluator)
    count: Counter[str] = Counter()

    def hear(module: nn.Module, args: Any, words: Any, out: Any) -> None:
        name = names.get(id(module))
        if name is None or count[name] >= MAX_CALLS:
            return
        count[name] += 1
        call = Call(
            name, type(module).__name__, count[name], _tensors((args, words)), _tensors(out), any(module.children())
        )
        found.calls[call.label] = call

    # One hook for all modules, which a module can't refuse and which one line removes.
    handle = register_module_forward_hook(hear, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
        # torch leaves this mark of a removed hook behind, and torch.compile then warns of a global hook
        _global_forward_hooks_with_kwargs.pop(handle.id, None)


def names_of(evaluator: Evaluator) -> dict[int, str]:
    """Names by the identity of the module; a model that is no plain module has its own modules as roots."""
    plain = evaluator.forward is None and isinstance(evaluator.model, nn.Module)
    names: dict[int, str] = {}
    roots = modules_of(evaluator.model)
    for n, root in enumerate(roots):
        own = type(root).__name__ if len(roots) == 1 else f"{type(root).__name__}[{n}]"
        for name, module in root.named_modules():
            if name and (isinstance(module, torch.fx.GraphModule) or name.rpartition(".")[2].startswith("_compiled")):
                continue  # code that a library generated: its owner is the layer
            if name or not plain:
                names.setdefault(id(module), name if len(roots) == 1 and name else f"{own}.{name}" if name else own)
    return names


def _tensors(value: Any) -> dict[Path, Tensor]:
    found = {}
    for path, leaf in leaves(value):
        if is_inexact(leaf):
            kept = _kept(leaf)
            if kept is not None:
                found[path] = kept
    return found


def _kept(value: Tensor) -> Tensor | None:
    """A copy that outlives the forward, also from inside a torch.func transform; None where that can't be had."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(value):
        if functorch.is_batchedtensor(value):
            return None  # the place of the batch is known to the transform alone
        value = functorch.get_unwrapped(value)
    if value.layout != torch.strided:
        return None
    out = value.detach().clone()
    return out.to(torch.complex128 if out.is_complex() else torch.float64)
