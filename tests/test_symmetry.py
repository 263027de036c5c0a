"""Symmetry: how a declaration meets inputs and outputs of any structure, for one element or one per sample."""

from __future__ import annotations

import dataclasses
from collections import namedtuple

import numpy as np
import pytest
import torch

from equiaudit import Representation, Symmetry
from equiaudit.groups import SO, E, O, Permutations, T
from equiaudit.representations import RepresentationError, StructureError, Vector
from equiaudit.symmetry import UNDECLARED

G = E(3).translation(1.0, -2.0, 0.5) @ E(3).sample(0)
X = torch.randn(5, 3, dtype=torch.float64)


def turned(x, g=G):
    return x @ torch.from_numpy(g.linear).T


def moved(x, g=G):
    return turned(x, g) + torch.from_numpy(g.translation)


@dataclasses.dataclass(frozen=True)
class Molecule:
    positions: torch.Tensor
    numbers: torch.Tensor
    cell: torch.Tensor | None = None


# -- structures -------------------------------------------------------------------------------------------------------


def test_a_bare_representation_acts_on_every_leaf():
    out = Symmetry(E(3), "vector").act_on_inputs(G, {"a": X, "b": [X, None]})
    torch.testing.assert_close(out["a"], turned(X))
    torch.testing.assert_close(out["b"][0], turned(X))
    assert out["b"][1] is None


def test_only_an_exact_tuple_means_several_arguments():
    symmetry = Symmetry(E(3), ("points", "vector", None))
    out = symmetry.act_on_inputs(G, (X, X, X))
    torch.testing.assert_close(out[0], moved(X))
    torch.testing.assert_close(out[1], turned(X))
    assert out[2] is X
    Pair = namedtuple("Pair", ["x", "v"])
    one = Symmetry(E(3), {"x": "points", "v": "vector"}).act_on_inputs(G, Pair(X, X))
    assert isinstance(one, Pair)
    torch.testing.assert_close(one.x, moved(X))
    torch.testing.assert_close(one.v, turned(X))
    as_list = Symmetry(E(3), ["points", "vector"]).act_on_inputs(G, [X, X])
    torch.testing.assert_close(as_list[1], turned(X))


def test_one_representation_for_several_arguments():
    out = Symmetry(E(3), "points").act_on_inputs(G, (X, X[:2]))
    assert type(out) is tuple
    torch.testing.assert_close(out[1], moved(X[:2]))


def test_a_tuple_of_outputs():
    symmetry = Symmetry(E(3), "points", ("invariant", "vector"))
    out = symmetry.act_on_outputs(G, (X.sum(), X), X)
    torch.testing.assert_close(out[1], turned(X))
    assert type(out) is tuple


def test_dataclasses_are_matched_by_field_and_what_is_not_declared_passes_through():
    molecule = Molecule(X, torch.arange(5), None)
    out = Symmetry(E(3), {"positions": "points", "cell": "vector"}).act_on_inputs(G, molecule)
    assert isinstance(out, Molecule)
    torch.testing.assert_close(out.positions, moved(X))
    assert out.numbers is molecule.numbers
    assert out.cell is None
    assert molecule.positions is X


def test_dicts_by_degree():
    features = {0: torch.randn(2, 4, 1), 1: torch.randn(2, 4, 3), 2: torch.randn(2, 4, 5)}
    g = O(3).sample(1)
    out = Symmetry(O(3), {0: "0e", 1: "1o", 2: "2e"}).act_on_inputs(g, features)
    assert list(out) == [0, 1, 2]
    torch.testing.assert_close(out[1], Vector().act(g, features[1]))
    assert torch.equal(out[0], features[0])
    assert not torch.allclose(out[2], features[2])


def test_nested_declarations():
    inputs = {"system": {"pos": X, "z": torch.arange(5)}, "fields": [X, X]}
    out = Symmetry(E(3), {"system": {"pos": "points"}, "fields": ["vector", None]}).act_on_inputs(G, inputs)
    torch.testing.assert_close(out["system"]["pos"], moved(X))
    torch.testing.assert_close(out["fields"][0], turned(X))
    assert out["fields"][1] is X
    assert out["system"]["z"] is inputs["system"]["z"]


