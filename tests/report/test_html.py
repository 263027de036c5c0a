"""The HTML report: one file that loads nothing, shows everything, and takes no orders from labels."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib
import itertools
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
from equiaudit.records import Audit, Check, Tried, Verdict, Worst
from equiaudit.report import optional
from equiaudit.report.baseline import Baseline, Mark, compare
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


def test_text_from_outside_stays_text(hostile_page):
    page = Page(hostile_page)
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not any(k.startswith("on") for _, a in page.elements for k in a)
    assert [entry for entry in loaded(page) if "img" in entry or "javascript" in entry] == []
    assert page.unbalanced == []
    assert "49" not in re.findall(r"\b49\b", page.words)
    assert page.words.count("<script>window.hacked = 1</script>") >= 60
    assert "hacked" not in "".join(page.scripts)
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))


def test_characters_that_hide_or_reorder_text_are_spelt_out(hostile_page):
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", hostile_page)
    assert "\\u202eexe.gnp\\u2066 \\x00\\x07\\x1b[31m \\ud800" in hostile_page
    assert hostile_page.encode("utf-8")


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Audit) if f.type == "str"])
def test_every_text_of_an_audit_is_escaped_by_itself(make, name):
    page = Page(render_html([make(**{name: '"><img src=x onerror=alert(1)>'})]))
    assert "img" not in [tag for tag, _ in page.elements]
    assert page.unbalanced == []


def test_a_page_that_lets_markup_through_is_seen():
    assert Page("<p><script>window.hacked = 1</script></p>").scripts == ["window.hacked = 1"]


def test_what_is_told_of_an_audit(make):
    page = Page(
        render_html([Record(make(tolerance=1e-6), nodeid="tests/test_net.py::test_forces")], title="Release 1.2")
    )
    for words in (
        "Release 1.2",
        "1 of 1 failed · 1 broken",
        "leaky is not equivariant under E(3)",
        "tests/test_net.py::test_forces",
        "2.8×10⁻⁴",
        "2.0×10⁻¹¹",
        "1.0×10⁻⁶",
        "E(3).translation(0.5, 1.0, 0.25) @ E(3).generator('inversion')",
        "forces[0, 1]: 1.5 in f(x), -0.25 in g⁻¹·f(g·x)",
        "no entry is more than 4.1×10⁻⁴ off",
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
    assert used - {"tone", "grid"} <= blocks[0]


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
    assert "24 of 1000 layers" in words
    assert "body.700" in words
    assert "body.680 " not in words


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
        (2.84e-11, "2.8×10⁻¹¹"),
        (-3e-5, "−3.0×10⁻⁵"),
        (1.3e9, "1.3×10⁹"),
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


def test_what_failed_comes_first_in_the_table_and_below_it(make):
    audits = [make(verdict=verdict, label=f"net {verdict.value}") for verdict in Verdict]
    page = Page(render_html(audits))
    articles = [a["data-verdict"] for tag, a in page.elements if tag == "article"]
    rows = [a["data-verdict"] for tag, a in page.elements if tag == "tr" and "data-verdict" in a]
    assert articles == rows == ["INVALID", "BROKEN", "VACUOUS", "APPROXIMATE", "EXACT"]


def names(page: Page) -> list[str]:
    return re.findall(r"<h2 id=\"a\d+h\">([^<]*)<", page.source)


def test_the_furthest_above_its_floor_comes_first_and_a_failure_that_is_expected_last(make):
    found = [
        Record(make(label="near", error=1e-9, floor=1e-10)),
        Record(make(label="expected", error=1.0), nodeid="t.py::test_a", outcome="xfailed"),
        Record(make(label="far", error=1e-4, floor=1e-12)),
    ]
    page = Page(render_html(found))
    assert names(page) == ["far", "near", "expected"]
    assert "2 of 3 failed · 1 broken as the tests expect" in page.words
    assert "test xfailed, as it expects" in page.words
    assert page.words.count("; the test expects it") == 1


def test_a_page_says_which_tests_died_and_why_a_run_ended(make):
    report = Report((Record(make()),), crashed=("t.py::test_a",), interrupted="stopping after 1 failure")
    words = Page(render_html(report)).words
    assert "A process died during t.py::test_a: audits may be missing" in words
    assert "The run ended early: stopping after 1 failure" in words


def test_a_minimal_input_is_shown_as_code(make):
    worst = Worst("SO(3).turn('x', 1/4)", "y", (), 1.0, 1.0, inputs="torch.tensor([[1.0, 0.0, 0.0]])")
    assert "inputtorch.tensor([[1.0, 0.0, 0.0]])" in Page(render_html([make(worst=worst)])).words


def test_the_element_of_a_batch_is_shown_for_its_first_sample(make):
    one = "SO(3).exp(0.1, 0.2, 0.3)"
    worst = Worst("[" + ", ".join([one] * 64) + "]", "y", (), 1.0, 1.0)
    page = Page(render_html([make(worst=worst, replay="replay")]))
    assert f"element of the first sample{one}copy" in page.text
    assert page.words.count(one) == 1


class TestBaseline:
    @pytest.fixture
    def page(self, make) -> Page:
        marks = {
            ("t.py::test_a", "grows"): Mark(Verdict.EXACT, 1e-13, 1e-12),
            ("t.py::test_b", "holds"): Mark(Verdict.BROKEN, 2.8e-4, 1e-12),
            ("t.py::test_c", "gone"): Mark(Verdict.EXACT, 1e-13, 1e-12),
            ("t.py::test_d", "improves"): Mark(Verdict.BROKEN, 0.5, 1e-12),
        }
        labels = {"a": "grows", "b": "holds", "d": "improves", "e": "is new"}
        records = [Record(make(label=label), nodeid=f"t.py::test_{key}") for key, label in labels.items()]
        return Page(render_html(records, baseline=compare(Baseline(marks), records, "tests/baseline.json")))

    def test_every_status_is_counted_and_listed(self, page):
        for words in (
            "Against the baseline tests/baseline.json ▲ 1 grew · + 1 new · − 1 unused · ▼ 1 shrank · = 1 same",
            "Grew beyond the floor grows 1.0×10⁻¹³ → 2.8×10⁻⁴ EXACT before, BROKEN now t.py::test_a",
            "New: not in the baseline is new – → 2.8×10⁻⁴ t.py::test_e",
            "Unused: in the baseline, no longer measured gone 1.0×10⁻¹³ t.py::test_c",
            "Shrank improves 0.5 → 2.8×10⁻⁴",
        ):
            assert words in page.words, words

    def test_rows_and_articles_tell_their_own_change_and_what_grew_comes_first(self, page):
        assert names(page)[0] == "grows"
        found = [a["data-change"] for tag, a in page.elements if tag == "tr" and "data-change" in a]
        assert sorted(found) == ["grew", "new", "same", "shrank"]
        assert "▲ grew 1.4×10⁷ times" in page.words

    def test_without_a_baseline_nothing_is_said_of_one(self, make):
        assert "baseline" not in Page(render_html([make()])).words


def turns(count: int = 11) -> tuple[Tried, ...]:
    """A sweep about one axis."""
    return tuple(
        Tried("rotations y", f"SO(3).turn('y', {n}/12)", "twin", "y", 1e-3 * n, 1e-12, False, 30.0 * n, sweep="rotations y")
        for n in range(1, count + 1)
    )  # fmt: skip


def test_a_chart_has_its_numbers_beside_it_and_says_them_to_a_screen_reader(make):
    page = Page(render_html([make(tried=turns())]))
    said = [a["aria-label"] for tag, a in page.elements if tag == "div" and a.get("role") == "img"]
    assert any(text.startswith("Error against angle: 11 elements, 0 of them") for text in said)
    assert "The 11 elements as a table" in page.words
    assert re.search(r"rotations y\s*30°\s*1.0×10⁻³\s*1.0×10⁻¹²\s*SO\(3\).turn\('y', 1/12\)", page.words)
    assert "floor 1.0×10⁻¹², below this axis" in page.words


def test_too_few_elements_make_no_chart(make):
    assert "Error against" not in Page(render_html([make(tried=turns(3))])).words


def test_beyond_a_number_no_charts_are_drawn_and_the_page_says_so(make, monkeypatch):
    monkeypatch.setattr("equiaudit.report.html.CHARTS", 2)
    page = Page(render_html([make(tried=turns(), label=f"{n}") for n in range(5)]))
    assert page.words.count("The 11 elements as a table") == 2
    assert page.words.count("is drawn for the worst audits, 2 charts at most") == 3


def test_checks_stand_beside_their_floor_and_generators_in_a_section_of_their_own(make):
    checks = (
        Check("rotations", "finite", Verdict.BROKEN, 1e-3, 1e-9, leaf="y"),
        Check("Lie derivative, rotations x", "lie", Verdict.BROKEN, 1e-3, 1e-9),
        Check("Lie derivative, rotations y", "lie", Verdict.EXACT, 0.0, 1e-9),
    )
    page = Page(render_html([make(checks=checks, layers=(), tolerance=1e-6)]))
    assert re.search(r"Lie derivative, by generator\s*rotations x", page.words)
    places = [a["style"] for tag, a in page.elements if tag in ("b", "u", "s") and "style" in a]
    assert places[:3] == ["width:14.3%", "left:100.0%", "left:57.1%"]  # of an axis from 1e-10 to 1e-3
    assert "left:0.0%" in places


def test_the_figure_below_the_table_is_of_the_worst_where_there_are_many(make):
    page = Page(render_html([make(label=f"net {n}", error=10.0 ** -(n / 10)) for n in range(40)]))
    assert "the 30 worst of 40" in page.words
    drawn = "".join(re.findall(r"<svg.*?</svg>", page.source, re.DOTALL))
    assert "net 5" in drawn
    assert "net 35" not in drawn


def test_a_long_table_shows_its_beginning_first(make):
    page = Page(render_html([make(label=f"net {n}") for n in range(130)]))
    rows = [a for tag, a in page.elements if tag == "tr" and "data-verdict" in a]
    assert ["hidden" in a for a in rows] == [False] * 100 + [True] * 30
    assert "<noscript><style>" in page.source  # without the script all are shown


def test_the_rest_of_late_articles_is_text_until_it_is_wanted(make):
    markup = "</script><img src=x onerror=alert(1)>"
    page = Page(render_html([make(label=f"net {n}", notes=(markup,)) for n in range(102)]))
    assert page.unbalanced == []
    rest = page.scripts[:-1]
    assert len(rest) == 2
    for text in rest:
        part = Page(text)
        assert part.unbalanced == []
        assert "img" not in [tag for tag, _ in part.elements]
        assert markup in part.words


class TestAccess:
    """What a screen reader, a keyboard and weak eyes need, as far as the source tells."""

    @pytest.fixture
    def page(self, make) -> Page:
        return Page(render_html([make(tried=turns()), make(verdict=Verdict.EXACT, label="clean")]))

    def test_headings_descend_one_level_at_a_time(self, page):
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
        assert (levels[0], levels.count(1)) == (1, 1)
        assert all(b <= a + 1 for a, b in itertools.pairwise(levels))

    def test_there_is_one_of_each_landmark_and_a_way_past_the_table(self, page):
        tags = [tag for tag, _ in page.elements]
        assert (tags.count("main"), tags.count("footer")) == (1, 1)
        skip = next(a for tag, a in page.elements if tag == "a")
        assert (skip["class"], skip["href"]) == ("skip", "#audits")

    def test_headings_of_tables_say_what_they_head(self, page):
        assert all("scope" in a for tag, a in page.elements if tag == "th")

    def test_every_control_and_every_picture_has_a_name(self, page):
        for tag, a in page.elements:
            if tag in ("input", "select") or a.get("role") == "img" or "copy" in a.get("class", ""):
                assert a["aria-label"], (tag, a)
        assert [a for _, a in page.elements if a.get("role") == "status"]

    def test_articles_are_named_by_their_headings(self, page):
        named = [a["aria-labelledby"] for tag, a in page.elements if tag == "article"]
        assert len(named) == 2
        assert set(named) <= {a.get("id") for _, a in page.elements}


def colours() -> list[dict[str, str]]:
    style = (TEMPLATES / "report.css").read_text()
    return [dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{([^}]*)\}", style)]


def contrast(one: str, other: str) -> float:
    """The ratio of the Web Content Accessibility Guidelines, 1 to 21."""

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
        parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_guidelines():
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("number", range(3), ids=["light", "dark", "print"])
def test_text_can_be_read_in_every_scheme(number):
    scheme = colours()[number]
    for text in ("ink", "muted", "link", "exact", "approximate", "broken", "vacuous", "invalid"):
        for ground in ("page", "card"):
            assert contrast(scheme[text], scheme[ground]) >= 4.5, (text, ground)
    assert contrast(scheme["ink"], scheme["code"]) >= 4.5
    assert contrast(scheme["allowed"], scheme["card"]) >= 3  # a line


def test_what_all_audits_share_is_worked_out_once_for_the_page(monkeypatch):
    pytest.importorskip("matplotlib")
    asked = []
    environment = Report.environment.fget
    monkeypatch.setattr(Report, "environment", property(lambda self: asked.append(1) or environment(self)))
    render_html([Audit(Verdict.EXACT, label=str(n)) for n in range(20)])
    assert len(asked) < 5
