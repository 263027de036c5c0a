"""One run in a process, and many in several. Not in ``__main__``: what is there can't be sent to another process."""

from __future__ import annotations

import datetime
import importlib.metadata
import multiprocessing
import platform
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import torch

from benchmarks.nbody.setting import Setting
from benchmarks.nbody.training import Compile, train


def work_on(setting: Setting, compiling: bool, device: str) -> dict[str, Any]:
    """One run in this process, with what a reader of the record wants to know about it."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    record = train(setting, compiler() if compiling else None, device)
    where = {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": time.perf_counter() - began,
        "compiled": compiling,
        "device": device,
        "torch": torch.__version__,
        "equiaudit": importlib.metadata.version("torch-equiaudit"),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    return _rounded(record | {"run": where})


_COMPILED: dict[Any, Any] = {}


def compiler(backend: str = "inductor") -> Compile:
    """torch.compile, told to look at hooks: by default a graph made for a plain model serves a relaxed one too."""
    import torch._dynamo

    torch._dynamo.config.skip_nnmodule_hook_guards = False
    torch._dynamo.config.cache_size_limit = 64
    return lambda f: _COMPILED.setdefault((f, backend), torch.compile(f, dynamic=False, backend=backend))


def results(work: Any, todo: list[Setting], jobs: int) -> Iterator[tuple[Setting, Any]]:
    """Settings with their records, or with the error that a run ended in, as they are done."""
    if jobs == 1:
        yield from ((setting, _caught(work, setting)) for setting in todo)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(_caught, work, setting): setting for setting in todo}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _caught(work: Any, setting: Setting) -> Any:
    try:
        return work(setting)
    except Exception as error:  # one run that fails must not cost the night
        return error


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value
