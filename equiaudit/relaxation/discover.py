"""What can be relaxed in a model: every layer with a site, every other with the reason why not."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from torch import nn
from torch.nn.parameter import UninitializedParameter

from equiaudit.groups import O
from equiaudit.groups.base import Group
from equiaudit.relaxation.module import NAME
from equiaudit.relaxation.plain import CONTAINERS, as_linear, declared, grid_of, is_trivial, vector_neurons
from equiaudit.relaxation.site import LinearSite, RelaxationError, title
from equiaudit.representations.base import MatrixRepresentation, Representation
from equiaudit.representations.image import Image
from equiaudit.representations.simple import Scalar
from equiaudit.symmetry import Symmetry

Adapter = Callable[[nn.Module], LinearSite | None]
LIBRARIES = {"e3nn": "equiaudit.interop.e3nn_relax", "escnn": "equiaudit.interop.escnn_relax"}
SEALED = "e3nn.nn._"
"""Blocks in these files (gates, activations) use tensor products for products that nobody would relax."""
SAME = 1e-5
"""Entries of generators may differ by that: escnn stores its elements in single precision."""
MAX_ENTRIES = 4_000_000
"""W may have as many entries, unless ``relax(..., max_entries=…)`` says otherwise."""


@dataclass(frozen=True, eq=False)
class Relaxable:
    """One layer: its site, or the reason why it has none; whether ``hidden=`` declares it; whether the layer itself says so."""

    name: str
    layer: nn.Module
    site: LinearSite | None
    reason: str = ""
    by_declaration: bool = False
    by_layer: bool = False
    """Whether the representations are those of a library's layer, so that nothing has to be tried."""


