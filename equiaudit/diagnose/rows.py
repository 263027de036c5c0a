"""Does one linear T_g take h(x) to h(ρ(g) x)? Answered from rows of activations, without knowing T_g."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from equiaudit.measure.residual import rms

MAX_ROWS = 192


@dataclass(frozen=True)
class Fit:
    """How well some T_g explains a layer: the error that remains, what kind of T_g, and the rows that were used."""

    error: float
    how: str
    rows: int = 0


def splits(h: Tensor, most: int = 3) -> Iterator[int]:
    """How many of the last dimensions may carry the representation; the dimensions before them index rows."""
    if h.dim() < 2:
        yield from range(h.dim() + 1)  # entries on their own, or all of them together
        return
    yield from range(1, min(h.dim(), most + 1))


def as_rows(values: list[Tensor], k: int) -> Tensor:
    """The tensors of several inputs as rows [n, C], the last ``k`` dimensions flattened."""
    flat = [v.reshape(-1, *v.shape[v.dim() - k :]).flatten(1) if k else v.reshape(-1, 1) for v in values]
    return torch.cat(flat)


def thin(h: Tensor, moved: Tensor, limit: int = MAX_ROWS) -> tuple[Tensor, Tensor]:
    """At most ``limit`` rows, the same of both, spread evenly over all."""
    if len(h) <= limit:
        return h, moved
    index = torch.linspace(0, len(h) - 1, limit).round().long().to(h.device)
    return h[index], moved[index]


def products_change(h: Tensor, moved: Tensor, owner: Tensor | None = None) -> float:
    """Change of the inner products between rows, relative to their size: zero iff an orthogonal (unitary) T_g exists.

    ``owner`` [n]: rows with different elements are not compared with each other.
    """
    before, after = h @ h.mH, moved @ moved.mH
    apart = after - before
    if owner is not None:
        same = owner[:, None] == owner[None, :]
        apart, before = apart * same, before * same
    return 0.5 * rms(apart) / (rms(before) or 1.0)  # half: a relative change ε of the rows changes products by 2ε


def orthogonal(values: list[Tensor], moved: list[Tensor], owners: list[Tensor] | None = None) -> Fit:
    """The best error over all ways to read the tensor as rows, with an orthogonal T_g."""
    best = Fit(float("inf"), "")
    for k in splits(values[0]):
        h, m = as_rows(values, k), as_rows(moved, k)
        owner = None
        if owners is not None:
            each = [
                o.repeat_interleave(len(as_rows([v], k)) // max(len(o), 1)) for o, v in zip(owners, values, strict=True)
            ]
            owner = torch.cat(each)
            if len(owner) != len(h):
                continue
            owner, _ = thin(owner, owner)
        h, m = thin(h, m)
        error = products_change(h, m, owner)
        if error < best.error:
            best = Fit(error, "an orthogonal T_g", len(h))
    return best


def about_an_offset(values: list[Tensor], moved: list[Tensor]) -> Fit:
    """The same once the mean of all rows is taken off: small where only a constant offset stands in the way."""
    best = Fit(float("inf"), "")
    for k in splits(values[0]):
        h, m = thin(as_rows(values, k), as_rows(moved, k))
        if len(h) < 3:
            continue
        # Offsets may differ from one kind of row to another (nodes of a kind): the mean over all rows is the simplest.
        size = rms(h @ h.mH) or 1.0
        a, b = m - m.mean(0), h - h.mean(0)
        error = 0.5 * rms(a @ a.mH - b @ b.mH) / size
        if error < best.error:
            best = Fit(error, "a constant offset", len(h))
    return best


def linear(values: list[Tensor], moved: list[Tensor], twice: list[Tensor], seed: int) -> Fit | None:
    """Any linear T_g, fitted on half of the rows and judged on the other half; None where the rows do not suffice.

    ``twice`` are activations for ρ(g²) x, for the first entries of ``moved``: T_g must take h(ρ(g) x) there too (the
    group law).
    """
    best: Fit | None = None
    short = False
    for k in splits(values[0]):
        h, m = thin(as_rows(values, k), as_rows(moved, k), 2048)
        if h.shape[1] > 512 or len(h) < 8:
            short = short or k == 1
            continue
        order = torch.randperm(len(h), generator=torch.Generator().manual_seed(seed)).to(h.device)
        train, test = order[: len(h) // 2], order[len(h) // 2 :]
        singular = torch.linalg.svdvals(h[train])
        rank = int((singular > 1e-12 * singular[0]).sum()) if float(singular[0]) > 0 else 0
        if rank + 2 > len(train):
            short = short or k == 1  # with as many directions as rows every change can be explained
            continue
        t = torch.linalg.lstsq(h[train].cpu(), m[train].cpu(), rcond=1e-12, driver="gelsd").solution.to(h.device)
        error = rms(m[test] - h[test] @ t) / (rms(h[test]) or 1.0)
        if twice:
            again, there = as_rows(moved[: len(twice)], k), as_rows(twice, k)
            error = max(error, rms(there - again @ t) / (rms(again) or 1.0))
        if best is None or error < best.error:
            best = Fit(error, "a linear T_g that is not orthogonal", len(h))
    # Where the way of reading that comes first can't be tried, only a success of another one says something.
    return None if short and (best is None or best.error > 1e-6) else best


def sorted_rows_change(h: Tensor, moved: Tensor, seed: int) -> float:
    """Relative change of the rows apart from their order: rows sorted by one random projection, then compared."""
    best = float("inf")
    for k in splits(h):
        a, b = as_rows([h], k), as_rows([moved], k)
        if a.shape != b.shape or len(a) < 2:
            continue
        direction = torch.randn(a.shape[1], generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(a)
        first, second = (x[torch.argsort((x @ direction).real)] for x in (a, b))
        best = min(best, rms(second - first) / (rms(a) or 1.0))
    return best
