"""Relabelling of nodes, edges and index tensors: one element, one per sample, one per graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from equiaudit import Symmetry
from equiaudit.groups import SO, Permutations
from equiaudit.representations import EdgeIndex, Edges, Nodes, OnMember, Points, RepresentationError, StructureError
from equiaudit.representations.acting import Acting

P = Permutations()
ELEMENTS = [P.roll(2), P.reverse(), P.swap(0, 3), P.shuffle(5), P.of((2, 0, 1, 3)), P.shuffle(1) @ P.roll(1)]


@pytest.mark.parametrize("g", ELEMENTS, ids=repr)
def test_node_i_becomes_node_p_i(g):
    x = torch.randn(6, 3)
    p = g.permutation(6)
    moved = Nodes().act(g, x)
    assert all(torch.equal(moved[p[i]], x[i]) for i in range(6))
    assert torch.equal(Nodes().act(g.inverse(), moved), x)


@pytest.mark.parametrize("g", ELEMENTS, ids=repr)
def test_the_product_acts_as_one_after_the_other(g):
    x, h = torch.arange(6), P.shuffle(9)
    assert torch.equal(Nodes().act(g @ h, x), Nodes().act(g, Nodes().act(h, x)))
    edges = torch.randint(0, 6, (2, 11))
    whole = EdgeIndex(nodes=6)
    assert torch.equal(whole.act(g @ h, edges), whole.act(g, whole.act(h, edges)))


@pytest.mark.parametrize("g", ELEMENTS, ids=repr)
def test_a_graph_stays_the_same_graph(g):
    """The adjacency matrix built from the moved edge list is the moved adjacency matrix."""
    edges, weights = torch.randint(0, 6, (2, 9)), torch.randn(9)

    def adjacency(index, values):
        return torch.zeros(6, 6).index_put_((index[0], index[1]), values, accumulate=True)

    moved = adjacency(EdgeIndex(nodes=6).act(g, edges), Edges().act(g, weights))
    wanted = (Nodes(dim=-2) * Nodes(dim=-1)).act(g, adjacency(edges, weights))
    torch.testing.assert_close(moved, wanted)
    if not g.inverse().is_identity():  # the check can fail: one side alone moved is another graph
        assert not torch.allclose(moved, Nodes().act(g, adjacency(edges, weights)))


def test_the_other_layout_is_the_transpose():
    g, edges = P.shuffle(3), torch.randint(0, 6, (2, 9))
    assert torch.equal(EdgeIndex(dim=-2, nodes=6).act(g, edges.T), EdgeIndex(nodes=6).act(g, edges).T)


def test_padding_is_left_alone():
    moved = EdgeIndex(nodes=4).act(P.swap(0, 1), torch.tensor([[0, -1], [1, -1]]))
    assert moved.tolist() == [[1, -1], [0, -1]]


def test_matrices_of_a_sized_group_agree_with_the_action():
    group = Permutations(4)
    x = torch.randn(4, dtype=torch.float64)
    for g in group.elements():
        assert np.array_equal(Nodes().matrix(g) @ x.numpy(), Nodes().act(g, x).numpy())
        assert np.array_equal(Nodes().matrix(g), g.matrix)


def test_nothing_is_rounded_and_dtypes_stay():
    for dtype in (torch.bfloat16, torch.int32, torch.bool, torch.complex64):
        x = torch.randn(5, 2).to(dtype)
        moved = Nodes().act(P.roll(1), x)
        assert moved.dtype == dtype
        assert torch.equal(moved.roll(-1, 0), x)


def test_each_sample_has_its_own_order():
    x = torch.randn(3, 5, 2)
    elements = (P.roll(1), P.reverse(), P.shuffle(0))
    moved = Nodes().apply(Acting.of(elements), x)
    for n, g in enumerate(elements):
        assert torch.equal(moved[n], Nodes().act(g, x[n]))
    pairs = torch.randn(3, 5, 5)
    moved = (Nodes(dim=-2) * Nodes(dim=-1)).apply(Acting.of(elements), pairs)
    assert torch.equal(moved[1], pairs[1].flip(0, 1))


def test_nodes_of_a_graph_stay_in_its_places_and_edges_follow():
    batch = torch.tensor([1, 0, 1, 0, 1])  # unsorted on purpose
    edges = torch.tensor([[0, 2, 1, 4], [2, 4, 3, 0]])
    inputs = {"x": torch.arange(5.0), "edge_index": edges, "edge_attr": torch.arange(4.0), "batch": batch}
    symmetry = Symmetry(P, {"x": "nodes", "edge_index": "edge_index", "edge_attr": "edges"}, "nodes", batch="batch")
    g = (P.swap(0, 1), P.roll(1))
    out = symmetry.act_on_inputs(g, inputs)
    assert out["x"].tolist() == [4.0, 3.0, 0.0, 1.0, 2.0]  # graph 1 sits in places 0 2 4, graph 0 in 1 3
    assert out["batch"] is batch

    # every edge still joins what it joined, within its graph
    def joined(x, index, weights):
        return {(float(x[a]), float(x[b]), float(w)) for a, b, w in zip(*index, weights, strict=True)}

    moved = out["edge_index"]
    assert joined(inputs["x"], edges, inputs["edge_attr"]) == joined(out["x"], moved, out["edge_attr"])
    assert joined(inputs["x"], edges, inputs["edge_attr"]) != joined(out["x"], edges, out["edge_attr"])
    assert torch.equal(batch[moved[0]], batch[edges[0]])
    back = symmetry.act_on_inputs(tuple(h.inverse() for h in g), out)
    assert all(torch.equal(back[k], inputs[k]) for k in inputs)


def test_one_element_for_all_graphs_acts_within_each():
    batch = torch.tensor([0, 0, 0, 1, 1])
    symmetry = Symmetry(P, {"x": "nodes"}, "nodes", batch="batch")
    out = symmetry.act_on_inputs(P.roll(1), {"x": torch.arange(5.0), "batch": batch})
    assert out["x"].tolist() == [2.0, 0.0, 1.0, 4.0, 3.0]


def test_isolated_last_nodes_move_too():
    inputs = {"x": torch.arange(4.0), "edge_index": torch.tensor([[0], [1]])}
    symmetry = Symmetry(P, {"x": "nodes", "edge_index": "edge_index"}, "nodes")
    out = symmetry.act_on_inputs(P.roll(1), inputs)
    assert out["edge_index"].tolist() == [[1], [2]]  # with 2 nodes it would be [[1], [0]]


def test_isolated_nodes_that_no_input_shows_are_refused():
    symmetry = Symmetry(P, "edge_index", "nodes")
    edges = torch.tensor([[0], [1]])
    assert symmetry.act_on_outputs(P.roll(1), torch.arange(2.0), edges).tolist() == [1.0, 0.0]
    with pytest.raises(StructureError, match=r"output has 4 nodes, the input names 2 .* say EdgeIndex\(nodes=4\)"):
        symmetry.act_on_outputs(P.roll(1), torch.arange(4.0), edges)
    sure = Symmetry(P, EdgeIndex(nodes=4), "nodes")
    assert sure.act_on_outputs(P.roll(1), torch.arange(4.0), edges).tolist() == [3.0, 0.0, 1.0, 2.0]


def test_two_sizes_of_nodes_are_ambiguous_for_an_edge_index():
    symmetry = Symmetry(P, {"a": "nodes", "b": "nodes", "edge_index": "edge_index"}, "invariant")
    inputs = {"a": torch.ones(3), "b": torch.ones(4), "edge_index": torch.tensor([[0], [1]])}
    with pytest.raises(StructureError, match=r"edge_index: how many nodes does it name from\? a has 3, b has 4"):
        symmetry.act_on_inputs(P.roll(1), inputs)


@pytest.mark.parametrize("name", ["nodes", "edges", "edge_index"])
def test_a_group_without_permutations_is_refused(name):
    with pytest.raises(RepresentationError, match=rf"'{name}' relabels, and SO\(3\) has no permutations: .*ons\(\)"):
        Symmetry(SO(3), name, "invariant")


@pytest.mark.parametrize(
    ("rep", "x", "message"),
    [
        (EdgeIndex(), torch.ones(2, 3), r"it must hold integers that name nodes, dtype torch.float32"),
        (EdgeIndex(), torch.ones(3, dtype=torch.long), r"it must be \[2, edges\] or \[edges, 2\], shape \[3\]"),
        (EdgeIndex(nodes=2), torch.tensor([[0], [5]]), r"names node 5, and there are 2 nodes"),
        (Nodes(dim=2), torch.ones(3), r"it has no dimension 2, shape \[3\]"),
    ],
)
def test_what_does_not_fit_is_said(rep, x, message):
    with pytest.raises(StructureError, match=message):
        Symmetry(P, rep).act_on_inputs(P.roll(1), x)


def test_a_sized_group_refuses_another_number_of_nodes():
    group = Permutations(3)
    with pytest.raises(StructureError, match=r"Permutations\(3\) permutes 3 nodes, got 4"):
        Symmetry(group, "nodes").act_on_inputs(group.roll(1), torch.ones(4))


def test_samples_need_a_dimension_for_nodes():
    symmetry = Symmetry(P, "nodes", batch=0)
    with pytest.raises(StructureError, match="dimension 0 holds the samples"):
        symmetry.act_on_inputs((P.roll(1), P.roll(2)), torch.ones(2))
    flat = Symmetry(P, "edge_index", batch=0)
    with pytest.raises(StructureError, match="give the graph-assignment vector: batch='batch'"):
        flat.act_on_inputs((P.roll(1), P.roll(2)), torch.zeros(2, 5, dtype=torch.long))


def test_a_direct_product_turns_and_relabels_at_once():
    group = SO(3) * P
    spec = {
        "pos": OnMember(0, Points()) * OnMember(1, Nodes(dim=-2)),
        "x": OnMember(1, Nodes()),
        "edge_index": OnMember(1, EdgeIndex()),
    }
    batch = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    inputs = {
        "pos": torch.randn(7, 3),
        "x": torch.arange(7.0),
        "edge_index": torch.tensor([[0, 4], [1, 5]]),
        "batch": batch,
    }
    turn, order = SO(3).sample(0), P.roll(1)
    out = Symmetry(group, spec, batch="batch").act_on_inputs(group.pair(turn, order), inputs)
    assert out["x"].tolist() == [2.0, 0.0, 1.0, 6.0, 3.0, 4.0, 5.0]
    torch.testing.assert_close(out["pos"], Points().act(turn, inputs["pos"])[out["x"].long()])
    assert out["edge_index"].tolist() == [[1, 5], [2, 6]]
    alone = Symmetry(group, spec).act_on_inputs(group.pair(turn, order), inputs)
    assert alone["edge_index"].tolist() == [[5, 1], [6, 2]]  # of seven nodes, the last isolated
