"""Symmetry: a group and how it acts on a model's inputs and outputs. The one noun that everything shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.groups.base import Element, Group, Matrix
from equiaudit.representations.acting import Acting, Moving
from equiaudit.representations.base import FromFunction, Representation, RepresentationError
from equiaudit.representations.permutation import EdgeIndex, edge_samples
from equiaudit.representations.resolve import as_representation
from equiaudit.representations.samples import Samples, count_nodes, inner
from equiaudit.representations.simple import Points, Scalar
from equiaudit.representations.structures import Path, StructureError, leaves, open_up, path_name

UNDECLARED = object()
"""Stands for the representation of a leaf that the symmetry does not mention."""
Visit = Callable[[Path, Any, Any], Any]


@dataclass(frozen=True)
class Frame:
    """Where the origin is and how large the input is: turns are about the origin, translations in units of the radius.

    One row per sample: ``origin`` [samples, d], ``radius`` [samples].
    """

    origin: Matrix
    radius: Matrix


class Symmetry:
    """A group with its action on the inputs and outputs of a model: the claim f(ρ_in(g) x) = ρ_out(g) f(x).

    Args:
        group: a group of ``equiaudit.groups``; None where a model declares its own (see ``Symmetry.of``).
        inputs: representations, nested like the model's arguments. Only an exact tuple means several positional
            arguments. A string names a representation ("vector", "points", "1x0e+2x1o", …), None leaves a value alone,
            and a function ``(element, value) -> value`` may stand anywhere. One representation alone acts on every leaf
            below it.
        outputs: the same for the result; None leaves a leaf unchecked.
        batch: None: one element for the whole call. An integer: that dimension (0) holds independent samples, each with
            its own element. A string: the name of the input that assigns nodes to samples.
        hidden: representations of hidden layers, ``{"layers.*": (inputs, outputs)}``.

    Raises:
        RepresentationError: an unknown name, or a representation that the group does not have.

    >>> from equiaudit.groups import E
    >>> Symmetry(E(3), inputs={"positions": "points"}, outputs={"energy": "invariant", "forces": "vector"})
    Symmetry(E(3), inputs={'positions': 'points'}, outputs={'energy': 'invariant', 'forces': 'vector'})
    """

    def __init__(
        self,
        group: Group | None = None,
        inputs: Any = None,
        outputs: Any = "invariant",
        *,
        batch: int | str | None = None,
        hidden: Mapping[str, tuple[Any, Any]] | None = None,
    ) -> None:
        if isinstance(group, type):
            raise RepresentationError(f"{group.__name__} is a class; give a group, such as {group.__name__}(3)")
        if group is not None and not isinstance(group, Group):
            raise RepresentationError(f"expected a group such as SO(3), got {type(group).__name__}: {group!r}")
        if batch is not None and not isinstance(batch, str) and batch != 0:
            raise RepresentationError(f"batch must be None, 0 or the name of an input, got {batch!r}")
        self.group, self.inputs, self.outputs = group, inputs, outputs
        self.batch, self.hidden = batch, dict(hidden or {})
        if group is not None:
            for spec in (inputs, outputs):
                check_spec(spec, group)

    @staticmethod
    def of(model: Any, group: Group | None = None) -> Symmetry:
        """The symmetry that a model declares: e3nn irreps (``irreps_in``, ``irreps_out``), escnn field types, nequip.

        Raises:
            TypeError: the model declares none that equiaudit can read.
        """
        from equiaudit.declared import declared_symmetry

        return declared_symmetry(model, group)

    def __repr__(self) -> str:
        extra = f", batch={self.batch!r}" if self.batch is not None else ""
        return f"Symmetry({self.group!r}, inputs={self.inputs!r}, outputs={self.outputs!r}{extra})"

    @property
    def acts(self) -> Group:
        """The group; raises where there is none."""
        if self.group is None:
            raise RepresentationError("this symmetry has no group: write Symmetry(E(3), inputs=…, outputs=…)")
        return self.group

    # -- acting ---------------------------------------------------------------------------------------------------

    def act_on_inputs(self, elements: Element | Sequence[Element], inputs: Any) -> Any:
        """ρ_in(g) x: the inputs transformed, in new tensors; what is not declared is passed through."""
        return self._transform(self.inputs, as_arguments(inputs), elements, inputs, type(inputs) is tuple, "input")

    def act_on_outputs(self, elements: Element | Sequence[Element], outputs: Any, inputs: Any = None) -> Any:
        """ρ_out(g) y; ``inputs`` are needed where samples are assigned by ``batch``."""
        return self._transform(self.outputs, (outputs,), elements, inputs, False, "output")

    def _transform(self, spec: Any, values: tuple[Any, ...], elements: Any, inputs: Any, many: bool, root: str) -> Any:
        found = (elements,) if isinstance(elements, Element) else tuple(elements)
        if self.batch is None and len(found) > 1:
            raise StructureError(
                f"{len(found)} elements for one call; one element per sample needs batch=0 or batch='batch'"
            )
        known_samples: list[Samples] = []

        def visit(path: Path, value: Any, rep: Any) -> Any:
            if rep is None or rep is UNDECLARED or value is None:
                return value
            # one element for all samples is the same as one for the whole call, unless places are counted per sample
            samples = None
            if self.batch is not None and (len(found) > 1 or rep.relabels):
                known_samples[:] = known_samples or [self._samples_for(inputs)]
                samples = known_samples[0]
            if not rep.relabels or isinstance(self.batch, str):
                return act(rep, found, value, samples, path, root=root)
            known = self.output_leaves(values[0]) if inputs is None else self.input_leaves(inputs)
            nodes = count_nodes(rep, value, path, known, self.batch == 0)
            return act(rep, found, value, samples, path, nodes, root)

        out = tuple(
            walk(s, v, visit, (n,) if many else (), root)
            for n, (s, v) in enumerate(zip(as_specs(spec, values, many), values, strict=True))
        )
        return out if many else out[0]

    def _samples_for(self, inputs: Any) -> Samples:
        if inputs is None:
            raise StructureError(
                f"batch={self.batch!r}: the outputs alone don't say how rows belong to samples; give the inputs too"
            )
        return self.samples(inputs)

    def velocity(self, coordinates: Matrix, inputs: Any) -> list[tuple[Path, Tensor, Tensor]]:
        """dρ_in(A) x for every declared floating-point leaf: path, value, tangent; coordinates [k] or [samples, k]."""
        return self._tangents(self.inputs, as_arguments(inputs), coordinates, inputs, type(inputs) is tuple)

    def output_velocity(
        self, coordinates: Matrix, outputs: Any, inputs: Any = None
    ) -> list[tuple[Path, Tensor, Tensor]]:
        """dρ_out(A) y for every checked floating-point leaf: path, value, tangent."""
        return self._tangents(self.outputs, (outputs,), coordinates, inputs, False)

    def _tangents(
        self, spec: Any, values: tuple[Any, ...], coordinates: Matrix, inputs: Any, many: bool
    ) -> list[tuple[Path, Tensor, Tensor]]:
        found: list[tuple[Path, Tensor, Tensor]] = []
        per_sample = np.ndim(coordinates) == 2
        samples = self.samples(inputs) if self.batch is not None and per_sample else None

        def visit(path: Path, value: Any, rep: Any) -> Any:
            if isinstance(rep, Representation) and isinstance(value, Tensor) and carries_tangent(value):
                rows = samples.rows_of(value, path) if samples is not None else None
                found.append((path, value, rep.tangent(Moving(self.acts, coordinates, rows), value)))
            return value

        for n, (s, v) in enumerate(zip(as_specs(spec, values, many), values, strict=True)):
            walk(s, v, visit, (n,) if many else ())
        return found

    # -- looking ----------------------------------------------------------------------------------------------------

    def input_leaves(self, inputs: Any) -> list[tuple[Path, Any, Any]]:
        """Every input leaf with its representation (None: left alone, UNDECLARED: not mentioned)."""
        return self._look(self.inputs, as_arguments(inputs), type(inputs) is tuple, "input")

    def output_leaves(self, outputs: Any) -> list[tuple[Path, Any, Any]]:
        """Every output leaf with its representation."""
        return self._look(self.outputs, (outputs,), False, "output")

    def _look(self, spec: Any, values: tuple[Any, ...], many: bool, root: str) -> list[tuple[Path, Any, Any]]:
        found: list[tuple[Path, Any, Any]] = []

        def visit(path: Path, value: Any, rep: Any) -> Any:
            found.append((path, value, rep))
            return value

        for n, (s, v) in enumerate(zip(as_specs(spec, values, many), values, strict=True)):
            walk(s, v, visit, (n,) if many else (), root)
        return found

    def samples(self, inputs: Any) -> Samples:
        """How rows belong to samples."""
        entries = self.input_leaves(inputs)
        if self.batch == 0:
            sizes = [
                v.shape[0]
                for _, v, rep in entries
                if isinstance(v, Tensor) and v.dim() and isinstance(rep, Representation)
            ]
            if not sizes:
                raise StructureError("batch=0 needs a declared input tensor whose first dimension holds the samples")
            return Samples(sizes[0], None, None)
        every = list(leaves(inputs))
        for path, value in every:
            if isinstance(value, Tensor) and path and str(path[-1]) == self.batch:
                if value.dim() != 1 or value.is_floating_point():
                    raise StructureError(
                        f"batch={self.batch!r} must name an integer vector, got {value.dtype} {list(value.shape)}"
                    )
                ends = [inner(rep).ends(v) for _, v, rep in entries if isinstance(inner(rep), EdgeIndex)]
                ends += [v for p, v in every if isinstance(v, Tensor) and p and p[-1] == "edge_index"]
                edge = edge_samples(ends[0], value) if ends and ends[0].dim() == 2 else None
                return Samples(int(value.max()) + 1 if len(value) else 0, value, edge)
        raise StructureError(
            f"batch={self.batch!r}: no input has that name; there are {[path_name(p) for p, _ in every]}"
        )

    def frame(self, inputs: Any) -> Frame | None:
        """The centroid and the RMS radius of the first input that is acted on as points by an affine group."""
        if self.group is None or not self.group.affine:
            return None
        samples = self.samples(inputs) if self.batch is not None else None
        for path, value, rep in self.input_leaves(inputs):
            if isinstance(rep, Points) and isinstance(value, Tensor) and value.is_floating_point() and value.numel():
                x = value.detach().movedim(rep.axis, -1).double().cpu()
                if samples is None:
                    rows = torch.zeros(x.shape[0] if x.dim() > 1 else 1, dtype=torch.long)
                else:
                    rows = samples.rows_of(value, path).cpu()
                return _frame(x if x.dim() > 1 else x[None], rows, samples.count if samples else 1)
        return None

    def sample_count(self, inputs: Any) -> int:
        """How many elements one call takes: 1, or one per sample."""
        return 1 if self.batch is None else self.samples(inputs).count


def as_arguments(inputs: Any) -> tuple[Any, ...]:
    """Positional arguments: only an exact tuple means several."""
    return inputs if type(inputs) is tuple else (inputs,)


def as_specs(spec: Any, values: tuple[Any, ...], many: bool) -> tuple[Any, ...]:
    """One specification per positional argument; a bare representation or None stands for all."""
    if type(spec) is tuple and many:
        if len(spec) != len(values):
            raise StructureError(
                f"the symmetry declares {len(spec)} positional arguments, the inputs have {len(values)}"
            )
        return spec
    if many and spec is not None and as_representation(spec) is None:
        raise StructureError(
            f"the inputs are {len(values)} positional arguments, so inputs= must be a tuple of {len(values)} "
            f"(or one representation for all), got {type(spec).__name__}"
        )
    return (spec,) * len(values)


def declared_nothing(spec: Any, value: Any, path: Path = ()) -> list[Path]:
    """Paths where a representation is declared by name and the value is None."""
    if spec is None or as_representation(spec) is not None:
        return [path] if value is None and spec is not None else []
    inside = open_up(value)
    if inside is None:
        return []
    children, wanted = dict(zip(inside[0], inside[1], strict=True)), open_up(spec)
    found: list[Path] = []
    for key, child in zip(wanted[0], wanted[1], strict=True) if wanted is not None else ():
        if key in children:
            found += declared_nothing(child, children[key], (*path, key))
    return found


def check_spec(spec: Any, group: Group, path: Path = ()) -> None:
    """Raise RepresentationError, with the path, where a specification can't be read or the group does not have it."""
    if spec is None:
        return
    rep = as_representation(spec)
    if rep is not None:
        rep.check(group)
        return
    opened = open_up(spec)
    if opened is None:
        raise RepresentationError(f"at {path_name(path, 'the top')}: {spec!r} is not a representation")
    for key, child in zip(opened[0], opened[1], strict=True):
        check_spec(child, group, (*path, key))


