"""Nested inputs and outputs of every kind: opened one level at a time, rebuilt, and never changed in place."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from typing import Any

import numpy as np
import pytest
import torch

from equiaudit.representations.structures import leaves, map_leaves, open_up, path_name, register_structure

A, B = torch.ones(2, 3), torch.zeros(4)
Pair = namedtuple("Pair", ["first", "second"])


@dataclasses.dataclass
class Mutable:
    first: Any
    second: Any = None


@dataclasses.dataclass(frozen=True)
class Frozen:
    first: Any
    second: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    first: Any
    second: Any = None


class Holder:
    def __init__(self, first, second):
        self.first, self.second, self.label = first, second, "kept"


CONTAINERS = {
    "tuple": ((A, B), [0, 1]),
    "list": ([A, B], [0, 1]),
    "dict": ({"first": A, "second": B}, ["first", "second"]),
    "unsorted dict": ({"z": A, "a": B}, ["z", "a"]),
    "dict by degree": ({1: A, 0: B}, [1, 0]),
    "ordered dict": (OrderedDict(z=A, a=B), ["z", "a"]),
    "default dict": (defaultdict(list, {"z": A, "a": B}), ["z", "a"]),
    "user dict": (UserDict({"z": A, "a": B}), ["z", "a"]),
    "named tuple": (Pair(A, B), ["first", "second"]),
    "dataclass": (Mutable(A, B), ["first", "second"]),
    "frozen dataclass": (Frozen(A, B), ["first", "second"]),
    "slotted dataclass": (Slotted(A, B), ["first", "second"]),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_open_in_order_and_are_rebuilt_as_they_were(name):
    value, keys = CONTAINERS[name]
    found, children, rebuild = open_up(value)
    assert found == keys
    assert children[0] is A
    assert children[1] is B
    new = rebuild([B, A])
    assert type(new) is type(value)
    again = open_up(new)
    assert again[0] == keys
    assert again[1][0] is B
    assert open_up(value)[1][0] is A  # the original stays


def test_an_object_with_tensors_is_opened_by_attribute():
    value = Holder(A, [B])
    found, _, rebuild = open_up(value)
    assert found == ["first", "second", "label"]
    new = rebuild([B, [A], "kept"])
    assert isinstance(new, Holder)
    assert new.first is B
    assert value.first is A


@pytest.mark.parametrize("leaf", [None, 3, 1.5, True, "text", A, np.ones(3), torch.nn.Linear(2, 2), object(), len])
def test_leaves_are_not_opened(leaf):
    assert open_up(leaf) is None


def test_nested_leaves_have_paths():
    value = {"graphs": [Frozen((A, None), 3)], 0: {1: B}}
    assert [path_name(path) for path, _ in leaves(value)] == [
        "graphs[0].first[0]",
        "graphs[0].first[1]",
        "graphs[0].second",
        "[0][1]",
    ]


def test_mapping_changes_what_changes_and_keeps_the_rest():
    value = {"x": [A, B], "y": Frozen(A, 7)}
    new = map_leaves(lambda path, v: v + 1 if path == ("x", 1) else v, value)
    assert torch.equal(new["x"][1], B + 1)
    assert new["y"] is value["y"]
    assert value["x"][1] is B
    assert map_leaves(lambda path, v: v, value) is value


def test_none_and_integers_keep_their_places():
    value = (None, 3, {"a": None})
    assert map_leaves(lambda path, v: v, value) is value
    assert map_leaves(lambda path, v: 4 if v == 3 else v, value) == (None, 4, {"a": None})


def test_a_container_can_be_registered():
    class Ragged:
        __slots__ = ("rows",)

        def __init__(self, rows):
            self.rows = rows

    assert open_up(Ragged([A])) is None
    register_structure(Ragged, lambda r: (list(range(len(r.rows))), list(r.rows), Ragged))

    class Special(Ragged):
        pass

    assert [path for path, _ in leaves(Special([A, B]))] == [(0,), (1,)]


def test_tensor_subclasses_are_leaves():
    assert open_up(torch.nn.Parameter(A)) is None


def test_packed_sequences_are_opened():
    packed = torch.nn.utils.rnn.pack_sequence([torch.ones(3, 2), torch.ones(2, 2)])
    assert "data" in open_up(packed)[0]
