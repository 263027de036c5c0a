"""The comparison of arms: pairing, search, resumption, statistics and the page; on toy data, a few steps each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats as scipy_stats

from benchmarks.nbody import arms, cells, costs, hidden, plan, setting, stats, store, terms, training, updates
from benchmarks.nbody.arms import ARMS, Arm
from benchmarks.nbody.cells import CELLS
from benchmarks.nbody.plan import Missing, Part, choose, next_runs
from benchmarks.nbody.setting import key_of, make_setting
from benchmarks.nbody.workers import compiler, together, work_on
from equiaudit import intertwiners
from equiaudit.groups import O
from equiaudit.relaxation import LinearSite
from examples.nbody.data import Windows, make_windows
from examples.nbody.egnn import EquivariantLinear, features, linear_site

ROOT = Path(__file__).parents[1]
TOY = replace(CELLS["smoke"], samples=12, steps=10, batch=4)
PULLED = {"adaptive": {"pull": 1e-3}, "learned": {"pull": 1e-3}}


def long_but(quick: Sequence[str], arms: Iterable[str]) -> list:
    """The arms as parameters; those that are not among the quick ones are long tests."""
    return [pytest.param(arm, marks=[pytest.mark.long] * (arm not in quick)) for arm in arms]


@pytest.fixture(scope="module")
def windows() -> dict[str, Windows]:
    return {
        split: make_windows(count, seed) for split, count, seed in (("train", 24, 1), ("valid", 16, 2), ("test", 16, 3))
    }


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch, windows: dict[str, Windows]) -> None:
    monkeypatch.setattr(training, "load", lambda split, clip: windows[split])
    monkeypatch.setitem(cells.CELLS, "smoke", TOY)


def run(arm: str, seed: int = 1, **options: Any) -> dict[str, Any]:
    return training.train(make_setting(TOY, ARMS[arm], seed, **(PULLED.get(arm, {}) | options)))


@pytest.mark.filterwarnings("ignore:the last step takes away levels:UserWarning")  # ten steps do not bring them down
@pytest.mark.parametrize("arm", long_but(("relaxed",), ARMS))
def test_every_arm_runs_and_its_record_is_plain(arm: str) -> None:
    record = run(arm, beta=1.0) if arm.startswith("remul") else run(arm)
    assert json.loads(json.dumps(record, allow_nan=False))["test"] > 0
    assert record["looks"][-1]["step"] == record["steps"] == round(10 * record["setting"]["options"]["length"])
    exact = record["lie"] < 1e-5  # float32
    assert exact == (arm in plan.EXACT and arm != "pathway")
    if record["setting"]["options"]["relax"]:
        left = record["looks"][-1]["theta"].values()
        assert all(theta == (arm == "pathway") for theta in left)


@pytest.mark.long
def test_runs_of_a_seed_are_paired() -> None:
    """A relaxation that never counts changes nothing: same data, weights and batches."""
    plain = run("standard")
    with pytest.warns(UserWarning, match="was never trained"):
        idle = run("no-terms", init="zeros", w_rate=0.0)
    assert idle["test"] == plain["test"]
    assert idle["extra_parameters"] > 0
    assert run("relaxed", rate=1e-2)["test"] != plain["test"]


@pytest.mark.parametrize("arm", long_but((), ("standard", "augmented", "relaxed", "scrambled", "fold", "pathway")))
def test_stacked_runs_are_those_made_alone(arm: str) -> None:
    settings = [make_setting(TOY, ARMS[arm], seed) for seed in (1, 2, 9)]
    alone = [training.train(setting) for setting in settings]
    stacked = training.train_together(settings)
    for one, other in zip(alone, stacked, strict=True):
        assert other["key"] == one["key"]
        assert other["test"] == pytest.approx(one["test"], rel=1e-4)  # ten steps of float32
        assert other["valid_last"] == pytest.approx(one["valid_last"], rel=1e-4)
        assert (other["stop"] is None) == (one["stop"] is None)
    assert len({record["test"] for record in stacked}) == 3


@pytest.mark.gpu
@pytest.mark.parametrize("arm", ["standard", "relaxed", "fold", "activations", "remul-label-gradnorm"])
def test_a_run_on_a_gpu_is_that_on_a_cpu(arm: str) -> None:
    made = make_setting(TOY, ARMS[arm], 1, **PULLED.get(arm, {}))
    here, there = (training.train(made, device=device) for device in ("cpu", "cuda"))
    assert there["test"] == pytest.approx(here["test"], rel=1e-2)


@pytest.mark.gpu
def test_stacked_runs_on_a_gpu_are_those_made_alone() -> None:
    settings = [make_setting(TOY, ARMS["relaxed"], seed) for seed in (1, 2)]
    alone = [training.train(made, device="cuda")["test"] for made in settings]
    assert [record["test"] for record in training.train_together(settings, device="cuda")] == pytest.approx(
        alone, rel=1e-3
    )


@pytest.mark.long
def test_a_stacked_run_that_diverges_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [make_setting(TOY, ARMS["relaxed"], seed) for seed in (1, 2, 3)]
    alone = training.train(settings[2])
    drawn = training.subset
    spoilt = lambda windows, count, seed: replace(  # noqa: E731
        found := drawn(windows, count, seed), targets=found.targets * (float("nan") if seed == 2 else 1.0)
    )
    monkeypatch.setattr(training, "subset", spoilt)
    first, second, third = training.train_together(settings)
    assert second["diverged"] == 0
    assert "test" in first
    assert third["test"] == pytest.approx(alone["test"], rel=1e-4)


def test_only_runs_that_differ_in_their_seed_are_stacked() -> None:
    todo = [make_setting(TOY, ARMS[arm], seed) for seed in range(5) for arm in ("standard", "early", "learned")]
    groups = together(todo, 4)
    assert sorted(map(len, groups)) == [1, 1, 1, 1, 1, 1, 1, 4, 4]
    assert all(len({made["arm"] for made in group}) == 1 for group in groups)
    assert sorted(key_of(made) for group in groups for made in group) == sorted(map(key_of, todo))
    with pytest.raises(ValueError, match="differ in more than their seed"):
        training.train_together([todo[0], todo[1]])
    with pytest.raises(ValueError, match="can't be stacked"):
        training.train_together([todo[2], todo[5]])


@pytest.mark.long
def test_a_run_repeats_and_seeds_differ() -> None:
    first, again, other = run("early"), run("early"), run("early", seed=2)
    assert first["test"] == again["test"]
    assert first["test"] != other["test"]


def test_windows_vary_with_the_seed(windows: dict[str, Windows]) -> None:
    pool = windows["train"]
    first, again, other = (set(training.subset(pool, 12, seed).targets[:, 0, 0].tolist()) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 12
    assert first | other <= set(pool.targets[:, 0, 0].tolist())


def test_a_run_learns_from_the_windows_of_its_seed(
    monkeypatch: pytest.MonkeyPatch, windows: dict[str, Windows]
) -> None:
    seen: set[float] = set()

    def spy(model: Any, batch: Windows) -> torch.Tensor:
        if torch.is_grad_enabled():
            seen.update(batch.targets[:, 0, 0].tolist())
        return terms.mean_squared_error(model, batch)

    monkeypatch.setattr(updates, "mean_squared_error", spy)
    run("standard", 5)
    assert len(seen) > TOY.batch
    assert seen <= set(training.subset(windows["train"], TOY.samples, 5).targets[:, 0, 0].tolist())


def test_a_run_that_diverges_is_recorded_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "mean_squared_error", lambda model, batch: model(*batch.inputs).mean() * float("nan"))
    assert run("standard").keys() == {"key", "setting", "diverged"}


def test_a_run_whose_validation_is_not_finite_has_diverged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "evaluate", lambda model, windows: float("nan"))
    assert run("standard").keys() == {"key", "setting", "diverged"}


@pytest.mark.parametrize("text", ["3-1", "1000", "0-1003"])
@pytest.mark.long
def test_seeds_that_tune_are_not_reported(text: str) -> None:
    command = [sys.executable, "-m", "benchmarks.nbody", "--cell", "smoke", "--seeds", text]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert shown.returncode == 2
    assert "stay below 1000" in shown.stderr


def test_the_learning_rate_rises_and_falls_to_nothing() -> None:
    assert training.rate_at(0.0) == 0.0
    assert training.rate_at(training.WARM_UP) == 1.0
    assert training.rate_at(1.0) < 1e-12


# terms on W


@pytest.fixture(scope="module")
def site() -> LinearSite:
    found = linear_site(EquivariantLinear(2, 4, 2, 5))
    assert found is not None
    return found


def null_space(of: Any, site: LinearSite) -> int:
    size = site.entries
    hessian = torch.autograd.functional.hessian(lambda w: of(w.reshape(site.shape)), torch.zeros(size))
    return size - int(torch.linalg.matrix_rank(hessian.double(), hermitian=True, rtol=1e-5))


def test_only_the_correct_lie_term_leaves_equivariant_weights_alone(site: LinearSite) -> None:
    """Vectors 4 → 5: 20 exact maps under the correct term, none under the released code's."""
    vectors = replace(site, rep_in=features(0, 4), rep_out=features(0, 5), dim_in=12, dim_out=15)
    assert (
        null_space(terms.operator(vectors), vectors)
        == 20
        == intertwiners.dimension(O(3), features(0, 4), features(0, 5))
    )
    assert null_space(terms.scrambled(vectors), vectors) == 0


