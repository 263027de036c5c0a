"""The HTML report: one file that loads nothing, shows everything, and takes no orders from labels."""

from __future__ import annotations

import base64
import hashlib
import importlib
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
from equiaudit.records import Audit, Check, LeafResult, Verdict, Worst
from equiaudit.report import optional
from equiaudit.report.html import TEMPLATES, render_html, scientific, write_html
from equiaudit.report.json import Record, Report

VOID = {"meta", "input", "br", "link", "img", "hr"}


@dataclass
class Page(HTMLParser):
    """What a browser would make of a page: its elements with attributes, its text, and what does not fit together."""

    source: str
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    text: str = ""
    scripts: list[str] = field(default_factory=list)
    unbalanced: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__()
        self.open: list[str] = []
        self.feed(self.source)
        self.close()
        self.unbalanced += self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, {k: v or "" for k, v in attributes}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, {k: v or "" for k, v in attributes}))

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.unbalanced.append(f"/{tag}")

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.text += data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def loaded(page: Page) -> list[str]:
    """Everything that a browser would fetch or follow out of the file."""
    found = [
        f"<{tag}>" for tag, _ in page.elements if tag in ("link", "img", "iframe", "object", "embed", "base", "form")
    ]
    for tag, attributes in page.elements:
        found += [f"{tag} {k}={v}" for k, v in attributes.items() if k in ("src", "srcset", "action", "data")]
        found += [f"{tag} {k}={v}" for k, v in attributes.items() if k.endswith("href") and not v.startswith("#")]
    found += re.findall(r"url\((?!#)[^)]*\)|@import[^;]*|\bhttps?:[^\s\"<]*", page.source)
    return found


@pytest.fixture
def page(make) -> Page:
    return Page(render_html([make(), make(verdict=Verdict.EXACT, label="clean", error=1e-13, first_bad_layer=None)]))


def test_nothing_is_loaded_from_anywhere(page):
    assert loaded(page) == []
    assert page.source.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    "part",
    [
        '<link rel="stylesheet" href="a.css">',
        '<img src="//x/y.png">',
        "<style>a{background:url(x.png)}</style>",
        "http://x",
    ],
)
def test_something_loaded_is_seen(part):
    assert loaded(Page(f"<p>{part}</p>"))


