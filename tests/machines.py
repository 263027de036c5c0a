"""The tests that depend most on how a processor rounds, under the settings of other processors: ``make test-machines``.

Libraries choose their kernels by what the processor can do, and kernels differ in their last bits. The same choice can be
made by settings, so other processors can be had on this one. What must hold on any of them is run under each; the
first line of output that fails is followed by the test's own report.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAMPLE = ("tests/test_ties.py", "tests/test_docs.py", "tests/strategies/test_rounding.py", "tests/test_corpus.py")
"""Files with tests that are marked ``rounding``; others would only be collected."""
OLDEST = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
SETTINGS: tuple[dict[str, str], ...] = (
    {},
    {"ATEN_CPU_CAPABILITY": "default"},
    {"ATEN_CPU_CAPABILITY": "avx2"},
    {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    {"MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    {"MKL_CBWR": "COMPATIBLE"},
    {"OMP_NUM_THREADS": "2"},
    {"PYTHONHASHSEED": "0"},
    {"PYTHONHASHSEED": "1"},
    OLDEST | {"MKL_CBWR": "COMPATIBLE", "PYTHONHASHSEED": "2"},
)
NUMPY = {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"}
"""The same for numpy, which makes group elements; its names are those of x86."""


def run(setting: dict[str, str], tests: list[str], marked: str) -> tuple[dict[str, str], float, str, bool]:
    """The sample under one setting: seconds, what pytest printed, and whether all passed."""
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", "-m", marked, *tests]
    env = {"OMP_NUM_THREADS": "1", **os.environ, **setting}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    return setting, time.monotonic() - started, done.stdout + done.stderr, done.returncode == 0


def main() -> int:
    """Print one line for each setting, and the report of those that fail; exit status 1 where one does."""
    parser = argparse.ArgumentParser(prog="python -m tests.machines", description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", default=SAMPLE, help="what to run in place of the sample")
    parser.add_argument("--marked", default="rounding and not long", help="which of them, as pytest's -m takes it")
    parser.add_argument("--jobs", type=int, default=2, help="settings at once (2)")
    options = parser.parse_args()
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    settings = (*SETTINGS, NUMPY, OLDEST | NUMPY) if x86 else SETTINGS
    failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for setting, seconds, printed, passed in pool.map(
            lambda s: run(s, list(options.tests), options.marked), settings
        ):
            name = " ".join(f"{k}={v.replace(' ', ',')}" for k, v in setting.items()) or "as this machine is"
            last = printed.strip().splitlines()[-1] if printed.strip() else "no output"
            print(f"{'passed' if passed else 'FAILED'}  {seconds:4.0f} s  {name}: {last}", flush=True)
            if not passed:
                failed += 1
                print(printed, flush=True)
    print(f"{len(settings) - failed} of {len(settings)} settings passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
