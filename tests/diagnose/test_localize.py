"""The first broken layer is found, named and explained; clean models are not accused; nothing stays behind."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from equiaudit import Symmetry, audit
from equiaudit.diagnose.judging import Pair, judge_layer
from equiaudit.diagnose.localize import localize
from equiaudit.diagnose.moves import Move, _parts
from equiaudit.groups import SE, SO, Cyclic, E, Lorentz, O, Permutations

CLOUD = torch.randn(8, 3, generator=torch.Generator().manual_seed(1)) + torch.tensor([0.4, -1.1, 0.7])


def pairs(n: int) -> tuple[Tensor, Tensor]:
    i, j = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    keep = i != j
    return i[keep], j[keep]


class EgnnLayer(nn.Module):
    """Distances to messages; positions move along differences. ``fault`` breaks it in the middle."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.edge = nn.Sequential(nn.Linear(17, 16), nn.SiLU(), nn.Linear(16, 8))
        self.gate, self.node, self.fault = nn.Linear(8, 1), nn.Linear(16, 8), fault

    def forward(self, h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        i, j = pairs(len(x))
        v = x[i] - x[j]
        d = v.abs().sum(-1, keepdim=True) if self.fault == "box norm" else v.square().sum(-1, keepdim=True)
        m = self.edge(torch.cat([h[i], h[j], d], -1))
        step = torch.zeros_like(x).index_add(0, i, v / (1 + d) * self.gate(m))
        h = h + self.node(torch.cat([h, torch.zeros_like(h).index_add(0, i, m)], -1))
        if self.fault == "absolute":
            h = h + x.tanh().sum(-1, keepdim=True)
        return h, x + step


class Egnn(nn.Module):
    def __init__(self, **faults: str) -> None:
        super().__init__()
        self.embed = nn.Embedding(2, 8)
        self.layers = nn.ModuleList(EgnnLayer(faults.get(f"l{k}", "")) for k in range(4))
        self.read = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.embed(torch.arange(len(x)) % 2)
        for layer in self.layers:
            h, x = layer(h, x)
        return {"energy": self.read(h).sum(), "positions": x}


class Mix(nn.Linear):
    """Mixes vector channels [n, 3, channels]; its bias is a fault."""


class Painn(nn.Module):
    """Vector channels [n, 3, 8], gated by their norms."""

    def __init__(self, bias: int | None = None) -> None:
        super().__init__()
        self.start = nn.Linear(1, 8)
        self.mix = nn.ModuleList(Mix(8, 8, bias=k == bias) for k in range(3))
        self.gate = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.out = nn.Linear(8, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        r = x - x.mean(0)
        v = r[:, :, None] * torch.tanh(self.start(r.square().sum(-1, keepdim=True)))[:, None, :]
        for mix, gate in zip(self.mix, self.gate, strict=True):
            v = mix(v)
            v = v * torch.sigmoid(gate((v.square().sum(1) + 1).sqrt()))[:, None, :]
        return self.out(v)[..., 0]


RIGID = Symmetry(E(3), "points", {"energy": "invariant", "positions": "points"})
TURNS = Symmetry(E(3), "points", "vector")


def names(found) -> dict[str, str]:
    return {row.layer: row.verdict for row in found.rows}


def test_a_clean_egnn_is_not_accused() -> None:
    found = localize(Egnn(), CLOUD, RIGID)
    assert found.first_bad is None
    assert set(names(found).values()) == {"ok"}
    assert next(iter(names(found))) == "embed"
    assert list(names(found))[-1] == "outputs"


@pytest.mark.parametrize(("fault", "name"), [({"l1": "absolute"}, "layers.1"), ({"l3": "absolute"}, "layers.3")])
def test_absolute_positions_are_found_in_the_layer_that_uses_them(fault: dict[str, str], name: str) -> None:
    found = localize(Egnn(**fault), CLOUD, RIGID)
    assert found.first_bad == name
    row = next(r for r in found.rows if r.layer == name)
    assert row.verdict == "first"
    assert "in its own forward: what its submodules return is fine" in row.note


def test_a_fault_before_a_submodule_is_laid_on_the_module_around_it() -> None:
    found = localize(Egnn(l2="box norm"), CLOUD, RIGID)
    assert found.first_bad == "layers.2"
    row = next(r for r in found.rows if r.layer == "layers.2.edge.0")
    assert "between the submodules of layers.2: what it hands to layers.2.edge is broken already" in row.note


def test_a_bias_on_vectors_is_found_and_called_so() -> None:
    found = localize(Painn(bias=1), CLOUD, TURNS)
    assert found.first_bad == "mix.1"
    row = next(r for r in found.rows if r.layer == "mix.1")
    assert row.kind == "Mix"
    assert row.error is not None
    assert row.floor is not None
    assert row.error > 1e6 * row.floor
    assert row.note == "a constant is added to features that turn (a bias?)"
    assert names(found)["gate.0"] == "ok"
    assert names(found)["gate.1"] == "broken after"


def test_a_clean_painn_is_not_accused() -> None:
    assert localize(Painn(), CLOUD, TURNS).first_bad is None


def test_a_hidden_basis_that_is_not_orthogonal_is_fitted() -> None:
    """Vectors in skewed coordinates are a representation all the same; the fault comes later."""
    torch.manual_seed(0)
    skew, back = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        skew.weight.copy_(torch.eye(3) + 0.4 * torch.randn(3, 3))
        back.weight.copy_(torch.linalg.inv(skew.weight.double()))
    net = nn.Sequential(skew, nn.Identity(), back, nn.Tanh())
    found = localize(net.double(), CLOUD.double(), Symmetry(SO(3), "vector", "vector"))
    assert found.first_bad == "3"
    row = found.rows[0]
    assert (row.layer, row.verdict, row.note) == ("0", "ok", "a linear T_g that is not orthogonal")


def test_a_plain_network_on_coordinates_breaks_at_its_nonlinearity() -> None:
    net = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 3))
    found = localize(net, CLOUD, Symmetry(SO(3), "vector", "vector"))
    assert found.first_bad == "1"
    assert found.rows[0].note == "a linear T_g that is not orthogonal"


