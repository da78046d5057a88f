"""README and docs: their generated parts are up to date, and the package accepts the commands and settings that they show."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml
from snakemake.cli import parse_args, parse_config, update_config

from madsep.cli import app
from madsep.comparison.published import published_medians
from madsep.data.datasets import MIR1K
from madsep.separation.external import external_names
from madsep.systems.recipe import Recipe, load_recipe, recipe_names
from madsep.workflow.config import check_config
from madsep.workflow.settings import merged, parse_change

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
LINKING = (*PAGES, "CONTRIBUTING.md", "config/README.md", "workflow/profiles/README.md")
MINE = "mine.yaml"  # a page that names this file shows all of it
MAX_WORDS, MAX_README_LINES, MAX_PICTURE_BYTES = 15_000, 150, 300_000
VERBS = typer.main.get_command(app)


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs/hooks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands(program: str) -> list[Any]:
    """Page and arguments of a program's commands in code blocks, each command of a page once."""
    found = []
    for page in PAGES:
        lines = re.findall(rf"^ {{4}}{program} (.+)$", text(page).replace("\\\n", " "), re.MULTILINE)
        found += [pytest.param(page, shlex.split(line, comments=True), id=f"{page}: {line}") for line in dict.fromkeys(lines)]
    return found


def mentions() -> list[Any]:
    """Arguments of madsep within sentences, which may leave some out."""
    found = {mention for page in LINKING for mention in re.findall(r"`madsep ([a-z][^`]*)`", text(page))}
    return [pytest.param(shlex.split(mention), id=mention) for mention in sorted(found)]


def parameters(arguments: list[str]) -> dict[str, Any]:
    """The values of the parameters that a command of madsep takes."""
    with VERBS.make_context("madsep", arguments[:1], resilient_parsing=True) as context:
        return VERBS.commands[arguments[0]].make_context(arguments[0], arguments[1:], parent=context).params


def settings_shown(page: str) -> dict[str, Any]:
    """The YAML block of a page that begins with `systems`."""
    block = re.search(r"```yaml\n(systems:.*?)```", text(page), re.DOTALL)
    assert block
    return yaml.safe_load(block[1])


def settings(page: str, file: Path) -> dict[str, Any]:
    return settings_shown(page) if file.name == MINE else yaml.safe_load(text(str(file)))


def snakemake_config(page: str, arguments: list[str]) -> dict[str, Any]:
    """The config of a run that a `snakemake` command starts."""
    options = parse_args(arguments)[1]
    config: dict[str, Any] = yaml.safe_load(text("config.yaml"))
    for file in options.configfile:
        update_config(config, settings(page, file))
    update_config(config, parse_config(options.config))
    return config


def run_config(page: str, arguments: list[str]) -> dict[str, Any]:
    """The config of a run that a `madsep run` command starts."""
    given = parameters(arguments)
    config: dict[str, Any] = yaml.safe_load(text("config.yaml")) | {"musdb_root": str(given["musdb_root"])}
    for file in given["config_file"] or ():
        config = merged(config, settings(page, Path(file)))
    config |= {"systems": given["systems"].split(",")} if given["systems"] else {}
    for change in given["changes"] or ():
        config = merged(config, parse_change(change))
    return config


def is_for_mir1k(recipe: Recipe) -> bool:
    """Whether a recipe works at the sampling rate of MIR-1K and needs no stems that MIR-1K lacks."""
    return recipe.front_end.sample_rate_hz == MIR1K.sample_rate_hz and {*recipe.sources} <= {*MIR1K.stems}


def configs() -> list[Any]:
    """The configs of all runs that the pages start."""
    found = [pytest.param(snakemake_config(*command.values), id=command.id) for command in commands("snakemake")]
    return found + [
        pytest.param(run_config(*command.values), id=command.id) for command in commands("madsep") if command.values[1][0] == "run"
    ]


def test_the_site_lists_all_settings_and_recipes(hooks: ModuleType) -> None:
    settings, recipes = (hooks.on_page_markdown(text(f"docs/{name}.md")) for name in ("config", "systems"))
    assert {*yaml.safe_load(text("config.yaml"))} <= {
        key.partition(".")[0] for key in re.findall(r"^\| `([\w.]+)` \|", settings, re.MULTILINE)
    }
    assert re.findall(r"^\| (\S+) \| [^|]+ \| [\d.]+ kHz,", recipes, re.MULTILINE) == recipe_names()


