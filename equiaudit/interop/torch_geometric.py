"""PyTorch Geometric: ``Data``, ``Batch`` and ``HeteroData`` are containers whose attributes are matched by name."""

from __future__ import annotations

import copy
from typing import Any

from torch_geometric.data import Data, HeteroData
from torch_geometric.data.storage import BaseStorage

from equiaudit.representations.structures import Rebuild, register_structure


def open_data(data: Data) -> tuple[list[Any], list[Any], Rebuild]:
    """The attributes of a graph (of a batch also ``batch`` and ``ptr``), and a shallow copy with new ones."""
    keys = [k for store in data.stores for k in store.keys()]  # noqa: SIM118  in order of insertion: data.keys() is a set

    def rebuild(new: list[Any]) -> Data:
        out = copy.copy(data)
        for key, value in zip(keys, new, strict=True):
            out[key] = value
        return out

    return keys, [data[k] for k in keys], rebuild


def open_hetero(data: HeteroData) -> tuple[list[Any], list[Any], Rebuild]:
    """Node types, edge types and graph-level attributes, each a container of its own."""
    kinds = [*data.node_types, *data.edge_types]
    plain = list(data._global_store.keys())

    def rebuild(new: list[Any]) -> HeteroData:
        out = copy.copy(data)
        for kind, store in zip(kinds, new, strict=False):
            for key in store.keys():  # noqa: SIM118  a storage iterates over values
                out[kind][key] = store[key]
        for key, value in zip(plain, new[len(kinds) :], strict=True):
            out[key] = value
        return out

    return [*kinds, *plain], [*(data[k] for k in kinds), *(data[k] for k in plain)], rebuild


def open_storage(store: BaseStorage) -> tuple[list[Any], list[Any], Rebuild]:
    """The attributes of one node or edge type."""
    keys = list(store.keys())

    def rebuild(new: list[Any]) -> BaseStorage:
        out = copy.copy(store)
        for key, value in zip(keys, new, strict=True):
            out[key] = value
        return out

    return keys, [store[k] for k in keys], rebuild


register_structure(Data, open_data)
register_structure(HeteroData, open_hetero)
register_structure(BaseStorage, open_storage)