class Recovers(nn.Module):
    """The submodule returns components, which is no representation; the module around it puts them together again."""

    class Component(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :1]

    class Safe(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.component = Recovers.Component()

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.component(x), x[:, 1:]], -1)

    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.safe, self.act = self.Safe(), nn.Tanh() if broken else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.safe(x))


@pytest.mark.parametrize(("broken", "first"), [(True, "act"), (False, None)])
def test_what_happens_inside_a_fine_module_does_no_harm(broken: bool, first: str | None) -> None:
    found = localize(Recovers(broken), CLOUD, Symmetry(SO(3), "vector", "vector"))
    assert found.first_bad == first
    row = next(r for r in found.rows if r.layer == "safe.component")
    assert (row.verdict, row.note) == ("ok", "moves in a way of its own inside a module that is fine")


class GraphNet(nn.Module):
    """Mean of neighbours; with a positional code in one layer it depends on the order of nodes."""

    def __init__(self, code: int | None = None) -> None:
        super().__init__()
        self.lin = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.add = nn.ModuleList(Code(k == code) for k in range(3))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        i, j = edge_index
        for lin, add in zip(self.lin, self.add, strict=True):
            x = add(torch.tanh(lin(x) + torch.zeros_like(x).index_add(0, i, x[j])))
        return x


class Code(nn.Module):
    def __init__(self, on: bool) -> None:
        super().__init__()
        self.on = on

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.arange(len(x), dtype=x.dtype)[:, None].sin() if self.on else x