def walk(spec: Any, value: Any, visit: Visit, path: Path = (), root: str = "output") -> Any:
    """``visit(path, value, representation)`` for every place that the specification addresses; the rebuilt value.

    A representation on a container acts on every leaf below it; a function is given the whole value.
    """
    rep = None if spec is None or spec is UNDECLARED else as_representation(spec)
    if isinstance(rep, FromFunction):
        return visit(path, value, rep)
    opened = open_up(value)
    if opened is None:
        if rep is None and spec is not None and spec is not UNDECLARED:
            if value is None:
                return value
            raise StructureError(f"{path_name(path, root)}: expected {_shape_of(spec)}, got {type(value).__name__}")
        return visit(path, value, spec if rep is None else rep)
    keys, children, rebuild = opened
    if rep is not None or spec is None or spec is UNDECLARED:
        below = [spec if rep is None else rep] * len(keys)
    else:
        below = _below(spec, keys, value, path_name(path, root))
        extra = _extra(spec, keys, value)
        keys, children = keys + list(extra), children + list(extra.values())
        below += [_specs(spec)[k] for k in extra]
        if extra:
            base, names = rebuild, list(extra)
            known = len(keys) - len(names)
            rebuild = lambda new: _set(base(new[:known]), names, new[known:])  # noqa: E731
    new = [walk(s, c, visit, (*path, k), root) for s, c, k in zip(below, children, keys, strict=True)]
    return value if all(a is b for a, b in zip(new, children, strict=True)) else rebuild(new)


