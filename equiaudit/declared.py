"""Symmetry.of(model): the symmetry that a model declares by its attributes, and random inputs of the declared types."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.groups.base import Group
from equiaudit.representations.base import FromFunction, Representation
from equiaudit.representations.image import Image
from equiaudit.representations.irreps import Irreps
from equiaudit.representations.resolve import as_representation
from equiaudit.representations.simple import CartesianTensor, Points, Pseudoscalar, Scalar, Vector
from equiaudit.representations.spectral import centred
from equiaudit.representations.structures import open_up
from equiaudit.symmetry import Symmetry

SAMPLES = 4
"""Rows of random inputs."""
IMAGE_SIZE = 33
"""Height and width of random images: odd, so that strides of 2 keep the centre."""
FIELDS: dict[str, Callable[[], Any]] = {
    "pos": Points,
    "cell": Vector,
    "edge_vectors": Vector,
    "edge_cell_shift": lambda: None,
}
"""What the fields of a nequip graph are where they are no plain irreps."""


@dataclass(frozen=True)
class Declared:
    """What a module declares: representations of inputs and outputs, and the group that they belong to."""

    inputs: Any
    outputs: Any
    group: Group


def declared_symmetry(model: Any, group: Group | None = None) -> Symmetry:
    """The symmetry that a model declares.

    Read are: ``irreps_in`` (or ``irreps_in1`` and ``irreps_in2``) and ``irreps_out``, as the modules of e3nn have them,
    with O(3); mappings of fields to irreps under the same names, as nequip has them, with E(3); ``in_type`` and
    ``out_type``, as the modules of escnn have them, with the group of the field type. Of a ``torch.nn.Sequential`` the
    inputs of the first module and the outputs of the last.

    Args:
        model: a module.
        group: another group than the declared one, such as SO(3) for a model that is not equivariant to reflections.

    Raises:
        TypeError: the model declares nothing that can be read.

    >>> from e3nn import o3
    >>> declared_symmetry(o3.Linear("4x0e+3x1o", "2x1o"))
    Symmetry(O(3), inputs=Irreps('4x0e+3x1o'), outputs=Irreps('2x1o'))
    """
    found = read_types(model)
    if found is None:
        name = type(model).__name__
        raise TypeError(
            f"{name} does not declare how its inputs and outputs transform: it has no irreps_in and irreps_out (e3nn, "
            f"nequip) and no in_type and out_type (escnn){_sequence_hint(model)}; say it: "
            f"Symmetry(E(3), inputs={{'positions': 'points'}}, outputs={{'energy': 'invariant', 'forces': 'vector'}})"
        )
    return Symmetry(group if group is not None else found.group, inputs=found.inputs, outputs=found.outputs)


def read_types(model: Any) -> Declared | None:
    """What a module declares, or None."""
    found = _read_irreps(model) or _read_field_types(model)
    if found is None and isinstance(model, torch.nn.Sequential) and len(model):
        first, last = read_types(model[0]), read_types(model[-1])
        if first is not None and last is not None:
            return Declared(first.inputs, last.outputs, first.group)
    return found


def _sequence_hint(model: Any) -> str:
    if not isinstance(model, torch.nn.Sequential) or not len(model):
        return ""
    silent = [f"[{n}] {type(model[n]).__name__}" for n in (0, len(model) - 1) if read_types(model[n]) is None]
    return f", nor do its first and last module both: {', '.join(dict.fromkeys(silent))} declares nothing"


def _read_irreps(model: Any) -> Declared | None:
    from equiaudit.groups import E, O

    outputs, inputs = _first(model, "irreps_out", "irreps"), _first(model, "irreps_in", "irreps")
    pair = (_first(model, "irreps_in1"), _first(model, "irreps_in2"))
    if outputs is None or (inputs is None and None in pair):
        return None
    if isinstance(inputs, Mapping):
        new = {k: v for k, v in outputs.items() if k not in inputs}
        return Declared(_fields(inputs), _fields(new or outputs), E(3))
    taken = pair if inputs is None else (inputs,)
    reps: tuple[Any, ...] = tuple(_irreps(v) for v in taken)
    if _outer_weights(model):
        reps = (*reps, Scalar())
    return Declared(reps if len(reps) > 1 else reps[0], _irreps(outputs), O(3))


def _outer_weights(model: Any) -> int:
    # tensor products and linear maps of e3nn that are given their weights as a last argument
    return int(getattr(model, "weight_numel", 0)) if getattr(model, "internal_weights", True) is False else 0


def _first(model: Any, *names: str) -> Any:
    return next((v for v in (getattr(model, name, None) for name in names) if v is not None and not callable(v)), None)


def _irreps(value: Any) -> Any:
    found = as_representation(value)
    if found is None:
        raise TypeError(f"expected irreps such as '2x0e+1x1o', got {type(value).__name__}: {value!r}")
    return found


def _fields(irreps: Mapping[str, Any]) -> dict[str, Any]:
    # fields without irreps (edge_index, atom types) are left alone
    reps = {k: FIELDS[k]() if k in FIELDS else None if v is None else _irreps(v) for k, v in irreps.items()}
    return {k: rep for k, rep in reps.items() if rep is not None}


def _read_field_types(model: Any) -> Declared | None:
    inputs, outputs = getattr(model, "in_type", None), getattr(model, "out_type", None)
    if inputs is None or outputs is None or _package(inputs) != "escnn":
        return None
    escnn = importlib.import_module("equiaudit.interop.escnn")
    first = inputs[0] if isinstance(inputs, tuple) else inputs
    return Declared(inputs, outputs, escnn.group_of(first))


def _package(value: Any) -> str:
    return type(value[0] if type(value) is tuple and value else value).__module__.partition(".")[0]


def random_inputs(symmetry: Symmetry, model: Any = None, seed: int = 0, batch: int = SAMPLES) -> Any:
    """Random inputs of the types that a symmetry declares: rows of normal numbers, images of 33 × 33 pixels.

    Where all elements of the group permute pixels the images are white noise; otherwise smooth and zero near the edge,
    so that they can be turned.

    Args:
        symmetry: its ``inputs`` are irreps, vectors, points, tensors, scalars, images, field types, or containers of
            these.
        model: gives the dtype and the device; torch's defaults if left out.
        seed: seeds the draws.
        batch: the number of rows.

    Raises:
        TypeError: something else is declared; the message names it.

    >>> from equiaudit.groups import SO
    >>> random_inputs(Symmetry(SO(3), {"x": "2x0e+1x1o", "pos": "points"}))["x"].shape
    torch.Size([4, 5])
    """
    generator = torch.Generator().manual_seed(seed)
    dtype, device = torch.get_default_dtype(), torch.device("cpu")
    weights = [p for p in model.parameters() if p.is_floating_point()] if isinstance(model, torch.nn.Module) else []
    if weights:
        dtype, device = weights[0].dtype, weights[0].device

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def fill(spec: Any) -> Any:
        rep = as_representation(spec)
        if rep is None:
            opened = open_up(spec)
            if opened is None:
                raise TypeError(f"no random input can be drawn for {spec!r}; give inputs")
            return opened[2]([fill(child) for child in opened[1]])
        numel = _outer_weights(model) if isinstance(rep, Scalar) else 0
        if numel:
            drawn = draw(numel) if getattr(model, "shared_weights", False) else draw(batch, numel)
        else:
            drawn = _draw(rep, symmetry.acts, draw, batch)
        return _wrapped(spec, drawn.to(device, dtype))

    return fill(symmetry.inputs)


def _draw(rep: Representation, group: Group, draw: Any, batch: int) -> Tensor:
    if isinstance(rep, Image):
        channels = (rep.size(group) or 3,) if rep.channels is not None else (3,)
        sizes = (IMAGE_SIZE,) * len(rep.dims)
        turned = [group.generator(name) for name in group.discrete] if group.is_finite else [None]
        if all(g is not None and rep.permutes_pixels(g) for g in turned):
            return draw(batch, *channels, *sizes)
        return _smooth(draw, (batch, *channels), len(sizes))
    if isinstance(rep, CartesianTensor):
        return draw(batch, *(group.space_dim,) * len(rep.dims))
    plain = isinstance(rep, (Irreps, Vector, Scalar, Pseudoscalar)) or rep.size(group) is not None
    if isinstance(rep, FromFunction) or rep.relabels or not plain or rep.axis not in (-1, 1):
        raise TypeError(f"no random input can be drawn for {rep!r}; give inputs")
    return draw(batch, rep.size(group) or 1)


def _smooth(draw: Any, shape: tuple[int, ...], d: int) -> Tensor:
    # a sum of bumps within the disc that images turn on, each a few pixels wide
    c = centred(IMAGE_SIZE, torch.device("cpu"))
    out: Any = 0.0
    for _ in range(8):
        place = IMAGE_SIZE * 0.15 * draw(*shape, d).clamp(-1, 1) / np.sqrt(d)
        bump = draw(*shape)[(..., *[None] * d)]
        for k in range(d):
            at = place[..., k][(..., *[None] * d)]
            profile = c.reshape([-1 if j == k else 1 for j in range(d)])
            bump = bump * torch.exp(-((profile - at) ** 2) / (2 * (IMAGE_SIZE / 16) ** 2))
        out = out + bump
    return out


def _wrapped(spec: Any, value: Tensor) -> Any:
    # a field type makes the geometric tensor that its modules take
    return spec(value) if _package(spec) == "escnn" and hasattr(spec, "gspace") else value
