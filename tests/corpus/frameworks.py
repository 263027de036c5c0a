"""Models built with e3nn, escnn and PyTorch Geometric; skipped where those are missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .case import BROKEN, EXACT, Case, Claim
from .parts import molecule, net, pairs, radial

E3NN, ESCNN, PYG = ("e3nn",), ("escnn",), ("torch_geometric",)
HIDDEN = "6x0e+3x0o+2x1o+2x1e+1x2e"


def e3nn_network(fault: str = "", outputs: str = "1x0e+1x1o"):
    """Two convolutions with fully connected tensor products, gates between; positions and species in, irreps out.

    Faults: a bias on the vector part of a hidden layer; spherical harmonics fed in another axis order.
    """
    from e3nn import o3
    from e3nn.nn import Gate

    class Convolution(nn.Module):
        def __init__(self, irreps_in: str, irreps_out: str):
            super().__init__()
            self.product = o3.FullyConnectedTensorProduct(irreps_in, "1x0e+1x1o+1x2e", irreps_out, shared_weights=False)
            self.skip = o3.Linear(irreps_in, irreps_out)
            self.weights = net(6, 16, self.product.weight_numel)

        def forward(self, h: Tensor, sh: Tensor, basis: Tensor, i: Tensor, j: Tensor) -> Tensor:
            m = self.product(h[j], sh, self.weights(basis)) / len(h) ** 0.5
            return self.skip(h) + torch.zeros(len(h), m.shape[1], dtype=m.dtype).index_add(0, i, m)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            gates = o3.Irreps("5x0e")
            self.gate = Gate(
                "6x0e+3x0o", [torch.nn.functional.silu, torch.tanh], gates, [torch.sigmoid], "2x1o+2x1e+1x2e"
            )
            self.embed = nn.Embedding(2, 4)
            self.first = Convolution("4x0e", str(self.gate.irreps_in))
            self.second = Convolution(str(self.gate.irreps_out), outputs)

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            x, h = inputs["positions"], self.embed(inputs["species"])
            i, j = pairs(len(x))
            r = x[j] - x[i]
            axes = r[:, [1, 2, 0]] if fault == "axis order" else r
            sh = o3.spherical_harmonics("1x0e+1x1o+1x2e", axes, normalize=True, normalization="component")
            basis = radial(r.norm(dim=-1))
            h = self.gate(self.first(h, sh, basis, i, j))
            if fault == "bias":
                h = h + 0.05 * (torch.arange(h.shape[1]) == 12)
            return self.second(h, sh, basis, i, j).sum(0)

    return Network()


def with_e3nn(fault: str = "", dtype=torch.float64, built=None, outputs: str = "1x0e+1x1o", group: str = "E(3)"):
    with default_dtype(built or dtype):
        model = e3nn_network(fault, outputs).to(dtype)
    positions, species = molecule(6, seed=60)
    inputs = {"positions": positions.to(dtype), "species": species}
    return model, inputs, Claim(group, {"positions": "points", "species": None}, outputs)


def s2_activation(resolution: int):
    from e3nn.nn import S2Activation

    model = S2Activation("1x0e+1x1o+1x2e", torch.tanh, resolution)
    return model, 0.3 * torch.randn(5, 9), Claim("SO(3)", "1x0e+1x1o+1x2e", "1x0e+1x1o+1x2e")


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """The dtype that a library builds its constants in."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def escnn_network(size: int, stride: int):
    from escnn import gspaces
    from escnn import nn as enn

    space = gspaces.rot2dOnR2(4)
    plain, regular = enn.FieldType(space, 2 * [space.trivial_repr]), enn.FieldType(space, 3 * [space.regular_repr])

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = enn.SequentialModule(
                enn.R2Conv(plain, regular, 3, padding=1, stride=stride),
                enn.ReLU(regular),
                enn.R2Conv(regular, regular, 3, padding=1),
                enn.GroupPooling(regular),
            )

        def forward(self, image: Tensor) -> Tensor:
            return self.layers(enn.GeometricTensor(image, plain)).tensor.mean((-2, -1))

    with default_dtype(torch.float32):  # escnn can't be built in float64
        model = Network()
    return model.eval(), torch.randn(2, 2, size, size).float(), Claim("Cyclic(4)", "image")


def graph_convolution(fault: bool):
    from torch_geometric.nn import GATConv, SAGEConv

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = GATConv(4, 8), SAGEConv(8, 3, aggr="lstm" if fault else "mean")

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            if fault:  # this aggregation wants edges sorted by receiver
                edge_index = edge_index[:, edge_index[1].argsort(stable=True)]
            return self.second(self.first(x, edge_index).tanh(), edge_index)

    edges = torch.tensor([(a, b) for a in range(8) for b in ((a + 1) % 8, (a + 3) % 8, (3 * a + 2) % 8) if a != b]).T
    return Network(), (torch.randn(8, 4), edges), Claim("Permutations()", ("nodes", "edge_index"), "nodes")


F32, F64 = torch.float32, torch.float64
CASES = (
    Case("e3nn-network", "own", with_e3nn, EXACT, requires=E3NN),
    Case(
        "e3nn-network-float32",
        "own",
        lambda: with_e3nn(dtype=F32),
        EXACT,
        requires=E3NN,
        rounding=1e-6,
        note="exact to float32",
    ),
    Case(
        "e3nn-built-in-float32",
        "own",
        lambda: with_e3nn(built=F32),
        BROKEN,
        requires=E3NN,
        note="float32 constants kept by double()",
    ),
    Case("e3nn-quadrupole", "own", lambda: with_e3nn(outputs="1x0e+1x1o+1x2e"), EXACT, requires=E3NN),
    Case("e3nn-bias-on-vectors", "own", lambda: with_e3nn("bias"), BROKEN, requires=E3NN),
    Case("e3nn-bias-on-vectors-float32", "own", lambda: with_e3nn("bias", F32), BROKEN, requires=E3NN),
    Case("e3nn-axis-order", "BUGS 12: e3nn #195, #149", lambda: with_e3nn("axis order"), BROKEN, requires=E3NN),
    Case("s2-activation-fine", "BUGS 27: S2Activation", lambda: s2_activation(100), EXACT, requires=E3NN),
    Case("s2-activation-coarse", "BUGS 27: S2Activation", lambda: s2_activation(10), BROKEN, requires=E3NN),
    Case(
        "escnn-odd-size",
        "BUGS 24: e2cnn #36",
        lambda: escnn_network(7, 2),
        EXACT,
        requires=ESCNN,
        brute="declared",
        rounding=1e-6,
    ),
    Case(
        "escnn-even-size", "BUGS 24: e2cnn #36", lambda: escnn_network(8, 2), BROKEN, requires=ESCNN, brute="declared"
    ),
    Case("pyg-convolutions", "own", lambda: graph_convolution(False), EXACT, requires=PYG),
    Case("pyg-lstm-aggregation", "own", lambda: graph_convolution(True), BROKEN, requires=PYG),
)
