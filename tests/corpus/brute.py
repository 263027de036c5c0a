"""An independent check of the corpus: a few random elements, the action written out, no equiaudit."""

from __future__ import annotations

import contextlib
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from scipy.linalg import expm
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from .case import Act, Case, Claim, map_leaves, seeded
from .parts import harmonics2


def orthogonal(n: int, rng: Any, det: int = 1) -> np.ndarray:
    """A Haar-random orthogonal matrix with this determinant."""
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    q = q * np.sign(np.diag(r))
    q[0] *= det * np.sign(np.linalg.det(q))
    return q


def draw(claim: Claim, rng: Any, unit: float = 1.0) -> SimpleNamespace:
    """An element: ``linear`` [d, d], ``shift`` [d], ``matrix``, and ``order(n)``, permutations of nodes, edges."""
    orders: dict[tuple[str, int], np.ndarray] = {}
    g = SimpleNamespace(shift=0.0, order=lambda n, what="nodes": orders.setdefault((what, n), rng.permutation(n)))
    if claim.draw is not None:
        g.linear = g.matrix = claim.draw(rng)
        return g
    name, _, size = re.match(r"(\w+)\((inversion=\w+|(\d*).*)\)", str(claim.group)).groups()
    n = int(size or 0)
    if name in ("SO", "SE", "O", "E", "T"):
        g.linear = np.eye(n) if name == "T" else orthogonal(n, rng, int(rng.choice([-1, 1])) if name in "OE" else 1)
        g.shift = 5 * unit * rng.standard_normal(n) if name in ("E", "SE", "T") else np.zeros(n)
    elif name in ("Cyclic", "Dihedral"):
        k = int(rng.integers(1, n))
        flip = np.diag([1, rng.choice([-1, 1])]) if name == "Dihedral" else np.eye(2)
        turn = 2 * np.pi * k / n
        g.linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ flip
    elif name == "Lorentz":
        a = np.zeros((4, 4))
        boost, w = rng.standard_normal(3), 2 * rng.standard_normal(3)
        a[0, 1:] = a[1:, 0] = 0.8 * boost / np.linalg.norm(boost)
        a[1:, 1:] = [[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]]
        g.linear = expm(a)
    elif name == "U":
        q, _ = np.linalg.qr(rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n)))
        g.linear = q * np.exp(2j * np.pi * rng.random())
    elif name == "Octahedral":
        g.linear = Rotation.create_group("O").as_matrix()[int(rng.integers(24))]
    elif name == "Permutations":
        g.linear = np.eye(1)
    else:
        raise NotImplementedError(f"brute force does not know the group {claim.group}")
    g.matrix = g.linear
    return g


def wigner(l: int, a: np.ndarray) -> np.ndarray:
    """D of degree l ≤ 2 for a proper rotation, from its action on harmonics of random points."""
    if l == 0:
        return np.eye(1)
    if l == 1:
        return a
    x = np.random.default_rng(0).standard_normal((40, 3))
    y, turned = (harmonics2(torch.from_numpy(np.ascontiguousarray(v))).numpy() for v in (x, x @ a.T))
    return np.linalg.lstsq(y, turned, rcond=None)[0].T


def act(rep: Any, g: Any, x: Any) -> Any:
    """ρ(g) x for one leaf."""
    if rep is None or x is None:
        return x
    if isinstance(rep, Act):
        return rep.own(g, x)
    if callable(rep):
        return rep(g, x)
    det = np.linalg.det(g.linear).real
    if rep in ("invariant", "scalar"):
        return x
    if rep == "pseudoscalar":
        return x * det
    if rep in ("vector", "points", "pseudovector"):
        y = x @ matrix_like(g.linear, x).T
        return y * det if rep == "pseudovector" else y + torch.as_tensor(g.shift).to(y) if rep == "points" else y
    if rep == "tensor":
        a = matrix_like(g.linear, x)
        return a @ x @ a.T
    if rep == "voigt":
        a = matrix_like(g.linear, x)
        i, j = [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]
        full = torch.zeros(3, 3, dtype=x.dtype)
        full[i, j] = full[j, i] = x
        return (a @ full @ a.T)[i, j]
    if rep == "image":
        return turn_image(g.linear, x)
    if rep == "nodes":
        return x[torch.from_numpy(g.order(len(x)))]
    if rep == "edge_index":
        renamed = torch.from_numpy(np.argsort(g.order(int(x.max()) + 1)))[x]
        return renamed[:, torch.from_numpy(g.order(x.shape[1], "edges"))]
    if rep == "edges":
        return x[torch.from_numpy(g.order(len(x), "edges"))]
    return irreps(rep, g.linear, x, det)


def matrix_like(a: np.ndarray, x: Tensor) -> Tensor:
    """The matrix in the dtype of x."""
    return torch.from_numpy(np.ascontiguousarray(a)).to(x.dtype)


def turn_image(a: np.ndarray, x: Tensor) -> Tensor:
    """Quarter turns and flips of the last two dimensions, about the centre; rows run downwards."""
    k = round(float(np.arctan2(a[1, 0], a[0, 0])) / (np.pi / 2)) % 4
    if np.linalg.det(a) < 0:
        x = x.flip(-2)
    return torch.rot90(x, k, (-2, -1))