def test_the_operator_term_is_the_commutator(site: LinearSite) -> None:
    weight = torch.randn(site.shape)
    wanted = intertwiners.defect(weight, site.rep_in, site.rep_out, O(3)) / site.entries
    assert torch.allclose(terms.operator(site)(weight), wanted, rtol=1e-5, atol=0)


def test_turned_windows_are_turned(windows: dict[str, Windows]) -> None:
    batch = windows["train"]
    moved = terms.turned(batch, torch.Generator().manual_seed(0))
    lengths = [torch.cdist(b.positions, b.targets) for b in (batch, moved)]
    assert torch.allclose(*lengths, atol=1e-5)
    assert not torch.allclose(batch.positions, moved.positions, atol=0.1)
    sides = [torch.linalg.det(b.positions[:, :3]).sign() for b in (batch, moved)]
    assert 0 < int((sides[0] != sides[1]).sum()) < len(batch)  # some are inverted


# search and resumption


def record_of(made: dict[str, Any], valid: float, test: float = 1.0) -> dict[str, Any]:
    return {"key": key_of(made), "setting": made, "valid": valid, "test": test, "looks": []}


def answer(part: Part, score: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Make every run that is asked for, with a made-up validation error."""
    known: dict[str, Any] = {}
    asked = []
    while todo := next_runs([part], known):
        for made in todo:
            asked.append(made)
            known[key_of(made)] = record_of(made, score(made["options"]))
    return known, asked


def test_the_search_finds_the_best_settings_on_seeds_of_its_own() -> None:
    part = Part(plan.PRIMARY, ("early",), seeds=(0, 1, 2))

    def score(options: dict[str, Any]) -> float:
        return 1.0 + (options["rate"] != 1.6e-2) + (options["magnitude"] != 0.03)

    known, asked = answer(part, score)
    assert choose(part.cell, "early", known) == {"rate": 1.6e-2, "magnitude": 0.03}
    reported = [made for made in asked if made["seed"] < 1000]
    assert len(reported) == 3
    assert {made["seed"] for made in asked} - {0, 1, 2} == set(plan.TUNING_SEEDS)
    assert all(made["options"]["rate"] == 1.6e-2 for made in reported)


def test_the_search_does_not_look_at_the_test_error() -> None:
    part = Part(plan.PRIMARY, ("standard",), seeds=(0,))
    known, _ = answer(part, lambda options: options["rate"])
    for record in known.values():
        record["test"] = 1 / record["valid"]
    assert choose(part.cell, "standard", known)["rate"] == min(arms.RATES)


def test_a_rate_at_which_a_run_diverges_is_not_chosen() -> None:
    part = Part(plan.PRIMARY, ("standard",), seeds=(0,))
    known, _ = answer(part, lambda options: -1.0 / options["rate"] + 1e3)
    for record in known.values():
        if record["setting"]["options"]["rate"] == min(arms.RATES):
            del record["valid"]
    assert choose(part.cell, "standard", known)["rate"] == sorted(arms.RATES)[1]


def test_other_cells_search_the_rate_and_inherit_the_rest() -> None:
    part = Part("n3000", ("early",), seeds=(0,))
    with pytest.raises(Missing):
        choose(part.cell, "early", {})
    _, asked = answer(part, lambda options: 1.0 + (options["magnitude"] != 3.0))
    mine = [made for made in asked if made["cell"] == "n3000" and made["seed"] >= 1000]
    assert {made["options"]["magnitude"] for made in mine} == {3.0}
    assert {made["options"]["rate"] for made in mine} == set(arms.RATES)


def test_the_under_tuned_cell_is_not_tuned() -> None:
    _, asked = answer(Part("low-rate", ("standard",), seeds=(0,)), lambda options: 1.0)
    (made,) = [made for made in asked if made["cell"] == "low-rate"]
    assert made["options"]["rate"] == 5e-4
    assert made["task"]["constant_rate"]


@pytest.mark.parametrize("preset", list(plan.PRESETS))
def test_presets_name_known_arms_and_cells(preset: str) -> None:
    for part in plan.PRESETS[preset]:
        assert part.cell in CELLS
        assert set(part.arms) <= set(ARMS)
        assert "standard" in part.arms or part.cell == plan.PRIMARY
        assert not set(part.seeds) & set(plan.TUNING_SEEDS)
        assert all(set(plan.tuning_seeds(part.cell, arm)) <= set(plan.TUNING_SEEDS) for arm in part.arms)


def test_what_is_known_is_not_run_again() -> None:
    part = Part("smoke", ("standard",), (0, 1))
    known, asked = answer(part, lambda options: 1.0)
    lost = known.pop(key_of(asked[-1]))
    assert [key_of(made) for made in next_runs([part], known)] == [lost["key"]]


def test_the_key_names_what_is_computed() -> None:
    made = make_setting(TOY, ARMS["standard"], 0)
    assert key_of(made) != key_of(make_setting(TOY, ARMS["standard"], 1))
    assert key_of(made) != key_of(make_setting(replace(TOY, steps=11), ARMS["standard"], 0))
    assert key_of(made) == key_of(make_setting(replace(TOY, says="another text"), ARMS["standard"], 0))
    assert key_of(made) != key_of(made | {"version": setting.VERSION + 1})


def test_an_arm_with_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="arm 'mine' sets wrate; known are network, rate"):
        Arm("mine", "", {"wrate": 1})


# records and page


def test_a_line_that_was_cut_off_is_left_out_and_harms_no_other(tmp_path: Path) -> None:
    first, second = (record_of(make_setting(TOY, ARMS["standard"], seed), 1.0) for seed in (0, 1))
    store.append(first, tmp_path)
    path = tmp_path / "smoke.jsonl"
    whole = path.read_text()
    path.write_text(whole + whole[: len(whole) // 2])
    store.append(second, tmp_path)
    assert [r["key"] for r in store.read(tmp_path)] == [first["key"], second["key"]]


def test_intervals_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    ours, base = np.exp(rng.normal(0, 0.1, 16)), np.exp(rng.normal(0, 0.1, 16))
    found = stats.compare(dict(enumerate(ours)), dict(enumerate(base)))
    assert found is not None
    wanted = scipy_stats.ttest_rel(np.log(ours), np.log(base))
    interval = wanted.confidence_interval(0.95)
    assert found.p == pytest.approx(wanted.pvalue)
    assert (np.log1p(found.low), np.log1p(found.high)) == pytest.approx((interval.low, interval.high))


def test_only_common_seeds_are_compared() -> None:
    assert stats.compare({0: 1.0, 1: 1.0, 2: 1.0}, {0: 1.0, 1: 1.0, 3: 1.0}) is None
    found = stats.compare({0: 1.0, 1: 2.0, 2: 3.0, 9: 99.0}, {0: 2.0, 1: 4.0, 2: 6.0})
    assert found is not None
    assert (found.seeds, found.change) == (3, pytest.approx(-0.5))


@pytest.mark.long
def test_the_page_is_written_from_records_alone(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.nbody.report import write_page

    for arm in ("standard", "early"):
        for seed in (0, 1, 2, 1000):
            (record,) = work_on([make_setting(TOY, ARMS[arm], seed)], compiling=False, device="cpu")
            store.append(record, tmp_path)
    text = write_page(tmp_path).read_text()
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    assert rows["standard"].split("|")[2].strip() == "3"
    base, early = ({r["setting"]["seed"]: r["test"] for r in store.read(tmp_path) if r["setting"]["arm"] == a and
                    r["setting"]["seed"] < 1000} for a in ("standard", "early"))  # fmt: skip
    paired = stats.compare(early, base)
    assert paired is not None
    assert f"{100 * paired.change:+.1f} %" in rows["early"]
    assert "best projected relaxed arm `early`" in text
    for line in text.splitlines():
        if line.startswith("!["):
            assert (tmp_path / line.split("(")[1].rstrip(")")).stat().st_size > 1000


def made_up(arm: str, seed: int, test: float, valid: float = 1.0, cell: str = "n1000", **more: Any) -> dict[str, Any]:
    made = make_setting(CELLS[cell], ARMS[arm], seed)
    times = {"cpu_per_step": 0.01, "steps": 10, "parameters": 7, "extra_parameters": 3}
    return record_of(made, valid, test) | times | more


def page_of(records: list[dict[str, Any]], folder: Path) -> str:
    pytest.importorskip("matplotlib")
    from benchmarks.nbody.report import write_page

    for record in records:
        store.append(record, folder)
    return write_page(folder).read_text()


@pytest.fixture
def unpublished(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(store, "RESULTS", tmp_path / "published")
    return tmp_path / "published"


@pytest.mark.usefixtures("unpublished")
def test_an_arm_that_lacks_seeds_is_paired_on_what_exists_and_named(tmp_path: Path) -> None:
    records = [made_up("standard", seed, 1e-3 * (1 + seed % 3)) for seed in range(6)]
    records += [made_up("early", seed, 0.5e-3 * (1 + seed % 3) * (1 + 0.01 * seed)) for seed in (0, 1, 2, 9)]
    text = page_of(records, tmp_path)
    early = next(line for line in text.splitlines() if line.startswith("| early"))
    assert [cell.strip() for cell in early.split("|")][2:6:2] == ["4", "3"]
    assert "| n1000 | early | 4 of 16 |" in text
    assert "Cells without runs: n300" in text


@pytest.mark.usefixtures("unpublished")
def test_the_primary_comparison_is_chosen_on_tuning_seeds(tmp_path: Path) -> None:
    """On the reported seeds another arm is better, in validation and in test: that must not choose."""
    reported = {"standard": 1.0, "early": 0.9, "relaxed": 0.5}
    searched = {"standard": 1.0, "early": 0.8, "relaxed": 0.95}
    records = [
        made_up(arm, s, e ** (1 + 0.1 * s) * (1 + s * (arm != "standard") * 0.01), e)
        for arm, e in reported.items()
        for s in range(4)
    ]
    records += [made_up(arm, s, 1.0, v) for arm, v in searched.items() for s in plan.TUNING_SEEDS]
    assert "best projected relaxed arm `early`" in page_of(records, tmp_path)


@pytest.mark.usefixtures("unpublished")
def test_the_table_has_the_settings_that_tuning_chose(tmp_path: Path) -> None:
    """Runs that were made before tuning saw more seeds stay in the records, and out of the table, though they are more."""
    cell, arm = CELLS["n1000"], ARMS["standard"]
    records = [
        made_up("standard", seed, 1.0) | record_of(made, 1.0 + abs(rate - 0.016), test)
        for rate, test, seeds in ((0.032, 5e-3, range(6)), (0.016, 2e-3, range(4)), (0.016, 0.0, plan.TUNING_SEEDS),
                                  *((rate, 0.0, plan.TUNING_SEEDS) for rate in (0.004, 0.008, 0.032)))
        for seed in seeds
        for made in [make_setting(cell, arm, seed, rate=rate)]
    ]  # fmt: skip
    assert "| standard | 4 | 2.000 ± 0.000 |" in page_of(records, tmp_path)


def test_every_published_cell_is_in_the_table() -> None:
    """Also the one whose rate is not that of the search."""
    from benchmarks.nbody.report import by_cell

    found = by_cell(store.read())
    assert {cell: len(found[cell]["standard"]) for cell in ("n300", "n1000", "n3000", "low-rate", "segnn")} == {
        "n300": 16, "n1000": 16, "n3000": 16, "low-rate": 8, "segnn": 16}  # fmt: skip


@pytest.mark.usefixtures("unpublished")
@pytest.mark.long
def test_tables_over_cells_and_over_training(tmp_path: Path) -> None:
    looks = [
        {"step": k, "loss": 1.0, "valid": 1.0, "relaxed": 1.0, "lie": 0.25 * k, "theta": {"a": 0.1 * k, "b": 0.0},
         "norm": {"a": 1.0, "b": 1.0}, "operator": {"a": 0.5 * k, "b": 0.125}} for k in range(11)
    ]  # fmt: skip
    records = [made_up("early", s, 2e-3, cell=c, looks=looks) for c in ("n300", "n1000", "deep") for s in (0, 1)]
    text = page_of(records, tmp_path)
    assert "| arm | 300 samples, 2 layers | 1000 samples, 2 layers | 1000 samples, 4 layers |" in text
    assert "| early | 2.000 (2) | 2.000 (2) | 2.000 (2) |" in text
    assert "| n1000 | early | 5 | 0.5 | 1.2 | 2.5, 0.12 | 2 |" in text


@pytest.mark.long
def test_hidden_representations_are_fitted_at_the_peak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that is pushed hard away from the constraint no longer carries what was declared; a still one does."""
    monkeypatch.setattr(hidden, "WINDOWS", 16)
    made = (make_setting(TOY, ARMS["relaxed"], 0, init=init, w_rate=0.0) for init in ("normal(1)", "normal(1e-9)"))
    far, still = map(hidden.fits_at_the_peak, made)
    assert [fit["name"] for fit in far] == ["layers.0.self_connection", "layers.1.self_connection"]
    assert min(fit["declared"] for fit in far) > 0.1 > max(fit["declared"] for fit in still)
    (tmp_path / hidden.FILE).write_text(json.dumps({"fits": {"0": far}}))
    assert f"| 0 | layers.1.self_connection | {far[1]['declared']:.2g} |" in "\n".join(hidden.hidden_table(tmp_path))


@pytest.mark.usefixtures("unpublished")
@pytest.mark.long
def test_steps_are_timed_side_by_side(tmp_path: Path) -> None:
    arms = ("standard", "longer", "relaxed", "learned")
    made = {arm: make_setting(TOY, ARMS[arm], 0, **PULLED.get(arm, {})) for arm in arms}
    costs.write_costs(tmp_path, made, "cpu", compiling=False, rounds=2)
    found = costs.read_costs(tmp_path)
    assert found is not None
    assert set(found["arms"]) == {"longer", "relaxed", "learned"}
    assert {arm: set(counts) for arm, counts in found["stacked, a seed"].items()} == {
        "standard": {"4", "16"}, "relaxed": {"4", "16"}}  # fmt: skip
    records = [
        made_up(arm, s, 1e-3 * (1 + s), cell=cell) for arm in arms for s in range(3) for cell in ("n300", "deep")
    ]
    lines = page_of(records, tmp_path).splitlines()
    shallow, deep = (line.split("|")[9].strip() for line in lines if line.startswith("| longer | 3 |"))
    assert shallow == f"{1.5 * found['arms']['longer']['median']:.2f}"
    assert deep == "–"  # what a step of another network costs was not measured


def test_a_rerun_stands_beside_the_published_run(tmp_path: Path, unpublished: Path) -> None:
    store.append(made_up("standard", 0, 2e-3), unpublished)
    other = make_setting(CELLS["n1000"], ARMS["decay"], 0, rate=0.5)
    store.append(made_up("decay", 0, 2e-3), unpublished)
    reruns = [made_up("standard", 0, 2.1e-3), made_up("standard", 40, 3e-3), made_up("decay", 0, 4e-3)]
    reruns[-1] |= {"key": key_of(other), "setting": other}
    text = page_of(reruns, tmp_path / "mine")
    assert "| n1000 | standard | 0 | 2.0000 | 2.1000 |" in text
    assert "| n1000 | standard | 40 | not published | 3.0000 |" in text
    assert "| n1000 | decay | 0 | not published | 4.0000 |" in text  # with another rate: not the same run
    assert "Beside the published" not in page_of([], unpublished)


@pytest.mark.long
def test_a_compiled_run_relaxes_too() -> None:
    """By default torch.compile would serve the relaxed network by the graph of the plain one, without a word."""
    found = {
        (arm, way): training.train(make_setting(TOY, ARMS[arm], 1, **options), compiled)["test"]
        for way, compiled in (("eager", None), ("compiled", compiler("eager")))
        for arm, options in (("standard", {}), ("no-terms", {"init": "default"}))
    }
    assert found["no-terms", "compiled"] == pytest.approx(found["no-terms", "eager"], rel=1e-2)
    assert abs(found["no-terms", "compiled"] / found["standard", "compiled"] - 1) > 0.02


@pytest.mark.long
def test_the_command_says_what_it_takes() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "benchmarks.nbody", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--preset {smoke,cpu,night,gpu}" in shown.stdout