def _specs(spec: Any) -> dict[Any, Any]:
    opened = open_up(spec)
    if opened is None:
        raise RepresentationError(f"{spec!r} is not a representation")
    return dict(zip(opened[0], opened[1], strict=True))


def _below(spec: Any, keys: list[Any], value: Any, where: str) -> list[Any]:
    wanted = _specs(spec)
    if isinstance(spec, (list, tuple)) and not hasattr(spec, "_fields") and len(spec) != len(keys):
        raise StructureError(f"{where}: {len(spec)} entries are declared, there are {len(keys)}")
    missing = [k for k in wanted if k not in keys and not (isinstance(k, str) and hasattr(value, k))]
    if missing:
        raise StructureError(
            f"{where}: declared {', '.join(map(repr, missing))} not found; there are {', '.join(map(repr, keys))}"
        )
    return [wanted.get(k, UNDECLARED) for k in keys]


def _extra(spec: Any, keys: list[Any], value: Any) -> dict[str, Any]:
    # attributes that the container does not list, such as properties with setters
    if isinstance(value, Mapping):
        return {}
    return {k: getattr(value, k) for k in _specs(spec) if k not in keys}


def _set(out: Any, names: list[str], new: list[Any]) -> Any:
    for name, item in zip(names, new, strict=True):
        setattr(out, name, item)
    return out


