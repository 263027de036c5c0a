"""Submodules whose representations are declared, and the activations that they saw in one forward."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from equiaudit.representations.structures import StructureError, leaves, map_leaves
from equiaudit.symmetry import Symmetry


@dataclass(frozen=True)
class Declared:
    """A submodule with the representations of its inputs and outputs."""

    name: str
    module: nn.Module
    rep_in: Any
    rep_out: Any


@dataclass(frozen=True)
class LayerCall:
    """One call of a declared submodule, with its inputs detached."""

    layer: Declared
    inputs: Any
    keywords: dict[str, Any]
    names: tuple[str, ...] | None = None
    """The keywords that the inputs were given by; None for inputs by place."""

    @property
    def module(self) -> nn.Module:
        """The submodule."""
        return self.layer.module

    def call(self, module: nn.Module, inputs: Any) -> Any:
        """The submodule on other inputs, with the same keywords."""
        if isinstance(inputs, dict) and self.names is not None:
            return module(**inputs, **self.keywords)
        arguments = inputs if type(inputs) is tuple else (inputs,)
        if self.names is not None:
            return module(**dict(zip(self.names, arguments, strict=True)), **self.keywords)
        return module(*arguments, **self.keywords)

    def symmetry(self, outer: Symmetry, inputs: Any) -> Symmetry:
        """The claim about this layer; each sample has its own element where the rows are the samples of the model."""
        batch = None
        if outer.batch == 0:
            count = outer.sample_count(inputs)
            sizes = [v.shape[0] for _, v in leaves(self.inputs) if isinstance(v, Tensor) and v.dim()]
            batch = 0 if sizes and sizes[0] == count else None
        return Symmetry(outer.acts, self.layer.rep_in, self.layer.rep_out, batch=batch)


def chosen_layers(model: Any, symmetry: Symmetry, patterns: Sequence[str]) -> list[Declared]:
    """The submodules whose names fit, with what ``symmetry.hidden`` declares for them.

    Raises:
        StructureError: nothing is declared, or no submodule has such a name.
    """
    if not symmetry.hidden:
        raise StructureError("layers= needs their representations: Symmetry(…, hidden={'layers.*': (inputs, outputs)})")
    if not isinstance(model, nn.Module):
        raise StructureError(f"layers= needs a module with submodules, got {type(model).__name__}")
    found = []
    for name, module in model.named_modules():
        if not any(fnmatchcase(name, p) for p in patterns):
            continue
        declared = next((reps for key, reps in symmetry.hidden.items() if fnmatchcase(name, key)), None)
        if declared is not None:
            found.append(Declared(name, module, *declared))
    if not found:
        names = [name for name, _ in model.named_modules() if name]
        raise StructureError(
            f"no submodule fits {list(patterns)} and is declared in hidden={sorted(symmetry.hidden)}; "
            f"there are {', '.join(names[:12])}{', …' if len(names) > 12 else ''}"
        )
    return found


@dataclass
class Recorder:
    """Notes the inputs of the declared layers while it is entered; the hooks are gone afterwards."""

    layers: Sequence[Declared]
    calls: list[LayerCall] = field(default_factory=list)
    handles: list[Any] = field(default_factory=list)

    def __enter__(self) -> Recorder:
        for layer in self.layers:

            def note(_: nn.Module, args: Any, kwargs: Any, layer: Declared = layer) -> None:
                kept = tuple(map_leaves(_kept, value) for value in args)
                named = {name: map_leaves(_kept, value) for name, value in kwargs.items()}
                self.calls.append(
                    LayerCall(layer, kept if len(kept) != 1 else kept[0], named) if kept else _by_name(layer, named)
                )

            self.handles.append(layer.module.register_forward_pre_hook(note, with_kwargs=True))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()


def _by_name(layer: Declared, named: dict[str, Any]) -> LayerCall:
    # a layer that is called by keywords alone
    if isinstance(layer.rep_in, Mapping):
        names = tuple(name for name in layer.rep_in if name in named)
        inputs: Any = {name: named[name] for name in names}
        missing = [name for name in layer.rep_in if name not in named]
    else:
        names = tuple(name for name, v in named.items() if any(isinstance(t, Tensor) for _, t in leaves(v)))
        wanted = layer.rep_in if type(layer.rep_in) is tuple else (layer.rep_in,)
        order = [name for name in inspect.signature(layer.module.forward).parameters if name in names]
        names = (*order, *(name for name in names if name not in order))
        several = tuple(named[name] for name in names)
        inputs = several if type(layer.rep_in) is tuple or not names else several[0]
        missing = [] if len(names) == len(wanted) else [str(wanted)]
    if missing or not names:
        raise StructureError(
            f"the layer {layer.name!r} is called with the keywords {sorted(named)}, and {layer.rep_in!r} is declared for "
            "its inputs; declare those that transform by name, "
            f"hidden={{{layer.name!r}: ({{{(names or ('x',))[0]!r}: …}}, outputs)}}"
        )
    return LayerCall(layer, inputs, {name: v for name, v in named.items() if name not in names}, names)


def _kept(_: Any, value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value
