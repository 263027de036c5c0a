"""How models are called and in which dtype: closures, bound methods, models that can't run in float64, casts inside."""

from __future__ import annotations

import functools
import threading

import numpy as np
import torch
from torch import Tensor, nn

from .case import BROKEN, EXACT, INVALID, Case, Claim
from .parts import molecule, net, pairs, radial

F32, F64, BF16 = torch.float32, torch.float64, torch.bfloat16
OUT = {"energy": "invariant", "vector": "vector"}


class Plain(nn.Module):
    """Energy and a vector; ``leak`` adds that much of one component's square."""

    def __init__(self, leak: float = 0.0):
        super().__init__()
        self.leak, self.edge, self.out = leak, net(6, 16, 4), net(3, 8, 1)

    def pairwise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        i, j = pairs(len(x))
        r = x[j] - x[i]
        w = self.edge(radial(r.norm(dim=-1)))
        v = torch.zeros_like(x).index_add(0, i, r * w[:, :1])
        h = torch.zeros(len(x), 3, dtype=x.dtype).index_add(0, i, w[:, 1:])
        return v, h + self.leak * (v[:, :1] ** 2).tanh()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        v, h = self.pairwise(x)
        return {"energy": self.out(h).sum(), "vector": v}

    def energy(self, x: Tensor, scale: float = 1.0) -> Tensor:
        return scale * self.forward(x)["energy"]


class SinglePrecisionInside(Plain):
    """Work arrays are float32 whatever comes in: a float64 copy raises."""

    def pairwise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        i, j = pairs(len(x))
        r = x[j] - x[i]
        w = self.edge(radial(r.norm(dim=-1)))
        v = torch.zeros(len(x), 3, dtype=F32).index_add(0, i, r * w[:, :1])
        h = torch.zeros(len(x), 3, dtype=F32).index_add(0, i, w[:, 1:])
        return v, h + self.leak * (v[:, :1] ** 2).tanh()


class Fussy(Plain):
    """Refuses any other dtype than float32."""

    def pairwise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        assert x.dtype == F32, "float32 only"
        return super().pairwise(x)


class CastInside(Plain):
    """``.float()`` on the way: harmless in a float32 model, a violation of 1e-8 in one that is declared float64."""

    def pairwise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        i, j = pairs(len(x))
        r = x[j] - x[i]
        d = r.float().norm(dim=-1).to(x.dtype)
        w = self.edge(radial(d))
        v = torch.zeros_like(x).index_add(0, i, r * w[:, :1])
        return v, torch.zeros(len(x), 3, dtype=x.dtype).index_add(0, i, w[:, 1:])


class Locked(Plain):
    """Holds something that can't be copied."""

    def __init__(self, leak: float = 0.0):
        super().__init__(leak)
        self.lock = threading.Lock()


class NumpyNoise(Plain):
    """Noise from numpy's global generator, on invariant weights."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        v, h = self.pairwise(x)
        return {"energy": self.out(h).sum(), "vector": v * float(1 + 0.1 * np.random.standard_normal())}  # noqa: NPY002


class Same(nn.Module):
    """Returns the very tensor that it was given."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def points(model, dtype=F64, outputs=OUT, group: str = "E(3)", seed: int = 90):
    if isinstance(model, nn.Module):
        model = model.to(dtype)
    return model, molecule(seed=seed)[0].to(dtype), Claim(group, "points", outputs)


def closure(leak: float, dtype=F32):
    """The model is hidden in a function: no parameters in sight, so no float64 copy by ``.double()``."""
    model = Plain(leak).to(dtype)

    def predict(x: Tensor) -> Tensor:
        return model(x)["energy"]

    return points(predict, dtype, "invariant")


def bound(leak: float):
    return points(functools.partial(Plain(leak).float().energy, scale=2.0), F32, "invariant")


def ordered(fault: bool):
    """Rigid motions hold; a weight by place in the list breaks relabelling."""

    class Weighted(Plain):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            v, h = self.pairwise(x)
            weight = (
                1 + 0.01 * torch.arange(len(x), dtype=x.dtype)[:, None]
                if fault
                else torch.ones(len(x), 1, dtype=x.dtype)
            )
            return {"energy": self.out(h * weight).sum(), "vector": v}

    model, x, claim = points(Weighted())
    return model, x, (claim, Claim("Permutations()", "nodes", {"energy": "invariant", "vector": "nodes"}))


def with_grad(leak: float):
    """Inputs that require a gradient and are neither leaves nor contiguous."""
    model, x, claim = points(Plain(leak))
    return model, (x.T.contiguous().requires_grad_() * 1.0).T, claim


def expanded():
    """A batch made by ``expand``: all rows share memory."""

    class Rows(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([self.pairwise(row)[0] for row in x])

    return Rows(), molecule(5, seed=91)[0].expand(3, 5, 3), Claim("E(3)", "points", "vector", batch=0)


CASES = (
    Case("closure-float32", "own", lambda: closure(0.0), EXACT, brute="declared", rounding=1e-5),
    Case("closure-float32-leak", "own", lambda: closure(1e-2), BROKEN, brute="declared"),
    Case("bound-method-float32", "own", lambda: bound(0.0), EXACT, brute="declared", rounding=1e-5),
    Case("bound-method-float32-leak", "own", lambda: bound(1e-2), BROKEN, brute="declared"),
    Case("float32-only", "own", lambda: points(SinglePrecisionInside(), F32), EXACT, brute="declared", rounding=1e-5),
    Case("float32-only-leak", "own", lambda: points(SinglePrecisionInside(1e-2), F32), BROKEN, brute="declared"),
    Case("asserts-float32", "own", lambda: points(Fussy(), F32), EXACT, brute="declared", rounding=1e-5),
    Case("asserts-float32-leak", "own", lambda: points(Fussy(1e-2), F32), BROKEN, brute="declared"),
    Case("cast-inside-float32", "own", lambda: points(CastInside(), F32), EXACT, rounding=1e-6),
    Case("cast-inside-float64", "own", lambda: points(CastInside()), BROKEN),
    Case("can-not-be-copied", "own", lambda: points(Locked()), EXACT),
    Case("can-not-be-copied-float32", "own", lambda: points(Locked(), F32), EXACT),
    Case("can-not-be-copied-leak", "own", lambda: points(Locked(1e-4), F32), BROKEN),
    Case("bfloat16", "own", lambda: points(Plain(), BF16), EXACT),
    Case("bfloat16-leak", "own", lambda: points(Plain(1e-2), BF16), BROKEN),
    Case("numpy-noise", "own", lambda: points(NumpyNoise()), INVALID),
    Case("identity", "own", lambda: points(Same(), outputs="points"), EXACT),
    Case("claims-both-hold", "own", lambda: ordered(False), EXACT),
    Case("claims-one-fails", "own", lambda: ordered(True), BROKEN),
    Case("inputs-with-gradients", "own", lambda: with_grad(0.0), EXACT),
    Case("inputs-with-gradients-leak", "own", lambda: with_grad(1e-4), BROKEN),
    Case("expanded-batch", "own", expanded, EXACT),
)
