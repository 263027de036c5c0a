"""Hypothesis tries to refute an equivariance, and shrinks what it finds to something that a person can read.

The only part of the library that imports hypothesis. Names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equiaudit.strategies.clouds import graph, image, molecule, point_cloud, row_tensor
    from equiaudit.strategies.confirm import confirm_equivariant
    from equiaudit.strategies.hunting import hunt
    from equiaudit.strategies.shapes import graphs, images, inputs, molecules, point_clouds, tensors
    from equiaudit.strategies.structure import elements
    from equiaudit.strategies.variation import vary

_HOME = {
    "confirm_equivariant": "confirm",
    "elements": "structure",
    "graph": "clouds",
    "graphs": "shapes",
    "hunt": "hunting",
    "images": "shapes",
    "inputs": "shapes",
    "molecule": "clouds",
    "molecules": "shapes",
    "point_cloud": "clouds",
    "point_clouds": "shapes",
    "row_tensor": "clouds",
    "tensors": "shapes",
    "image": "clouds",
    "vary": "variation",
}
__all__ = [
    "confirm_equivariant",
    "elements",
    "graph",
    "graphs",
    "hunt",
    "image",
    "images",
    "inputs",
    "molecule",
    "molecules",
    "point_cloud",
    "point_clouds",
    "row_tensor",
    "tensors",
    "vary",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    if find_spec("hypothesis") is None:
        raise ModuleNotFoundError(f"equiaudit.strategies.{name} needs hypothesis: pip install hypothesis")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
