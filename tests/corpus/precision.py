"""Precision and backend (BUGS 21 to 23): rounding that must be called rounding, and violations as small as rounding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .bias_norm import VectorNet
from .case import BROKEN, EXACT, VACUOUS, Case, Claim
from .parts import molecule, net, pairs, radial

LOW = "low precision"


def atoms(model: nn.Module, outputs="invariant", dtype=torch.float32, seed: int = 9, group: str = "E(3)"):
    """The model and its inputs in this dtype."""
    positions, species = molecule(seed=seed)
    claim = Claim(group, {"positions": "points", "species": None}, outputs)
    return model.to(dtype), {"positions": positions.to(dtype), "species": species}, claim


class Coarse(torch.autograd.Function):
    """Keep ten bits of a float32's fraction, as TF32 units do; other dtypes pass. The derivative is 1."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        if x.dtype != torch.float32:
            return x.clone()
        return ((x.contiguous().view(torch.int32) + 0x1000) & -0x2000).view(torch.float32)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return grad


class TensorCoreLinear(nn.Linear):
    """A linear layer whose products are formed from ten-bit fractions in float32, and are exact in float64."""

    def forward(self, x: Tensor) -> Tensor:
        return Coarse.apply(x) @ Coarse.apply(self.weight).T


def tf32(on: bool):
    model = VectorNet(mix=(TensorCoreLinear if on else nn.Linear)(8, 16, bias=False))
    return atoms(model, {"energy": "invariant", "dipole": "vector"})


class HalfInside(nn.Module):
    """Vectors pass through bfloat16 on the way, whatever the declared dtype."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(8, 16, bias=False)

    def forward(self, v: Tensor) -> Tensor:
        return self.mix(v.to(torch.bfloat16).to(v.dtype))


class Quantised(nn.Module):
    """Vectors rounded to 255 levels, as a quantised activation."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(8, 16, bias=False)

    def forward(self, v: Tensor) -> Tensor:
        step = v.detach().abs().max() / 127
        return self.mix((v / step).round() * step)


def inside(piece: nn.Module, dtype=torch.float32):
    return atoms(VectorNet(mix=piece), {"energy": "invariant", "dipole": "vector"}, dtype)


class AngleNet(nn.Module):
    """Energy from angles between neighbours: atan2 of cross and dot, or arccos of the dot product near its edge."""

    def __init__(self, arccos: bool, sharpness: float = 1.0):
        super().__init__()
        self.arccos, self.sharpness, self.out = arccos, sharpness, net(3, 16, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["positions"]
        i, j = pairs(len(x))
        r = (x[j] - x[i]).reshape(len(x), len(x) - 1, 3)
        u = r / r.norm(dim=-1, keepdim=True)
        a, b = u[:, 1:], u[:, :-1]
        dot = (a * b).sum(-1)
        if self.arccos:
            angle = torch.arccos(dot.clamp(-1, 1))
        else:
            angle = torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), dot)
        angle = angle * self.sharpness
        lengths = r.norm(dim=-1)
        return self.out(torch.stack([angle.cos(), (2 * angle).sin(), 1 / (lengths[:, 1:] * lengths[:, :-1])], -1)).sum()


def bent(arccos: bool, sharpness: float = 1.0, dtype=torch.float32):
    """Atoms almost on a line through the first: angles near 0, where arccos loses half of the digits."""
    model, inputs, claim = atoms(AngleNet(arccos, sharpness), dtype=dtype)
    line = torch.linspace(1.0, 6.0, 6)[:, None] * torch.tensor([0.48, 0.64, 0.6])
    off = 1e-3 * torch.randn(6, 3)
    inputs["positions"] = (torch.cat([torch.zeros(1, 3), line + off]) + torch.tensor([0.7, -1.3, 2.1])).to(dtype)
    return model, inputs, claim


