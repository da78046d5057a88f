"""The config that ships, the settings that it is checked by, and the faults of other configs."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeGuard

import pytest
import yaml
from pydantic import BaseModel

from madsep.core.errors import InputError
from madsep.workflow.config import check_config, describe_keys, typed
from madsep.workflow.keys import Config

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "config.yaml"
FREE = {"overrides", "external"}  # their keys are systems' names


def config() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    return values


def groups(settings: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """All settings with keys of their own, with the dotted prefix of these."""
    yield prefix, settings
    for key, field in settings.model_fields.items():
        if is_group(field.annotation):
            yield from groups(field.annotation, f"{prefix}{key}.")


def is_group(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def keys_of(values: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for key, value in values.items():
        found |= keys_of(value, f"{prefix}{key}.") if isinstance(value, dict) and key not in FREE else {prefix + key}
    return found


GROUPS = dict(groups(Config))


def test_a_folder_of_estimates_may_have_any_name() -> None:
    check_config(config() | {"external": {"OLD": {"estimates": "/data/{a}.{b}/it's 100 %"}}})


def test_the_config_that_ships_has_no_fault() -> None:
    check_config(config())


@pytest.mark.parametrize("name", ["demo", "mir1k", "icassp2018", "icassp2018-medleydb"])
def test_the_configs_laid_over_it_have_no_fault(name: str) -> None:
    laid_over = yaml.safe_load((ROOT / f"workflow/configs/{name}.yaml").read_text())
    check_config(config() | laid_over)


def test_config_and_settings_hold_the_same_keys() -> None:
    keys = {prefix + key for prefix, group in GROUPS.items() for key, field in group.model_fields.items() if not is_group(field.annotation)}
    assert keys == keys_of(config())


def test_every_key_has_a_description_and_no_second_default() -> None:
    for group in GROUPS.values():
        assert group.model_config["extra"] == "forbid" and group.model_config["strict"]
        for field in group.model_fields.values():
            assert field.is_required() and (is_group(field.annotation) or field.description)


def test_every_key_of_the_config_is_in_the_table() -> None:
    table = describe_keys(CONFIG).splitlines()
    assert table[:2] == ["| key | default | meaning |", "|---|---|---|"]
    rows = {row.split("`")[1]: row for row in table[2:]}
    assert set(rows) == keys_of(config()) and len(rows) == len(table) - 2
    assert rows["threads.train"].startswith(f"| `threads.train` | `{config()['threads']['train']}` | ")
    assert rows["musdb_root"].startswith("| `musdb_root` | `null` | ")
    assert rows["systems"].startswith("| `systems` | `[MDL1]` | ")


def faults(change: Callable[[dict[str, Any]], object]) -> list[str]:
    changed = copy.deepcopy(config())
    change(changed)
    with pytest.raises(InputError) as error:
        check_config(changed)
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c.update(devise="cpu"), "config: unknown key 'devise'; did you mean 'device'? (known: musdb_root, "),
        (
            lambda c: c["threads"].update(trian=1),
            "config: unknown key 'threads.trian'; did you mean 'train'? (known: train, separate, score)",
        ),
        (lambda c: c["job_s"].update(qqq=1), "config: unknown key 'job_s.qqq' (known: "),
        (lambda c: c.update({1: 2}), "config: unknown key '1' (known: "),
        (lambda c: c.update({"\ud800": 2}), "config: '' is '\\ud800': input should be a valid string"),
        (lambda c: c.pop("device"), "config: key 'device' is missing"),
        (lambda c: c["threads"].pop("train"), "config: key 'threads.train' is missing"),
        (lambda c: c.update(systems="MDL1"), "config: 'systems' is 'MDL1': input should be a valid list"),
        (lambda c: c["threads"].update(train="two"), "config: 'threads.train' is 'two': input should be a valid integer"),
        (lambda c: c["threads"].update(train=True), "config: 'threads.train' is True: input should be a valid integer"),
        (lambda c: c["threads"].update(train=0), "config: 'threads.train' is 0: input should be greater than or equal to 1"),
        (lambda c: c.update(threads=4), "config: 'threads' is 4: input should be a valid dictionary"),
        (lambda c: c.update(save_every_s=0), "config: 'save_every_s' is 0: input should be greater than 0"),
        (
            lambda c: c["bootstrap"].update(n_resamples=10),
            "config: 'bootstrap.n_resamples' is 10: input should be greater than or equal to 100",
        ),
        (lambda c: c.update(device="gpu"), "config: 'device' is 'gpu': input should be 'auto', 'cpu' or 'cuda'"),
        (lambda c: c.update(dataset="musdb"), "config: 'dataset' is 'musdb': input should be 'musdb18', 'sample', "),
        (lambda c: c.update(systems=[]), "config: 'systems' is []: list should have at least 1 item"),
        (lambda c: c.update(systems=["MDL1", "MDL1"]), "config: 'systems' is ['MDL1', 'MDL1']: an entry occurs twice"),
        (lambda c: c.update(overrides={"MDL1": 3}), "config: 'overrides.MDL1' is 3: input should be a valid dictionary"),
        (lambda c: c.update(external={2024: {}}), "config: 'external': YAML does not read the name 2024 as text. Quote it."),
        (lambda c: c.update(overrides={False: {}}), "config: 'overrides': YAML does not read the name False as text. Quote it."),
        (
            lambda c: c.update(external={"OLD": {"estimates": ""}}),
            "config: 'external.OLD.estimates' is '': string should have at least 1 character",
        ),
        (lambda c: c.update(allow_partial="yes"), "config: 'allow_partial' is 'yes': input should be a valid boolean"),
    ],
)
def test_a_fault_names_its_key(change: Callable[[dict[str, Any]], object], expected: str) -> None:
    lines = faults(change)
    assert len(lines) == 1 and lines[0].startswith(expected)


def test_all_faults_are_told_at_once() -> None:
    def change(values: dict[str, Any]) -> None:
        del values["device"], values["systems"], values["threads"]["score"]
        values |= {"devise": "cpu", "save_every_s": "often"}
        values["threads"]["train"] = 0

    lines = faults(change)
    for expected in (
        "'device' is missing",
        "'systems' is missing",
        "'threads.score' is missing",
        "'devise'",
        "'save_every_s'",
        "'threads.train'",
    ):
        assert sum(expected in line for line in lines) == 1, expected
    assert len(lines) == 6


def test_texts_become_numbers_and_truth_values_but_where_text_is_expected() -> None:
    given = {
        "musdb_root": "2019",
        "allow_partial": "true",
        "systems": ["2024", "MDL1"],
        "external": {"2024": {"estimates": "2019", "targets": ["1e3"]}},
        "overrides": {"MDL1": {"training": {"n_epochs": "3", "learning_rate": "1.0e-3"}, "loss": ["0.5", "x"]}},
        "threads": {"train": "2"},
        "max_minutes": "1.5",
        "save_every_s": 600,
        "unknown": "7",
    }
    assert typed(given) == given | {
        "allow_partial": True,
        "overrides": {"MDL1": {"training": {"n_epochs": 3, "learning_rate": 1e-3}, "loss": [0.5, "x"]}},
        "threads": {"train": 2},
        "max_minutes": 1.5,
        "unknown": 7,
    }
