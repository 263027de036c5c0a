"""The Python in README.md and docs/ runs, and prints what the pages say that it prints.

A page is one session: its ```python blocks run in order in one namespace, in an empty folder. A block's functions
named test_* are called, as pytest would. An HTML comment on the line above a block changes that:

- ``<!-- skip: reason -->``: a fragment that can't run alone;
- ``<!-- needs: e3nn -->``: runs where that library is installed;
- ``<!-- raises: NotEquivariantError -->``: must raise that, and the message counts as what was printed;
- ``<!-- with: model = nn.Linear(3, 3) -->``: that code runs first, for names that a reader brings along;
- ``<!-- file: test_model.py -->``: the block is that file, written into the folder rather than run;
- ``<!-- shell: 1 -->``, above a bash block: run in the folder, must end with that exit status.

A ```text block under ``<!-- output -->`` is what the block before it printed: words and whole numbers exactly, other
numbers within a factor of three or both below 1e-10 (rounding differs between machines), durations not at all;
``...`` stands for anything.
``python tests/test_docs.py README.md …`` rewrites the outputs of pages.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"^(?:<!-- (?P<comment>.*?) -->\n\n?)?^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<body>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)
DIRECTIVES = ("skip", "needs", "raises", "with", "file", "shell", "output")
IN_TEST = "test_forces.py::test_forces (call)"
"""Where the pages' assertions stand, as pytest announces it: a failure prints it in its replay line."""
TOKEN = re.compile(r"\d+\.\d+ s\b|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|\.\.\.|\w+|[^\w\s]")
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)[^)]*\)")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page: its language, its text, the directive above it, its line and its place."""

    language: str
    body: str
    directive: str
    argument: str
    line: int
    span: tuple[int, int]


@dataclass(frozen=True)
class Stated:
    """An output that a page states, and what was printed."""

    block: Block
    printed: str


def read_blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    blocks = []
    for match in BLOCK.finditer(text):
        directive, _, argument = (match["comment"] or "").partition(":")
        if directive not in DIRECTIVES:
            directive, argument = "", ""
        indent = len(match["indent"])
        body = "".join(line[indent:] + "\n" for line in match["body"].splitlines())
        line = text.count("\n", 0, match.start("body")) + 1
        blocks.append(Block(match["language"], body, directive, argument.strip(), line, match.span("body")))
    return blocks


def run_block(block: Block, namespace: dict[str, Any], name: str) -> str:
    """Run one block and the tests that it defines; return what it printed, or the message that it raised."""
    printed = io.StringIO()
    before = set(namespace)
    code = compile("\n" * (block.line - 1) + block.body, name, "exec")
    try:
        with contextlib.redirect_stdout(printed):
            if block.directive == "with":
                exec(block.argument, namespace)
            exec(code, namespace)
            for function in [f for f in namespace if f.startswith("test_") and f not in before]:
                namespace[function]()
    except Exception as error:
        if block.directive != "raises" or type(error).__name__ != block.argument:
            raise
        return f"{printed.getvalue()}{error}\n"
    assert block.directive != "raises", f"{name}:{block.line}: no {block.argument} was raised"
    return printed.getvalue()


def run_shell(block: Block, name: str) -> str:
    """Run a block of shell commands with this environment's programs; return what it printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"} | {"PATH": path, "COLUMNS": "110"}
    done = subprocess.run(block.body, shell=True, text=True, capture_output=True, env=env)
    expected = int(block.argument or 0)
    assert done.returncode == expected, (
        f"{name}:{block.line}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done.stdout


def run_page(text: str, name: str, folder: Path) -> list[Stated]:
    """Run a page's blocks in order; return each output that it states beside what was printed."""
    namespace: dict[str, Any] = {"__name__": "page"}
    printed: str | None = None
    stated = []
    for block in read_blocks(text):
        if block.directive == "output":
            if printed is not None:
                stated.append(Stated(block, printed))
        elif block.language == "python" and block.directive == "file":
            (folder / block.argument).write_text(block.body)
        elif block.directive == "shell":
            printed = run_shell(block, name)
        elif block.language == "python":
            needed = [n.strip() for n in block.argument.split(",")] if block.directive == "needs" else []
            runs = block.directive != "skip" and all(importlib.util.find_spec(n) for n in needed)
            # An output under a block that didn't run has nothing to be compared with.
            printed = run_block(block, namespace, name) if runs else None
    return stated


def agree(stated: str, printed: str) -> bool:
    """Whether a stated output is what was printed, numbers compared as the module's docstring says."""
    want, got = TOKEN.findall(stated), TOKEN.findall(printed)

    def match(i: int, j: int) -> bool:
        while i < len(want):
            if want[i] == "...":
                return any(match(i + 1, k) for k in range(j, len(got) + 1))
            if j == len(got) or not same_token(want[i], got[j]):
                return False
            i, j = i + 1, j + 1
        return j == len(got)

    return match(0, 0)