def test_a_policy_forbids_it_too_and_knows_the_only_script(page):
    policy = next(a["content"] for tag, a in page.elements if tag == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in policy
    assert [tag for tag, _ in page.elements].count("script") == 1
    digest = base64.b64encode(hashlib.sha256("".join(page.scripts).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


def test_tags_fit_together_and_ids_are_unique(page):
    assert page.unbalanced == []
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids)) > 50  # those of the figures too
    targets = [v[1:] for _, a in page.elements for k, v in a.items() if k == "href"]
    assert set(targets) <= set(ids)


def test_a_page_that_does_not_fit_together_is_seen():
    assert Page("<p><b>x</p>").unbalanced


HOSTILE = (
    """</script><script>alert(1)</script><img src=x onerror=alert(2)>"'&{{ 7 * 7 }}{% raw %}<!-- --> $\\frac$ ]]>"""
)


def test_text_from_outside_stays_text():
    audit = Audit(
        Verdict.BROKEN,
        cause=HOSTILE,
        reason=HOSTILE,
        error=0.5,
        floor=1e-13,
        tolerance=0.1,
        worst=Worst(HOSTILE, HOSTILE, (0,), 0.1, 0.1, 1.0, 2.0),
        checks=(Check(HOSTILE, "finite", Verdict.BROKEN, 0.5, 1e-13, leaf=HOSTILE, note=HOSTILE),),
        leaves=(LeafResult(HOSTILE, (3,), HOSTILE, HOSTILE, Verdict.BROKEN, 0.5, 1e-13, 1.0, note=HOSTILE),),
        untested=(HOSTILE,),
        notes=(HOSTILE,),
        layers=(
            {"layer": HOSTILE, "class": HOSTILE, "error": 0.5, "floor": 1e-13, "verdict": HOSTILE, "note": HOSTILE},
        ),
        first_bad_layer=HOSTILE,
        label=HOSTILE,
        symmetry=f"Symmetry({HOSTILE}, inputs='x')",
        replay=HOSTILE,
        environment={HOSTILE: HOSTILE},
    )
    report = Report((Record(audit, nodeid=HOSTILE), Record(audit)), created=HOSTILE, equiaudit_version=HOSTILE)
    page = Page(render_html(report, title=HOSTILE))
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not any(k.startswith("on") for _, a in page.elements for k in a)
    assert [entry for entry in loaded(page) if "img" in entry] == []
    assert page.unbalanced == []
    assert "49" not in re.findall(r"\b49\b", page.words)
    assert page.words.count("<script>alert(1)</script>") >= 20
    assert "alert" not in "".join(page.scripts)


def test_what_is_told_of_an_audit(make):
    page = Page(
        render_html([Record(make(tolerance=1e-6), nodeid="tests/test_net.py::test_forces")], title="Release 1.2")
    )
    for words in (
        "Release 1.2",
        "1 audit · 1 broken",
        "leaky is not equivariant under E(3)",
        "tests/test_net.py::test_forces",
        "2.8×10−4",
        "2.0×10−11",
        "1.0×10−6",
        "E(3).translation(0.5, 1.0, 0.25) @ E(3).generator('inversion')",
        "forces[0, 1]: 1.5 in f(x), -0.25 in g⁻¹·f(g·x)",
        "no entry is more than 4.1×10−4 off",
        "mix is the first that breaks it",
        "Suspect turns break and shifts do not",
        "equiaudit.replay(model, inputs, symmetry,",
        "translations",
        "first: a bias?",
        "unknown: no tensor",
        "energy float64 []",
        "forces float64 [9, 3]",
        "unchecked outputs: charges",
        "Untested reflections",
        "derivative by torch.func.jvp",
        "forwards: 20 in float64, 2 in own",
        "torch 2.13.0",
    ):
        assert words in page.words, words


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_words_and_a_colour_in_light_dark_and_print(make, verdict):
    page = Page(render_html([make(verdict=verdict)]))
    assert f"1 {verdict.value.lower()}" in page.words
    style = (TEMPLATES / "report.css").read_text()
    assert style.count(f"--{verdict.value.lower()}: #") == 3
    assert f".{verdict.value.lower()} " in style


def test_light_dark_and_print_define_the_same_colours():
    style = (TEMPLATES / "report.css").read_text()
    blocks = [set(re.findall(r"--(\w+): #", block)) for block in re.findall(r":root \{([^}]*)\}", style)]
    assert len(blocks) == 3
    assert blocks[0] == blocks[1] == blocks[2]
    used = set(re.findall(r"var\(--(\w+)\)", style))
    assert used - {"tone"} <= blocks[0]


def test_an_audit_without_numbers_and_a_report_without_audits(make):
    bare = Page(render_html([Audit(Verdict.INVALID, cause="not finite", reason="f(x) has NaN", label="net")]))
    assert "there is no meaningful number: f(x) has NaN" in bare.words
    assert bare.unbalanced == []
    empty = Page(render_html([]))
    assert "0 audits" in empty.words
    assert empty.unbalanced == []


def test_a_long_layer_table_is_cut_around_the_first_broken_layer(make):
    rows = tuple(
        {"layer": f"body.{n}", "error": 1e-3, "floor": 1e-14, "verdict": "ok", "note": ""} for n in range(1000)
    )
    words = Page(render_html([make(layers=rows, first_bad_layer="body.700")])).words
    assert "200 of 1000 layers" in words
    assert "body.700" in words
    assert "body.100 " not in words


def test_environments_that_differ_are_told_per_audit(make):
    page = Page(render_html([make(), make(environment={"torch": "2.13.0", "device": "cuda:0"})]))
    assert page.words.count("torch 2.13.0") == 1
    assert "device cuda:0" in page.words
    assert "device cpu" in page.words


def test_writing_gives_the_path(make, tmp_path):
    path = write_html([make(label="π ≈ 3")], tmp_path / "report.html", title="µ")
    assert path == tmp_path / "report.html"
    assert "π ≈ 3" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["jinja2", "matplotlib"])
def test_a_missing_library_gives_the_line_that_installs_it(make, monkeypatch, name):
    real = importlib.import_module

    def refuse(wanted, *args):
        if wanted.partition(".")[0] == name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(wanted, *args)

    monkeypatch.setattr(optional.importlib, "import_module", refuse)
    with pytest.raises(ImportError) as caught:
        render_html([make()])
    assert str(caught.value) == f'the HTML report needs {name}; from the checkout: pip install -e ".[report]"'


def test_neither_torch_nor_the_optional_libraries_load_with_the_module():
    heavy = ("torch", "numpy", "jinja2", "matplotlib")
    code = f"import sys, equiaudit.report.html; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2.84e-11, "2.8×10<sup>−11</sup>"),
        (-3e-5, "−3.0×10<sup>−5</sup>"),
        (1.3e9, "1.3×10<sup>9</sup>"),
        (0.019, "0.019"),
        (12.0, "12"),
        (345.6, "346"),
        (0, "0"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_numbers(value, said):
    assert scientific(value) == said


def test_what_failed_comes_first_below_a_table_in_the_given_order(make):
    audits = [make(verdict=verdict, label=f"net {verdict.value}") for verdict in Verdict]
    page = Page(render_html(audits))
    articles = [a["data-verdict"] for tag, a in page.elements if tag == "article"]
    rows = [a["data-verdict"] for tag, a in page.elements if tag == "tr" and "data-verdict" in a]
    assert articles == ["INVALID", "BROKEN", "VACUOUS", "APPROXIMATE", "EXACT"]
    assert rows == [verdict.value for verdict in Verdict]
