"""Precisions: what a model declares, its roundoff, and a copy of the model in double precision."""

from __future__ import annotations

import copy
import functools
import types
import warnings
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from equiaudit.measure.state import HOLDERS, global_names, modules_of
from equiaudit.representations.structures import leaves, map_leaves

WIDE = {torch.complex64: torch.complex128, torch.complex32: torch.complex128, torch.complex128: torch.complex128}


def widen(dtype: torch.dtype) -> torch.dtype:
    """float64 for real, complex128 for complex, anything else as it is."""
    return WIDE.get(dtype, torch.float64) if dtype.is_floating_point or dtype.is_complex else dtype


def roundoff(dtype: torch.dtype) -> float:
    """The unit roundoff u: half the spacing at 1.

    >>> roundoff(torch.float32) == 2.0**-24
    True
    """
    return torch.finfo(dtype).eps / 2


def is_inexact(value: Any) -> bool:
    """Whether a value is a floating-point or complex tensor."""
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())


def real_dtype(dtype: torch.dtype) -> torch.dtype:
    """The real dtype of the same precision."""
    return {torch.complex64: torch.float32, torch.complex128: torch.float64}.get(dtype, dtype)


def declared_dtype(model: Any, inputs: Any) -> torch.dtype:
    """The real dtype that a model works in: that of most of its parameters, else of its buffers, else of the inputs."""
    roots = modules_of(model)
    tensors: list[Tensor] = [t for m in roots for t in m.parameters()] or [
        t for m in roots for t in m.buffers() if is_inexact(t)
    ]
    tensors = [t for t in tensors if is_inexact(t)] or [v for _, v in leaves(inputs) if is_inexact(v)]
    if not tensors:
        return torch.get_default_dtype()
    counts: Counter[torch.dtype] = Counter()
    for t in tensors:
        counts[real_dtype(t.dtype)] += t.numel()
    return counts.most_common(1)[0][0]


