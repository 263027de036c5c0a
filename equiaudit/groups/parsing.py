"""From the code of an element back to the element, by walking the syntax tree: nothing else is ever run."""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping
from typing import Any, NoReturn

import equiaudit.groups as library
from equiaudit.groups.base import Element, Group

FAMILIES = (
    "SE",
    "SL",
    "SO",
    "SU",
    "Cyclic",
    "Dihedral",
    "DirectProduct",
    "E",
    "Flip",
    "Icosahedral",
    "Lorentz",
    "O",
    "Octahedral",
    "Permutations",
    "Scaling",
    "Sp",
    "T",
    "U",
)
"""The names that code may start from."""

_ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def parse(code: str, names: Mapping[str, Group] | None = None) -> Element:
    """The element that ``code``, the repr of an element, stands for.

    Only group families and ``names``, calls of their methods that return an element, numbers (with + − * /), strings,
    tuples, lists, and ``@`` between elements are understood.

    >>> parse("SO(3).turn('z', 1/4) @ SO(3).exp(0.0, 0.0, 0.5).inverse()")
    SO(3).turn('z', 1/4) @ SO(3).exp(0.0, 0.0, -0.5)

    Args:
        code: one expression, as an element prints it.
        names: groups of the caller's own, by the name that stands in the code.

    Raises:
        ValueError: the code holds anything else, which the message names, or a call refuses its arguments.
    """
    value = _Reader(code, names or {}).read()
    if not isinstance(value, Element):
        raise ValueError(
            f"{code!r} is {_kind(value)}, not a group element; an element is spelt like SO(3).turn('z', 1/4)"
        )
    return value


def parse_group(code: str, names: Mapping[str, Group] | None = None) -> Group:
    """The group that ``code``, the repr of a group, stands for; the same rules as ``parse``.

    >>> parse_group("DirectProduct(SO(3), Octahedral(inversion=True))").size
    6
    """
    value = _Reader(code, names or {}).read()
    if not isinstance(value, Group):
        raise ValueError(f"{code!r} is {_kind(value)}, not a group; a group is spelt like SO(3)")
    return value


class _Reader:
    def __init__(self, code: str, names: Mapping[str, Group]) -> None:
        self.code, self.names = code, names

    def read(self) -> Any:
        try:
            return self.value(ast.parse(self.code.strip(), mode="eval").body)
        except (SyntaxError, RecursionError, MemoryError) as error:
            raise ValueError(f"{self.code[:200]!r} is not one expression: {error}") from None

    def refuse(self, node: ast.AST, what: str) -> NoReturn:
        shown = ast.get_source_segment(self.code.strip(), node) or type(node).__name__
        raise ValueError(f"{what} is not allowed in the code of an element: {shown[:80]!r}")

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as constant):
                return constant
            case ast.Tuple(elts=items):
                return tuple(self.value(item) for item in items)
            case ast.List(elts=items):
                return [self.value(item) for item in items]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=inner):
                number = self.number(inner)
                return -number if isinstance(sign, ast.USub) else number
            case ast.BinOp(op=ast.MatMult()):
                return self.product(node)
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() as op, left=left, right=right):
                try:
                    return _ARITHMETIC[type(op)](self.number(left), self.number(right))
                except ArithmeticError as error:
                    raise ValueError(f"{self.code!r}: {error}") from None
            case ast.Call():
                return self.call(node)
            case ast.Name(id=name) if name in self.names:
                return self.names[name]
            case ast.Name(id=name) if name in FAMILIES:
                self.refuse(node, f"{name} without a call")
            case ast.Name(id=name):
                self.refuse(node, f"the name {name}")
        self.refuse(node, type(node).__name__)

    def number(self, node: ast.expr) -> int | float:
        found = self.value(node)
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            self.refuse(node, f"arithmetic on {_kind(found)}")
        return found

    def product(self, node: ast.BinOp) -> Element:
        left, right = self.value(node.left), self.value(node.right)
        for side, found in ((node.left, left), (node.right, right)):
            if not isinstance(found, Element):
                self.refuse(side, f"@ with {_kind(found)}")
        return left @ right

    def call(self, node: ast.Call) -> Any:
        function = self.function(node.func)
        if any(keyword.arg is None for keyword in node.keywords) or any(isinstance(a, ast.Starred) for a in node.args):
            self.refuse(node, "unpacking")
        arguments = [self.value(a) for a in node.args]
        keywords = {str(k.arg): self.value(k.value) for k in node.keywords}
        try:
            return function(*arguments, **keywords)
        except (TypeError, AttributeError, KeyError, IndexError, OverflowError) as error:
            shown = ast.get_source_segment(self.code.strip(), node)
            raise ValueError(f"{shown!r} can't be called like that: {error}") from None

    def function(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name) and node.id in FAMILIES:
            return getattr(library, node.id)
        if not isinstance(node, ast.Attribute):
            self.refuse(node, f"calling {node.id}" if isinstance(node, ast.Name) else "calling a value")
        owner = self.value(node.value)
        method = getattr(type(owner), node.attr, None) if isinstance(owner, (Group, Element)) else None
        annotations = getattr(method, "__annotations__", {})
        if node.attr.startswith("_") or node.attr == "make" or annotations.get("return") not in ("Element", Element):
            self.refuse(node, f"the attribute {node.attr} of {_kind(owner)}")
        return getattr(owner, node.attr)


def _kind(value: Any) -> str:
    if isinstance(value, Group):
        return "a group"
    return "an element" if isinstance(value, Element) else f"a value of type {type(value).__name__}"
