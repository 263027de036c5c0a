"""e3nn: its ``Irreps``, ``Irrep`` and single terms are taken as they are."""

from __future__ import annotations

from typing import Any

from e3nn import o3

from equiaudit.representations.base import RepresentationError
from equiaudit.representations.irreps import Irreps


def as_representation(spec: Any) -> Irreps:
    """The representation that an object of e3nn stands for: same basis, same order, copies one after the other.

    >>> from e3nn import o3
    >>> as_representation(o3.Irreps("2x0e+1x1o"))
    Irreps('2x0e+1x1o')

    Raises:
        RepresentationError: an object of e3nn that stands for none.
    """
    if isinstance(spec, o3.Irrep):
        return Irreps(str(spec))
    if isinstance(spec, o3.Irreps):
        return Irreps(str(spec))
    if hasattr(spec, "mul") and isinstance(getattr(spec, "ir", None), o3.Irrep):
        return Irreps(str(spec))
    raise RepresentationError(
        f"{type(spec).__name__} of e3nn is no representation; give o3.Irreps, a string such as '2x0e+1x1o', or for a "
        "module Symmetry.of(module)"
    )
