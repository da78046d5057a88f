"""`madsep run`: what it refuses before anything starts, the command that it runs, and a whole run."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from flow import ROOT, dry_run, left_behind, own_lines, run, tiny_config
from systems_flow import install_plugin

from madsep.core.errors import InputError
from madsep.workflow import shipped
from madsep.workflow.config import check_config
from madsep.workflow.run import Wanted, prepare_run, shown
from madsep.workflow.settings import check_settings, merged, parse_change, read_settings

CONFIG = ROOT / "config.yaml"


def wanted(folder: Path, musdb: Path, *changes: str, **values: Any) -> Wanted:
    defaults: dict[str, Any] = {"files": [], "directory": folder, "cores": None, "profile": None, "arguments": []}
    return Wanted(changes=[f"musdb_root={musdb}", "allow_partial=true", *changes], **defaults | values)


def refused(ask: Wanted) -> str:
    with pytest.raises(InputError) as raised:
        prepare_run(ask)
    return str(raised.value)


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `madsep` in a process of its own, as `madsep run` becomes Snakemake."""
    code = "from madsep.cli import main; main()"
    variables = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])} | environment
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], env=variables, capture_output=True, encoding="utf-8")


# settings


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("scoring.engine=fast", {"scoring": {"engine": "fast"}}),
        ("systems=[MDL1, IRM1]", {"systems": ["MDL1", "IRM1"]}),
        ("max_minutes=null", {"max_minutes": None}),
        ("max_minutes=2.5", {"max_minutes": 2.5}),
        ("allow_partial=true", {"allow_partial": True}),
        ("musdb_root=007", {"musdb_root": "007"}),
        ("musdb_root=null", {"musdb_root": None}),
        ("musdb_root=2024-13-45", {"musdb_root": "2024-13-45"}),
        ("musdb_root=/data/a=b", {"musdb_root": "/data/a=b"}),
        ("external.OLD.estimates=/data/{a}.b", {"external": {"OLD": {"estimates": "/data/{a}.b"}}}),
        ("overrides.MDL1.training.n_epochs=3", {"overrides": {"MDL1": {"training": {"n_epochs": 3}}}}),
        ("submission.authors=1984", {"submission": {"authors": "1984"}}),
    ],
)
def test_a_dotted_key_and_its_value(change: str, expected: dict[str, Any]) -> None:
    assert parse_change(change) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("scoring.engine", "expected KEY=VALUE, such as scoring.engine=fast."),
        ("=fast", "expected KEY=VALUE"),
        (".engine=fast", "expected KEY=VALUE"),
        ("scoring..engine=fast", "expected KEY=VALUE"),
        ("scoring.engin=fast", "unknown key 'engin'; did you mean 'engine'? (known: engine, audit_tracks, audit_seed)"),
        ("scorin.engine=fast", "unknown key 'scorin'; did you mean 'scoring'? (known: musdb_root, "),
        ("systems=[a", "the value is not YAML: "),
        ("max_minutes=!!int abc", "the value is not YAML: line 1: the tag 'tag:yaml.org,2002:int' is not allowed"),
    ],
)
def test_a_change_that_is_none(change: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_change(change)
    assert str(raised.value).startswith(f"--set {change}: {message}") and "\n" not in str(raised.value)


ODD = {
    "device: cpu\nvalidation_tracks: [2024-13-45]\n": "line 2: YAML reads 2024-13-45 as a date or another object. Quote it",
    "musdb_root: 2024-01-02\n": "line 1: YAML reads 2024-01-02 as a date or another object. Quote it",
    "a: =\n": "line 1: YAML reads = as a date or another object. Quote it",
    "max_minutes: !!int abc\n": "line 1: the tag 'tag:yaml.org,2002:int' is not allowed",
    "a: !!python/object/apply:os.getcwd []\n": "line 1: the tag 'tag:yaml.org,2002:python/object/apply:os.getcwd' is not allowed",
    "a: &x [*x]\n": "line 1: aliases are not allowed",
    "a: &x {b: 1}\n\nc: {<<: *x}\n": "line 3: aliases are not allowed",
    "a: " + 50 * "[" + "\n": "line 1: more than 20 levels are nested",
    "a: " + 100_000 * "[" + "\n": "line 1: more than 20 levels are nested",
    "a: 1\na: 2\n": "line 2: the key 'a' occurs twice",
    "a: .inf\n": "line 1: .inf is not a finite number",
    'a: 1\n"\\ud800": 1\n': r"line 2: '\ud800' is not valid text",
    "a: 0b_\n": "line 1: not a number that can be read",
    "a: " + 5000 * "1" + "\n": "line 1: not a number that can be read",
    "2: a\n": "line 1: the key '2' is not text; put it in quotes",
    "a: b: c\n": "line 1, column 5",
    "\ta: b\n": "line 1, column 1",
    "- a\n": "is not a mapping",
    "": "is not a mapping",
}


@pytest.mark.parametrize("text", ODD)
def test_odd_yaml_is_one_line_with_file_line_and_fault(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    for check in (check_settings, lambda path: read_settings([CONFIG, path])):
        with pytest.raises(InputError) as raised:
            check(path)
        assert str(raised.value).startswith(f"{path}: ") and ODD[text] in str(raised.value) and "\n" not in str(raised.value)


def test_bytes_that_are_not_utf_8_have_their_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"device: cpu\nmusdb_root: /data/caf\xe9\n")
    with pytest.raises(InputError, match=r"mine\.yaml: is not UTF-8 text \(line 2: byte 33 is 0xe9\)"):
        read_settings([path])


def test_a_file_that_is_none(tmp_path: Path) -> None:
    for path, fault in {tmp_path: "is a folder; expected a file", tmp_path / "absent.yaml": "No such file"}.items():
        with pytest.raises(InputError, match=f"^{re.escape(str(path))}: .*({fault})"):
            read_settings([path])


def test_files_are_laid_over_each_other(tmp_path: Path) -> None:
    for name, values in {"one": {"a": {"b": 1, "c": [1]}, "d": 2}, "two": {"a": {"c": [3]}, "d": {"e": 4}}}.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(values))
    found = read_settings([tmp_path / "one.yaml", tmp_path / "two.yaml"])
    assert found == {"a": {"b": 1, "c": [3]}, "d": {"e": 4}}
    assert merged({}, found) == found