class WrongBackward(torch.autograd.Function):
    """A 'kernel' for squared lengths [e, 3] -> [e]: right forward; the backward of the faulty one mixes up y and z."""

    @staticmethod
    def forward(ctx, r: Tensor, fault: bool) -> Tensor:
        ctx.save_for_backward(r)
        ctx.fault = fault
        return r.square().sum(-1)

    @staticmethod
    def backward(ctx, grad: Tensor):
        (r,) = ctx.saved_tensors
        out = 2 * r * grad[:, None]
        return (out[:, [0, 2, 1]] if ctx.fault else out), None


class KernelPotential(nn.Module):
    """Energy through a custom kernel, forces from its backward."""

    def __init__(self, fault: bool):
        super().__init__()
        self.fault, self.edge = fault, net(6, 16, 1)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = inputs["positions"].detach().requires_grad_()
        with torch.enable_grad():
            i, j = pairs(len(x))
            energy = self.edge(radial(WrongBackward.apply(x[j] - x[i], self.fault).sqrt())).sum()
            (slope,) = torch.autograd.grad(energy, x)
        return {"energy": energy.detach(), "forces": -slope}


class Leaky(nn.Module):
    """An invariant net of pair distances with an honest violation of relative size ``leak``."""

    def __init__(self, leak: float, offset: float = 0.0, depth: int = 2):
        super().__init__()
        self.leak, self.offset = leak, offset
        self.edge, self.out = net(6, 16, 8, bias=False), nn.Linear(8, 1, bias=False)
        self.body = net(*[8] * (depth + 1), bias=False)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["positions"]
        i, j = pairs(len(x))
        r = x[j] - x[i]
        h = torch.zeros(len(x), 8, dtype=x.dtype).index_add(0, i, self.edge(radial(r.norm(dim=-1))))
        h = (
            h
            + 0.03
            * self.leak
            * torch.zeros(len(x), 3, dtype=x.dtype).index_add(0, i, (r * r[:, :1]).tanh()).repeat(1, 3)[:, :8]
        )
        return self.out(self.body(h)).sum() + self.offset


class Deep(nn.Module):
    """Forty residual layers with large weights: float32 rounding grows to 1e-6 … 1e-5, nothing else is wrong."""

    def __init__(self, depth: int = 40):
        super().__init__()
        self.edge, self.out = net(6, 32, 32), nn.Linear(32, 1)
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.3)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["positions"]
        i, j = pairs(len(x))
        h = torch.zeros(len(x), 32, dtype=x.dtype).index_add(0, i, self.edge(radial((x[j] - x[i]).norm(dim=-1))))
        for layer in self.layers:
            h = h + 0.5 * torch.sin(layer(h))
        return self.out(h).sum()


class Projector(nn.Module):
    """The traceless part of a symmetric tensor; ⅓ is a Python number, or a buffer with the rounding it was made with.

    The last diagonal entry is minus the sum of the others, right only where ⅓ is exact.
    """

    def __init__(self, third: float | Tensor):
        super().__init__()
        self.weights = net(6, 16, 1)
        if isinstance(third, Tensor):
            self.register_buffer("third", third)
        else:
            self.third = third

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["positions"]
        i, j = pairs(len(x))
        r = x[j] - x[i]
        t = (r[:, :, None] * r[:, None, :] * self.weights(radial(r.norm(dim=-1)))[:, :, None]).sum(0)
        d = t.diagonal()
        xx, yy = d[0] - self.third * d.sum(), d[1] - self.third * d.sum()
        return t - torch.diag(d) + torch.diag(torch.stack([xx, yy, -xx - yy]))