def test_attributes_that_a_container_does_not_list():
    class Graph:
        def __init__(self, pos):
            self._pos, self.tag = pos, [1]

        @property
        def pos(self):
            return self._pos

        @pos.setter
        def pos(self, value):
            self._pos = value

    graph = Graph(X)
    out = Symmetry(E(3), {"pos": "points"}).act_on_inputs(G, graph)
    torch.testing.assert_close(out.pos, moved(X))
    assert graph.pos is X


def test_functions_and_numpy_arrays():
    def shifted(g, value):
        return {"n": value["n"], "x": value["x"] + torch.from_numpy(g.translation)}

    symmetry = Symmetry(E(3), {"own": shifted, "array": "vector"})
    inputs = {"own": {"n": 3, "x": X}, "array": X.numpy()}
    out = symmetry.act_on_inputs(G, inputs)
    torch.testing.assert_close(out["own"]["x"], X + torch.from_numpy(G.translation))
    assert isinstance(out["array"], np.ndarray)
    np.testing.assert_allclose(out["array"], turned(X).numpy())


def test_integers_and_plain_numbers_may_be_invariant():
    out = Symmetry(E(3), "points", {"energy": "invariant", "count": "invariant"}).act_on_outputs(
        G, {"energy": 1.5, "count": 3}
    )
    assert out == {"energy": 1.5, "count": 3}


def test_nothing_is_changed_in_place():
    inputs, before = {"pos": X.clone()}, X.clone()
    Symmetry(E(3), {"pos": "points"}).act_on_inputs(G, inputs)
    assert torch.equal(inputs["pos"], before)


def test_leaves_are_listed_with_what_acts_on_them():
    symmetry = Symmetry(E(3), {"pos": "points", "z": None})
    found = {path[0]: rep for path, _, rep in symmetry.input_leaves({"pos": X, "z": X, "cell": X})}
    assert repr(found["pos"]) == "Points()"
    assert found["z"] is None
    assert found["cell"] is UNDECLARED


# -- velocities -------------------------------------------------------------------------------------------------------


def test_velocities_are_the_derivative_of_the_action():
    symmetry = Symmetry(E(3), {"pos": "points", "v": "vector", "z": "invariant"}, {"f": "vector"})
    inputs = {"pos": X, "v": X, "z": torch.arange(5)}
    c = np.random.default_rng(0).standard_normal(6)
    tangents = {path[0]: tangent for path, _, tangent in symmetry.velocity(c, inputs)}
    assert set(tangents) == {"pos", "v"}  # integers don't move
    h = 1e-6
    there = symmetry.act_on_inputs(E(3).exp(*(h * c)), inputs)
    back = symmetry.act_on_inputs(E(3).exp(*(-h * c)), inputs)
    for name in tangents:
        torch.testing.assert_close(tangents[name], (there[name] - back[name]) / (2 * h), atol=1e-8, rtol=0)
    [(path, value, tangent)] = symmetry.output_velocity(c, {"f": X, "other": X})
    assert path == ("f",)
    assert value is X
    torch.testing.assert_close(tangent, tangents["v"])


def test_each_sample_has_its_own_velocity():
    symmetry = Symmetry(SO(3), "vector", "vector", batch=0)
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    c = np.random.default_rng(0).standard_normal((2, 3))
    [(_, _, tangent)] = symmetry.velocity(c, x)
    for i in range(2):
        [(_, _, alone)] = Symmetry(SO(3), "vector").velocity(c[i], x[i])
        torch.testing.assert_close(tangent[i], alone)


@pytest.mark.parametrize("rep", ["points", "1o"])
def test_each_graph_has_its_own_velocity(rep):
    symmetry = Symmetry(E(3), {"pos": rep}, batch="batch")
    batch = torch.tensor([1, 0, 1, 1, 0])
    c = np.random.default_rng(0).standard_normal((2, 6))
    [(_, _, tangent)] = symmetry.velocity(c, {"pos": X, "batch": batch})
    for n, i in enumerate(batch):
        [(_, _, alone)] = Symmetry(E(3), rep).velocity(c[i], X[n])
        torch.testing.assert_close(tangent[n], alone)


# -- samples ----------------------------------------------------------------------------------------------------------


