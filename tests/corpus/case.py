"""One row of the corpus: a model, inputs, the claim that is made about it, and what an audit must say."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

EXACT, APPROXIMATE, BROKEN, VACUOUS, INVALID = "EXACT", "APPROXIMATE", "BROKEN", "VACUOUS", "INVALID"
SIZES = Path(__file__).with_name("sizes.json")


@dataclass(frozen=True)
class Act:
    """A representation twice: ``own(element, value)`` for brute force, ``rep(representations)`` for equiaudit."""

    own: Callable[[Any, torch.Tensor], torch.Tensor]
    rep: Callable[[Any], Any]


@dataclass(frozen=True)
class Claim:
    """A symmetry as plain data, so that the brute-force check can read it without equiaudit.

    Args:
        group: how the group is spelt in ``equiaudit.groups``, or a function (groups module) -> group.
        inputs: the pytree of strings, ``None``, ``Act`` and callables (element, value) -> value.
        outputs: the same for the outputs.
        batch: as in ``Symmetry``.
        draw: for a group that the brute-force check does not know, rng -> matrix.
    """

    group: str | Callable[[Any], Any]
    inputs: Any
    outputs: Any = "invariant"
    batch: Any = None
    draw: Callable[[Any], Any] | None = None

    def symmetry(self) -> Any:
        """The same claim as an ``equiaudit.Symmetry``."""
        from equiaudit import Symmetry, groups, representations

        group = (
            eval(self.group, {k: getattr(groups, k) for k in dir(groups)})
            if isinstance(self.group, str)
            else self.group(groups)
        )

        def theirs(tree: Any) -> Any:
            return map_leaves(lambda leaf: leaf.rep(representations) if isinstance(leaf, Act) else leaf, tree)

        return Symmetry(group, inputs=theirs(self.inputs), outputs=theirs(self.outputs), batch=self.batch)


@dataclass(frozen=True)
class Case:
    """A model with a known verdict.

    Args:
        name: short, kebab-case.
        source: the row of the bug list that it rebuilds, or "own".
        make: builds (model, inputs, claim or claims); runs under a fixed seed that leaves the global one alone.
        expect: the verdict that ``audit`` must give.
        cause: the cause that it must name, where there is one to name.
        options: keyword arguments for ``audit``.
        requires: libraries without which the case is skipped.
        rounding: what brute force may find on a clean model, relative to the size of the output; more than 1e-12 where
            constants are only exact to float32.
        brute: how brute force looks: "float64"; "declared", where the fault exists at the declared precision alone;
            "jittered", where the inputs are too symmetric to show it; "aligned", where it needs an edge along z;
            "columns", where it sits in a last column of another size.
        note: what is wrong, in a few words.
    """

    name: str
    source: str
    make: Callable[[], tuple[Any, Any, Any]]
    expect: str
    cause: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    rounding: float = 1e-12
    brute: str = "float64"
    note: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether the model does what is claimed of it."""
        return self.expect == EXACT

    @property
    def size(self) -> float | None:
        """The violation that brute force found (``python -m tests.corpus`` writes it); None if it can't say."""
        return sizes().get(self.name)

    @property
    def missing(self) -> tuple[str, ...]:
        """The required libraries that are not installed."""
        return tuple(name for name in self.requires if importlib.util.find_spec(name) is None)

    def parts(self) -> tuple[Any, Any, tuple[Claim, ...]]:
        """Model, inputs and claims, the same on every call."""
        with seeded(0):
            model, inputs, claims = self.make()
        if isinstance(model, nn.Module):
            model.train(model.training)
        return model, inputs, claims if isinstance(claims, tuple) else (claims,)

    def build(self) -> tuple[Any, Any, Any]:
        """Model, inputs and ``Symmetry`` (a list of them where several claims are made)."""
        model, inputs, claims = self.parts()
        symmetries = [claim.symmetry() for claim in claims]
        return model, inputs, symmetries if len(symmetries) > 1 else symmetries[0]


@functools.cache
def sizes() -> dict[str, float]:
    """RMS residual over the RMS change of that output when the inputs move by 5 %, for every BROKEN case."""
    return json.loads(SIZES.read_text())


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Fixed random numbers and float64 by default inside; both as before outside."""
    before = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def map_leaves(fn: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """``fn`` on every leaf of dicts, lists, tuples, dataclasses; ``rest`` has the same shape or one leaf for all."""

    def of(other: Any, key: Any) -> Any:
        if isinstance(other, dict):
            return other.get(key)
        return other[key] if isinstance(other, (list, tuple)) else other

    if isinstance(tree, dict):
        return {k: map_leaves(fn, v, *(of(r, k) for r in rest)) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        found = [map_leaves(fn, v, *(of(r, i) for r in rest)) for i, v in enumerate(tree)]
        return type(tree)(*found) if hasattr(tree, "_fields") else type(tree)(found)
    if isinstance(tree, SimpleNamespace):
        return SimpleNamespace(**map_leaves(fn, vars(tree), *rest))
    if hasattr(tree, "edge_index") and hasattr(tree, "clone"):  # PyTorch Geometric's Data
        found = tree.clone()
        for k in tree.keys():  # noqa: SIM118
            found[k] = map_leaves(fn, tree[k], *(of(r, k) for r in rest))
        return found
    if is_dataclass(tree) and not isinstance(tree, (Act, type)):
        return replace(
            tree,
            **{f.name: map_leaves(fn, getattr(tree, f.name), *(of(r, f.name) for r in rest)) for f in fields(tree)},
        )
    return fn(tree, *rest)
