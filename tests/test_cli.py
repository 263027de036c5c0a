"""The command line: run for real in processes of its own, and message by message in this one."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from equiaudit import audit
from equiaudit.cli import main
from equiaudit.records import Audit, Method, Verdict, Worst
from equiaudit.report.lines import command_line, pytest_line, python_line

MODELS = """
import torch
from torch import nn
from equiaudit import Symmetry
from equiaudit.groups import SO, E


class Net(nn.Module):
    def __init__(self, bad):
        super().__init__()
        self.bad, self.act = bad, nn.Tanh()

    def forward(self, x):
        v = x - x.mean(0)
        return {"energy": v.norm(dim=-1).sum(), "forces": self.act(v) if self.bad else v * v.norm(dim=-1, keepdim=True)}


def make(bad):
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    return Net(bad), x, Symmetry(E(3), "points", {"energy": "invariant", "forces": "vector"})


def good():
    return make(False)


def bad():
    return make(True)


def cases():
    return {"good": make(False), "bad": make(True)}


def words():
    model, x, symmetry = make(True)
    return {"model": model, "inputs": {"pos": x}, "symmetry": Symmetry(E(3), {"pos": "points"}, symmetry.outputs),
            "forward": lambda m, d: m(d["pos"])}


def vacuous():
    return (lambda x: 0 * x), torch.randn(5, 3), Symmetry(SO(3), "vector", "vector")


def pair():
    return 1, 2


def typo():
    return {"model": abs, "input": 1}


def number():
    return 3, 4, 5


def no_symmetry():
    return abs, 4, "SO(3)"


def raises():
    raise RuntimeError("the data are gone")


def model_raises():
    def net(x):
        raise RuntimeError("no GPU today")

    return net, torch.randn(5, 3), Symmetry(SO(3), "vector", "vector")


def wrong_shape():
    return (lambda x: x[:, :2]), torch.randn(5, 3), Symmetry(SO(3), "vector", "vector")


value = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "cli_models.py").write_text(MODELS)
    (tmp_path / "cli_broken.py").write_text("import no_such_library_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("cli_models", "cli_broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "equiaudit.cli", *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


# -- for real -------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_failed_audit_prints_a_line_that_gives_the_same_number_in_a_shell(folder: Path) -> None:
    first = run("audit", "cli_models:bad", "--json", "out.json", "--layers", "--seed", "3", cwd=folder)
    assert first.returncode == 1, first.stderr
    assert first.stdout.startswith("BROKEN: cli_models:bad is not equivariant under E(3)")
    assert first.stderr == ""  # no progress where nobody watches
    report = json.loads((folder / "out.json").read_text())
    (record,) = report["records"]
    assert report["schema_version"] == 1
    assert (record["factory"], record["label"], record["verdict"]) == ("cli_models:bad", "cli_models:bad", "BROKEN")
    assert record["first_bad_layer"] == "act"
    line = next(row.strip() for row in first.stdout.splitlines() if row.strip().startswith("replay"))
    assert record["replay"] == line.removeprefix("replay").strip()
    again = run(*shlex.split(record["replay"])[1:], cwd=folder)
    assert again.returncode == 1, again.stderr
    for name in ("error", "worst at"):
        pattern = rf"^  {name} .*$"
        assert re.search(pattern, again.stdout, re.M)[0] == re.search(pattern, first.stdout, re.M)[0]
    from_report = run("replay", "out.json", cwd=folder)
    assert from_report.returncode == 1
    assert from_report.stdout.splitlines()[0] == record["replay"]


def test_a_pass_and_the_installed_command(folder: Path) -> None:
    command = Path(sys.executable).with_name("equiaudit")
    if not command.exists():
        pytest.skip("the package is not installed with its command")
    done = subprocess.run(
        [command, "audit", "cli_models.py:good"], capture_output=True, text=True, cwd=folder, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("EXACT: cli_models.py:good is equivariant under E(3)")


@pytest.mark.long
def test_a_repaired_model_passes_the_replay(folder: Path) -> None:
    assert run("audit", "cli_models:bad", "--quiet", "--json", "out.json", cwd=folder).returncode == 1
    (folder / "cli_models.py").write_text(MODELS.replace("self.act(v) if self.bad else", ""))
    done = run("replay", "out.json", cwd=folder)
    assert done.returncode == 0, done.stdout
    assert "EXACT: cli_models:bad is equivariant" in done.stdout


def test_importing_the_command_line_and_asking_for_the_version_need_no_torch() -> None:
    code = "import sys; from equiaudit.cli import main; main(['--version']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"equiaudit \d+\.\d+\S*\nFalse\n", done.stdout)


# -- message by message -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit", "no_such_module:f"], r"no module named 'no_such_module' in .+ or installed"),
        (["audit", "no_such_file.py:f"], r"there is no file no_such_file\.py \(looked in "),
        (["audit", "cli_models"], r"expected module:factory or path/to/file\.py:factory, got 'cli_models'"),
        (["audit", "cli_models:gone"], r"cli_models has no 'gone'; it has Net, make, good, bad"),
        (["audit", "cli_models:value"], r"cli_models:value is a int; expected a function that returns \(model, inputs"),
        (["audit", "cli_models:pair"], r"returned a tuple of 2; expected \(model, inputs, symmetry\), or a dict"),
        (["audit", "cli_models:typo"], r"returned a dict with the keys 'input'; expected"),
        (["audit", "cli_models:number"], r"cli_models:number: the model must be callable, got int"),
        (["audit", "cli_models:no_symmetry"], r"symmetry must be a Symmetry or a list of them, got 'SO\(3\)'"),
        (["audit", "cli_models:cases", "--case", "ugly"], r"has no case 'ugly'; it has good, bad"),
        (["audit", "cli_models:good", "--case", "x"], r"one case without a name, so --case x finds nothing"),
        (
            ["audit", "cli_models:good", "--json", "no/where.json"],
            r"no/where\.json can't be written: there is no folder",
        ),
        (["audit", "cli_models:good", "--perturb-hiding"], r"--perturb-hiding is for replay"),
        (["replay", "cli_models:bad"], r"replay needs --element"),
        (["replay", "cli_models:cases", "--element", "E(3).exp()"], r"returns 2 cases; choose one: --case good"),
        (["replay", "gone.json"], r"gone\.json can't be read: .*No such file"),
        (["replay", "cli_models:bad", "--element", "__import__('os').getcwd()"], r"is not allowed|not a group element"),
        (
            ["replay", "cli_models:bad", "--element", "SO(3).turn('z', 1/4)"],
            r"is an element of SO\(3\), and the symmetry",
        ),
        (
            ["replay", "cli_models:bad", "--element", "E(3).identity()", "--symmetry", "4"],
            r"which=4: there are 1 symmetries",
        ),
    ],
)
def test_a_wrong_command_gets_one_line_and_status_2(folder, capsys, arguments, message) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("equiaudit: ")
    assert error.count("\n") == 1, error
    assert re.search(message, error), error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit"], "the following arguments are required"),
        (["audit", "m:f", "--effort", "heroic"], "invalid choice: 'heroic'"),
        (["audit", "m:f", "--tolerance", "-1"], "-1 is negative"),
        (["fly"], "invalid choice: 'fly'"),
    ],
)
def test_what_argparse_refuses_has_status_2(capsys, arguments, message) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spec", "first", "error"),
    [
        ("cli_models:raises", "raises", "RuntimeError: the data are gone"),
        (
            "cli_broken:f",
            "import no_such_library_at_all",
            "ModuleNotFoundError: No module named 'no_such_library_at_all'",
        ),
    ],
)
def test_the_users_own_exception_keeps_its_traceback(folder, capsys, spec, first, error) -> None:
    assert main(["audit", spec]) == 2
    shown = capsys.readouterr().err
    assert error in shown
    assert first in shown
    assert "factory.py" not in shown  # it begins in the user's own code
    assert shown.splitlines()[-1].startswith(f"equiaudit: {spec} raised ")


def test_an_exception_of_the_model_keeps_its_traceback(folder, capsys) -> None:
    assert main(["audit", "cli_models:model_raises"]) == 2
    shown = capsys.readouterr().err
    assert "RuntimeError: no GPU today" in shown
    assert shown.splitlines()[-1] == "equiaudit: the model raised RuntimeError; see above"


def test_several_cases_give_a_line_each_and_one_status(folder, capsys) -> None:
    assert main(["audit", "cli_models:cases", "--quiet", "--json", "out.json", "--effort", "quick"]) == 1
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["EXACT", "BROKEN"]
    assert [row.split()[-1] for row in rows] == ["cli_models:cases[good]", "cli_models:cases[bad]"]
    record = json.loads(Path("out.json").read_text())["records"][1]
    assert record["case"] == "bad"
    assert '--case "bad"' in record["replay"]
    assert main(["replay", "out.json", "--label", "cli_models:cases[bad]"]) == 1
    assert "BROKEN: cli_models:cases[bad]" in capsys.readouterr().out
    assert main(["replay", "out.json", "--label", "cli_models:cases[good]"]) == 2
    assert "no failed audit with label 'cli_models:cases[good]'" in capsys.readouterr().err


