"""relax: a dense map W beside equivariant layers, counted at a level θ."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from equiaudit.relaxation.check import check_site
from equiaudit.relaxation.discover import MAX_ENTRIES, Adapter, choose, relaxable
from equiaudit.relaxation.module import NAME, Init, attach, detach
from equiaudit.relaxation.relaxed import Relaxed, unwrapped
from equiaudit.relaxation.site import RelaxationError, title
from equiaudit.symmetry import Symmetry


def relax(
    model: nn.Module,
    symmetry: Symmetry | Sequence[Symmetry] | None = None,
    layers: Sequence[str] | str | Callable[[str, nn.Module], bool] | None = None,
    *,
    init: Init = "zeros",
    adapters: Sequence[Adapter] = (),
    learned: float | None = None,
    max_entries: int = MAX_ENTRIES,
    check: bool = True,
) -> Relaxed:
    """Relax layers of a model in place: f(x) becomes f(x) + θ·W x, with a dense W and a level θ that starts at 0.

    The model keeps its class, its ``forward`` and the keys of its ``state_dict``; each relaxed layer gains a submodule
    ``relaxation`` with ``weight`` and ``theta``. At θ = 0 the model computes what it computed before. Relax first, then
    make the optimizer, then wrap or compile.

    Args:
        model: a module; layers of e3nn and escnn, vector neurons, and whatever ``symmetry.hidden`` or adapters declare.
        symmetry: the group and, by ``hidden={"layers.*": (inputs, outputs)}``, representations of plain layers.
        layers: names, patterns such as "layers.*", or a function ``(name, layer) -> bool``; None: all that
            ``relaxable(model, symmetry)`` lists, except maps between scalars, where nothing can be relaxed.
        init: of W: "zeros", "default", "normal(1e-4)", or a function that fills a tensor. The paper's: "zeros" beside the
            linear and direction maps of VN-PointNet, "default" in VN-DGCNN, "normal(1e-4)" in SEGNN.
        adapters: functions ``adapter(layer) -> LinearSite | None`` for layers that equiaudit does not know.
        learned: a start value for a level that each layer learns besides; see ``schedules.dual_ascent``.
        max_entries: the largest W that is made.
        check: audit the declared layers and those of adapters on random inputs, so that a wrong declaration raises now.

    Returns:
        A ``Relaxed`` handle.

    Raises:
        RelaxationError: a layer that can't be relaxed, by name; a declaration that does not fit its layer.

    Source: Pertigkiozoglou et al., "Improving Equivariant Model Training via Constraint Relaxation", NeurIPS 2024.

    >>> from equiaudit.relaxation.vector_neurons import VNLinear
    >>> relaxed = relax(nn.Sequential(VNLinear(4, 8), VNLinear(8, 2)))
    >>> relaxed.theta = 0.5
    >>> dict(relaxed.thetas)
    {'0': 0.5, '1': 0.5}
    """
    _refuse_wrappers(model)
    claim = _one(symmetry)
    listing = relaxable(model, claim, adapters)
    chosen = choose(listing, layers, model)
    big = [row for row in chosen if row.site and row.site.entries > max_entries]
    if big:
        sizes = ", ".join(f"{title(row.name)} ({row.site.entries:,})" for row in big if row.site)
        raise RelaxationError(
            f"W would have more than {max_entries:,} entries beside {sizes}; choose layers=, or raise max_entries="
        )
    _refuse_a_standstill(init, learned)
    for row in chosen:
        if check and row.site is not None and not row.by_layer:
            check_site(row.name, row.layer, row.site)
    try:
        for row in chosen:
            assert row.site is not None
            attach(row.layer, row.site, _like(row.layer, model), learned, init)
    except BaseException:  # all layers or none
        for row in chosen:
            if NAME in row.layer._modules:
                detach(row.layer)
        raise
    return Relaxed(model, symmetry)


def _refuse_wrappers(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise RelaxationError(f"relax takes a torch module, got {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule):
        raise RelaxationError("a scripted module can't be relaxed: relax the model before torch.jit.script")
    if unwrapped(model) is not model:
        raise RelaxationError(
            f"relax the model before it is wrapped in {type(model).__name__}: a wrapper keeps the parameters and hooks that "
            "it found when it was made"
        )


def _refuse_a_standstill(init: Init, learned: float | None) -> None:
    if learned == 0 and init == "zeros":
        raise RelaxationError(
            "W = 0 with a learned level of 0 has no gradient and would never move; start with learned=1.0 or init='normal(1e-4)'"
        )


def _one(symmetry: Symmetry | Sequence[Symmetry] | None) -> Symmetry | None:
    if symmetry is None or isinstance(symmetry, Symmetry):
        return symmetry
    several = list(symmetry)
    turning = [s for s in several if s.group is not None and not getattr(s.group, "acts_on_indices", False)]
    first = [*(s for s in several if s.hidden), *turning, *several][:1]
    return first[0] if first else None


def _like(layer: nn.Module, model: nn.Module) -> Tensor:
    for module in (layer, model):
        for tensor in (*module.parameters(), *module.buffers()):
            if (tensor.is_floating_point() or tensor.is_complex()) and tensor.numel():
                return tensor
    return torch.empty(0)