def test_rows_have_their_own_elements():
    symmetry = Symmetry(E(3), {"pos": "points"}, {"energy": "invariant", "forces": "vector"}, batch=0)
    elements = tuple(E(3).sample(seed) for seed in range(3))
    x = torch.randn(3, 5, 3, dtype=torch.float64)
    out = symmetry.act_on_inputs(elements, {"pos": x})
    for i, g in enumerate(elements):
        torch.testing.assert_close(out["pos"][i], moved(x[i], g))
    forces = symmetry.act_on_outputs(elements, {"energy": torch.ones(3), "forces": x}, {"pos": x})["forces"]
    torch.testing.assert_close(forces[2], turned(x[2], elements[2]))
    assert symmetry.sample_count({"pos": x}) == 3


def test_graphs_have_their_own_elements():
    batch = torch.tensor([0, 1, 1, 0, 2])
    symmetry = Symmetry(
        E(3), {"pos": "points"}, {"energy": "invariant", "dipole": "vector", "forces": "vector"}, batch="batch"
    )
    elements = tuple(E(3).sample(seed) for seed in range(3))
    inputs = {"pos": X, "batch": batch, "edge_index": torch.tensor([[0, 1, 4], [3, 2, 4]])}
    out = symmetry.act_on_inputs(elements, inputs)
    for n, i in enumerate(batch):
        torch.testing.assert_close(out["pos"][n], moved(X[n], elements[i]))
    outputs = {"energy": torch.ones(3), "dipole": X[:3], "forces": X}
    acted = symmetry.act_on_outputs(elements, outputs, inputs)
    torch.testing.assert_close(acted["dipole"][1], turned(X[1], elements[1]))
    torch.testing.assert_close(acted["forces"][1], turned(X[1], elements[1]))
    torch.testing.assert_close(acted["forces"][3], turned(X[3], elements[0]))


def test_edges_belong_to_the_graph_of_their_first_end():
    batch = torch.tensor([0, 0, 1, 1])
    edges = torch.tensor([[0, 2, 1, 3], [1, 3, 0, 2]])  # as many edges as nodes: the name decides
    symmetry = Symmetry(SO(3), {"pos": "vector", "edge_vec": "vector"}, batch="batch")
    elements = (SO(3).identity(), SO(3).sample(0))
    inputs = {"pos": X[:4], "edge_vec": X[:4], "edge_index": edges, "batch": batch}
    out = symmetry.act_on_inputs(elements, inputs)
    torch.testing.assert_close(out["pos"][1], X[1])
    assert not torch.allclose(out["edge_vec"][1], X[1])
    torch.testing.assert_close(out["edge_vec"][2], X[2])


def test_one_element_serves_all_samples():
    symmetry = Symmetry(E(3), {"pos": "points"}, batch="batch")
    out = symmetry.act_on_inputs(G, {"pos": X, "batch": torch.tensor([0, 0, 0, 1, 1])})
    torch.testing.assert_close(out["pos"], moved(X))


# -- frames -----------------------------------------------------------------------------------------------------------


def test_the_frame_is_the_centroid_and_the_rms_radius():
    frame = Symmetry(E(3), {"pos": "points"}).frame({"pos": X})
    np.testing.assert_allclose(frame.origin, X.mean(0, keepdim=True))
    np.testing.assert_allclose(frame.radius, [float((X - X.mean(0)).square().sum(-1).mean().sqrt())])


def test_each_sample_has_its_own_frame():
    batch = torch.tensor([0, 0, 0, 1, 1])
    frame = Symmetry(E(3), {"pos": "points"}, batch="batch").frame({"pos": X, "batch": batch})
    np.testing.assert_allclose(frame.origin[1], X[3:].mean(0))
    rows = Symmetry(E(3), "points", batch=0).frame(torch.stack([X, X + 10]))
    np.testing.assert_allclose(rows.origin[1] - rows.origin[0], [10, 10, 10])
    np.testing.assert_allclose(rows.radius[0], rows.radius[1])


def test_no_frame_without_points_or_translations():
    assert Symmetry(SO(3), "points").frame(X) is None
    assert Symmetry(T(3), "vector").frame(X) is None
    one = Symmetry(T(3), "points").frame(X[:1])
    assert one.radius[0] == 1.0  # a single point has no size