@pytest.mark.parametrize(("page", "arguments"), commands("madsep"))
def test_madsep_takes_the_commands_shown(page: str, arguments: list[str]) -> None:
    assert parameters(arguments)
    if arguments[0] == "run" and "--" in arguments:
        assert parse_args(arguments[arguments.index("--") + 1 :])


@pytest.mark.parametrize("arguments", mentions())
def test_sentences_name_verbs_and_options_of_madsep(arguments: list[str]) -> None:
    verb, *others = arguments
    known = {option for parameter in VERBS.commands[verb].params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {other for other in others if other.startswith("-")} <= {*known, "--"}


@pytest.mark.parametrize("config", configs())
def test_the_workflow_takes_the_commands_shown(config: dict[str, Any]) -> None:
    check_config(config)
    assert config["musdb_root"] is not None and {*config["systems"]} <= {*recipe_names(), *external_names(config["external"])}
    for recipe in {*config["systems"]} & {*recipe_names()}:
        assert config["extra_root"] or not load_recipe(recipe, config["overrides"]).training.extra_tracks


@pytest.mark.parametrize("page", ["README.md", "docs/separators.md"])
def test_the_config_takes_the_settings_shown(page: str) -> None:
    config = yaml.safe_load(text("config.yaml")) | settings_shown(page)
    check_config(config)
    assert {*config["systems"]} <= {*recipe_names(), *external_names(config["external"])}


def test_a_command_runs_each_recipe() -> None:
    shown = {(name, config["dataset"] == "mir1k") for (config,) in (found.values for found in configs()) for name in config["systems"]}
    recipes = [load_recipe(name, {}) for name in recipe_names()]
    assert shown >= {(recipe.name, is_for_mir1k(recipe)) for recipe in recipes}


def test_each_link_between_pages_leads_to_a_file() -> None:
    links = [(page, link) for page in LINKING for link in re.findall(r"(?:\]\(|src=\")([^)#:\"]+)(?:#[^)]*)?[)\"]", text(page))]
    assert len(links) > 30 and not [(page, link) for page, link in links if not (ROOT / page).parent.joinpath(link).exists()]


def test_the_site_shows_each_page() -> None:
    listed = re.findall(r": (\S+\.md)$", text("mkdocs.yml"), re.MULTILINE)
    assert sorted(f"docs/{name}" for name in listed) == [*PAGES[1:]]


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}, check=True)
    pages = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html")]
    loaded = {tag for page in pages for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page) if "://" in tag}
    assert len(pages) >= len(PAGES) - 1 and (tmp_path / "search/search_index.js").is_file()
    assert not {tag for tag in loaded if 'rel="canonical"' not in tag}


def test_the_pages_are_short_and_their_pictures_small() -> None:
    assert sum(len(text(page).split()) for page in PAGES) < MAX_WORDS
    assert len(text("README.md").splitlines()) <= MAX_README_LINES
    pictures = [path for path in (ROOT / "docs").iterdir() if path.suffix in (".png", ".jpg", ".svg")]
    assert pictures and not [path.name for path in pictures if path.stat().st_size > MAX_PICTURE_BYTES]


def test_the_readme_quotes_what_was_measured() -> None:
    demo = re.search(r"│ vocals +│ SDR +│ +(\S+) │ +(\S+) │", text("docs/demo.txt"))
    clips = re.search(r"\*\*GNSDR (\S+) dB\*\* \(95 % interval over clips (\S+) to (\S+)\)", " ".join(text("docs/mir1k.md").split()))
    assert demo and f"| {demo[1]} dB | {demo[2]} dB |" in text("README.md")
    assert clips and f"| {clips[1]} dB ({clips[2]} to {clips[3]}) |" in text("README.md")


def test_the_table_of_systems_quotes_the_campaign_s_medians() -> None:
    rows = re.findall(r"^\| (\S+) \|.*\| (\S+) / (\S+), SiSEC 2018 \|$", text("docs/systems.md"), re.MULTILINE)
    medians = published_medians().query("target == 'vocals'").set_index(["system", "metric"])["median"]
    assert [system for system, *_ in rows] == ["MDL1", "MDLT", "HEL1"]
    for system, *shown in rows:
        assert shown == [f"{medians[system, metric]:.2f}" for metric in ("SDR", "SIR")]