@dataclass(frozen=True)
class Listing:
    """The layers of a model that can be relaxed, and those that can't; ``str`` is a table to choose from."""

    found: tuple[Relaxable, ...]
    refused: tuple[Relaxable, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what can be relaxed, for ``relax(model, layers=…)``."""
        return tuple(row.name for row in self.found)

    def __iter__(self) -> Iterator[Relaxable]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def __str__(self) -> str:
        rows = [
            f"  {title(row.name)}: {row.site.kind}, W {' x '.join(map(str, row.site.shape))} ({row.site.entries:,} entries)"
            for row in self.found
            if row.site is not None
        ]
        head = f"{len(rows)} layer{'s' * (len(rows) != 1)} can be relaxed" + (":" if rows else "")
        not_these = [f"  {title(row.name)}: {row.reason}" for row in self.refused]
        return "\n".join([head, *rows, *(["not these:", *not_these] if not_these else [])])


def relaxable(model: nn.Module, symmetry: Symmetry | None = None, adapters: Sequence[Adapter] = ()) -> Listing:
    """The layers that ``relax`` could relax, to choose from.

    Args:
        model: any module.
        symmetry: gives the group and, by ``hidden={"layers.*": (inputs, outputs)}``, representations of plain layers. None:
            what the layers declare, with O(3) for vector neurons.
        adapters: your own functions ``adapter(layer) -> LinearSite | None``; they are asked first.

    Returns:
        A ``Listing``.

    >>> from equiaudit.relaxation.vector_neurons import VNLinear
    >>> print(relaxable(nn.Sequential(VNLinear(4, 8), nn.ReLU())))
    1 layer can be relaxed:
      0: vector neurons, W 24 x 12 (288 entries)
    """
    names = [name for name, _ in model.named_modules() if name]
    lost = [p for p in (symmetry.hidden if symmetry is not None else {}) if not any(fits(n, p) for n in names)]
    if lost:
        raise RelaxationError(
            f"hidden= declares {', '.join(map(repr, lost))}, and no module has such a name; there are {', '.join(names)}"
        )
    found, refused = [], []
    inside: set[int] = set()
    for name, layer in model.named_modules():
        if id(layer) in inside:
            continue
        row = look(name, layer, symmetry, adapters)
        if row.site is not None:
            found.append(row)
            if not row.by_declaration:  # what a library's layer is made of is its own affair
                inside.update(id(child) for child in layer.modules())
        elif row.reason:
            refused.append(row)
        if isinstance(layer, nn.MultiheadAttention) or type(layer).__module__.startswith(SEALED):
            inside.update(id(child) for child in layer.modules())
    return Listing(tuple(found), tuple(refused))


def look(name: str, layer: nn.Module, symmetry: Symmetry | None, adapters: Sequence[Adapter]) -> Relaxable:
    """The site of one layer, or why it has none; no reason is given for layers that nobody would relax."""
    pair = _declared_pair(name, symmetry)
    group = symmetry.group if symmetry is not None else None
    try:
        site, by_layer = _site(name, layer, pair, group, adapters)
    except RelaxationError as error:
        wrong = pair is not None and not isinstance(layer, CONTAINERS)
        return Relaxable(name, layer, None, str(error).removeprefix(f"{name}: "), wrong)
    if site is None:
        return Relaxable(name, layer, None, why_not(layer, pair is not None))
    if any(isinstance(p, UninitializedParameter) for p in layer.parameters()):
        return Relaxable(name, layer, None, "it has no parameters yet; run the model once before relaxing it")
    if hasattr(layer, NAME):
        has = "is already relaxed" if NAME in layer._modules else f"has an attribute {NAME!r} of its own"
        return Relaxable(name, layer, None, f"it {has}")
    return Relaxable(name, layer, site, by_declaration=pair is not None, by_layer=by_layer)


def _site(
    name: str, layer: nn.Module, pair: Any, group: Group | None, adapters: Sequence[Adapter]
) -> tuple[LinearSite | None, bool]:
    for adapter in adapters:
        site = adapter(layer)
        if site is not None:
            if not isinstance(site, LinearSite):
                raise RelaxationError(f"{name}: an adapter returned {type(site).__name__}, not a LinearSite or None")
            return site, False
    for parent in type(layer).__mro__:
        library = LIBRARIES.get(parent.__module__.partition(".")[0])
        if library is not None:
            site = importlib.import_module(library).adapter(layer, group)
            if site is not None:
                return (site if pair is None or group is None else _as_declared(name, site, pair, group)), True
    if pair is not None:
        if group is None:
            raise RelaxationError(f"{name}: hidden representations need a group: Symmetry(O(3), hidden={{…}})")
        return declared(name, layer, pair, group), False
    return vector_neurons(layer, group or O(3)), True


def _as_declared(name: str, site: LinearSite, pair: Any, group: Group) -> LinearSite:
    # a library's layer says itself how its features turn; a declaration must not say otherwise
    reps = [as_linear(name, value, group) for value in pair]
    same = [_same(a, b, group) for a, b in zip(reps, (site.rep_in, site.rep_out), strict=True)]
    if not all(same):
        raise RelaxationError(
            f"{name}: its representations are declared as {reps[0]!r} and {reps[1]!r}; the {site.kind} has {site.rep_in!r} and "
            f"{site.rep_out!r}"
        )
    return site


def _same(a: Representation, b: Representation, group: Group) -> bool:
    if isinstance(a, Image):
        a = a.channels or Scalar()
    if a.size(group) not in (None, b.size(group)):
        return False
    if not isinstance(a, MatrixRepresentation) or not isinstance(b, MatrixRepresentation):
        return True  # the library's own word counts
    # generators decide for the whole group; one random element may miss a parity
    mine = [*a.algebra_matrices(group), *(a.discrete_matrix(group, name) for name in group.discrete)]
    theirs = [*b.algebra_matrices(group), *(b.discrete_matrix(group, name) for name in group.discrete)]
    if a.size(group) is None:  # any number of scalars
        copies = np.eye(int(b.size(group) or 1))
        mine = [np.kron(copies, m) for m in mine]
    return all(np.abs(m - t).max(initial=0.0) < SAME for m, t in zip(mine, theirs, strict=True))


def why_not(layer: nn.Module, was_declared: bool) -> str:
    """Why a layer that somebody may want to relax has no site; empty for the others."""
    if isinstance(layer, nn.MultiheadAttention):
        return "MultiheadAttention reads the weights of its parts without calling them"
    if isinstance(layer, nn.Linear) or grid_of(layer):
        return f"a {type(layer).__name__} does not say how its features turn; declare Symmetry(group, hidden={{name: (in, out)}})"
    return ""


def _declared_pair(name: str, symmetry: Symmetry | None) -> Any:
    patterns = symmetry.hidden if symmetry is not None and name else {}  # the model itself is no hidden layer
    return next((pair for pattern, pair in patterns.items() if fits(name, pattern)), None)


def fits(name: str, pattern: str) -> bool:
    """Whether a pattern of ``hidden=`` means this module: a star stays between two dots, for what is inside differs."""
    return name.count(".") == pattern.count(".") and fnmatchcase(name, pattern)


def choose(listing: Listing, layers: Any, model: nn.Module) -> list[Relaxable]:
    """The rows that names, patterns or a function pick.

    Raises:
        RelaxationError: a name that can't be relaxed, with the reason; a pattern that fits nothing.
    """
    if layers is None:
        wrong = [row for row in listing.refused if row.by_declaration]
        if wrong:
            raise RelaxationError("; ".join(f"{title(row.name)} can't be relaxed: {row.reason}" for row in wrong))
        # between scalars every map is equivariant: nothing is relaxed there
        chosen = [r for r in listing.found if r.site and not (is_trivial(r.site.rep_in) and is_trivial(r.site.rep_out))]
        if not chosen:
            raise RelaxationError(f"{type(model).__name__} has no layer that can be relaxed.\n{listing}")
        return chosen
    if callable(layers):
        chosen = [row for row in listing.found if layers(row.name, row.layer)]
        if not chosen:
            raise RelaxationError(f"the function given as layers= picked none of the layers.\n{listing}")
        return chosen
    known = dict(model.named_modules())
    picked: dict[str, Relaxable] = {}
    for pattern in [layers] if isinstance(layers, str) else list(layers):
        rows = [row for row in listing.found if fnmatchcase(row.name, pattern)]
        refused = [row for row in listing.refused if fnmatchcase(row.name, pattern)]
        if not rows or (refused and not set(pattern) & set("*?[")):
            raise RelaxationError(_refusal(pattern, refused, known, listing))
        picked.update({row.name: row for row in rows})
    return list(picked.values())


def _refusal(pattern: str, refused: list[Relaxable], known: dict[str, nn.Module], listing: Listing) -> str:
    if refused:
        return "; ".join(f"{title(row.name)} can't be relaxed: {row.reason}" for row in refused)
    if pattern in known:
        kind = type(known[pattern]).__name__
        return (
            f"{pattern} can't be relaxed: equiaudit knows no linear map in a {kind}; declare "
            f"Symmetry(group, hidden={{{pattern!r}: (inputs, outputs)}}) or give adapters=(adapter,).\n{listing}"
        )
    return f"no layer is called {pattern!r}.\n{listing}"
