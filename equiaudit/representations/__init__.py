"""How g acts: matrices, points, irreps, permutations, images, and nested structures of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equiaudit.representations.base import (
        FromAlgebra,
        FromFunction,
        FromMatrix,
        MatrixRepresentation,
        Representation,
        RepresentationError,
    )
    from equiaudit.representations.compose import Dual, Kronecker, OnTwoDims, Sum
    from equiaudit.representations.image import Image
    from equiaudit.representations.irreps import Irreps
    from equiaudit.representations.laws import check_representation
    from equiaudit.representations.lifted import OnMember
    from equiaudit.representations.permutation import EdgeIndex, Edges, Nodes
    from equiaudit.representations.regular import PermutationAction, Quotient, Regular
    from equiaudit.representations.simple import (
        CartesianTensor,
        Points,
        Pseudoscalar,
        Pseudovector,
        Scalar,
        SymmetricTensor,
        Vector,
    )
    from equiaudit.representations.structures import StructureError, register_structure

_WHERE = {
    "base": "FromAlgebra FromFunction FromMatrix MatrixRepresentation Representation RepresentationError",
    "compose": "Dual Kronecker OnTwoDims Sum",
    "image": "Image",
    "irreps": "Irreps",
    "laws": "check_representation",
    "lifted": "OnMember",
    "permutation": "EdgeIndex Edges Nodes",
    "regular": "PermutationAction Quotient Regular",
    "simple": "CartesianTensor Points Pseudoscalar Pseudovector Scalar SymmetricTensor Vector",
    "structures": "StructureError register_structure",
}
_HOME = {name: module for module, names in _WHERE.items() for name in names.split()}

__all__ = [
    "CartesianTensor",
    "Dual",
    "EdgeIndex",
    "Edges",
    "FromAlgebra",
    "FromFunction",
    "FromMatrix",
    "Image",
    "Irreps",
    "Kronecker",
    "MatrixRepresentation",
    "Nodes",
    "OnMember",
    "OnTwoDims",
    "PermutationAction",
    "Points",
    "Pseudoscalar",
    "Pseudovector",
    "Quotient",
    "Regular",
    "Representation",
    "RepresentationError",
    "Scalar",
    "StructureError",
    "Sum",
    "SymmetricTensor",
    "Vector",
    "check_representation",
    "register_structure",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
