"""The workflow as a module of another one, from another folder, and as the Snakemake workflow catalog expects it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from flow import ROOT, Outcome

from madsep.workflow.config import check_config
from madsep.workflow.settings import merged, read_settings

OTHER = """
configfile: "mine.yaml"


module madsep:
    snakefile:
        "{snakefile}"
    {options}
    config:
        config["separation"]


use rule * from madsep as madsep_*


rule mine:
    default_target: True
    input:
        rules.madsep_table.output.text,
    output:
        "copy.txt",
    shell:
        "cp {{input}} {{output}}"


onsuccess:
    madsep.onsuccess()
"""


def snakemake(folder: Path, *arguments: object) -> Outcome:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *map(str, arguments)]
    return Outcome(subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"))


def other_workflow(folder: Path, musdb: Path, options: str = "") -> Path:
    """A workflow that uses the rules of this one; its config says little of theirs."""
    folder.mkdir()
    (folder / "Snakefile").write_text(OTHER.format(snakefile=ROOT / "Snakefile", options=options))
    separation = {"musdb_root": str(musdb), "allow_partial": True, "systems": ["IRM1"], "scoring": {"engine": "fast"}}
    (folder / "mine.yaml").write_text(yaml.safe_dump({"more": 1, "separation": separation}))
    (folder / "config.yaml").write_text("a fault: [")  # not read, because the module is given its config
    return folder


@pytest.mark.slow
def test_another_workflow_uses_the_rules_under_other_names(musdb: Path, tmp_path: Path) -> None:
    folder = other_workflow(tmp_path / "other", musdb)
    outcome = snakemake(folder)
    once = ("madsep_prepare", "madsep_separate_external", "madsep_table", "mine")
    assert outcome.jobs == dict.fromkeys(once, 1) | {"madsep_score": 2, "madsep_aggregate": 2}
    assert (folder / "copy.txt").read_text().startswith("IRM1\n")
    assert outcome.text.count((folder / "copy.txt").read_text()) == 1
    assert snakemake(folder, "--dry-run").jobs == {}


@pytest.mark.slow
def test_a_prefix_is_refused(musdb: Path, tmp_path: Path) -> None:
    outcome = snakemake(other_workflow(tmp_path / "other", musdb, 'prefix: "below"'), "--dry-run")
    assert outcome.status == 1 and "ERROR: module with prefix 'below/': the workflow's paths are fixed." in outcome.lines


@pytest.mark.slow
@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_the_folder_of_the_run_needs_no_config(musdb: Path, tmp_path: Path, snakefile: str) -> None:
    config = [f"musdb_root={musdb}", "allow_partial=true", "systems=[IRM1]"]
    outcome = snakemake(tmp_path, "-s", ROOT / snakefile, "-d", tmp_path / "run", "--dry-run", "--quiet", "rules", "--config", *config)
    assert outcome.jobs["separate_external"] == 1


@pytest.mark.slow
def test_the_folder_s_config_leaves_out_what_has_a_default(musdb: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"musdb_root": str(musdb), "allow_partial": True, "systems": ["IRM1"]}))
    assert snakemake(tmp_path, "-s", ROOT / "Snakefile", "--dry-run", "--quiet", "rules").jobs["preview"] == 1


def test_the_catalog_finds_what_it_looks_for() -> None:
    """Fields as in the README of the Snakemake workflow catalog."""
    catalog: dict[str, Any] = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    assert catalog["usage"].keys() <= {"mandatory-flags", "software-stack-deployment", "report"}
    assert catalog["usage"]["software-stack-deployment"]["conda"] is True and catalog["usage"]["report"] is True
    assert 'include: "../Snakefile"' in (ROOT / "workflow/Snakefile").read_text()
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme and "workflow" in readme and (ROOT / "config/README.md").is_file()


def test_the_config_of_the_catalog_is_complete_with_the_defaults() -> None:
    check_config(merged(read_settings([ROOT / "config.yaml"]), read_settings([ROOT / "config/config.yaml"])))
