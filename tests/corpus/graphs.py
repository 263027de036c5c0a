"""Graphs, neighbours, sampling (BUGS 14 to 17), and permutations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .case import BROKEN, EXACT, INVALID, Case, Claim
from .parts import SHIFT, envelope, molecule, net, pairs, radial

ATOMS = {"positions": "points", "species": None}


class Capped(nn.Module):
    """An energy from at most ``k`` neighbours of each atom, by ``choose(offsets, distances, k) -> indices``."""

    def __init__(self, choose: Callable[[Tensor, Tensor, int], Tensor], k: int):
        super().__init__()
        self.choose, self.k, self.edge, self.atom = choose, k, net(8, 16, 8), net(8, 8, 1)
        self.embed = nn.Embedding(2, 2)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x, h, n = inputs["positions"], self.embed(inputs["species"]), len(inputs["positions"])
        i, j = pairs(n)
        r, j = (x[j] - x[i]).reshape(n, n - 1, 3), j.reshape(n, n - 1)
        d = r.norm(dim=-1)
        near = self.choose(r, d, self.k)  # [n, k], or a mask [n, n − 1]
        m = self.edge(torch.cat([radial(d), h[j]], -1))
        kept = m * near[..., None] if near.dtype == torch.bool else m.gather(1, near[..., None].expand(-1, -1, 8))
        return self.atom(kept.sum(1)).sum()


def nearest(r: Tensor, d: Tensor, k: int) -> Tensor:
    """The k nearest: what it takes is unique unless two distances are equal."""
    return d.topk(k, largest=False).indices


def first_in_sweep(r: Tensor, d: Tensor, k: int) -> Tensor:
    """The first k within the cutoff in the order that a sweep along x meets them, as a spatial tree returns them."""
    return torch.where(d < 4.0, r[..., 0], torch.inf).topk(k, largest=False).indices


def first_by_index(r: Tensor, d: Tensor, k: int) -> Tensor:
    """The first k within the cutoff by node number: blind to rotations, not to a relabelling."""
    inside = d < 4.0
    return inside & (inside.cumsum(-1) <= k)


def nearest_and_ties(r: Tensor, d: Tensor, k: int) -> Tensor:
    """The k nearest and whatever is as near as the last of them (non-strict)."""
    return d <= d.detach().topk(k, largest=False).values[..., -1:] * (1 + 1e-4)


def capped(choose, k: int = 3, seed: int = 5, lattice: bool = False, group: str = "E(3)"):
    """A molecule, or eight corners of a cube and its centre, where three, or eight, neighbours are equally near."""
    positions, species = molecule(8, seed=seed)
    if lattice:
        corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
        positions = torch.cat([corners, torch.zeros(1, 3, dtype=torch.float64)]) + torch.tensor(
            SHIFT, dtype=torch.float64
        )
        species = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1, 0])
    claim = Claim(group, ATOMS if group != "Permutations()" else {"positions": "nodes", "species": "nodes"})
    return Capped(choose, k), {"positions": positions, "species": species}, claim


class Sampled(nn.Module):
    """PointNet++ in small: farthest-point sampling of centres, a local set network around each, a pooled output."""

    def __init__(self, start: str):
        super().__init__()
        self.start, self.local, self.out = start, net(4, 16, 8), net(8, 8, 2)

    def centres(self, x: Tensor, k: int = 3) -> Tensor:
        if self.start == "random":
            chosen = [torch.randint(len(x), ())]
        elif self.start == "first":
            chosen = [torch.tensor(0)]
        else:
            chosen = [(x - x.mean(0)).norm(dim=-1).argmax()]
        for _ in range(k - 1):
            chosen.append(torch.stack([(x - x[c]).norm(dim=-1) for c in chosen]).amin(0).argmax())
        return torch.stack(chosen)

    def forward(self, x: Tensor) -> Tensor:
        r = x[None] - x[self.centres(x)][:, None]
        d = r.norm(dim=-1, keepdim=True)
        return self.out((self.local(torch.cat([r, d], -1)) * envelope(d, 4.0)).sum(1).tanh()).mean(0)


def sampled(start: str):
    return Sampled(start), molecule(12, seed=6)[0], Claim("Permutations()", "nodes")


class GraphToken(nn.Module):
    """A transformer over nodes and one learnt graph token; the prediction is read from the nodes.

    The faults: the token is put last but the first row is dropped; or nodes carry a code of their position in the list.
    """

    def __init__(self, fault: str = ""):
        super().__init__()
        self.fault, self.token, self.embed = fault, nn.Parameter(torch.randn(1, 8)), nn.Linear(3, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.out = nn.Linear(8, 2)

    def forward(self, features: Tensor) -> Tensor:
        h = self.embed(features)
        if self.fault == "position code":
            h = h + 0.3 * torch.sin(torch.arange(len(h), dtype=h.dtype, device=h.device))[:, None]
        h = self.layer(torch.cat([h, self.token])[None])[0]
        return self.out(h[1:] if self.fault == "drops the first row" else h[:-1]).mean(0)


def graph_token(fault: str = ""):
    return GraphToken(fault), torch.randn(9, 3), Claim("Permutations()", "nodes")


class MessagePassing(nn.Module):
    """Messages along ``edge_index`` with edge weights, added at the receiver; one value per node and one for the graph.

    Faults: ``overwrite`` (the last message wins instead of the sum), ``lower`` (messages only from lower to higher
    numbers), ``recurrent`` (an LSTM reads messages in node order).
    """

    def __init__(self, fault: str = ""):
        super().__init__()
        self.fault, self.message, self.update, self.out = fault, net(9, 16, 8), net(12, 8, 4), nn.Linear(4, 1)
        if fault == "recurrent":
            self.reader = nn.LSTM(4, 4)

    def forward(self, x: Tensor, edge_index: Tensor, weight: Tensor) -> dict[str, Tensor]:
        send, receive = edge_index
        for _ in range(2):
            m = self.message(torch.cat([x[send], x[receive], weight], -1))
            if self.fault == "lower":
                m = m * (send < receive)[:, None]
            total = torch.zeros(len(x), 8, dtype=x.dtype, device=x.device)
            total = total.index_copy(0, receive, m) if self.fault == "overwrite" else total.index_add(0, receive, m)
            x = x + self.update(torch.cat([x, total], -1))
        if self.fault == "recurrent":
            x = x + self.reader(x[:, None])[0][:, 0]
        return {"node": self.out(x), "graph": x.tanh().sum(0)}


def message_passing(fault: str = ""):
    edges = torch.tensor([(a, b) for a in range(8) for b in ((a + 1) % 8, (a + 3) % 8, (3 * a + 2) % 8) if a != b]).T
    inputs = (torch.randn(8, 4), edges, torch.rand(edges.shape[1], 1))
    return (
        MessagePassing(fault),
        inputs,
        Claim("Permutations()", ("nodes", "edge_index", "edges"), {"node": "nodes", "graph": "invariant"}),
    )


class EdgeList(nn.Module):
    """Returns one value per edge inside a cutoff: how many there are depends on the input, not on its pose."""

    def __init__(self):
        super().__init__()
        self.edge = net(6, 8, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["positions"]
        i, j = pairs(len(x))
        d = (x[j] - x[i]).norm(dim=-1)
        return self.edge(radial(d[d < 2.5]))


def edge_list():
    positions, species = molecule(8, seed=7)
    return EdgeList(), {"positions": positions, "species": species}, Claim("E(3)", ATOMS)


class BoxCutoff(nn.Module):
    """A pair energy with a smooth envelope of the distance, or of the largest component."""

    def __init__(self, box: bool):
        super().__init__()
        self.box, self.edge = box, net(6, 16, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["positions"]
        i, j = pairs(len(x))
        r = x[j] - x[i]
        d = r.norm(dim=-1)
        return (self.edge(radial(d))[:, 0] * envelope(r.abs().amax(-1) if self.box else d, 3.5)).sum()


def box_cutoff(box: bool):
    positions, species = molecule(8, seed=7)
    return BoxCutoff(box), {"positions": positions, "species": species}, Claim("E(3)", ATOMS)


CLUSTER, FAIRCHEM = "BUGS 14: pytorch_cluster #106, #250, PyG #1754", "BUGS 15: fairchem #823"
POINTNET, GPS = "BUGS 16: Pointnet2_pytorch #172", "BUGS 17: GraphGPS #40"
SAME_SEED = {"randomness": "match"}
CASES = (
    Case("neighbour-cap", CLUSTER, lambda: capped(nearest), EXACT),
    Case("neighbour-cap-sweep-order", CLUSTER, lambda: capped(first_in_sweep), BROKEN),
    Case("neighbour-cap-by-index", CLUSTER, lambda: capped(first_by_index, group="Permutations()"), BROKEN),
    Case("neighbour-cap-by-index-rigid", CLUSTER, lambda: capped(first_by_index), EXACT, note="blind to rotations"),
    Case("neighbour-cap-ties", CLUSTER, lambda: capped(nearest, 2, lattice=True), BROKEN, "discontinuity"),
    Case("neighbour-cap-ties-kept", FAIRCHEM, lambda: capped(nearest_and_ties, 5, lattice=True), EXACT),
    Case("neighbour-cap-strict", FAIRCHEM, lambda: capped(nearest, 5, lattice=True), BROKEN, "discontinuity"),
    Case("farthest-points", POINTNET, lambda: sampled("farthest"), EXACT),
    Case("farthest-points-random-start", POINTNET, lambda: sampled("random"), INVALID),
    Case("farthest-points-same-start", POINTNET, lambda: sampled("random"), BROKEN, options=SAME_SEED),
    Case("farthest-points-first-start", POINTNET, lambda: sampled("first"), BROKEN),
    Case("graph-token", GPS, graph_token, EXACT),
    Case("graph-token-wrong-row", GPS, lambda: graph_token("drops the first row"), BROKEN),
    Case("position-code-of-nodes", "own", lambda: graph_token("position code"), BROKEN),
    Case("message-passing", "own", message_passing, EXACT),
    Case("messages-overwrite", "own", lambda: message_passing("overwrite"), BROKEN),
    Case("messages-by-number", "own", lambda: message_passing("lower"), BROKEN),
    Case("recurrent-over-nodes", "own", lambda: message_passing("recurrent"), BROKEN),
    Case("edge-list", "own", edge_list, EXACT, note="the twin may have another number of edges"),
    Case("smooth-cutoff", "own", lambda: box_cutoff(False), EXACT),
    Case("smooth-cutoff-box", "own", lambda: box_cutoff(True), BROKEN),
)
