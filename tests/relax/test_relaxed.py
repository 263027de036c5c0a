"""relax: the model stays what it is, θ counts, and what can't be relaxed is refused by name."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from equiaudit import Symmetry, project, relax, relaxable, schedules
from equiaudit.groups import SE, Cyclic, Flip, O
from equiaudit.relaxation import LinearSite, RelaxationError, Relaxed, strip
from equiaudit.relaxation.vector_neurons import VNBatchNorm, VNInvariant, VNLeakyReLU, VNLinear
from equiaudit.representations import Image, Regular, Scalar, Vector

RIGID = Symmetry(O(3), "vector", "invariant")


def network() -> nn.Sequential:
    return nn.Sequential(
        VNLinear(4, 8), VNLeakyReLU(8), VNBatchNorm(8), VNLinear(8, 5), VNInvariant(5), nn.Linear(15, 2)
    )


def points() -> torch.Tensor:
    return torch.randn(12, 4, 3)


def test_the_model_stays_what_it_is() -> None:
    model = network()
    keys, kind, forward = list(model.state_dict()), type(model), model.forward.__func__
    relaxed = relax(model, RIGID)
    assert relaxed.module is model
    assert type(model) is kind
    assert type(model[0]) is VNLinear
    assert model.forward.__func__ is forward
    new = [key for key in model.state_dict() if key not in keys]
    assert [key for key in model.state_dict() if key in keys] == keys
    assert all(".relaxation." in key for key in new)
    assert "0.relaxation.theta" in new


@pytest.mark.parametrize("init", ["zeros", "default", "normal(1e-4)", nn.init.ones_])
def test_nothing_changes_at_theta_zero(init: object) -> None:
    model, x = network(), points()
    before = model.eval()(x)
    relaxed = relax(model, RIGID, init=init)
    assert torch.equal(relaxed(x), before)
    relaxed.theta = 0.7
    assert torch.equal(relaxed(x), before) is (init == "zeros")


def test_what_is_added_is_theta_w_x() -> None:
    layer, x = VNLinear(4, 6), points()
    plain = layer(x)
    relaxed = relax(layer, init="default")
    relaxed.theta = 0.25
    wanted = plain + 0.25 * (x.flatten(-2) @ layer.relaxation.weight.T).unflatten(-1, (6, 3))
    torch.testing.assert_close(layer(x), wanted)


def test_initialisations_are_what_they_say() -> None:
    weight = {
        init: relax(VNLinear(64, 64), init=init).new_parameters()[0] for init in ("zeros", "default", "normal(1e-4)")
    }
    assert weight["zeros"].abs().max() == 0
    bound = 192**-0.5
    assert 0.99 * bound < weight["default"].abs().max() <= bound
    assert weight["normal(1e-4)"].std().item() == pytest.approx(1e-4, rel=0.05)
    with pytest.raises(RelaxationError, match="init must be 'zeros', 'default', 'normal"):
        relax(VNLinear(2, 2), init="ones")


def test_a_relaxation_that_fails_leaves_nothing_behind() -> None:
    model = network()
    keys = list(model.state_dict())
    for init in ("ones", lambda weight: weight.foo()):
        with pytest.raises((RelaxationError, AttributeError)):
            relax(model, RIGID, init=init)
        assert list(model.state_dict()) == keys
        assert not any(m._forward_hooks for m in model.modules())


def test_a_pattern_that_declares_nothing_is_refused() -> None:
    with pytest.raises(
        RelaxationError, match=r"hidden= declares 'layer\.\*', and no module has such a name; there are 0, 1,"
    ):
        relax(network(), Symmetry(O(3), "vector", hidden={"layer.*": ("vector", "vector")}))


def test_theta_of_one_layer_and_of_all() -> None:
    relaxed = relax(network(), RIGID)
    relaxed.theta = 0.3
    assert list(relaxed.thetas.values()) == pytest.approx([0.3] * 6)
    relaxed.thetas["0"] = 0.5
    assert relaxed.theta == 0.5
    with relaxed.at(theta=0):
        assert relaxed.theta == 0
    assert relaxed.thetas["0"] == 0.5
    assert relaxed.thetas["3"] == pytest.approx(0.3)
    with pytest.raises(KeyError, match=r"no relaxed layer is called '9'; there are 0, 1\.direction"):
        relaxed.thetas["9"] = 1.0
    with pytest.raises(ValueError, match="theta must be a finite number, got nan"):
        relaxed.theta = float("nan")


def test_at_gives_back_theta_when_the_block_raises() -> None:
    relaxed = relax(network(), RIGID)
    relaxed.theta = 0.5
    with pytest.raises(ZeroDivisionError), relaxed.at(theta=0):
        raise ZeroDivisionError
    assert relaxed.theta == 0.5


def test_theta_may_change_between_forward_and_backward() -> None:
    relaxed = relax(network(), RIGID, init="default")
    relaxed.theta = 0.5
    loss = relaxed(points()).square().sum()
    with relaxed.at(theta=0):
        relaxed(points())
    relaxed.theta = 0.1
    loss.backward()
    assert relaxed.new_parameters()[0].grad.abs().max() > 0


def test_gradients_are_finite_from_zeros() -> None:
    # the released code took a square root of a sum of squares of W: NaN from zero initialisation at the first step
    relaxed = relax(network(), RIGID, init="zeros")
    relaxed.theta = 0.5
    with relaxed.observe() as seen:
        loss = relaxed(points()).square().mean()
    (loss + relaxed.penalty("operator") + relaxed.penalty("magnitude") + seen.penalty()).backward()
    for parameter in relaxed.module.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()
    assert all(p.grad is not None for p in relaxed.new_parameters())


def test_w_stays_in_the_graph_at_theta_zero() -> None:
    relaxed = relax(network(), RIGID)
    relaxed(points()).sum().backward()
    assert all(p.grad is not None for p in relaxed.new_parameters())


def test_refusals_name_the_layer() -> None:
    model = nn.ModuleDict({"a": VNLinear(2, 2), "plain": nn.Linear(3, 3), "attention": nn.MultiheadAttention(4, 2)})
    cases = {
        "plain": r"plain can't be relaxed: a Linear does not say how its features turn; declare Symmetry\(group, hidden=",
        "attention": "attention can't be relaxed: MultiheadAttention reads the weights of its parts without calling them",
        "nothing": "no layer is called 'nothing'",
        "at*n": "attention can't be relaxed",
    }
    for layers, message in cases.items():
        with pytest.raises(RelaxationError, match=message):
            relax(model, layers=[layers])
    assert "relaxation.weight" not in "".join(model.state_dict())


def test_an_unknown_kind_of_layer_is_refused_by_name() -> None:
    with pytest.raises(RelaxationError, match="1 can't be relaxed: equiaudit knows no linear map in a GELU"):
        relax(nn.Sequential(VNLinear(2, 2), nn.GELU()), layers="1")


def test_a_model_without_anything_to_relax() -> None:
    with pytest.raises(RelaxationError, match="Sequential has no layer that can be relaxed"):
        relax(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(RelaxationError, match="nothing in this Linear is relaxed; call relax"):
        Relaxed(nn.Linear(2, 2))
    with pytest.raises(RelaxationError, match="relax takes a torch module, got function"):
        relax(lambda x: x)


def test_twice_is_refused() -> None:
    model = VNLinear(2, 2)
    relax(model)
    with pytest.raises(RelaxationError, match="it is already relaxed"):
        relax(model)


def test_wrappers_are_refused() -> None:
    with pytest.raises(RelaxationError, match="relax the model before it is wrapped in OptimizedModule"):
        relax(torch.compile(VNLinear(2, 2)))


def test_what_was_found_is_listed() -> None:
    listing = relaxable(network(), RIGID)
    assert listing.names == ("0", "1.direction", "3", "4.mix", "4.activation.direction", "4.frame")
    assert "3: vector neurons, W 15 x 24 (360 entries)" in str(listing)
    assert "5: a Linear does not say how its features turn" in str(listing)
    assert "6 relaxed layers" in str(relax(network(), RIGID))


def test_layers_are_chosen_by_name_pattern_or_function() -> None:
    assert list(relax(network(), RIGID, ["0", "4.*"]).thetas) == ["0", "4.mix", "4.activation.direction", "4.frame"]
    assert list(relax(network(), RIGID, lambda name, layer: "direction" in name).thetas) == [
        "1.direction",
        "4.activation.direction",
    ]
    with pytest.raises(RelaxationError, match="the function given as layers= picked none"):
        relax(network(), RIGID, lambda name, layer: False)


def test_a_large_map_is_refused_until_allowed() -> None:
    model = VNLinear(1000, 1000)
    with pytest.raises(
        RelaxationError,
        match=r"more than 4,000,000 entries beside the model itself \(9,000,000\); choose layers=, or raise max_entries=",
    ):
        relax(model)
    assert relax(model, max_entries=9_000_000).new_parameters()[0].numel() == 9_000_000


def test_a_standstill_is_refused() -> None:
    with pytest.raises(RelaxationError, match="W = 0 with a learned level of 0 has no gradient"):
        relax(VNLinear(2, 2), learned=0.0)
    relax(VNLinear(2, 2), learned=0.0, init="normal(1e-4)")


def test_an_optimizer_without_the_new_parameters_is_caught() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    relaxed = relax(model, RIGID)
    with pytest.raises(RelaxationError, match=r"does not train the relaxation of 0, 1\.direction.*add_param_group"):
        relaxed.check_optimizer(optimizer)
    optimizer.add_param_group({"params": relaxed.new_parameters()})
    relaxed.check_optimizer(optimizer)


def test_misspelt_keywords_are_refused() -> None:
    with pytest.raises(TypeError, match="layer"):
        relax(network(), RIGID, layer="0")
    relaxed = relax(network(), RIGID)
    with pytest.raises(TypeError, match="peek"):
        schedules.triangle(relaxed, 10, peek=1.0)
    with pytest.raises(TypeError, match="methods"):
        project(relaxed, methods="fold")
    with pytest.raises(ValueError, match="method must be one of 'drop', 'fold', got 'folded'"):
        project(relaxed, method="folded")
    with pytest.raises(ValueError, match="kind must be one of 'operator', 'magnitude', got 'lie'"):
        relaxed.penalty("lie")


# -- declared layers ------------------------------------------------------------------------------------------------


class Mixer(nn.Module):
    """Vector channels [..., 3, n] mixed by a plain linear layer, and their lengths by another."""

    def __init__(self, bias: bool = False) -> None:
        super().__init__()
        self.vectors = nn.Linear(4, 6, bias=bias)
        self.lengths = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lengths(self.vectors(x).norm(dim=-2))


def mixing(rep_in: object = None, rep_out: object = None) -> Symmetry:
    hidden = {"vectors": (rep_in or Vector(dim=-2), rep_out or Vector(dim=-2)), "lengths": ("scalar", "scalar")}
    return Symmetry(O(3), Vector(dim=-2), "invariant", hidden=hidden)


def test_a_declared_linear_layer_on_vector_channels() -> None:
    model, x = Mixer(), torch.randn(9, 3, 4)
    before = model(x)
    relaxed = relax(model, mixing(), init="default")
    assert list(relaxed.thetas) == ["vectors"]  # between scalars there is nothing to relax
    assert tuple(model.vectors.relaxation.weight.shape) == (18, 12)
    assert torch.equal(model(x), before)
    relaxed.theta = 1.0
    assert not torch.allclose(model(x), before)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (
            ("vector", Vector(dim=-2)),
            r"vectors can't be relaxed: a representation of hidden features acts on the last dimension or on dimension -2",
        ),
        (("vector", "vector"), r"vectors can't be relaxed: Vector\(\) has size 3, the layer's input has 4 features"),
        (
            (4 * Scalar(), 2 * Vector()),
            r"vectors \(Linear\) is not equivariant from 4 \* Scalar\(\) to 2 \* Vector\(\)",
        ),
        (("1x0e+1x1o", "2x1o"), r"vectors \(Linear\) is not equivariant from Irreps\('1x0e\+1x1o'\)"),
        (
            ("1x0e+1x2e", "2x1o"),
            r"vectors can't be relaxed: Irreps\('1x0e\+1x2e'\) has size 6, the layer's input has 4 features",
        ),
        (("points", "vector"), "Points.* 3"),
        (("tensor", "vector"), r"declare Kronecker\(Vector\(\), Vector\(\)\)"),
        ((lambda g, x: x, "vector"), "has no matrices, so that nothing can be said about W"),
        (
            (Vector(dim=-2), "scalar"),
            "vectors can't be relaxed: it mixes dimension -1, so dimension -2 must be the same",
        ),
        (("nonsense", "vector"), "vectors can't be relaxed: unknown representation 'nonsense'"),
        ("vector", r"hidden\['vectors'\] must be a pair \(inputs, outputs\)"),
    ],
)
def test_a_wrong_declaration_is_an_error_before_training(pair: object, message: str) -> None:
    with pytest.raises(RelaxationError, match=message):
        relax(Mixer(), Symmetry(O(3), hidden={"vectors": pair}), layers="vectors")


def test_a_bias_on_vectors_is_found_even_at_zero() -> None:
    model = Mixer(bias=True)
    nn.init.zeros_(model.vectors.bias)
    with pytest.raises(RelaxationError, match=r"vectors \(Linear\) is not equivariant"):
        relax(model, mixing())
    relax(model, mixing(), check=False)


def test_points_are_no_linear_representation() -> None:
    with pytest.raises(RelaxationError, match="points move under translations and W is linear; centre the positions"):
        relax(nn.Sequential(nn.Linear(3, 3)), Symmetry(SE(3), hidden={"0": ("points", "vector")}), layers="0")


def test_sizes_say_how_to_write_several() -> None:
    with pytest.raises(RelaxationError, match=r"for 2 of them write 2 \* Vector\(\)"):
        relax(nn.Sequential(nn.Linear(6, 6)), Symmetry(O(3), hidden={"0": ("vector", "vector")}), layers="0")


def test_a_wrong_declaration_is_no_silent_omission() -> None:
    model = nn.ModuleDict({"good": VNLinear(2, 2), "wrong": nn.Linear(4, 4)})
    with pytest.raises(
        RelaxationError, match=r"wrong can't be relaxed: Vector\(\) has size 3, the layer's input has 4 features"
    ):
        relax(model, Symmetry(O(3), hidden={"wrong": ("vector", "vector")}))


def test_a_star_stays_between_dots() -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.deep = nn.Linear(7, 7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    model = nn.ModuleDict({"layers": nn.ModuleList([Inner(), nn.Sequential(nn.Linear(2, 2))])})
    claim = Symmetry(O(3), hidden={"layers.*": ("vector", "vector")})
    assert relaxable(model, claim).names == ("layers.0",)
    assert list(relax(model, claim).thetas) == ["layers.0"]  # the container is listed as refused, and no error


def test_layers_without_features_are_refused() -> None:
    with pytest.warns(UserWarning, match="zero-element"):
        layer = nn.Linear(0, 3)
    with pytest.raises(RelaxationError, match="the layer's input has no features"):
        relax(nn.Sequential(layer), Symmetry(O(3), hidden={"0": ("scalar", "vector")}), layers="0")


def test_containers_are_refused() -> None:
    model = nn.Sequential(nn.Sequential(VNLinear(1, 1)))
    with pytest.raises(
        RelaxationError, match="0 is a Sequential, which would run its relaxation as one of its own modules"
    ):
        relax(model, Symmetry(O(3), hidden={"0": ("vector", "vector")}), layers="0")


class Block(nn.Module):
    """A layer that no adapter knows: scales vectors by a function of their length; a second argument is no feature."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor, edges: torch.Tensor | None = None) -> torch.Tensor:
        return self.scale * x * x.norm(dim=-1, keepdim=True)


