"""From what a user writes (a string, an e3nn Irreps, an escnn FieldType) to a representation."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from equiaudit.representations.base import FromFunction, Representation, RepresentationError

_ADAPTERS = {"e3nn": "equiaudit.interop.e3nn", "escnn": "equiaudit.interop.escnn"}
NAMES = (
    "invariant", "scalar", "pseudoscalar", "vector", "pseudovector", "points", "tensor", "pseudotensor",
    "symmetric_tensor", "voigt", "image", "nodes", "edges", "edge_index",
)  # fmt: skip
_IRREPS = re.compile(r"^\s*((\d+\s*x\s*)?\d+[eoy]?)(\s*\+\s*(\d+\s*x\s*)?\d+[eoy]?)*\s*$")


@lru_cache(maxsize=256)
def named(name: str) -> Representation:
    """The representation that a string names.

    Raises:
        RepresentationError: an unknown name; the message lists the names.

    >>> named("vector"), named("invariant")
    (Vector(), Scalar())
    """
    from equiaudit import representations as r

    table: dict[str, Callable[[], Representation]] = {
        "invariant": lambda: r.Scalar(),
        "scalar": lambda: r.Scalar(),
        "pseudoscalar": lambda: r.Pseudoscalar(),
        "vector": lambda: r.Vector(),
        "pseudovector": lambda: r.Pseudovector(),
        "points": lambda: r.Points(),
        "tensor": lambda: r.CartesianTensor(),
        "pseudotensor": lambda: r.CartesianTensor(pseudo=True),
        "symmetric_tensor": lambda: r.SymmetricTensor(),
        "voigt": lambda: r.SymmetricTensor("voigt"),
        "image": lambda: r.Image(),
        "nodes": lambda: r.Nodes(),
        "edges": lambda: r.Edges(),
        "edge_index": lambda: r.EdgeIndex(),
    }
    if name in table:
        return table[name]()
    if _IRREPS.match(name):
        return r.Irreps(name)
    raise RepresentationError(
        f"unknown representation {name!r}; use one of {', '.join(table)}, irreps such as '2x0e+1x1o', "
        "a Representation, or a function (element, value) -> value"
    )


def as_representation(spec: Any) -> Representation | None:
    """A representation for strings, library objects, functions and itself; None where ``spec`` is a container."""
    if isinstance(spec, Representation):
        return spec
    if isinstance(spec, str):
        return named(spec)
    package = type(spec).__module__.partition(".")[0]
    if package in _ADAPTERS:
        return importlib.import_module(_ADAPTERS[package]).as_representation(spec)
    if isinstance(spec, type):
        raise RepresentationError(f"{spec.__name__} is a class; give an instance, {spec.__name__}()")
    if callable(spec):
        return FromFunction(spec)
    return None