# -- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Symmetry(SO), "SO is a class; give a group, such as SO\\(3\\)"),
        (lambda: Symmetry("SO(3)"), r"expected a group such as SO\(3\), got str: 'SO\(3\)'"),
        (lambda: Symmetry(SO(3), "vektor"), "unknown representation 'vektor'; use one of invariant, scalar"),
        (lambda: Symmetry(SO(3), Vector), r"Vector is a class; give an instance, Vector\(\)"),
        (lambda: Symmetry(SO(3), {"a": ["vector", 3]}), r"at a\[1\]: 3 is not a representation"),
        (lambda: Symmetry(SO(3), "vector", batch=1), "batch must be None, 0 or the name of an input, got 1"),
        (
            lambda: Symmetry(Permutations(), "vector"),
            r"Vector\(\) is not a representation of Permutations\(\), which only relabels",
        ),
        (lambda: Symmetry(inputs="vector").acts, "this symmetry has no group"),
    ],
)
def test_a_wrong_declaration_is_said_at_once(make, message):
    with pytest.raises(RepresentationError, match=message):
        make()


@pytest.mark.parametrize(
    ("spec", "inputs", "message"),
    [
        ({"pos": "points"}, {"x": X}, "input: declared 'pos' not found; there are 'x'"),
        ({"a": {"pos": "points"}}, {"a": {"x": X}}, "a: declared 'pos' not found; there are 'x'"),
        (["vector", "vector"], [X], "input: 2 entries are declared, there are 1"),
        ({"a": "vector"}, X, "input: expected a container with 'a', got Tensor"),
        (("vector", "vector"), (X,), "the symmetry declares 2 positional arguments, the inputs have 1"),
        (
            {"a": "vector"},
            (X, X),
            r"the inputs are 2 positional arguments, so inputs= must be a tuple of 2 .* got dict",
        ),
        (
            {"a": "vector"},
            {"a": torch.ones(4)},
            r"a can't be Vector\(\) of SO\(3\): dimension -1 must have length 3, shape \[4\]",
        ),
        ("vector", torch.tensor(1.0), r"input can't be Vector\(\) of SO\(3\): it has no dimension -1, shape \[\]"),
        ({"a": "vector"}, {"a": "text"}, r"a: Vector\(\) acts on tensors, got str"),
    ],
)
def test_a_structure_that_does_not_match_is_named(spec, inputs, message):
    with pytest.raises(StructureError, match=message):
        Symmetry(SO(3), spec).act_on_inputs(SO(3).sample(0), inputs)


@pytest.mark.parametrize(
    ("batch", "inputs", "elements", "message"),
    [
        (None, {"x": X}, 2, "2 elements for one call; one element per sample needs batch=0 or batch='batch'"),
        (0, {"x": X}, 3, "3 elements for 5 samples; give one, or one for each sample"),
        ("owner", {"x": X}, 2, r"batch='owner': no input has that name; there are \['x'\]"),
        ("owner", {"x": X, "owner": torch.ones(5)}, 2, r"must name an integer vector, got torch.float32 \[5\]"),
        (
            "owner",
            {"x": X, "owner": torch.tensor([0, 1, 1])},
            2,
            "x has 5 rows .* which is none of: 2 samples, 3 nodes",
        ),
    ],
)
def test_samples_that_do_not_match_are_named(batch, inputs, elements, message):
    symmetry = Symmetry(SO(3), {"x": "vector"}, batch=batch)
    with pytest.raises(StructureError, match=message):
        symmetry.act_on_inputs(tuple(SO(3).sample(seed) for seed in range(elements)), inputs)


def test_outputs_of_samples_need_the_inputs():
    symmetry = Symmetry(SO(3), "vector", "vector", batch=0)
    with pytest.raises(StructureError, match="the outputs alone don't say how rows belong to samples"):
        symmetry.act_on_outputs((SO(3).sample(0), SO(3).sample(1)), X[:2])


def test_a_missing_output_is_named():
    with pytest.raises(StructureError, match="output: declared 'forces' not found; there are 'energy'"):
        Symmetry(SO(3), "vector", {"forces": "vector"}).act_on_outputs(SO(3).sample(0), {"energy": X})


def test_a_representation_of_another_group_is_refused():
    rep = Representation.from_matrix(SO(3), lambda r: r, name="mine")
    with pytest.raises(RepresentationError, match=r"mine is a representation of SO\(3\), not of O\(3\)"):
        Symmetry(O(3), rep)
