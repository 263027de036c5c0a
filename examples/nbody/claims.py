"""The symmetries of the task: motions of space, each window with its own, and the order of the particles."""

from __future__ import annotations

from equiaudit import Symmetry
from equiaudit.groups import E, O, Permutations
from equiaudit.representations import Nodes

MOTIONS = Symmetry(E(3), inputs=("points", "vector", "invariant"), outputs="points", batch=0)
TURNS = Symmetry(O(3), inputs=("vector", "vector", "invariant"), outputs="vector", batch=0)
"""About the origin: what is left of ``MOTIONS`` for a network that centres its inputs."""
ORDER = Symmetry(Permutations(), inputs=(Nodes(dim=-2), Nodes(dim=-2), Nodes(dim=-1)), outputs=Nodes(dim=-2), batch=0)
