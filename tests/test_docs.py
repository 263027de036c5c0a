"""The Python in README.md and docs/ runs, and prints what the pages say that it prints.

A page is one session: its ```python blocks run in order in one namespace, in an empty folder. A block's functions
named test_* are called, as pytest would. An HTML comment on the line above a block changes that:

- ``<!-- skip: reason -->``: a fragment that can't run alone;
- ``<!-- needs: e3nn -->``: runs where that library is installed;
- ``<!-- raises: NotEquivariantError -->``: must raise that, and the message counts as what was printed;
- ``<!-- with: model = nn.Linear(3, 3) -->``: that code runs first, for names that a reader brings along;
- ``<!-- file: test_model.py -->``: the block is that file, written into the folder rather than run.

A ```text block under ``<!-- output -->`` is what the block before it printed; ``...`` stands for anything.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import re
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
DIRECTIVES = ("skip", "needs", "raises", "with", "file", "output")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """One fenced block of a page: its language, its text, the directive above it and its line."""

    language: str
    body: str
    directive: str
    argument: str
    line: int


def read_blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    blocks = []
    for match in BLOCK.finditer(text):
        directive, _, argument = (match["comment"] or "").partition(":")
        if match["comment"] and directive not in DIRECTIVES:
            directive, argument = "", ""
        indent = len(match["indent"])
        body = "\n".join(line[indent:] for line in match["body"].splitlines())
        line = text.count("\n", 0, match.start("body")) + 1
        blocks.append(Block(match["language"], body + "\n", directive, argument.strip(), line))
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


def run_page(text: str, name: str, folder: Path) -> int:
    """Run a page's blocks in order and compare the outputs that it states; return how many blocks ran."""
    namespace: dict[str, Any] = {"__name__": "page"}
    printed: str | None = None
    ran = 0
    for block in read_blocks(text):
        if block.directive == "output":
            if printed is not None and not doctest.OutputChecker().check_output(block.body, printed, FLAGS):
                pytest.fail(f"{name}:{block.line}: the page says\n{block.body}\nbut what was printed is\n{printed}")
        elif block.language == "python" and block.directive == "file":
            (folder / block.argument).write_text(block.body)
        elif block.language == "python":
            needed = [n.strip() for n in block.argument.split(",")] if block.directive == "needs" else []
            # An output block after one that didn't run has nothing to be compared with.
            printed = None
            if block.directive != "skip" and all(importlib.util.find_spec(n) for n in needed):
                printed = run_block(block, namespace, name)
                ran += 1
    return ran


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    run_page(page.read_text(), page.name, tmp_path)


LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)[^)]*\)")


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


def test_a_wrong_output_is_seen(tmp_path: Path) -> None:
    page = fence("python", "print(2)") + fence("text", "3", "output")
    with pytest.raises(pytest.fail.Exception, match=r"page:7: the page says\n3"):
        run_page(page, "page", tmp_path)


def test_a_missing_exception_is_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="page:3: no ValueError was raised"):
        run_page(fence("python", "x = 1", "raises: ValueError"), "page", tmp_path)


def test_directives(tmp_path: Path) -> None:
    page = (
        fence("python", "boom", "skip: a fragment")
        + fence("python", "import no_such_library", "needs: no_such_library")
        + fence("text", "never printed", "output")
        + fence("python", "raise ValueError('three of 4')", "raises: ValueError")
        + fence("text", "three of ...", "output")
        + fence("python", "assert x == 2", "with: x = 2")
        + fence("python", "import nothing_here", "file: written.py")
        + fence("bash", "make test")
    )
    assert run_page(page, "page", tmp_path) == 2
    assert (tmp_path / "written.py").read_text() == "import nothing_here\n"