def irreps(text: str, a: np.ndarray, x: Tensor, det: float) -> Tensor:
    """Blocks of "2x0e+1x1o", components in e3nn's order."""
    blocks, start = [], 0
    for term in text.replace(" ", "").split("+"):
        count, l, parity = re.fullmatch(r"(\d+)x(\d+)([eo])", term).groups()
        d = matrix_like(wigner(int(l), a * det) * (det if parity == "o" else 1.0), x)
        width = 2 * int(l) + 1
        block = x[..., start : start + int(count) * width]
        blocks.append((block.reshape(*block.shape[:-1], int(count), width) @ d.T).flatten(-2))
        start += int(count) * width
    return torch.cat(blocks, -1)


def act_tree(claim: Claim, reps: Any, tree: Any, elements: list[Any], inputs: Any) -> Any:
    """ρ(g) on a pytree; with ``batch`` each sample has its own element."""

    def one(x: Any, rep: Any) -> Any:
        if claim.batch is None or not isinstance(x, Tensor):
            return act(rep, elements[0], x)
        rows = range(len(x))
        if isinstance(claim.batch, str) and len(x) == len(inputs[claim.batch]):
            rows = inputs[claim.batch].tolist()
        return torch.cat([act(rep, elements[r % len(elements)], x[i : i + 1]) for i, r in enumerate(rows)])

    return map_leaves(one, tree, reps)


def call(case: Case, model: Any, inputs: Any) -> Any:
    """The model on the inputs, as the audit calls it."""
    inputs = map_leaves(lambda x: x.clone() if isinstance(x, Tensor) else x, inputs)
    same = seeded(7) if case.options.get("randomness") == "match" else contextlib.nullcontext()
    with same:
        if "forward" in case.options:
            return case.options["forward"](model, inputs)
        return model(*inputs) if type(inputs) is tuple else model(inputs)


def to_double(model: Any, inputs: Any) -> tuple[Any, Any]:
    """Model, in place, and inputs in double precision."""
    if isinstance(model, nn.Module):
        model = model.double()

    def wide(x: Any) -> Any:
        if isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex()):
            return x.to(torch.complex128 if x.is_complex() else torch.float64)
        return x

    return model, map_leaves(wide, inputs)


def select(tree: Any, reps: Any) -> list[Tensor]:
    """The declared leaves in order, detached; integers and masks as numbers."""
    found: list[Tensor] = []

    def keep(x: Any, rep: Any) -> None:
        if rep is not None and isinstance(x, Tensor):
            found.append(x.detach() if x.is_floating_point() or x.is_complex() else x.double())

    map_leaves(keep, tree, reps)
    return found


def rms(x: Tensor) -> float:
    """Root mean square."""
    return float(x.detach().abs().square().mean().sqrt())


def spread(inputs: Any, claims: tuple[Claim, ...]) -> float:
    """The unit of translations: the size of the points about their centre, 1 where there are none."""
    found = [1.0]

    def look(x: Any, rep: Any) -> None:
        if rep == "points" and len(x) > 1:
            found.append(rms(x - x.reshape(-1, x.shape[-1]).mean(0)))

    map_leaves(look, inputs, claims[0].inputs)
    return found[-1]


def violation(case: Case, seed: int = 0) -> tuple[float, float]:
    """(largest RMS residual over the change under a 5 % jitter, largest RMS residual over the size of the output)."""
    model, inputs, claims = case.parts()
    if case.brute != "declared":
        model, inputs = to_double(model, inputs)
    generator = torch.Generator().manual_seed(seed + 1)
    if case.options.get("perturb") or case.cause == "hidden by parameter":
        with torch.no_grad():
            for p in filter(lambda p: p.requires_grad, model.parameters()):
                p += 0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype)

    def jitter(x: Any) -> Any:
        if not isinstance(x, Tensor) or not (x.is_floating_point() or x.is_complex()):
            return x
        return x + 0.05 * rms(x) * torch.randn(x.shape, generator=generator, dtype=x.dtype)

    if case.brute == "jittered":
        inputs = map_leaves(jitter, inputs)
    if case.brute == "aligned":
        inputs = inputs.clone()
        inputs[1, :2] = inputs[0, :2]
    plain, moved = call(case, model, inputs), call(case, model, map_leaves(jitter, inputs))
    by_move = by_size = 0.0
    tries = 24 if case.cause == "discontinuity" else 6  # a tie may fall the same way for one element
    unit = spread(inputs, claims)
    rng = np.random.default_rng(seed)
    for claim in claims:
        for _ in range(tries):
            elements = [draw(claim, rng, unit) for _ in range(1 if claim.batch is None else 9)]
            got = call(case, model, act_tree(claim, claim.inputs, inputs, elements, inputs))
            want = act_tree(claim, claim.outputs, plain, elements, inputs)
            leaves = [select(t, claim.outputs) for t in (got, want, plain, moved)]
            for a, b, y, m in zip(*leaves, strict=True):
                if case.brute == "columns":  # of very different sizes: the last one alone
                    a, b, y, m = (t[..., -1] for t in (a, b, y, m))
                residual = rms(a - b)
                by_move = max(by_move, residual / (rms(m - y if m.shape == y.shape else y) or 1.0))
                if rms(y) > 1e-12:  # not for a leaf that is zero, and should be
                    by_size = max(by_size, residual / rms(y))
    return by_move, by_size
