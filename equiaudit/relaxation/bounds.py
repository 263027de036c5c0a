"""How much the output can change when W is dropped: the telescoping bound, and the change itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from equiaudit.relaxation.relaxed import Relaxed
from equiaudit.representations.structures import leaves

ITERATIONS = 6
"""Of the power method on the Jacobian from a layer to the output."""
PLACES = (0.0, 0.5, 1.0)
"""Where on the way from the dropped to the relaxed features the Jacobian is taken."""


def tensors(outputs: Any) -> list[Tensor]:
    """The floating-point tensors of an output: of containers, dataclasses and the objects of other libraries too."""
    found = [leaf for _, leaf in leaves(outputs)]
    return [t for t in found if isinstance(t, Tensor) and (t.is_floating_point() or t.is_complex())]


def relative_change(before: Any, after: Any, notes: list[str]) -> float | None:
    """‖after − before‖ / ‖before‖ over all leaves; None, and a note, where the outputs can't be compared."""
    first, second = tensors(before), tensors(after)
    if not first:
        notes.append(f"no change and no bound: the output, a {type(before).__name__}, holds no floating-point tensor")
        return None
    if [a.shape for a in first] != [b.shape for b in second]:
        notes.append("no change: the outputs of the relaxed and of the projected model differ in shape")
        return None
    pairs = list(zip(first, second, strict=True))
    size = sum(float(a.abs().square().sum()) for a, _ in pairs) ** 0.5
    return sum(float((b - a).abs().square().sum()) for a, b in pairs) ** 0.5 / max(size, torch.finfo(torch.double).tiny)


def telescoping_bound(
    handle: Relaxed, inputs: Any, run: Callable[[Any, Any], Any], notes: list[str], seed: int = 0
) -> float | None:
    """‖F_θ(x) − F_0(x)‖ ≤ Σ_i L_i ‖θ_i W_i x_i‖, over ‖F_θ(x)‖.

    L_i is the gain from layer i to the output with the layers after i dropped: the largest singular value of the
    Jacobian, found by the power method at three places between dropped and relaxed features. It is a bound along that
    line up to what lies between these places.
    """
    present = dict(handle.thetas)
    total = 0.0
    order, outputs = called(handle, inputs, run)
    size = sum(float(t.detach().abs().square().sum()) for t in tensors(outputs)) ** 0.5
    if not size:
        notes.append("no bound: the output of the relaxed model is zero or holds no floating-point tensor")
        return None
    try:
        for i, name in enumerate(order):
            before = dict.fromkeys(handle.relaxations, 0.0) | {n: present[n] for n in order[:i]}
            with handle.at({**before, name: present[name]}):
                step = _added(handle, name, inputs, run)
            if step == 0:
                continue
            gains = []
            for place in PLACES:
                with handle.at({**before, name: place * present[name]}):
                    gains.append(_gain(handle.layer(name), handle.module, inputs, run, seed))
            total += max(gains) * step
    except (RuntimeError, NotImplementedError) as error:
        notes.append(f"no bound: the Jacobian of the model could not be taken ({type(error).__name__})")
        return None
    return total / size


def called(handle: Relaxed, inputs: Any, run: Callable[[Any, Any], Any]) -> tuple[list[str], Any]:
    """The names of the relaxed layers that a forward calls, in their order, and its outputs.

    A hook tells: it does not run where a layer's ``forward`` or its weights are used directly, and neither does W.
    """
    names: list[str] = []
    hooks = [
        handle.layer(name).register_forward_hook(lambda *_, name=name: names.append(name))
        for name in handle.relaxations
    ]
    try:
        outputs = run(handle.module, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return list(dict.fromkeys(names)), outputs


def _added(handle: Relaxed, name: str, inputs: Any, run: Callable[[Any, Any], Any]) -> float:
    squares: list[float] = []
    hook = handle.relaxations[name].register_forward_hook(
        lambda _m, _a, out: squares.append(float(out.detach().abs().square().sum()))
    )
    try:
        run(handle.module, inputs)
    finally:
        hook.remove()
    return sum(squares) ** 0.5


def _gain(layer: nn.Module, model: nn.Module, inputs: Any, run: Callable[[Any, Any], Any], seed: int) -> float:
    shifts: list[Tensor] = []

    def shift(module: Any, args: Any, output: Any) -> Any:
        zero = torch.zeros_like(module.relaxation.site.read(output)).requires_grad_()
        shifts.append(zero)
        return module.relaxation.site.write(output, zero)

    hook = layer.register_forward_hook(shift)
    try:
        with torch.enable_grad():
            outputs = [t for t in tensors(run(model, inputs)) if t.requires_grad]
    finally:
        hook.remove()
    if not outputs:
        return 0.0
    generator = torch.Generator().manual_seed(seed)
    v = [torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t.device, t.dtype) for t in shifts]
    duals = [torch.zeros_like(t, requires_grad=True) for t in outputs]
    # twice backward: u ↦ Jᵀu is linear in u, and its own transpose is v ↦ J v
    back = torch.autograd.grad(outputs, shifts, duals, create_graph=True, allow_unused=True)
    used = [(b, k) for k, b in enumerate(back) if b is not None]
    if not used:
        return 0.0
    found = 0.0
    for _ in range(ITERATIONS):
        length = sum(float(v[k].square().sum()) for _, k in used) ** 0.5
        if length == 0:
            return 0.0
        forward = torch.autograd.grad(
            [b for b, _ in used], duals, [v[k] / length for _, k in used], retain_graph=True, allow_unused=True
        )
        image = [torch.zeros_like(t) if f is None else f for f, t in zip(forward, outputs, strict=True)]
        found = sum(float(f.square().sum()) for f in image) ** 0.5
        again = torch.autograd.grad(outputs, shifts, image, retain_graph=True, allow_unused=True)
        v = [torch.zeros_like(s) if a is None else a for a, s in zip(again, shifts, strict=True)]
    return found
