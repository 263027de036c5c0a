"""Imports run one way, and importing the package or the plugin stays light."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A module may import from its own layer and from those before it.
LAYERS = (
    ("_version", "records", "ties", "ambient", "report"),
    ("groups",),
    ("representations",),
    ("symmetry", "declared"),
    ("intertwiners",),
    ("measure",),
    ("diagnose", "assertions", "penalties"),
    ("relaxation", "symmetrize"),
    ("strategies",),
    ("interop",),
    ("factory", "cli", "__main__"),
)
# `report` is not a layer of computation: it may read the records, and anybody may render with it.
REPORT_MAY_IMPORT = {"_version", "records", "ties", "report"}
LIBRARIES_OF_INTEROP = {"e3nn", "escnn", "torch_geometric", "lightning", "pytorch_lightning", "nequip"}
# Upward all the same, inside a function: ``audit(layers=True)`` asks for the layer that breaks the symmetry.
ON_DEMAND = {("equiaudit.measure.run", "diagnose")}
HEAVY = ("torch", "numpy", "hypothesis", "matplotlib")


def rank(part: str) -> int:
    """The layer that a first-level module belongs to."""
    for index, names in enumerate(LAYERS):
        if part in names:
            return index
    raise AssertionError(f"equiaudit.{part} has no place in the import order: add it to LAYERS")


def resolve(module: str, is_package: bool, node: ast.ImportFrom) -> str:
    """The absolute name that a (possibly relative) from-import reads from."""
    if node.level == 0:
        return node.module or ""
    parents = module.split(".") if is_package else module.split(".")[:-1]
    base = parents[: len(parents) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def read_imports(source: str, module: str, is_package: bool = False) -> set[tuple[str, bool]]:
    """Every module that the source imports, except under TYPE_CHECKING, and whether inside a function."""
    found: set[tuple[str, bool]] = set()

    def visit(node: ast.AST, late: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.orelse:
                visit(child, late)
            return
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve(module, is_package, node)
            names = [f"equiaudit.{alias.name}" for alias in node.names] if base == "equiaudit" else [base]
        found.update((name, late) for name in names)
        late = late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for child in ast.iter_child_nodes(node):
            visit(child, late)

    visit(ast.parse(source), False)
    return found


def find_violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """What the source imports against the order, as sentences."""
    parts = module.split(".")
    own = parts[1] if len(parts) > 1 else ""
    problems = []
    for name, late in sorted(read_imports(source, module, is_package)):
        top, _, rest = name.partition(".")
        if top in LIBRARIES_OF_INTEROP and own != "interop":
            problems.append(f"{module} imports {name}: only equiaudit.interop may")
        if top == "hypothesis" and own != "strategies":
            problems.append(f"{module} imports {name}: only equiaudit.strategies may")
        part = rest.partition(".")[0]
        if top != "equiaudit" or not part or not own or not is_module(part):
            continue
        if late and (module, part) in ON_DEMAND:
            continue
        if own == "report" and part not in REPORT_MAY_IMPORT:
            problems.append(f"{module} imports {name}: report knows records alone")
        elif rank(part) > rank(own):
            problems.append(f"{module} imports {name}: {own} comes before {part}")
    return problems


def is_module(part: str) -> bool:
    """Whether equiaudit.<part> is a module, not a name that the package exports."""
    package = ROOT / "equiaudit"
    return (package / part).is_dir() or (package / f"{part}.py").exists() or any(part in names for names in LAYERS)


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted((ROOT / "equiaudit").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_run_one_way(module: str, path: Path) -> None:
    assert find_violations(path.read_text(), module, path.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("source", "module", "complaint"),
    [
        ("from equiaudit.measure import audit", "equiaudit.groups.so", "groups comes before measure"),
        ("def f():\n    import equiaudit.cli", "equiaudit.measure.run", "measure comes before cli"),
        ("from ..symmetry import Symmetry", "equiaudit.groups.so", "groups comes before symmetry"),
        ("from equiaudit import relaxation", "equiaudit.measure.run", "measure comes before relaxation"),
        ("from equiaudit.diagnose import localize", "equiaudit.measure.run", "measure comes before diagnose"),
        ("from equiaudit.groups import SO", "equiaudit.report.text", "report knows records alone"),
        ("import e3nn.o3", "equiaudit.representations.irreps", "only equiaudit.interop may"),
        ("from hypothesis import given", "equiaudit.measure.run", "only equiaudit.strategies may"),
    ],
)
def test_a_violation_is_found(source: str, module: str, complaint: str) -> None:
    assert complaint in " ".join(find_violations(source, module))


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from equiaudit.groups import SO\nfrom ..records import Audit", "equiaudit.measure.run"),
        ("from equiaudit import Symmetry", "equiaudit.measure.run"),
        ("def f():\n    from equiaudit.diagnose import localize", "equiaudit.measure.run"),
        ("if TYPE_CHECKING:\n    from equiaudit.cli import main", "equiaudit.records"),
    ],
)
def test_an_import_in_order_is_not_accused(source: str, module: str) -> None:
    assert find_violations(source, module) == []


def test_a_module_without_a_layer_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"equiaudit\.novelty has no place in the import order"):
        rank("novelty")


def loaded_by(statement: str) -> set[str]:
    """Which heavy libraries a fresh interpreter has loaded after the statement."""
    code = f"import sys; {statement}; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


LIGHT = (
    "equiaudit",
    "equiaudit.records",
    "equiaudit.ambient",
    "equiaudit.report",
    "equiaudit.cli",
    "pytest_equiaudit.plugin",
)


@pytest.mark.parametrize("module", [name for name in LIGHT if (ROOT / name.partition(".")[0] / "__init__.py").exists()])
def test_import_stays_light(module: str) -> None:
    assert importlib.util.find_spec(module) is not None, f"{module} does not exist"
    assert loaded_by(f"import {module}") == set()


def test_a_heavy_import_is_seen() -> None:
    assert {"torch", "numpy"} <= loaded_by("import torch")


def test_the_version_needs_nothing() -> None:
    assert loaded_by("import equiaudit._version") == set()


def test_public_names_resolve_lazily() -> None:
    import equiaudit

    assert "Verdict" in equiaudit.__all__
    unhelpful = []
    for name in equiaudit.__all__:
        try:
            getattr(equiaudit, name)
        except (AttributeError, ModuleNotFoundError) as problem:
            if "pip install" not in str(problem):  # an optional library may be missing: then the line that installs it
                unhelpful.append(f"{name}: {problem}")
    assert unhelpful == []
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = equiaudit.no_such_name