@pytest.mark.parametrize(("code", "first"), [(1, "add.1"), (0, "add.0"), (None, None)])
def test_a_positional_code_is_found_under_relabelling(code: int | None, first: str | None) -> None:
    symmetry = Symmetry(Permutations(), ("nodes", "edge_index"), "nodes")
    edges = torch.tensor([[0, 1, 2, 3, 4, 0, 6], [1, 2, 3, 4, 5, 3, 0]])
    found = localize(GraphNet(code), (torch.randn(7, 6), edges), symmetry)
    assert found.first_bad == first


class TurnCnn(nn.Module):
    """Kernels that 90° turns leave alone; asymmetric padding in the second layer breaks it."""

    def __init__(self, fault: bool) -> None:
        super().__init__()
        self.a, self.b, self.c = Ring(2, 4), Ring(4, 4, (0, 2, 1, 1) if fault else (1, 1, 1, 1)), Ring(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.relu(self.b(torch.relu(self.a(x)))))


class Ring(nn.Module):
    def __init__(self, inside: int, outside: int, pad: tuple[int, ...] = (1, 1, 1, 1)) -> None:
        super().__init__()
        self.weight, self.pad = nn.Parameter(torch.randn(3, outside, inside)), pad

    def forward(self, x: Tensor) -> Tensor:
        corner = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 0, 1]], dtype=x.dtype)
        side = torch.tensor([[0, 1.0, 0], [1, 0, 1], [0, 1, 0]], dtype=x.dtype)
        middle = torch.tensor([[0, 0, 0], [0, 1.0, 0], [0, 0, 0]], dtype=x.dtype)
        kernel = sum(w[..., None, None] * k for w, k in zip(self.weight, (corner, side, middle), strict=True))
        return nn.functional.conv2d(nn.functional.pad(x, self.pad), kernel)


@pytest.mark.parametrize(("fault", "first"), [(True, "b"), (False, None)])
def test_asymmetric_padding_is_found_under_quarter_turns(fault: bool, first: str | None) -> None:
    images = torch.randn(2, 2, 9, 9)
    assert localize(TurnCnn(fault), images, Symmetry(Cyclic(4), "image", "image")).first_bad == first


def test_declared_hidden_representations_are_used() -> None:
    """The offset is hidden from a fit by a constant channel that comes with it; the declaration sees it."""
    symmetry = Symmetry(SO(3), "vector", "vector", hidden={"0": ("vector", "vector")})
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Tanh())
    nn.init.eye_(net[0].weight)
    found = localize(net, CLOUD, symmetry)
    assert found.rows[0].note == "Vector() as declared"
    assert found.first_bad == "1"
    with torch.no_grad():
        net[0].weight[0, 1] = 0.5
    found = localize(net, CLOUD, symmetry)
    assert found.first_bad == "0"
    assert "Vector() as declared" in found.rows[0].note


def test_a_declaration_that_does_not_fit_is_unknown() -> None:
    symmetry = Symmetry(SO(3), "vector", "vector", hidden={"0": (None, "1x2e")})
    found = localize(nn.Sequential(nn.Identity(), nn.Tanh()), CLOUD, symmetry)
    assert found.rows[0].verdict == "unknown"
    assert "must have length 5" in found.rows[0].note


class MinkowskiNet(nn.Module):
    """Boosts are no orthogonal matrices: only a fit can tell, and pooled features have too few rows for one."""

    def __init__(self, pooled: bool) -> None:
        super().__init__()
        self.widen, self.act, self.pooled = nn.Linear(4, 5, bias=False), nn.Tanh(), pooled

    def forward(self, p: Tensor) -> Tensor:
        h = self.widen(p.mean(0) if self.pooled else p)
        return self.act(h).sum(-1)