class FixedPoint(nn.Module):
    """A chaotic map run long enough to turn rounding into an output of its own: no digit survives."""

    def __init__(self, steps: int = 120):
        super().__init__()
        self.steps, self.edge = steps, net(6, 8, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["positions"]
        i, j = pairs(len(x))
        e = self.edge(radial((x[j] - x[i]).norm(dim=-1)))
        y = torch.sigmoid(torch.zeros(len(x), 1, dtype=x.dtype).index_add(0, i, e))
        for _ in range(self.steps):
            y = 3.97 * y * (1 - y)
        return y


STORED = torch.tensor(1 / 3, dtype=torch.float32)
THIRD = float(STORED)  # 0.33333334
KERNEL = {"energy": "invariant", "forces": "vector"}
TF32, SE3T, BACKEND = (
    "BUGS 21: nequip #70, cuEquivariance PR 7",
    "BUGS 22: se3-transformer-pytorch #3",
    "BUGS 23: MACE #1298, OpenEquivariance #211",
)
F64 = torch.float64
CASES = (
    Case("float32-products", TF32, lambda: tf32(False), EXACT),
    Case("tf32-products", TF32, lambda: tf32(True), BROKEN, LOW, brute="declared", note="exact in float64"),
    Case("bfloat16-inside", "own", lambda: inside(HalfInside()), BROKEN),
    Case("quantised-vectors", "own", lambda: inside(Quantised()), BROKEN),
    Case("quantised-vectors-float64", "own", lambda: inside(Quantised(), F64), BROKEN),
    Case("angles-by-atan2", SE3T, lambda: bent(False), EXACT),
    Case(
        "angles-by-arccos",
        SE3T,
        lambda: bent(True),
        EXACT,
        note="1e-4 in float32 by cancellation, gone in float64: rounding",
    ),
    Case("angles-by-arccos-float64", SE3T, lambda: bent(True, dtype=F64), EXACT),
    Case("kernel-forces", BACKEND, lambda: atoms(KernelPotential(False), KERNEL, F64), EXACT),
    Case(
        "kernel-forces-fault",
        BACKEND,
        lambda: atoms(KernelPotential(True), KERNEL, F64),
        BROKEN,
        note="energy is right",
    ),
    Case("no-leak-float32", "own", lambda: atoms(Leaky(0.0)), EXACT),
    *(Case(f"leak-{leak:.0e}-float32", "own", lambda leak=leak: atoms(Leaky(leak)), BROKEN) for leak in (1e-5, 1e-6)),
    *(
        Case(f"leak-{leak:.0e}-float64", "own", lambda leak=leak: atoms(Leaky(leak), dtype=F64), BROKEN)
        for leak in (1e-8, 1e-10)
    ),
    Case("leak-behind-an-offset", "own", lambda: atoms(Leaky(1e-5, offset=1e4), dtype=F64), BROKEN),
    Case("leak-behind-an-offset-float32", "own", lambda: atoms(Leaky(1e-3, offset=1e4)), BROKEN),
    Case("offset", "own", lambda: atoms(Leaky(0.0, offset=1e4), dtype=F64), EXACT),
    Case("offset-float32", "own", lambda: atoms(Leaky(0.0, offset=1e4)), EXACT),
    Case("deep-float32", "own", lambda: atoms(Deep()), EXACT, note="rounding of 1e-6 to 1e-5"),
    Case("deep-bfloat16", "own", lambda: atoms(Deep(8), dtype=torch.bfloat16, group="O(3)"), EXACT),
    Case("third", "own", lambda: atoms(Projector(1 / 3), "tensor", F64), EXACT),
    Case("third-stored", "own", lambda: atoms(Projector(torch.tensor(1 / 3, dtype=F64)), "tensor", F64), EXACT),
    Case(
        "third-float32", "own", lambda: atoms(Projector(THIRD), "tensor"), EXACT, rounding=2e-7, note="exact to float32"
    ),
    Case(
        "third-stored-float32",
        "own",
        lambda: atoms(Projector(STORED), "tensor"),
        EXACT,
        rounding=2e-7,
        note="exact to float32",
    ),
    Case("third-float32-in-float64", "own", lambda: atoms(Projector(THIRD), "tensor", F64), BROKEN),
    Case("third-stored-float32-in-float64", "own", lambda: atoms(Projector(STORED), "tensor", F64), BROKEN),
    Case(
        "chaos",
        "own",
        lambda: atoms(FixedPoint(), "invariant"),
        VACUOUS,
        note="rounding grown to the size of the output",
    ),
)
