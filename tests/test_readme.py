"""README and docs: their generated parts are up to date, and the package accepts the commands and settings that they show."""

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml
from snakemake.cli import parse_args, parse_config, update_config

from madsep.cli import app
from madsep.comparison.published import published_medians
from madsep.separation.external import external_names
from madsep.systems.recipe import load_recipe, recipe_names
from madsep.workflow.config import check_config

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
MINE = "mine.yaml"  # README.md shows all of this file


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_readme", ROOT / "docs/make_readme.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands(program: str) -> list[Any]:
    """Arguments of a program's commands in code blocks, each command once."""
    lines = re.findall(rf"^ {{4}}{program} (.+)$", "\n".join(map(text, PAGES)).replace("\\\n", " "), re.MULTILINE)
    return [pytest.param(shlex.split(line, comments=True), id=line) for line in dict.fromkeys(lines)]


def run_config(arguments: list[str]) -> dict[str, Any]:
    """The config of a run that a `snakemake` command starts."""
    options = parse_args(arguments)[1]
    config: dict[str, Any] = yaml.safe_load(text("config.yaml"))
    for file in options.configfile:
        update_config(config, settings_shown("README.md") if file.name == MINE else yaml.safe_load(text(str(file))))
    update_config(config, parse_config(options.config))
    return config


def settings_shown(page: str) -> dict[str, Any]:
    """The YAML block of a page that begins with `systems`."""
    block = re.search(r"```yaml\n(systems:.*?)```", text(page), re.DOTALL)
    assert block
    return yaml.safe_load(block[1])


@pytest.mark.parametrize("part", ["keys", "systems", "mir1k_systems", "sizes", "needs", "demo", "scoring", "training", "separation"])
def test_pages_hold_what_the_generator_writes(part: str, generator: ModuleType) -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in generator.PAGES)
    assert f"<!-- {part} -->\n{generator.parts()[part]}\n<!-- /{part} -->" in pages


@pytest.mark.parametrize("arguments", commands("madsep"))
def test_madsep_takes_the_commands_shown(arguments: list[str]) -> None:
    group = typer.main.get_command(app)
    with group.make_context("madsep", arguments[:1], resilient_parsing=True) as context:
        verb = group.commands[arguments[0]]
        assert verb.make_context(arguments[0], arguments[1:], parent=context).params


@pytest.mark.parametrize("arguments", commands("snakemake"))
def test_the_workflow_takes_the_commands_shown(arguments: list[str]) -> None:
    config = run_config(arguments)
    check_config(config)
    assert config["musdb_root"] is not None and {*config["systems"]} <= {*recipe_names(), *external_names(config["external"])}
    for recipe in {*config["systems"]} & {*recipe_names()}:
        assert config["extra_root"] or not load_recipe(recipe, config["overrides"]).training.extra_tracks


@pytest.mark.parametrize("page", ["README.md", "docs/separators.md"])
def test_the_config_takes_the_settings_shown(page: str) -> None:
    config = yaml.safe_load(text("config.yaml")) | settings_shown(page)
    check_config(config)
    assert {*config["systems"]} <= {*recipe_names(), *external_names(config["external"])}


def test_a_command_runs_each_recipe(generator: ModuleType) -> None:
    configs = [run_config(parameter.values[0]) for parameter in commands("snakemake")]
    shown = {(name, config["dataset"] == "mir1k") for config in configs for name in config["systems"]}
    recipes = [load_recipe(name, {}) for name in recipe_names()]
    assert shown >= {(recipe.name, generator.is_for_mir1k(recipe)) for recipe in recipes}


def test_each_link_between_pages_leads_to_a_file() -> None:
    links = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text(page))]
    assert len(links) > 30 and not [(page, link) for page, link in links if not (ROOT / page).parent.joinpath(link).exists()]


def test_the_table_of_systems_quotes_the_campaign_s_medians() -> None:
    rows = re.findall(r"^\| (\S+) \|.*\| (\S+) / (\S+), SiSEC 2018 \|$", text("docs/systems.md"), re.MULTILINE)
    medians = published_medians().query("target == 'vocals'").set_index(["system", "metric"])["median"]
    assert [system for system, *_ in rows] == ["MDL1", "MDLT", "HEL1"]
    for system, *shown in rows:
        assert shown == [f"{medians[system, metric]:.2f}" for metric in ("SDR", "SIR")]
