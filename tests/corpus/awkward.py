"""Models that are awkward to measure: numpy inside, in-place work, caches, frozen constants, far from the origin."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree
from torch import Tensor, nn

from .case import BROKEN, EXACT, Case, Claim
from .images import shift
from .parts import envelope, molecule, net, pairs, radial

ATOMS = {"positions": "points", "species": None}


def atoms(model: nn.Module, outputs="invariant", group: str = "E(3)", dtype=torch.float64, far: float = 0.0):
    positions, species = molecule(seed=70)
    inputs = {"positions": (positions + far).to(dtype), "species": species}
    return model.to(dtype), inputs, Claim(group, ATOMS, outputs)


class PairNet(nn.Module):
    """Energy and dipole from pairs; subclasses change how the pairs are found or the work is done."""

    def __init__(self):
        super().__init__()
        self.edge = net(6, 16, 2)

    def find(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return pairs(len(x))

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        i, j = self.find(x)
        r = x[j] - x[i]
        d = r.norm(dim=-1)
        w = self.edge(radial(d)) * envelope(d, 4.0)[:, None]
        charge = torch.zeros(len(x), dtype=x.dtype).index_add(0, i, w[:, 1])
        return w[:, 0].sum(), charge @ (x - x.mean(0))

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.read(inputs["positions"])


PAIR = ("invariant", "vector")


class TreeSearch(PairNet):
    """Neighbours from a k-d tree in numpy, in whatever order the tree returns them."""

    def find(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = cKDTree(x.detach().double().numpy()).query_pairs(4.0, output_type="ndarray")
        both = torch.from_numpy(np.concatenate([found, found[:, ::-1]]))
        return both[:, 0], both[:, 1]


class NoGrad(PairNet):
    """Inference code: no gradient is ever recorded."""

    @torch.no_grad()
    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.read(inputs["positions"])


class InferenceMode(PairNet):
    """The same with ``torch.inference_mode``."""

    @torch.inference_mode()
    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.read(inputs["positions"])


class InPlace(PairNet):
    """Centres the caller's own tensor."""

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        inputs["positions"] -= inputs["positions"].mean(0)
        return self.read(inputs["positions"])