def test_a_dotted_key_of_a_file_is_told_how_to_be_written() -> None:
    config = read_settings([CONFIG])
    with pytest.raises(InputError) as raised:
        check_config(config | {"scoring.engine": "fast"})
    (line,) = str(raised.value).splitlines()
    wanted_line = "config: unknown key 'scoring.engine'; write scoring: {engine: VALUE}, or type madsep run --set scoring.engine=VALUE ("
    assert line.startswith(wanted_line)


def test_faults_of_settings_have_their_file_and_line(tmp_path: Path, musdb: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("device: gpu\nthreads: {train: 0, trian: 1}\nsave_every_s: 5\njob_s: {score: 1}\n")
    two.write_text("# mine\nthreads:\n  score: 1\n  train: none\nbootstrap:\n  n_resamples: 1\n")
    with pytest.raises(InputError) as raised:
        prepare_run(wanted(tmp_path / "run", musdb, "save_every_s=0", "job_s={score: -1}", files=[one, two]))
    assert [line.partition(": input")[0].partition("; did")[0] for line in str(raised.value).splitlines()] == [
        f"{one}: line 1: 'device' is 'gpu'",
        f"{two}: line 4: 'threads.train' is 'none'",
        f"{one}: line 2: unknown key 'threads.trian'",
        "--set save_every_s=0: 'save_every_s' is 0",
        "--set job_s={score: -1}: 'job_s.score' is -1",
        f"{two}: line 6: 'bootstrap.n_resamples' is 1",
    ]
    assert not (tmp_path / "run/results").exists()


def test_snakemakes_own_settings_have_their_file_and_line_too(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("seeds: [1]\ndevise: cpu\n")
    with pytest.raises(InputError, match=re.escape(f"{path}: line 2: unknown key 'devise'; did you mean 'device'?")):
        check_settings(path)


# before anything starts


def test_the_command_and_the_settings_that_it_reads(tmp_path: Path, musdb: Path) -> None:
    (tmp_path / "mine.yaml").write_text("scoring: {engine: fast}\ndevice: cpu\n")
    ask = wanted(
        tmp_path / "run", musdb, "device=auto", "scoring.audit_tracks=0", files=[tmp_path / "mine.yaml"], arguments=["--keep-going"]
    )
    command = prepare_run(ask)
    folder = tmp_path / "run"
    assert command[:3] == [sys.executable, "-m", "madsep.workflow"]
    files = f"--snakefile {ROOT}/Snakefile --directory {folder} --configfile {folder}/results/run.json"
    assert shown(command) == f"snakemake --quiet rules host --rerun-incomplete {files} --cores all --keep-going"
    settings = json.loads((folder / "results/run.json").read_text())
    assert settings == read_settings([CONFIG]) | {
        "musdb_root": str(musdb),
        "allow_partial": True,
        "scoring": {"engine": "fast", "audit_tracks": 0, "audit_seed": 218},
    }
    assert left_behind(folder) == []


def test_settings_that_ship_are_found_in_any_folder(tmp_path: Path, musdb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = Path("workflow/configs/demo.yaml")
    prepare_run(wanted(tmp_path / "run", musdb, files=[name]))
    assert "MDL1" in json.loads((tmp_path / "run/results/run.json").read_text())["overrides"]
    name.parent.mkdir(parents=True)
    name.write_text("device: cpu\n")  # one's own comes first
    prepare_run(wanted(tmp_path / "other", musdb, files=[name]))
    assert json.loads((tmp_path / "other/results/run.json").read_text())["overrides"] == {}
    assert refused(wanted(tmp_path / "run", musdb, files=[Path("workflow/configs/none.yaml")])).startswith("workflow/configs/none.yaml: ")


def test_cores_and_profiles(tmp_path: Path, musdb: Path) -> None:
    for profile, expected in {
        "local": f"--profile {ROOT}/workflow/profiles/local",
        "workflow/profiles/slurm": f"--profile {ROOT}/workflow/profiles/slurm",
        "elsewhere": "--profile elsewhere",
    }.items():
        assert shown(prepare_run(wanted(tmp_path, musdb, profile=profile))).endswith(f"run.json {expected}")
    assert shown(prepare_run(wanted(tmp_path, musdb, profile="elsewhere", cores="3"))).endswith("--profile elsewhere --cores 3")
    assert shown(prepare_run(wanted(tmp_path, musdb, cores="3"))).endswith("run.json --cores 3")


def test_the_folders_own_config_is_read_first(tmp_path: Path, musdb: Path) -> None:
    (tmp_path / "config.yaml").write_text("device: cpu\nsave_every_s: 7\n")
    prepare_run(wanted(tmp_path, musdb, "save_every_s=8"))
    settings = json.loads((tmp_path / "results/run.json").read_text())
    assert (settings["device"], settings["save_every_s"]) == ("cpu", 8)
    (tmp_path / "config.yaml").write_text("device: cpu\n  x: 1\n")
    assert refused(wanted(tmp_path, musdb)).startswith(f"{tmp_path}/config.yaml: cannot be read as YAML (")


def test_faults_of_the_config_and_the_data_are_said_first(tmp_path: Path, musdb: Path) -> None:
    folder = tmp_path / "run"
    assert refused(wanted(folder, musdb, "device=gpu")) == "--set device=gpu: 'device' is 'gpu': input should be 'auto', 'cpu' or 'cuda'"
    assert refused(wanted(folder, musdb, "systems=[MDL2]")).startswith("systems: there is no system 'MDL2'; did you mean")
    assert refused(wanted(folder, musdb, "allow_partial=false")).startswith(f"{musdb}: found 2 training and 2 test tracks")
    assert refused(wanted(folder, musdb, "musdb_root=null")).startswith("musdb_root is not set")
    assert not (folder / "results/run.json").exists()


def test_missing_extras_are_named_before_anything_starts(tmp_path: Path, musdb: Path, without: Callable[[str], None]) -> None:
    without("snakemake_executor_plugin_slurm")
    message = "the profile slurm needs Snakemake's plugin for Slurm, which is not installed: pip install 'madsep[slurm]'"
    assert refused(wanted(tmp_path, musdb, profile="slurm")) == message
    prepare_run(wanted(tmp_path, musdb, profile="local"))
    without("snakemake")
    assert refused(wanted(tmp_path, musdb)) == "madsep run needs Snakemake, which is not installed: pip install 'madsep[workflow]'"


def test_a_folder_that_cannot_be_written(tmp_path: Path, musdb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    assert refused(wanted(tmp_path / "file", musdb)).startswith(f"{tmp_path}/file/results: lies below a file")

    def read_only(*arguments: object, **more: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)
    message = f"{tmp_path}/run/results: no permission to write there; choose another folder or change its permissions."
    assert refused(wanted(tmp_path / "run", musdb)) == message


def test_a_run_at_work_is_left_alone(tmp_path: Path, musdb: Path) -> None:
    prepare_run(wanted(tmp_path, musdb))
    inventory, settings = ((tmp_path / "results" / name).read_bytes() for name in ("inventory.json", "run.json"))
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.input.lock").touch()
    other = tmp_path / "other"
    shutil.copytree(musdb, other)
    shutil.rmtree(sorted((other / "test").iterdir())[0])
    assert refused(wanted(tmp_path, other, "device=cpu")).startswith(f"{tmp_path}: a run is active in this folder. Wait for it. If")
    for argument in ("--unlock", "--dry-run"):
        assert prepare_run(wanted(tmp_path, other, "device=cpu", arguments=[argument]))[-1] == argument
    assert dry_run(tmp_path, tiny_config(other)).status == 0
    assert (tmp_path / "results/inventory.json").read_bytes() == inventory
    assert (tmp_path / "results/run.json").read_bytes() == settings


def test_without_the_workflow_it_says_so(tmp_path: Path, musdb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "site-packages/madsep")
    message = f"{tmp_path}/site-packages/madsep: the workflow's Snakefile was not found in this folder or next to it; install madsep again."
    assert refused(wanted(tmp_path, musdb)) == message


def test_an_installed_workflow_lies_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped.shipped("workflow", "rules") == ROOT / "workflow/rules"
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "madsep")
    (tmp_path / "madsep/_workflow").mkdir(parents=True)
    (tmp_path / "madsep/_workflow/Snakefile").touch()
    assert shipped.shipped(shipped.CONFIG) == tmp_path / "madsep/_workflow/config.yaml"


def test_init_writes_the_defaults_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    completed = command("init", "--directory", folder)
    assert (completed.returncode, completed.stdout) == (0, f"{folder}/config.yaml\n")
    assert (folder / "config.yaml").read_text() == CONFIG.read_text()
    (folder / "config.yaml").write_text("device: cpu\n")
    completed = command("init", "--directory", folder)
    assert completed.returncode == 1 and completed.stderr.startswith(f"madsep: ERROR: {folder}/config.yaml: exists already")
    assert (folder / "config.yaml").read_text() == "device: cpu\n" and len(list(folder.iterdir())) == 1


# started


@pytest.mark.slow
def test_a_run_by_madsep_run(tmp_path: Path, musdb: Path) -> None:
    folder = tmp_path / "a {run}"
    options = ["--directory", folder, "--musdb-root", musdb, "--systems", "IRM1,OLD", "--cores", 2]
    options += ["--set", "allow_partial=true", "--set", "scoring.engine=fast", "--set", "scoring.audit_tracks=0"]
    given = tmp_path / "es{t}i. mates"
    for track in (musdb / "test").iterdir():
        (given / "test" / track.name).mkdir(parents=True)
        shutil.copy(track / "vocals.wav", given / "test" / track.name)
    completed = command("run", *options, "--set", f"external.OLD.estimates={given}", "--", "--quiet", "rules")
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.startswith("snakemake --quiet rules host --rerun-incomplete --snakefile ")
    assert "Traceback" not in completed.stderr
    assert (folder / "results/OLD/medians.csv").is_file() and left_behind(folder) == []
    again = command("run", *options, "--set", f"external.OLD.estimates={given}", "-n")
    assert again.returncode == 0 and "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.slow
def test_snakemake_itself_reads_the_folders_config_with_the_same_care(tmp_path: Path, musdb: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("validation_tracks: [2024-13-45]\n")
    lines = own_lines(run(tmp_path / "run", tiny_config(musdb), "--dry-run"))
    assert lines == ["ERROR: config.yaml: line 1: YAML reads 2024-13-45 as a date or another object. Quote it"]


@pytest.mark.slow
@pytest.mark.parametrize("at", ["import os\nos._exit(0)\n", "import sys\nsys.exit(0)\n", "import os\nos.kill(0, 9)\n"])
def test_a_plan_that_a_package_ends_is_no_success(tmp_path: Path, musdb: Path, at: str) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install_plugin(site, "leaver", {"LEAVER": "separate"}, at)
    ask = ["--directory", tmp_path / "run", "--musdb-root", musdb, "--set", "allow_partial=true", "--systems", "LEAVER"]
    completed = command("run", *ask, PYTHONPATH=os.pathsep.join([str(ROOT), str(site)]))
    assert completed.returncode == 1 and "Traceback" not in completed.stderr
    assert "separator leaver:separate: importing " in completed.stderr
