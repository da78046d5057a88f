"""The plan of a run: what depends on what, by identity, and the questions that the rules ask."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from flow import ROOT, TINY
from wavs import noise_stems, write_track

from madsep.core.errors import InputError
from madsep.workflow.asked import Asked
from madsep.workflow.make import check_packages, make_plan
from madsep.workflow.needs import Needs
from madsep.workflow.plan import Plan

DEFAULTS = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
Make = Callable[..., Plan]


@pytest.fixture(scope="module")
def musdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three training and three test tracks of a tenth of a second; not to be changed."""
    root = tmp_path_factory.mktemp("plan") / "musdb"
    for subset, first in (("train", 0), ("test", 3)):
        for number in range(3):
            write_track(root / subset / f"{subset} {'abc'[number]}", noise_stems(first + number, 0.1))
    return root


@pytest.fixture
def make(musdb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A function that plans a run in an empty folder: make(root, **settings)."""
    monkeypatch.chdir(tmp_path)

    def planned(root: Path | None = None, is_main: bool = True, **settings: Any) -> Plan:
        config = DEFAULTS | {"musdb_root": str(root or musdb), "allow_partial": True, "overrides": {"MDL1": TINY}} | settings
        plan = make_plan(json.loads(json.dumps(config)), is_main)
        assert plan is not None
        return plan

    return planned


def copied(musdb: Path, folder: Path) -> Path:
    return shutil.copytree(musdb, folder)


def identities(plan: Plan, system: str = "MDL1") -> tuple[dict[str, str], str, dict[str, str], str]:
    """What the run's parts are known by: prepared test tracks, the training, the estimates, the whole."""
    return (
        plan.prepared("test", plan.test),
        plan.training_identities[system],
        plan.estimates(system, plan.test),
        plan.identity(plan.scored),
    )


def test_the_same_data_elsewhere_are_the_same(make: Make, musdb: Path, tmp_path: Path) -> None:
    before = identities(make())
    elsewhere = copied(musdb, tmp_path / "moved")
    link = tmp_path / "link"
    link.symlink_to(elsewhere)
    for root in (elsewhere, link, Path("moved")):
        assert identities(make(root)) == before


def test_a_changed_stem_changes_what_depends_on_it_alone(make: Make, musdb: Path, tmp_path: Path) -> None:
    prepared, training, estimates, run = identities(make())
    root = copied(musdb, tmp_path / "changed")
    write_track(root / "test/test b", noise_stems(99, 0.1))
    changed_prepared, changed_training, changed_estimates, changed_run = identities(make(root))
    (slug,) = (slug for slug in prepared if prepared[slug] != changed_prepared[slug])
    assert slug.startswith("test-b-")
    assert [key for key in estimates if estimates[key] != changed_estimates[key]] == [slug]
    assert changed_training == training and changed_run != run


def test_a_track_that_comes_and_goes_leaves_the_others_as_they_were(make: Make, musdb: Path, tmp_path: Path) -> None:
    before = make()
    root = copied(musdb, tmp_path / "more")
    write_track(root / "test/AAA new", noise_stems(50, 0.1))
    more = make(root)
    assert len(more.test) == 4
    assert {slug: more.estimates("MDL1", more.test)[slug] for slug in before.test} == before.estimates("MDL1", before.test)
    assert more.identity(more.scored) != before.identity(before.scored)
    shutil.rmtree(root / "test/AAA new")
    assert identities(make(root)) == identities(before)


def test_a_changed_training_track_changes_the_training_and_its_folder(make: Make, musdb: Path, tmp_path: Path) -> None:
    before = make()
    root = copied(musdb, tmp_path / "changed")
    write_track(root / "train/train a", noise_stems(77, 0.1))
    after = make(root)
    assert after.training("MDL1") != before.training("MDL1")
    assert after.prepared("test", after.test) == before.prepared("test", before.test)
    assert set(after.estimates("MDL1", after.test).values()).isdisjoint(before.estimates("MDL1", before.test).values())


@pytest.mark.parametrize(
    ("changes", "training", "estimates"),
    [
        ({"threads": {"train": 2, "separate": 2, "score": 2}, "save_every_s": 5}, False, False),
        ({"overrides": {"MDL1": TINY | {"separation": {"latent_threshold": 0.1}}}}, False, True),
        ({"overrides": {"MDL1": TINY | {"description": {"title": "Another title"}}}}, False, False),
        ({"overrides": {"MDL1": TINY | {"training": {"learning_rate": 2.0e-3}}}}, True, True),
        ({"job_s": {"prepare": 0.1, "separate": 0.1, "score": 0.1}}, False, False),
    ],
)
def test_settings_change_what_they_decide(make: Make, changes: dict[str, Any], training: bool, estimates: bool) -> None:
    before, after = make(overrides={"MDL1": TINY}), make(**changes)
    assert (after.training_identities != before.training_identities) == training
    assert (after.estimates("MDL1", after.test) != before.estimates("MDL1", before.test)) == estimates
    assert (after.identity(after.scored) != before.identity(before.scored)) == estimates


def test_other_validation_tracks_retrain_only_recipes_that_validate(make: Make) -> None:
    one, other = (make(systems=["MDL1", "MIM-HW"], validation_tracks=[track]).training_identities for track in ("train a", "train b"))
    assert {name: one[name] == other[name] for name in one} == {"MDL1": True, "MIM-HW": False}


def test_the_protocol_decides_what_is_prepared_scored_and_made(make: Make) -> None:
    plans = {name: make(protocol=name) for name in (None, "sisec16", "mdx21")}
    assert [(plan.protocol.name, plan.engine, plan.test_kind("MDL1")) for plan in plans.values()] == [
        ("sisec18", "museval", "test"),
        ("sisec16", "sisec16", "test-four-mono"),
        ("mdx21", "mdx21", "test"),
    ]
    form = plans["sisec16"].form("test-four-mono")
    assert form.mono and form.signals == ("mixture", "vocals", "drums", "bass", "other", "accompaniment")
    assert not plans[None].form("test-four").mono and plans[None].form("train-16000").sample_rate_hz == 16_000
    made = {name: {Path(file).parts[0] for file in plan.results} for name, plan in plans.items()}
    assert made == {None: {"results", "submission"}, "sisec16": {"results"}, "mdx21": {"results"}}
    for page in ("compare", "listen"):  # which read scores of sisec18
        assert [name for name, plan in plans.items() if f"results/{page}/index.html" in plan.results] == [None]
    assert len({plan.identity(plan.scored) for plan in plans.values()}) == 3
    assert len({json.dumps(plan.estimates("MDL1", plan.test)) for plan in plans.values()}) == 2  # mono ones are others
    assert all(
        Needs(plan, lambda: False).score_mb(SimpleNamespace(system="MDL1", job=next(iter(plan.jobs("score", "test")))), 1) > 0
        for plan in plans.values()
    )


def test_the_digests_of_files_are_kept(make: Make, musdb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    monkeypatch.setattr("madsep.data.inventory.sha256", lambda path: pytest.fail(f"{path} was hashed again"))
    make()


def test_the_inventory_is_written_only_if_it_changes(make: Make) -> None:
    make()
    path = Path("results/inventory.json")
    before = path.stat().st_mtime_ns
    make()
    assert path.stat().st_mtime_ns == before


def test_a_job_plans_from_the_inventory(make: Make, musdb: Path, tmp_path: Path) -> None:
    root = copied(musdb, tmp_path / "gone")
    main = make(root)
    shutil.rmtree(root)
    assert identities(make(root, is_main=False)) == identities(main)


def test_short_tracks_share_jobs_named_by_their_tracks(make: Make) -> None:
    plan = make()
    (job,) = plan.jobs("score", "test")
    assert job == f"{plan.test[0]}--{plan.test[-1]}" and plan.slugs("score", job) == tuple(plan.test)
    alone = make(job_s={"prepare": 0.1, "separate": 0.1, "score": 0.1})
    assert list(alone.jobs("score", "test")) == alone.test


def test_recipes_of_one_training_share_its_folder(make: Make) -> None:
    plan = make(systems=["MDL1", "MDLT"])
    assert plan.training("MDL1") == plan.training("MDLT") and list(plan.trainings.values()) == ["MDLT"] and plan.trained == ["MDL1"]
    assert plan.trained_recipe(next(iter(plan.trainings))).name == "MDL1"


def test_what_the_rules_ask(make: Make) -> None:
    plan = make(scoring={"engine": "fast", "audit_tracks": 2, "audit_seed": 1})
    ask, needs = Asked(plan), Needs(plan, on_cluster=lambda: False)
    (prepare,), (separate,), (score,) = (plan.jobs(stage, "test") for stage in ("prepare", "separate", "score"))
    job = SimpleNamespace(kind="test", job=prepare, system="MDL1", training=next(iter(plan.trainings)), name="MDL1")
    assert ask.prepare_tracks(job) == plan.prepared("test", plan.test)
    assert ask.separate_prepared(SimpleNamespace(system="MDL1", job=separate)) == [f"results/prepared/test/jobs/{prepare}.json"]
    assert ask.score_estimated(SimpleNamespace(system="MDL1", job=score)) == [f"results/MDL1/estimates/jobs/{separate}.json"]
    assert ask.score_estimated(SimpleNamespace(system="MIX", job=score)) == []
    assert ask.finished_training(job) == f"{plan.training('MDL1')}/jobs/train.json"
    assert len(plan.audited) == 2 and "results/MDL1/audit.json" in ask.submitted_files(job)
    assert needs.prepare_mb(job, 2) == 2 * needs.prepare_mb(job, 1) and needs.score_minutes(job, 1) == 10
    pages = ["results/compare/index.html", "results/listen/index.html"]
    assert sorted(plan.results) == sorted(["results/table.txt", "results/MDL1/losses.svg", *pages, "submission/MDL1/provenance.yaml"])


@pytest.mark.parametrize(
    ("device", "here", "on_cluster", "there", "n_gpus"),
    [
        ("cuda", [], False, False, 1),
        ("cpu", ["GPU 0"], True, True, 0),
        ("auto", ["GPU 0"], False, False, 1),
        ("auto", [], False, True, 0),
        ("auto", [], True, False, 0),
        ("auto", [], True, True, 1),
    ],
)
def test_a_job_asks_for_a_gpu_if_there_is_one(
    make: Make, monkeypatch: pytest.MonkeyPatch, device: str, here: list[str], on_cluster: bool, there: bool, n_gpus: int
) -> None:
    monkeypatch.setattr("madsep.workflow.needs.list_gpus", lambda: here)
    monkeypatch.setattr("madsep.workflow.needs.offers_gpus", lambda: there)
    executors = [False]  # Snakemake learns after it has made the plan that jobs are submitted to a cluster
    needs = Needs(make(device=device), on_cluster=lambda: executors[-1])
    executors.append(on_cluster)
    assert needs.gpu(SimpleNamespace(system="MDL1")) == n_gpus


def test_four_stems_are_prepared_apart(make: Make) -> None:
    plan = make(systems=["MDL1", "HEL1-base", "IRM1"])
    assert plan.test_kind("MDL1") == "test" and plan.test_kind("HEL1-base") == plan.test_kind("IRM1") == "test-four"
    assert plan.training_kind("HEL1-base") == "train-four-16000"
    assert plan.form("train-four-16000").sample_rate_hz == 16_000 and plan.form("train-four-16000").mono
    assert plan.form("test-four").signals == ("mixture", "vocals", "drums", "bass", "other", "accompaniment")
    assert plan.targets["MIX"] == plan.targets["IRM1"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"systems": ["MDL2"]}, "systems: there is no system 'MDL2'.*did you mean 'MDLT'"),
        ({"systems": ["MDL1"], "external": {"MIX": {"estimates": "x"}}}, "reserved for the MIX baseline"),
        ({"systems": ["MDL1"], "external": {"prepared": {"estimates": "x"}}}, "the run keeps its own files in results/prepared"),
        ({"systems": ["MDL1"], "external": {"my sep": {"estimates": "x"}}}, "has characters other than"),
        ({"systems": ["MDL1"], "external": {"HEL1": {"estimates": "x"}}}, "a recipe has this name"),
        ({"systems": ["MIM-DWF+"]}, "MIM-DWF\\+ trains on additional tracks; set extra_root"),
        ({"couplings": ["MSS-DAE"]}, "couplings: MSS-DAE is not among the recipes"),
        ({"systems": ["MIM-HW"], "couplings": ["MIM-HW"]}, "no dense layers on single frames"),
        ({"musdb_root": None}, "musdb_root is not set"),
        ({"validation_tracks": ["train z"]}, "'train z' is not among the training tracks"),
        ({"protocol": "mir1k"}, "protocol: mir1k does not fit MUSDB18; expected sisec18 or sisec16 or mdx21"),
        ({"divice": "cpu"}, "unknown key 'divice'.*did you mean 'device'"),
        ({"systems": ["OLD"], "external": {"OLD": {"estimates": "nowhere", "targets": ["vocals", "accompaniment"]}}}, "no such folder"),
    ],
)
def test_faults_are_plain_lines(make: Make, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(**settings)


def test_planning_is_light() -> None:
    """No job pays for what only some jobs need."""
    code = (
        "import sys; import madsep.workflow.asked, madsep.workflow.make, madsep.workflow.messages, madsep.workflow.needs\n"
        "heavy = {'torch', 'scipy.signal', 'matplotlib', 'pandas', 'musdb', 'museval', 'snakemake'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr


def test_each_recipe_is_trained_once_per_seed(make: Make) -> None:
    once, plan = make(systems=["MDL1", "MDLT"]), make(systems=["MDL1", "MDLT", "IRM1"], seeds=[218, 3, 0])
    names = ["MDL1", "MDL1-seed3", "MDL1-seed0", "MDLT", "MDLT-seed3", "MDLT-seed0"]
    assert plan.systems == [*names, "IRM1"] and plan.trained == names[:3]
    assert [plan.selection.recipes[name].training.seed for name in names] == 2 * [218, 3, 0]
    for name in names[:3]:
        assert plan.training(name) == plan.training(name.replace("MDL1", "MDLT"))
        assert plan.trained_recipe(Path(plan.training(name)).name) == plan.selection.recipes[name]
        training = SimpleNamespace(training=Path(plan.training(name)).name)
        assert Asked(plan).trained_system(training) == "MDL1"
        assert Asked(plan).training_seed(training) == plan.selection.recipes[name].training.seed
    assert len(plan.trainings) == 3 and plan.training("MDL1") == once.training("MDL1")  # 218 is the recipe's own seed
    assert plan.selection.submissions == {"MDL1": "MDL1", "MDLT": "MDLT"}
    assert {"results/MDL1-seed3/losses.svg", "results/MDL1-seed0/preview.txt"} <= set(plan.results)
    submissions = [path for path in plan.results if path.startswith("submission/")]
    assert submissions == ["submission/MDL1/provenance.yaml", "submission/MDLT/provenance.yaml"]
    assert len({plan.estimates(name, plan.test)[plan.test[0]] for name in names}) == 6
    assert make(seeds=[5]).selection.recipes["MDL1"].training.seed == 5 and make(seeds=[5]).systems == ["MDL1"]
    external = {"MDL1-seed3": {"estimates": "/nowhere", "targets": ["vocals", "accompaniment"]}}
    with pytest.raises(InputError, match="systems: MDL1-seed3 names a training of a recipe"):
        make(systems=["MDL1", "MDL1-seed3"], seeds=[218, 3], external=external)
    with pytest.raises(InputError, match="seeds"):
        make(seeds=[1, 1])


def test_a_recipe_needs_pytorch_and_an_oracle_does_not(make: Make, without: Callable[[str], None]) -> None:
    recipe, oracle = make(), make(systems=["IRM1"])
    check_packages(recipe)
    without("torch")
    check_packages(oracle)
    with pytest.raises(InputError, match=r"^systems: MDL1 needs PyTorch, which is not installed: pip install 'madsep\[train\]'$"):
        check_packages(recipe)


def test_what_a_config_leaves_out_has_the_default(musdb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config: dict[str, Any] = {"musdb_root": str(musdb), "allow_partial": True, "scoring": {"engine": "fast"}}
    assert make_plan(config, True) is not None
    assert config["scoring"] == DEFAULTS["scoring"] | {"engine": "fast"} and config.keys() == DEFAULTS.keys()
