"""Nested inputs and outputs: tuples, dicts, named tuples, dataclasses, graph objects; one level at a time."""

from __future__ import annotations

import copy
import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import optree
import torch
from torch import Tensor

Path = tuple[Any, ...]
Rebuild = Callable[[list[Any]], Any]
_CUSTOM: dict[type, Callable[[Any], tuple[list[Any], list[Any], Rebuild]]] = {}
_ADAPTERS = {"escnn": "equiaudit.interop.escnn", "torch_geometric": "equiaudit.interop.torch_geometric"}


class StructureError(ValueError):
    """A value does not have the structure that was declared; the message names the path."""


def register_structure(kind: type, flatten: Callable[[Any], tuple[list[Any], list[Any], Rebuild]]) -> None:
    """Teach equiaudit a container: ``flatten(value) -> keys, children, rebuild``; subclasses follow."""
    _CUSTOM[kind] = flatten


def open_up(value: Any) -> tuple[list[Any], list[Any], Rebuild] | None:
    """One level of a container as keys, children and a function that rebuilds it; None for a leaf.

    >>> keys, children, rebuild = open_up({"b": 1, "a": 2})
    >>> keys, children, rebuild([10, 20])
    (['b', 'a'], [1, 2], {'b': 10, 'a': 20})
    """
    if value is None or isinstance(value, (Tensor, np.ndarray, str, bytes, bool, int, float, complex, torch.nn.Module)):
        return None
    _load_adapter(value)
    for kind in type(value).__mro__:
        if kind in _CUSTOM:
            return _CUSTOM[kind](value)
    if isinstance(value, Mapping):
        return _open_mapping(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value)]
        return names, [getattr(value, n) for n in names], lambda new: _with_attributes(value, names, new)
    try:
        one = optree.tree_flatten_one_level(value, none_is_leaf=True)
    except ValueError:  # not a container that optree knows: an object with attributes, or a leaf
        return _open_object(value)
    entries = type(value)._fields if optree.is_namedtuple(value) else one.entries
    return list(entries), list(one.children), lambda new: one.unflatten_func(one.metadata, new)


def _open_object(value: Any) -> tuple[list[Any], list[Any], Rebuild] | None:
    held = {k: v for k, v in getattr(value, "__dict__", {}).items() if not k.startswith("__")}
    if callable(value) or not any(isinstance(v, (Tensor, Mapping, list, tuple)) for v in held.values()):
        return None
    return list(held), list(held.values()), lambda new: _with_attributes(value, list(held), new)


def _open_mapping(value: Mapping[Any, Any]) -> tuple[list[Any], list[Any], Rebuild]:
    keys = list(value)

    def rebuild(new: list[Any]) -> Any:
        pairs = dict(zip(keys, new, strict=True))
        if type(value) is dict:
            return pairs
        out = copy.copy(value)
        for k, v in pairs.items():
            out[k] = v  # type: ignore[index]
        return out

    return keys, [value[k] for k in keys], rebuild


def _with_attributes(value: Any, names: list[str], new: list[Any]) -> Any:
    out = copy.copy(value)
    for name, item in zip(names, new, strict=True):
        if item is not getattr(value, name):
            object.__setattr__(out, name, item)  # frozen dataclasses too
    return out


def _load_adapter(value: Any) -> None:
    # An object of a library can only exist where that library was imported: its adapter is loaded on first sight.
    for kind in type(value).__mro__:  # a user's subclass of a library's class too
        package = kind.__module__.partition(".")[0]
        if package in _ADAPTERS:
            importlib.import_module(_ADAPTERS[package])


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """All leaves with their paths, in order."""
    opened = open_up(value)
    if opened is None:
        yield path, value
        return
    for key, child in zip(opened[0], opened[1], strict=True):
        yield from leaves(child, (*path, key))


def map_leaves(fn: Callable[[Path, Any], Any], value: Any, path: Path = (), *, fresh: bool = False) -> Any:
    """The same structure with ``fn(path, leaf)`` for each leaf.

    What does not change is kept as it is; with ``fresh`` every container and numpy array is a new one, so that nothing that a
    model writes into its input is seen by anybody else.
    """
    opened = open_up(value)
    if opened is None:
        return fn(path, value.copy() if fresh and isinstance(value, np.ndarray) else value)
    keys, children, rebuild = opened
    new = [map_leaves(fn, child, (*path, key), fresh=fresh) for key, child in zip(keys, children, strict=True)]
    unchanged = not fresh and all(a is b for a, b in zip(new, children, strict=True))
    return value if unchanged else rebuild(new)


def path_name(path: Path, root: str = "output") -> str:
    """A path as a person writes it.

    >>> path_name(("forces", 0)), path_name(()), path_name((1, "x"))
    ('forces[0]', 'output', '[1].x')
    """
    out = ""
    for key in path:
        if isinstance(key, str) and key.isidentifier():
            out += f".{key}" if out else key
        else:
            out += f"[{key!r}]"
    return out or root