def test_any_module_by_declaration() -> None:
    model = nn.Sequential(Block(), Block())
    relaxed = relax(model, Symmetry(O(3), "vector", "vector", hidden={"1": ("vector", "vector")}))
    assert list(relaxed.thetas) == ["1"]
    relaxed.theta = 1.0
    nn.init.ones_(model[1].relaxation.weight)
    x = torch.randn(5, 3)
    torch.testing.assert_close(model[1](x), Block()(x) + x.sum(-1, keepdim=True).expand(5, 3))
    torch.testing.assert_close(model[1](x=x, edges=None), model[1](x))  # called by keyword


def adapter(layer: nn.Module) -> LinearSite | None:
    return LinearSite(Vector(), Vector(), O(3), 3, 3, "block") if isinstance(layer, Block) else None


def test_an_adapter_of_the_users() -> None:
    relaxed = relax(nn.Sequential(Block(), nn.Identity()), adapters=(adapter,))
    assert list(relaxed.thetas) == ["0"]
    assert relaxed.relaxations["0"].site.kind == "block"
    with pytest.raises(RelaxationError, match="0: an adapter returned bool, not a LinearSite or None"):
        relax(nn.Sequential(Block()), adapters=(lambda layer: True,))


# -- copies and checkpoints ------------------------------------------------------------------------------------------


