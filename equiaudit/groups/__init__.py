"""What a group element is: Lie-algebra bases, discrete generators, elements, sampling.

Names load on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equiaudit.groups.affine import SE, E, T
    from equiaudit.groups.base import Element, Exp, Group, NotInGroupError, Part, Step
    from equiaudit.groups.finite import Cyclic, Dihedral, FiniteGroup, Flip, Icosahedral, Octahedral
    from equiaudit.groups.laws import LawError, check_group
    from equiaudit.groups.lorentz import Lorentz
    from equiaudit.groups.orthogonal import SO, O
    from equiaudit.groups.parsing import parse, parse_group
    from equiaudit.groups.permutations import Permutations
    from equiaudit.groups.products import DirectProduct
    from equiaudit.groups.scaling import Scaling
    from equiaudit.groups.special_linear import SL
    from equiaudit.groups.symplectic import Sp
    from equiaudit.groups.unitary import SU, U

_HOME = {
    "Cyclic": "finite",
    "Dihedral": "finite",
    "DirectProduct": "products",
    "E": "affine",
    "Element": "base",
    "Exp": "base",
    "FiniteGroup": "finite",
    "Flip": "finite",
    "Group": "base",
    "Icosahedral": "finite",
    "LawError": "laws",
    "Lorentz": "lorentz",
    "NotInGroupError": "base",
    "O": "orthogonal",
    "Octahedral": "finite",
    "Part": "base",
    "Permutations": "permutations",
    "SE": "affine",
    "SL": "special_linear",
    "SO": "orthogonal",
    "SU": "unitary",
    "Scaling": "scaling",
    "Sp": "symplectic",
    "Step": "base",
    "T": "affine",
    "U": "unitary",
    "check_group": "laws",
    "parse": "parsing",
    "parse_group": "parsing",
}

__all__ = [
    "SE",
    "SL",
    "SO",
    "SU",
    "Cyclic",
    "Dihedral",
    "DirectProduct",
    "E",
    "Element",
    "Exp",
    "FiniteGroup",
    "Flip",
    "Group",
    "Icosahedral",
    "LawError",
    "Lorentz",
    "NotInGroupError",
    "O",
    "Octahedral",
    "Part",
    "Permutations",
    "Scaling",
    "Sp",
    "Step",
    "T",
    "U",
    "check_group",
    "parse",
    "parse_group",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