def same_token(want: str, got: str) -> bool:
    """Whether two words agree: the same text, two durations, or two numbers that are not whole and are near."""
    if want == got or (want.endswith(" s") and got.endswith(" s")):
        return True
    try:
        a, b = float(want), float(got)
    except ValueError:
        return False
    if max(abs(a), abs(b)) < 1e-10:
        return True
    whole = want.lstrip("-").isdigit() or got.lstrip("-").isdigit()
    return not whole and 1 / 3 < (a / b if b else 0.0) < 3


def rewrite_outputs(page: Path) -> bool:
    """Put what was printed in place of outputs that no longer agree; return whether the page changed."""
    text = page.read_text()
    os.environ["PYTEST_CURRENT_TEST"] = IN_TEST
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        sys.path.insert(0, folder)
        stated = run_page(text, page.name, Path(folder))
        sys.path.remove(folder)
    new = text
    for item in reversed(stated):
        if not agree(item.block.body, item.printed):
            start, end = item.block.span
            lines = [line.rstrip() for line in item.printed.rstrip().splitlines()]
            new = new[:start] + "\n".join(lines) + "\n" + new[end:]
    page.write_text(new)
    return new != text


def is_long(page: Path) -> bool:
    """Whether a page starts processes, each of which loads torch, or trains."""
    return page.name in ("nbody.md", "relaxation.md") or any(
        block.directive == "shell" for block in read_blocks(page.read_text())
    )


SENSITIVE = ("README.md", "tutorial.md", "verdicts.md", "concepts.md")
"""Pages that print errors, floors and places of an audit."""


def as_parameter(page: Path) -> Any:
    """The page as a parameter with its marks."""
    marks = [pytest.mark.long] * is_long(page) + [pytest.mark.rounding] * (page.name in SENSITIVE)
    return pytest.param(page, id=page.name, marks=marks)


@pytest.mark.parametrize("page", [as_parameter(page) for page in PAGES])
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTEST_CURRENT_TEST", IN_TEST)
    for item in run_page(page.read_text(), page.name, tmp_path):
        assert agree(item.block.body, item.printed), (
            f"{page.name}:{item.block.line} says\n\n{item.block.body}\nbut what was printed is\n\n{item.printed}\n"
            f"If that is right, rewrite it: python tests/test_docs.py {os.path.relpath(page, ROOT)}"
        )


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert broken == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_no_page_installs_the_other_project_of_this_name(page: Path) -> None:
    assert re.findall(r"install\s+(?:-\S+\s+)*[\"']?equiaudit\b", page.read_text()) == []


def fence(language: str, body: str, comment: str = "") -> str:
    return (f"<!-- {comment} -->\n" if comment else "") + f"```{language}\n{body}\n```\n\n"


def test_a_block_that_fails_is_seen(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        run_page(fence("python", "x = 1") + fence("python", "x / 0"), "page", tmp_path)


def test_a_test_function_is_called(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="called"):
        run_page(fence("python", "def test_it():\n    assert False, 'called'"), "page", tmp_path)


def test_a_missing_exception_is_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="page:3: no ValueError was raised"):
        run_page(fence("python", "x = 1", "raises: ValueError"), "page", tmp_path)


def test_another_exit_status_is_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="page:3: exit status 1"):
        run_page(fence("bash", "echo why; exit 1", "shell"), "page", tmp_path)


def test_directives(tmp_path: Path) -> None:
    page = (
        fence("python", "boom", "skip: a fragment")
        + fence("python", "import no_such_library", "needs: no_such_library")
        + fence("text", "never printed", "output")
        + fence("python", "raise ValueError('three of 4')", "raises: ValueError")
        + fence("text", "three of ...", "output")
        + fence("python", "print(x)", "with: x = 2")
        + fence("text", "3", "output")
        + fence("python", "import nothing_here", "file: written.py")
        + fence("bash", "make test")
        + fence("bash", "echo shell; exit 1", "shell: 1")
        + fence("text", "shell", "output")
    )
    stated = run_page(page, "page", tmp_path)
    assert [item.printed for item in stated] == ["three of 4\n", "2\n", "shell\n"]
    assert [agree(item.block.body, item.printed) for item in stated] == [True, False, True]
    assert (tmp_path / "written.py").read_text() == "import nothing_here\n"


@pytest.mark.parametrize(
    ("stated", "printed", "expected"),
    [
        ("error 2.8e-04, 0.07 s", "error 2.1e-04, 1.20 s", True),
        ("error 2.8e-04", "error 2.8e-05", False),
        ("error 2.8e-04", "error -2.8e-04", False),
        ("floor 9.4e-17 ", "floor 0", True),
        ("39 forwards", "40 forwards", False),
        ("BROKEN", "EXACT", False),
        ("a ... z", "a b c z", True),
        ("a ... z", "a b c", False),
        ("a", "a b", False),
    ],
)
def test_outputs_agree_up_to_rounding(stated: str, printed: str, expected: bool) -> None:
    assert agree(stated, printed) is expected


def test_a_stale_output_is_rewritten(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(fence("python", "print('new')") + fence("text", "old", "output") + "The end.\n")
    assert rewrite_outputs(page)
    assert page.read_text() == fence("python", "print('new')") + fence("text", "new", "output") + "The end.\n"
    assert not rewrite_outputs(page)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(name, "rewritten" if rewrite_outputs(Path(name).resolve()) else "is up to date")