def cast_inputs(inputs: Any, dtype: torch.dtype | None = None) -> Any:
    """Fresh copies of all tensors, detached, and containers; inexact ones in ``dtype`` (complex in the matching one) if given."""

    def one(_: Any, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if dtype is None or not is_inexact(value):
            return value.detach().clone()
        wanted = dtype
        if value.is_complex():
            wanted = torch.complex128 if dtype == torch.float64 else torch.complex64
        return value.detach().to(wanted, copy=True)

    return map_leaves(one, inputs, fresh=True)


def describe_mismatch(model: Any, inputs: Any) -> str | None:
    """Why a model can't take these inputs at its own precision: several floating dtypes, or several devices; else None."""
    held: list[Tensor] = [p for m in modules_of(model) for p in m.parameters()] or [
        b for m in modules_of(model) for b in m.buffers()
    ]
    given = [v for _, v in leaves(inputs) if isinstance(v, Tensor)]
    for what, of in (
        ("dtype", lambda t: str(real_dtype(t.dtype)).removeprefix("torch.") if is_inexact(t) else ""),
        ("device", lambda t: str(t.device)),
    ):
        mine, theirs = {of(t) for t in held} - {""}, {of(t) for t in given} - {""}
        if mine and theirs - mine:
            return (
                f"{what} mismatch: the model's parameters are {', '.join(sorted(mine))}, the inputs {', '.join(sorted(theirs))}; "
                f"give inputs and model one {what}"
            )
    return None


class CopyFailed(Exception):
    """A model can't be copied; the message says why."""


def copy_model(model: Any, dtype: torch.dtype | None) -> Any:
    """A deep copy whose floating-point parameters, buffers and tensor attributes are in ``dtype``, gradients off.

    Bound methods and partials are copied with what they hold, functions with the modules in their closure.

    Raises:
        CopyFailed: the model can't be copied.
    """
    # deepcopy refuses tensors that are results (filters that escnn expands for eval, stashed activations): copied here
    memo: dict[int, Any] = {
        id(t): t.detach().clone()
        for root in modules_of(model)
        for module in root.modules()
        for t in (*module._parameters.values(), *module._buffers.values(), *vars(module).values())
        if isinstance(t, Tensor) and t.grad_fn is not None
    }
    try:
        out = _copy_callable(_unwrapped(model), memo)
    except Exception as problem:  # whatever a model's __deepcopy__ raises
        raise CopyFailed(
            f"{type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else ''}"
        ) from problem
    _refuse_shared(model, out)
    for root in modules_of(out):
        if dtype is not None:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # TorchScript's parameters are no leaves on the way
                root._apply(lambda t: t.to(_matching(t, dtype)) if is_inexact(t) else t)
            _cast_attributes(root, dtype)
        for p in root.parameters():
            if p.is_leaf:  # TorchScript's converted parameters are not
                p.requires_grad_(False)
                p.grad = None
    return out


def _refuse_shared(model: Any, out: Any) -> None:
    """A copy that holds tensors of the original: casting it would cast the caller's model.

    Raises:
        CopyFailed: a ``__deepcopy__`` shares what it should copy.
    """
    mine = {
        t.untyped_storage().data_ptr(): name
        for root in modules_of(model)
        for name, t in (*root.named_parameters(), *root.named_buffers())
        if t.layout == torch.strided and t.numel() and not t.is_meta
    }
    for root in modules_of(out):
        for t in (*root.parameters(), *root.buffers()):
            if t.layout == torch.strided and t.numel() and t.untyped_storage().data_ptr() in mine:
                name = mine[t.untyped_storage().data_ptr()]
                raise CopyFailed(f"its deepcopy shares {name} with the original")


def _unwrapped(model: Any) -> Any:
    # torch.compile: the reference is about the model, the compiled code is tried at its own precision besides
    original = getattr(model, "_orig_mod", None)
    return original if isinstance(original, nn.Module) else model


def _matching(t: Tensor, dtype: torch.dtype) -> torch.dtype:
    if not t.is_complex():
        return dtype
    return torch.complex128 if dtype == torch.float64 else torch.complex64


def _cast_attributes(root: nn.Module, dtype: torch.dtype) -> None:
    # tensors that are plain attributes are missed by Module.double(); they must not drag the reference down
    for module in root.modules():
        for name, value in list(vars(module).items()):
            if name.startswith("_parameters") or name in ("_buffers", "_modules"):
                continue
            if is_inexact(value):
                module.__dict__[name] = value.detach().to(_matching(value, dtype))
            elif (
                isinstance(value, (list, tuple))
                and value
                and all(is_inexact(v) for v in value)
                and type(value) in (list, tuple)
            ):
                module.__dict__[name] = type(value)(v.detach().to(_matching(v, dtype)) for v in value)
            elif type(value) is dict and value and all(is_inexact(v) for v in value.values()):
                module.__dict__[name] = {k: v.detach().to(_matching(v, dtype)) for k, v in value.items()}


def _copy_callable(model: Any, memo: dict[int, Any]) -> Any:
    """A copy of what is called, with the modules that it reaches; a function without any is itself."""
    if id(model) in memo:
        return memo[id(model)]
    if isinstance(model, (type, types.ModuleType, types.BuiltinFunctionType)):
        return model
    if isinstance(model, types.FunctionType):
        return _copy_function(model, memo) if modules_of(model) else model
    if isinstance(model, types.MethodType):
        return types.MethodType(model.__func__, _copy_callable(model.__self__, memo))
    if isinstance(model, functools.partial):
        held = [_copy_held(a, memo) for a in model.args]
        words = {k: _copy_held(v, memo) for k, v in model.keywords.items()}
        return functools.partial(_copy_callable(model.func, memo), *held, **words)
    out = copy.deepcopy(model, memo)
    _point_at_copies(out, memo)
    return out


def _copy_function(function: types.FunctionType, memo: dict[int, Any]) -> types.FunctionType:
    """The function on copies of the modules in its closure, its defaults and the globals that it names.

    Cells and globals without a module stay shared, so that what a function counts or caches is seen outside.
    """
    cells = function.__closure__ or ()
    new = tuple(types.CellType() if modules_of(_content(c)) else c for c in cells)
    named = [n for n in global_names(function.__code__) if n in function.__globals__]
    held = {n: v for n in named if isinstance(v := function.__globals__[n], HOLDERS) and modules_of(v)}
    around = {**function.__globals__} if held else function.__globals__
    out = types.FunctionType(function.__code__, around, function.__name__, None, new or None)
    memo[id(function)] = out  # before what it holds: functions may call each other
    for cell, old in zip(new, cells, strict=True):
        if cell is not old:
            cell.cell_contents = _copy_held(old.cell_contents, memo)
    around.update({n: _copy_held(v, memo) for n, v in held.items()})
    out.__defaults__ = tuple(_copy_held(v, memo) for v in function.__defaults__ or ()) or None
    out.__kwdefaults__ = {k: _copy_held(v, memo) for k, v in (function.__kwdefaults__ or {}).items()} or None
    out.__dict__.update(function.__dict__)
    return out


def _point_at_copies(out: Any, memo: dict[int, Any]) -> None:
    """Functions that copied modules keep as attributes are those of the originals: deepcopy shares functions."""
    holders = [m for root in modules_of(out) for m in root.modules()]
    for holder in holders if isinstance(out, nn.Module) else [out, *holders]:
        for name, value in list(getattr(holder, "__dict__", {}).items()):
            if isinstance(value, (types.FunctionType, functools.partial)) and modules_of(value):
                holder.__dict__[name] = _copy_callable(value, memo)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a cell that is still empty
        return None


def _copy_held(value: Any, memo: dict[int, Any]) -> Any:
    if isinstance(value, (list, dict)) and modules_of(value):
        return copy.deepcopy(value, memo)
    if isinstance(value, tuple) and modules_of(value):
        items = [_copy_held(v, memo) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, (nn.Module, types.MethodType, types.FunctionType, functools.partial)):
        return _copy_callable(value, memo)
    if callable(value) and not isinstance(value, type) and modules_of(value):
        return _copy_callable(value, memo)
    return value