def _shape_of(spec: Any) -> str:
    return f"a container with {', '.join(map(repr, _specs(spec)))}"


def act(
    rep: Representation,
    elements: tuple[Element, ...],
    value: Any,
    samples: Samples | None,
    path: Path,
    nodes: int | None = None,
    root: str = "output",
) -> Any:
    """ρ(g) on one value: tensors, numpy arrays and (for functions) anything; ``nodes``: how many a sample has."""
    if samples is None and isinstance(rep, FromFunction):
        return rep.act(elements[0], value)
    if isinstance(value, np.ndarray):
        return act(rep, elements, torch.from_numpy(value), samples, path, nodes, root).numpy()
    if isinstance(rep, Scalar) and not isinstance(value, Tensor):
        return value  # a plain number, or anything else that stays as it is
    if not isinstance(value, Tensor):
        raise StructureError(f"{path_name(path, root)}: {rep!r} acts on tensors, got {type(value).__name__}")
    acting = Acting(elements[:1]) if samples is None else samples.acting(elements, rep, value, path)
    if acting.nodes is None and nodes is not None:
        acting = replace(acting, nodes=nodes)
    problem = rep.fits(acting.group, value)
    if problem:
        raise StructureError(f"{path_name(path, root)} can't be {rep!r} of {acting.group!r}: {problem}")
    try:
        return rep.apply(acting, value)
    except (RepresentationError, TypeError) as error:
        raise StructureError(f"{path_name(path, root)}: {error}") from None


def carries_tangent(value: Tensor) -> bool:
    """Whether a tensor can move continuously: real or complex floating point."""
    return value.is_floating_point() or value.is_complex()


def _frame(x: Tensor, rows: Tensor, count: int) -> Frame:
    d = x.shape[-1]
    flat = x.reshape(x.shape[0], -1, d)
    index = rows.repeat_interleave(flat.shape[1]) if len(rows) == x.shape[0] else rows
    points = flat.reshape(-1, d)
    n = torch.zeros(count, dtype=torch.float64).index_add_(0, index, torch.ones(len(points), dtype=torch.float64))
    origin = torch.zeros(count, d, dtype=torch.float64).index_add_(0, index, points) / n.clamp(min=1)[:, None]
    square = (points - origin[index]).square().sum(-1)
    radius = (torch.zeros(count, dtype=torch.float64).index_add_(0, index, square) / n.clamp(min=1)).sqrt()
    size = origin.norm(dim=-1)
    radius = torch.where(radius > 1e-12 * (1 + size), radius, torch.ones_like(radius))
    return Frame(origin.numpy(), radius.numpy())
