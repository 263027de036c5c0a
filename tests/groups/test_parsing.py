"""Codes of elements evaluate without eval: everything else is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from equiaudit.groups import SO, Group, Octahedral, parse, parse_group

GOOD = [
    ("SO(3).turn('z', 1/4)", "SO(3).turn('z', 1/4)"),
    (' SO( 3 ).turn( "z", 0.25 ) ', "SO(3).turn('z', 1/4)"),
    ("SO(3).turn((1, 1, 1), 1/3)", "SO(3).turn((1, 1, 1), 1/3)"),
    ("SO(3).turn([0, 0, 1], 2 - 1 + 1/4 * 1)", "SO(3).turn((0, 0, 1), 5/4)"),
    ("SO(2).exp(-0.5)", "SO(2).exp(-0.5)"),
    ("SO(2).exp(+1e-3)", "SO(2).exp(0.001)"),
    (
        "E(3).translation(1, 2, 3) @ E(3).generator('inversion')",
        "E(3).translation(1.0, 2.0, 3.0) @ E(3).generator('inversion')",
    ),
    ("(SO(2).exp(0.5) @ SO(2).exp(1.0)).inverse()", "SO(2).exp(-1.0) @ SO(2).exp(-0.5)"),
    ("Octahedral(inversion=True).element_at(3)", "Octahedral(inversion=True).element_at(3)"),
    ("Permutations().of((2, 0, 1)).inverse()", "Permutations().of((1, 2, 0))"),
    ("O(1, 3).generator('parity')", "O(1, 3).generator('parity')"),
    ("SO(3).element([[1, 0, 0], [0, 1, 0], [0, 0, 1]])", "SO(3).exp(0.0, 0.0, 0.0)"),
]


@pytest.mark.parametrize(("code", "printed"), GOOD, ids=[c for c, _ in GOOD])
def test_codes_are_read(code: str, printed: str) -> None:
    assert np.array_equal(
        parse(code).matrix if "Perm" not in code else 0, parse(printed).matrix if "Perm" not in code else 0
    )
    if "element(" not in code:
        assert repr(parse(code)) == printed


BAD = [
    ("__import__('os').system('true')", r"the attribute system|calling __import__"),
    ("open('x')", r"calling open is not allowed in the code of an element: 'open'"),
    ("SO.exp(1)", r"SO without a call is not allowed"),
    ("SO(3).__class__", r"Attribute is not allowed"),
    ("SO(3).__class__()", r"the attribute __class__ of a group is not allowed"),
    ("SO(3).exp.__globals__['x']", r"Subscript is not allowed"),
    ("SO(3).exp.__func__()", r"Attribute is not allowed"),
    ("SO(3)._sample(1)", r"the attribute _sample of a group"),
    ("SO(3).project([[0]])", r"the attribute project of a group"),
    ("SO(3).elements()", r"the attribute elements of a group"),
    ("SO(3).make()", r"the attribute make of a group"),
    ("Group('x')", r"calling Group"),
    ("Element", r"the name Element"),
    ("check_group(SO(3))", r"calling check_group"),
    ("parse('1')", r"calling parse"),
    ("(lambda: 1)()", r"calling a value"),
    ("[x for x in (1,)]", r"ListComp"),
    ("SO(3).exp(*[1, 2, 3])", r"unpacking"),
    ("SO(3).exp(**{'a': 1})", r"unpacking"),
    ("SO(3).exp(0, 0, 9**9)", r"BinOp is not allowed .*: '9\*\*9'"),
    ("SO(3).exp(0, 0, 7 % 2)", r"BinOp"),
    ("SO(3).exp(0, 0, 1 if 1 else 2)", r"IfExp"),
    ("SO(3).exp(0, 0, True + 1)", r"arithmetic on a value of type bool"),
    ("SO(3).exp(0, 0, 'a' * 9)", r"arithmetic on a value of type str"),
    ("SO(3).exp(0, 0, -'a')", r"arithmetic on a value of type str"),
    ("SO(3).exp(0, 0, 1j)", r"Constant is not allowed"),
    ("SO(3).exp(0, 0, None)", r"Constant"),
    ("SO(3).exp(0, 0, f'{1}')", r"JoinedStr"),
    ("SO(3).exp(0, 0, not 1)", r"UnaryOp"),
    ("SO(3) @ SO(3)", r"@ with a group"),
    ("SO(3).identity() @ 2", r"@ with a value of type int"),
    ("2 * SO(3).identity()", r"arithmetic on an element"),
    ("SO(3)", r"is a group, not a group element; an element is spelt like"),
    ("(1, 2)", r"is a value of type tuple, not a group element"),
    ("", r"is not one expression"),
    ("SO(3).identity(); SO(3)", r"is not one expression"),
    ("x = 1", r"is not one expression"),
    ("SO(3).turn('z', 1/0)", r"division by zero"),
    ("SO(3).exp(1.0)", r"SO\(3\)\.exp takes 3 coordinates, got 1"),
    ("SO(3).turn(axis='z')", r"can't be called like that"),
    ("SO()", r"can't be called like that"),
    ("SO('a')", r"needs a whole number"),
    ("SO(3).matrix()", r"the attribute matrix of a group"),
    ("SO(3).identity().matrix", r"Attribute is not allowed"),
    ("SO(3).identity().group()", r"the attribute group of an element"),
    ("SO(2).identity().__matmul__(SO(2).identity())", r"the attribute __matmul__ of an element"),
    ("mine.exp(1.0)", r"the name mine"),
    ("(" * 500 + ")" * 500, r"is not one expression"),
]


@pytest.mark.parametrize(("code", "message"), BAD, ids=[c[:40] for c, _ in BAD])
def test_everything_else_is_refused(code: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(code)


def test_nothing_runs_before_the_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    called: list[object] = []
    monkeypatch.setattr(builtins, "open", lambda *a, **k: called.append(a))
    with pytest.raises(ValueError, match="calling open"):
        parse("SO(3).exp(0, 0, open('x'))")
    monkeypatch.undo()
    assert not called


def test_groups_of_ones_own() -> None:
    shears = Group("shears", [[[0, 1], [0, 0]]])
    assert np.array_equal(parse("shears.exp(2.0) @ shears.exp(1.0)", {"shears": shears}).matrix, [[1, 3], [0, 1]])


def test_codes_of_groups() -> None:
    assert parse_group("DirectProduct(SO(3), Octahedral(inversion=True))") == SO(3) * Octahedral(inversion=True)
    with pytest.raises(ValueError, match=r"is an element, not a group; a group is spelt like SO\(3\)"):
        parse_group("SO(3).identity()")


def test_floats_keep_every_bit() -> None:
    values = [0.1 + 0.2, 1e-300, -5e-324, 1.7976931348623157e308, 2 / 3]
    for value in values:
        assert parse(f"SO(2).exp({value!r})").coordinates == (value,)