def test_copies_are_relaxed_on_their_own() -> None:
    relaxed = relax(network(), RIGID, init="default")
    for other in (copy.deepcopy(relaxed), Relaxed(copy.deepcopy(relaxed.module)), pickle.loads(pickle.dumps(relaxed))):
        other.theta = 0.5
        assert relaxed.theta == 0
        assert other.module is not relaxed.module
        x = points()
        assert not torch.allclose(other.module.eval()(x), relaxed.module.eval()(x))
        with other.at(theta=0):
            assert torch.equal(other.module.eval()(x), relaxed.module.eval()(x))


def test_an_exponential_moving_average() -> None:
    relaxed = relax(network(), RIGID, init="default")
    average = torch.optim.swa_utils.AveragedModel(relaxed.module)
    relaxed.theta = 0.5
    average.update_parameters(relaxed.module)
    assert Relaxed(average).theta == 0.5
    model, report = project(Relaxed(average))
    assert type(model) is nn.Sequential
    assert report.left == 0.5


def test_a_plain_checkpoint_loads_into_the_relaxed_model_and_back() -> None:
    plain, other = network(), network()
    relaxed = relax(network(), RIGID, init="default")
    relaxed.theta = 0.5
    weight = relaxed.new_parameters()[0].clone()
    relaxed.module.load_state_dict(plain.state_dict(), strict=True)
    assert torch.equal(relaxed.module[0].weight, plain[0].weight)
    assert torch.equal(relaxed.new_parameters()[0], weight)
    assert relaxed.theta == 0.5
    other.load_state_dict(relaxed.plain_state_dict(), strict=True)
    assert torch.equal(other[0].weight, plain[0].weight)
    other.load_state_dict(strip(relaxed.module.state_dict()), strict=True)