class InNumpy:
    """A calculator without torch inside: not a module, tensors in and out."""

    def __init__(self, epsilon: float = 0.0):
        self.epsilon = epsilon

    def __call__(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = inputs["positions"].detach().numpy()
        r = x[:, None] - x[None]
        d2 = (r**2).sum(-1) + np.eye(len(x)) + self.epsilon * r[..., 0] ** 2
        forces = (12 * d2**-7 - 6 * d2**-4)[..., None] * r
        return {"energy": torch.tensor((d2**-6 - d2**-3).sum()), "forces": torch.from_numpy(forces.sum(1))}


def in_numpy(epsilon: float):
    positions, species = molecule(seed=71)
    claim = Claim("E(3)", ATOMS, {"energy": "invariant", "forces": "vector"})
    return InNumpy(epsilon), {"positions": positions, "species": species}, claim


class Frozen(nn.Module):
    """A metric kept as a frozen parameter and a trainable gain of one: only the second may be touched."""

    def __init__(self):
        super().__init__()
        self.metric = nn.Parameter(torch.diag(torch.tensor([1.0, -1.0, -1.0, -1.0])), requires_grad=False)
        self.gain, self.inner = nn.Parameter(torch.ones(1)), net(1, 8, 1)

    def forward(self, p: Tensor) -> Tensor:
        products = torch.asinh(p @ self.metric @ p.T)
        return self.gain * self.inner(products[..., None])[..., 0] @ p


def frozen():
    return Frozen(), torch.randn(5, 4) + 0.5, Claim("Lorentz()", "vector", "vector")


class Cached(nn.Module):
    """A network in a principal frame that is worked out on the first call and kept."""

    def __init__(self, keep: bool):
        super().__init__()
        self.keep, self.axes, self.inner = keep, None, net(3, 16, 4)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["positions"] - inputs["positions"].mean(0)
        axes = self.axes
        if axes is None:
            axes = torch.linalg.svd(x, full_matrices=False).Vh
            axes = axes * torch.sign(((x @ axes.T) ** 3).sum(0))[:, None]
            if self.keep:
                self.axes = axes
        return self.inner(x @ axes.T.to(x.dtype)).mean(0)


class Distances(nn.Module):
    """``torch.cdist``, which has no forward derivative and no double backward."""

    def __init__(self):
        super().__init__()
        self.inner = net(6, 16, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["positions"]
        d = torch.cdist(x, x) + 3 * torch.eye(len(x), dtype=x.dtype)
        return self.inner(radial(d)).sum()


class VectorSDPA(nn.Module):
    """Fused attention with invariant queries and keys; each head's values are vectors."""

    def __init__(self):
        super().__init__()
        self.embed, self.query, self.key, self.gate = (
            nn.Embedding(2, 4),
            nn.Linear(10, 8),
            nn.Linear(10, 8),
            net(10, 8, 4),
        )

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["positions"]
        x = x - x.mean(0)
        h = torch.cat([self.embed(inputs["species"]), radial(x.norm(dim=-1))], -1)
        value = (x[:, None] * self.gate(h)[..., None]).flatten(1)[None, None]  # [1, 1, n, 12]
        return F.scaled_dot_product_attention(self.query(h)[None, None], self.key(h)[None, None], value)[
            0, 0
        ].unflatten(-1, (4, 3))


class Solve(nn.Module):
    """Charge equilibration: a linear system for charges, then energy and dipole."""

    def __init__(self):
        super().__init__()
        self.hardness, self.electronegativity = nn.Embedding(2, 1), nn.Embedding(2, 1)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        x, s = inputs["positions"], inputs["species"]
        n = len(x)
        i, j = pairs(n)
        d = (x[j] - x[i]).norm(dim=-1)
        coulomb = torch.zeros(n * n, dtype=x.dtype).index_add(0, i * n + j, 1 / (d.square() + 0.5).sqrt()).reshape(n, n)
        a = coulomb + torch.diag(2 + self.hardness(s)[:, 0].square())
        chi = self.electronegativity(s)[:, 0]
        inverse = torch.linalg.solve(a, torch.stack([chi, torch.ones_like(chi)], -1))
        q = -inverse[:, 0] + inverse[:, 1] * (inverse[:, 0].sum() / inverse[:, 1].sum())
        return (q * chi).sum() + q @ a @ q / 2, q @ x


class Degrees(nn.Module):
    """Features by degree, keyed by integers, as several libraries pass them: {0: [n, c], 1: [n, c, 3]}."""

    def __init__(self, fault: bool):
        super().__init__()
        self.fault, self.mix, self.gate = fault, nn.Linear(3, 2, bias=False), net(3, 8, 2)

    def forward(self, features: dict[int, Tensor]) -> dict[int, Tensor]:
        s, v = features[0], features[1]
        mixed = self.mix(v.transpose(1, 2)).transpose(1, 2)
        axis = 1 if self.fault else 2  # the length of a vector runs over xyz, not over channels
        norm = mixed.norm(dim=axis, keepdim=True)
        return {0: self.gate(s) + mixed.square().sum(-1), 1: mixed / (norm + 1.0)}


def degrees(fault: bool):
    features = {0: torch.randn(6, 3), 1: torch.randn(6, 3, 3)}
    return Degrees(fault), features, Claim("O(3)", {0: "invariant", 1: "vector"}, {0: "invariant", 1: "vector"})


class Voigt(nn.Module):
    """Stress as six numbers, xx yy zz yz xz xy, or in the order of another code."""

    def __init__(self, order: tuple[tuple[int, int], ...]):
        super().__init__()
        self.order, self.edge = order, net(6, 16, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["positions"]
        i, j = pairs(len(x))
        r = x[j] - x[i]
        t = (r[:, :, None] * r[:, None, :] * self.edge(radial(r.norm(dim=-1)))[:, :, None]).sum(0)
        return torch.stack([t[a, b] for a, b in self.order])


OWN_ORDER = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
OTHER_ORDER = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2))


class Spectral(nn.Module):
    """A Fourier layer: low modes are mixed by complex weights, a pointwise network between two of them."""

    def __init__(self, absolute: bool):
        super().__init__()
        self.absolute = absolute
        self.weights = nn.ParameterList(torch.randn(6, 4, 4, dtype=torch.complex128) / 4 for _ in range(2))
        self.inner = net(4, 8, 4)

    def mix(self, x: Tensor, weight: Tensor) -> Tensor:
        modes = torch.fft.rfft(x, dim=-1)
        low = torch.einsum("bim,mio->bom", modes[..., :6], weight)
        return torch.fft.irfft(F.pad(low, (0, modes.shape[-1] - 6)), n=x.shape[-1], dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        if self.absolute:  # grid coordinates as a fifth channel in all but name
            x = x + 0.1 * torch.linspace(0, 1, x.shape[-1], dtype=x.dtype)
        y = self.mix(x, self.weights[0])
        return self.mix(self.inner(y.movedim(1, -1)).movedim(-1, 1), self.weights[1])


def spectral(absolute: bool):
    return Spectral(absolute), torch.randn(2, 4, 24), Claim("Cyclic(24)", shift, shift)


class OnData(nn.Module):
    """Reads a PyTorch Geometric ``Data``: several molecules in one graph, a prediction for each."""

    def __init__(self, fault: bool):
        super().__init__()
        self.fault, self.embed, self.edge, self.out = fault, nn.Embedding(2, 4), net(10, 16, 4), nn.Linear(4, 1)

    def forward(self, data) -> Tensor:
        send, receive = data.edge_index
        r = data.pos[send] - data.pos[receive]
        m = self.edge(torch.cat([radial(r.norm(dim=-1)), self.embed(data.z)[send]], -1))
        if self.fault:
            m = m * (1 + 0.01 * r[:, :1])
        h = torch.zeros(len(data.pos), 4, dtype=m.dtype).index_add(0, receive, m)
        return self.out(torch.zeros(2, 4, dtype=m.dtype).index_add(0, data.batch, h.tanh()))


def on_data(fault: bool):
    from torch_geometric.data import Data

    clouds = [molecule(n, seed=72 + n)[0] for n in (4, 5)]
    edges = [torch.stack(pairs(n)) + offset for n, offset in ((4, 0), (5, 4))]
    data = Data(pos=torch.cat(clouds), z=torch.arange(9) % 2, edge_index=torch.cat(edges, 1))
    data.batch = torch.tensor([0] * 4 + [1] * 5)
    return (
        OnData(fault),
        data,
        Claim("E(3)", {"pos": "points", "z": None, "edge_index": None, "batch": None}, batch="batch"),
    )


PYG = ("torch_geometric",)
CASES = (
    Case("neighbours-from-a-tree", "own", lambda: atoms(TreeSearch(), PAIR), EXACT),
    Case("no-grad-inside", "own", lambda: atoms(NoGrad(), PAIR), EXACT),
    Case("inference-mode-inside", "own", lambda: atoms(InferenceMode(), PAIR), EXACT),
    Case("centres-in-place", "own", lambda: atoms(InPlace(), PAIR), EXACT, note="changes the caller's tensor"),
    Case("numpy-calculator", "own", lambda: in_numpy(0.0), EXACT, note="no operation that torch could see"),
    Case("numpy-calculator-fault", "own", lambda: in_numpy(1e-5), BROKEN),
    Case("far-away", "own", lambda: atoms(PairNet(), PAIR, far=500.0), EXACT, rounding=1e-10),
    Case(
        "far-away-float32", "own", lambda: atoms(PairNet(), PAIR, dtype=torch.float32, far=500.0), EXACT, rounding=1e-10
    ),
    Case("frozen-metric", "own", frozen, EXACT),
    Case(
        "frozen-metric-perturbed",
        "own",
        frozen,
        EXACT,
        options={"perturb": True},
        note="only trainable parameters may move",
    ),
    Case("principal-frame", "own", lambda: atoms(Cached(False)), EXACT),
    Case(
        "principal-frame-cached", "own", lambda: atoms(Cached(True)), BROKEN, note="a frame kept from an earlier call"
    ),
    Case("cdist", "own", lambda: atoms(Distances()), EXACT),
    Case("fused-attention", "own", lambda: atoms(VectorSDPA(), "vector"), EXACT),
    Case("charge-equilibration", "own", lambda: atoms(Solve(), PAIR), EXACT),
    Case("keyed-by-degree", "own", lambda: degrees(False), EXACT),
    Case("keyed-by-degree-wrong-axis", "own", lambda: degrees(True), BROKEN),
    Case("voigt-stress", "own", lambda: atoms(Voigt(OWN_ORDER), "voigt"), EXACT),
    Case("voigt-stress-order", "own", lambda: atoms(Voigt(OTHER_ORDER), "voigt"), BROKEN),
    Case("fourier-layers", "own", lambda: spectral(False), EXACT),
    Case("fourier-layers-with-coordinates", "own", lambda: spectral(True), BROKEN),
    Case("pyg-data", "own", lambda: on_data(False), EXACT, requires=PYG),
    Case("pyg-data-fault", "own", lambda: on_data(True), BROKEN, requires=PYG),
)