def test_too_few_rows_are_called_unknown_where_only_a_fit_can_tell() -> None:
    momenta = torch.randn(30, 4)
    symmetry = Symmetry(Lorentz(), "vector", "invariant")
    enough = localize(MinkowskiNet(False), momenta, symmetry)
    assert enough.first_bad == "act"
    assert enough.rows[0].verdict == "ok"
    few = localize(nn.Sequential(nn.Flatten(0), nn.Linear(120, 60), nn.Tanh()), momenta, symmetry)
    row = next(r for r in few.rows if r.layer == "1")
    assert (row.verdict, row.note, row.error) == ("unknown", "too few rows to fit a T_g", None)
    pooled = localize(MinkowskiNet(True), momenta, symmetry)  # a linear map of one vector: never the fault
    assert next(r.verdict for r in pooled.rows if r.layer == "widen") == "unknown"
    assert pooled.first_bad != "widen"


@pytest.mark.parametrize("coordinates", [(0.9, 0.8, -1.6, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.9, 0.2, 0.3)])
def test_no_element_of_a_group_that_is_not_compact_asks_for_an_orthogonal_motion(coordinates) -> None:
    g = Lorentz().exp(*coordinates)  # a rotation; a boost
    assert [kind for kind, _ in _parts(Lorentz(), g)] == ["linear"]
    assert [kind for kind, _ in _parts(SO(3), SO(3).exp(0.9, 0.8, -1.6))] == ["turn"]
    assert [kind for kind, _ in _parts(E(3), E(3).exp(0.9, 0.8, -1.6, 1.0, 0.0, 0.0))] == ["turn", "shift"]