def test_a_relaxed_checkpoint_carries_theta_and_w() -> None:
    relaxed, other = relax(network(), RIGID, init="default"), relax(network(), RIGID)
    relaxed.theta = 0.5
    other.module.load_state_dict(relaxed.module.state_dict())
    assert other.theta == 0.5
    assert torch.equal(other.new_parameters()[0], relaxed.new_parameters()[0])


def test_modules_of_the_users_that_have_the_same_name_keep_their_keys() -> None:
    class Owner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relaxation = nn.Sequential(VNLinear(2, 2), nn.Linear(3, 3))

    model = Owner()
    keys = list(model.state_dict())
    relaxed = relax(model)
    assert list(relaxed.thetas) == ["relaxation.0"]
    assert list(relaxed.plain_state_dict()) == list(strip(model.state_dict())) == keys


def test_complex_and_half_precision_layers() -> None:
    layer = nn.Sequential(nn.Linear(3, 3, dtype=torch.complex64))
    relaxed = relax(layer, Symmetry(O(3), hidden={"0": ("scalar", "scalar")}), "0", init="default")
    relaxed.theta = 0.5
    x = torch.randn(4, 3, dtype=torch.complex64)
    layer(x).abs().sum().backward()
    assert relaxed.new_parameters()[0].dtype is torch.complex64
    assert relaxed.new_parameters()[0].grad.abs().max() > 0
    assert relaxed.relaxations["0"].theta.dtype is torch.float32
    assert relaxed.penalty("magnitude") > 0
    half = relax(VNLinear(3, 3).bfloat16(), init="default")
    half.theta = 0.5
    assert half(torch.randn(4, 3, 3).bfloat16()).dtype is torch.bfloat16
    with half.observe() as seen:
        half(torch.randn(4, 3, 3).bfloat16())
    assert torch.isfinite(seen.penalty() + half.penalty())
    schedule = schedules.triangle(half, 3)
    nn.init.ones_(half.relaxations[""].weight)
    for _ in range(3):
        schedule.step()
    assert half.theta == 0


