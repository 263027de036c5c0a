"""A wheel has what the library needs beside its code, and building it warns of nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = """
import sys
sys.path.insert(0, sys.argv[1])
import equiaudit
assert equiaudit.__file__.startswith(sys.argv[1]), equiaudit.__file__
from equiaudit.records import Audit, Verdict
from equiaudit.report.html import render_html
from equiaudit.report.schema import schema
print(len(render_html([Audit(Verdict.EXACT, error=0.0, floor=1e-12)])), schema()["$schema"])
"""


@pytest.mark.long
def test_an_installed_wheel_has_its_templates_and_its_build_warns_of_nothing(tmp_path: Path) -> None:
    for name in ("jinja2", "matplotlib"):
        pytest.importorskip(name)
    source, wheels, target = tmp_path / "source", tmp_path / "wheels", tmp_path / "installed"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("equiaudit", "pytest_equiaudit"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "-v", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(source)]
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    said = built.stdout + built.stderr
    assert built.returncode == 0, said
    assert "absent from the `packages` configuration" not in said, said
    assert "Deprecat" not in said, said
    (wheel,) = wheels.glob("torch_equiaudit-*.whl")
    install = [*pip, "install", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    shown = subprocess.run([sys.executable, "-c", PAGE, str(target)], capture_output=True, text=True, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert int(shown.stdout.split()[0]) > 10_000