def test_a_fault_that_only_mirrors_show_is_found() -> None:
    class Cross(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.linalg.cross(x, x.roll(1, 0), dim=-1)

    net = nn.Sequential(nn.Identity(), Cross(), nn.Identity())
    assert localize(net, CLOUD, Symmetry(O(3), "vector", "vector")).first_bad == "1"
    assert localize(net, CLOUD, Symmetry(SO(3), "vector", "vector")).first_bad is None


def test_a_model_without_modules_has_only_outputs() -> None:
    found = localize(lambda x: x.tanh(), CLOUD, Symmetry(SE(3), "points", "vector"))
    assert [r.layer for r in found.rows] == ["outputs"]
    assert found.first_bad == "function"


def test_forward_given_by_the_caller() -> None:
    net = Painn(bias=2)
    found = localize(
        net, {"pos": CLOUD}, Symmetry(E(3), {"pos": "points"}, {"f": "vector"}), forward=lambda m, d: {"f": m(d["pos"])}
    )
    assert found.first_bad == "mix.2"


def test_a_parameter_that_hides_the_fault_does_not_hide_the_layer() -> None:
    net = Painn(bias=1)
    nn.init.zeros_(net.mix[1].bias)
    found = audit(net, CLOUD, TURNS, layers=True)
    assert found.cause == "hidden by parameter"
    assert found.first_bad_layer == "mix.1"


def test_a_layer_that_gives_nan_is_first() -> None:
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * (x[:, :1]).sqrt()

    found = audit(nn.Sequential(nn.Identity(), Root()), CLOUD.abs(), Symmetry(SO(3), "vector", "vector"), layers=True)
    assert found.verdict == "INVALID"
    assert found.first_bad_layer == "1"


@pytest.mark.parametrize("more", [0, 1, 2])
def test_hooks_are_gone_and_the_verdict_stands_when_the_model_raises(more) -> None:
    class Fragile(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            type(self).calls += 1
            if type(self).calls > limit:
                raise RuntimeError("worn out")
            return x.tanh()

    limit, calls_before = 10**9, {}
    vectors = Symmetry(SO(3), "vector", "vector")
    audit(Fragile(), CLOUD, vectors, progress=lambda step: calls_before.setdefault(step, Fragile.calls))
    assert calls_before["layers"] + more < Fragile.calls  # localising alone takes the calls beyond the limit
    limit = calls_before["layers"] + more
    before = len(torch_module._global_forward_hooks)
    for layers in (True, False):
        Fragile.calls = 0
        found = audit(Fragile(), CLOUD, vectors, layers=layers)
        assert found.verdict == "BROKEN"
        assert found.first_bad_layer is None
        assert [row["note"] for row in found.layers] == ["RuntimeError: worn out"] * layers
        assert len(torch_module._global_forward_hooks) == before


def test_the_table_reads_and_survives_json() -> None:
    found = audit(Painn(bias=1), CLOUD, TURNS, layers=True)
    assert type(found).from_dict(found.to_dict()).layers == found.layers
    text = str(localize(Painn(bias=1), CLOUD, TURNS))
    assert text.splitlines()[0].split() == ["layer", "error", "floor", "verdict"]
    assert text.splitlines()[-1] == "first broken layer: mix.1"
    assert "mix.1 is the first that breaks it" in str(found)


def test_shared_modules_have_a_row_for_each_call() -> None:
    act = nn.SiLU()
    net = nn.Sequential(nn.Identity(), nn.Linear(1, 4), act, nn.Linear(4, 4), act)
    found = localize(lambda x: net(x.norm(dim=-1, keepdim=True)), CLOUD, Symmetry(SO(3), "vector", "invariant"))
    assert {"2", "2 (call 2)"} <= set(names(found))


def test_samples_with_elements_of_their_own() -> None:
    """A normalisation over the batch couples samples, which one element for all would not show."""

    class Norm(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(0, keepdim=True)

    net = nn.Sequential(nn.Identity(), Norm(), nn.Identity())
    found = localize(net, torch.randn(5, 6, 3), Symmetry(SO(3), "vector", "vector", batch=0))
    assert found.first_bad == "1"
    assert found.rows[1].note == "one sample changes what another gives"


class Nearest(nn.Module):
    """Points at one of the nearest neighbours: where two are equally near, it is decided by rounding."""

    def forward(self, x: Tensor) -> Tensor:
        d = torch.cdist(x, x) + 1e3 * torch.eye(len(x), dtype=x.dtype)
        return x[d.argmin(-1)] - x


def test_a_tie_of_the_given_input_is_localised_on_the_given_input() -> None:
    square = torch.tensor([[1.0, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]])
    net = nn.Sequential(nn.Identity(), Nearest(), nn.Identity())
    found = audit(net, square, Symmetry(SO(3), "vector", "vector"), layers=True)
    assert found.cause == "discontinuity"
    assert found.first_bad_layer == "1"


class Box(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.clamp(-100, 100).mean(0)


def test_a_fault_that_only_a_large_shift_shows_is_localised_with_that_shift() -> None:
    net = nn.Sequential(nn.Identity(), Box(), nn.Identity())
    found = audit(net, CLOUD, Symmetry(E(3), "points", "vector"), layers=True)
    assert found.verdict == "BROKEN"
    assert found.first_bad_layer == "1"


def test_an_audit_that_passes_never_names_a_layer() -> None:
    """The outputs are ill-conditioned: what noise explains for the audit, one probe may not cover here."""

    class Cancels(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return ((x.square().sum(-1) + 1e9) - 1e9).sqrt()

    found = audit(nn.Sequential(Cancels()), CLOUD, Symmetry(SO(3), "vector", "invariant"), layers=True)
    assert found.passed
    assert found.first_bad_layer is None


def test_points_that_turn_and_shift_at_once_keep_their_distances() -> None:
    g = E(3).translation(3.0, -1.0, 2.0) @ E(3).exp(0.3, 0.2, -0.9, 0.0, 0.0, 0.0)
    h = CLOUD.double()
    moved = h @ torch.from_numpy(g.linear).T + torch.from_numpy(g.translation)
    move = Move("motion", (g,))
    assert judge_layer(None, move, Pair([h], [moved]), 1e-14, 0).error < 1e-12
    assert judge_layer(None, move, Pair([h], [moved.tanh()]), 1e-14, 0).error > 1e-2