def test_the_best_state_is_kept_while_training_goes_on() -> None:
    # in the released code the best model is the last one under another name
    relaxed = relax(network(), RIGID)
    best = relaxed.plain_state_dict()
    before = best["0.weight"].clone()
    with torch.no_grad():
        relaxed.module[0].weight.add_(1.0)
    assert torch.equal(best["0.weight"], before)


def test_subclasses_are_found() -> None:
    # the class check of the released scale experiment never matches, so that nothing is relaxed
    class Linear(VNLinear):
        pass

    class Conv(nn.Conv2d):
        pass

    class Dense(nn.Linear):
        pass

    assert relaxable(nn.Sequential(Linear(2, 2))).names == ("0",)
    hidden = {"0": ("scalar", "scalar"), "1": ("scalar", "scalar")}
    assert relaxable(nn.Sequential(Conv(2, 2, 1), Dense(2, 2)), Symmetry(Cyclic(4), hidden=hidden)).names == ("0", "1")


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3},
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": 3, "padding": "same", "padding_mode": "circular", "dilation": 2},
        {"kernel_size": 4, "padding": "same", "padding_mode": "reflect"},
        {"kernel_size": 3, "padding": 1, "stride": 2, "padding_mode": "replicate"},
        {"kernel_size": 5, "padding": "valid", "dilation": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_w_slides_as_the_layer_does(dims: int, options: dict) -> None:
    layer = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](2, 3, bias=False, **options)
    claim = Symmetry(Flip(dims), hidden={"0": ("scalar", "scalar")})
    x = torch.randn(2, 2, *(12,) * dims)
    plain = layer(x)
    relaxed = relax(nn.Sequential(layer), claim, ["0"], check=False, init=lambda w: w.copy_(layer.weight))
    relaxed.theta = 1.0
    torch.testing.assert_close(relaxed(x), 2 * plain)