def test_a_factory_may_return_keywords(folder, capsys) -> None:
    assert main(["audit", "cli_models:words", "--effort", "quick", "--tolerance", "10"]) == 0
    assert capsys.readouterr().out.startswith("APPROXIMATE: cli_models:words")


def test_json_on_standard_output_is_all_there_is(folder, capsys) -> None:
    assert main(["audit", "cli_models:good", "--effort", "quick", "--json", "-", "--label", "mine"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["records"][0]["label"] == "mine"


def test_vacuous_and_invalid_audits_fail_and_replay_as_audits(folder, capsys) -> None:
    for name, verdict in (("vacuous", "VACUOUS"), ("wrong_shape", "INVALID")):
        assert main(["audit", f"cli_models:{name}", "--quiet", "--json", "out.json"]) == 1
        record = json.loads(Path("out.json").read_text())["records"][0]
        assert (record["verdict"], record["replay"]) == (verdict, f"equiaudit audit cli_models:{name} --seed 0")
        assert main(["replay", "out.json"]) == 1
        assert f"{verdict}: " in capsys.readouterr().out


def test_a_report_from_elsewhere_says_how_to_replay_it(tmp_path, capsys) -> None:
    from equiaudit.report.json import write_json

    found = Audit(Verdict.BROKEN, label="net", replay='pytest "tests/a.py::b"  # seed 0')
    write_json([found], tmp_path / "r.json")
    assert main(["replay", str(tmp_path / "r.json")]) == 2
    assert 'replay it with: pytest "tests/a.py::b"' in capsys.readouterr().err


def test_groups_are_listed(capsys) -> None:
    assert main(["groups"]) == 0
    out = capsys.readouterr().out
    for name in ("SO", "Lorentz", "Permutations", "pseudovector", "edge_index", "1x0e+2x1o"):
        assert re.search(rf"^  {re.escape(name)} +\S", out, re.M), name


# -- the lines -----------------------------------------------------------------------------------------------------


def test_the_lines_carry_what_differs_from_the_defaults() -> None:
    worst = Worst("SO(3).turn('z', 1/4)", "output", (0,), 1.0, 1.0, on="twin", symmetry=1)
    plain = Audit(Verdict.BROKEN, worst=worst, seed=7)
    assert python_line(plain) == (
        """equiaudit.replay(model, inputs, symmetry, "SO(3).turn('z', 1/4)", on='twin', which=1, seed=7)"""
    )
    assert command_line(plain, "m:f") == (
        """equiaudit replay m:f --element "SO(3).turn('z', 1/4)" --on twin --symmetry 1 --seed 7"""
    )
    assert pytest_line(plain, "t.py::test") == """pytest "t.py::test"  # seed 7, element SO(3).turn('z', 1/4)"""
    hidden = Audit(
        Verdict.BROKEN, cause="hidden by parameter", worst=worst, tolerance=0.1, method=Method(randomness="match")
    )
    assert "perturb='hiding', randomness='match', tolerance=0.1" in python_line(hidden)
    assert "--perturb-hiding --randomness match --tolerance 0.1" in command_line(hidden, "m:f")
    coarse = Audit(Verdict.BROKEN, cause="low precision", worst=worst, method=Method(parameters="generic"))
    assert "perturb=True, reference=False" in python_line(coarse)
    assert "--perturb --own-precision" in command_line(coarse, "m:f")
    empty = Audit(Verdict.VACUOUS, effort="quick")
    assert python_line(empty, ("forward",)) == (
        "equiaudit.audit(model, inputs, symmetry, forward=forward, effort='quick', seed=0)"
    )
    assert command_line(empty, "m:f") == "equiaudit audit m:f --effort quick --seed 0"


def test_under_pytest_the_line_names_the_test(request) -> None:
    import torch

    from equiaudit import Symmetry
    from equiaudit.groups import SO

    found = audit(torch.tanh, torch.randn(5, 3), Symmetry(SO(3), "vector", "vector"), effort="quick", derivative="off")
    assert found.replay.startswith('pytest "')
    assert "test_cli.py::test_under_pytest_the_line_names_the_test" in found.replay
    assert found.replay.endswith(f"# seed 0, element {found.worst.element}")