def test_half_a_relaxation_in_a_checkpoint_is_an_error() -> None:
    relaxed = relax(network(), RIGID)
    state = relaxed.module.state_dict()
    del state["0.relaxation.weight"]
    with pytest.raises(RuntimeError, match=r"Missing key.*0\.relaxation\.weight"):
        relaxed.module.load_state_dict(state)


def test_dtype_device_and_mode_follow() -> None:
    relaxed = relax(network().double(), RIGID)
    assert relaxed.new_parameters()[0].dtype is torch.float64
    relaxed.module.float()
    assert relaxed.new_parameters()[0].dtype is torch.float32
    assert relaxed.module(points()).dtype is torch.float32


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    relaxed = relax(network().cuda(), RIGID, init="default")
    relaxed.theta = 0.5
    x = points().cuda()
    assert relaxed(x).is_cuda
    with relaxed.observe() as seen:
        relaxed(x)
    (seen.penalty() + relaxed.penalty()).backward()
    for method in ("drop", "fold"):
        model, report = project(relaxed, method, inputs=x, confirm=None)
        assert report.exact
        assert model[0].weight.is_cuda


def test_a_kernel_without_a_known_equivariant_part() -> None:
    # turns by 45° move pixels between pixels: W can be relaxed and dropped, not folded
    model = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1))
    claim = Symmetry(Cyclic(8), Image(), Image(), hidden={"0": (2 * Scalar(), Regular())})
    relaxed = relax(model, claim, init="default")
    relaxed.theta = 0.5
    with pytest.raises(RelaxationError, match=r"0: the equivariant part of its kernel is not known for Cyclic\(8\)"):
        relaxed.penalty()
    assert relaxed.penalty("magnitude") > 0
    assert "relaxation/0/penalty" not in relaxed.log(penalty=True)
    with relaxed.observe() as seen:
        relaxed(torch.randn(1, 2, 9, 9))
    assert seen.penalties("lie")["0"] == 0
    row = project(relaxed, "fold")[1].layers[0]
    assert (row.outcome, row.share) == ("not foldable", None)


def test_it_is_logged_as_numbers() -> None:
    relaxed = relax(network(), RIGID, init="default", learned=1.0)
    relaxed.theta = 0.5
    logged = relaxed.log(penalty=True)
    assert logged["relaxation/0/penalty"] == pytest.approx(float(relaxed.penalties()["0"].detach()))
    assert logged["relaxation/0/theta"] == 0.5
    assert logged["relaxation/0/level"] == 1.0
    assert logged["relaxation/0/norm"] > 0
    assert all(type(value) is float for value in logged.values())
