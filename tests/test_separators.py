"""Names of systems that are no recipes, callables of all kinds, and what they return."""

import contextlib
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from madsep import cli
from madsep.core.errors import InputError
from madsep.core.files import sha256_each
from madsep.core.logs import job_log
from madsep.data.datasets import ALL_TARGETS, STEMS
from madsep.separation.callables import call_separator, checked_estimates, fingerprint, load_separator
from madsep.separation.estimates import completed
from madsep.separation.external import External, estimate_files, external_names, external_targets, find_external
from madsep.separation.oracles import ORACLES

TWO = ("vocals", "accompaniment")
TRACKS = ("A", "B")
N = 50
SOURCE = """
SCALE = 0.5

def half(audio, rate):
    return {"vocals": audio / 2}

def stems(audio, rate):
    return {name: audio / 4 for name in ("vocals", "drums", "bass", "other")}
stems.madsep_targets = ("vocals", "drums", "bass", "other")

def misspelt(audio, rate):
    return {}
misspelt.madsep_targets = ("vocal", "accompaniment")

def worded(audio, rate):
    return {}
worded.madsep_targets = "vocals"

class Model:
    @staticmethod
    def separate(audio, rate):
        return {"vocals": audio * rate}
"""


@pytest.fixture(autouse=True)
def imports_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leaves the import path and the imported modules as they were."""
    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    importlib.invalidate_caches()
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a module `mine` in it."""
    (tmp_path / "mine.py").write_text(SOURCE)
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # another test's
    monkeypatch.chdir(tmp_path)
    return tmp_path


def install(site: Path, package: str, entry_points: str) -> None:
    """Put an installed package, as pip leaves it, into `site`, which is on the import path from then on."""
    (site / package).mkdir(parents=True)
    (site / package / "__init__.py").write_text(SOURCE)
    info = site / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[madsep.separators]\n{entry_points}\n")
    sys.path.append(str(site))
    importlib.invalidate_caches()


def noise(seed: int, n_channels: int = 2) -> np.ndarray:
    """Samples (n_channels, n_samples) that 16 bit hold exactly, below 1/8."""
    return (np.random.default_rng(seed).integers(-4000, 4000, (n_channels, N)) / 32768).astype(np.float32)


# names


def test_a_name_of_the_config_comes_before_an_oracle_and_this_before_an_entry_point(tmp_path: Path) -> None:
    install(tmp_path / "site", "wrapped", "UMX = wrapped:half\nIRM1 = wrapped:half")
    assert find_external("IRM1", {"IRM1": {"estimates": "old"}}) == External(estimates="old", origin="config")
    assert find_external("IRM1", {}) == External(oracle="IRM1", origin="oracle")
    assert find_external("UMX", {}) == External(separator="wrapped:half", origin="package wrapped 1.2")
    assert find_external("MDL1", {"OLD": {"estimates": "old"}}) is None
    names = external_names({"OLD": {"estimates": "old"}, "MWF": {"oracle": "MWF"}})
    assert set(names) == {"OLD", "UMX", *ORACLES} and len(names) == len(ORACLES) + 2


def test_an_entry_point_that_names_extras_and_a_nested_callable(tmp_path: Path) -> None:
    install(tmp_path / "site", "nested", "NET = nested : Model.separate [gpu]")
    external = find_external("NET", {})
    assert external is not None and external.separator == "nested:Model.separate"
    assert load_separator(external.separator)(np.ones((1, 1), np.float32), 3)["vocals"] == 3


def test_two_packages_that_register_one_name(tmp_path: Path) -> None:
    install(tmp_path / "site", "one", "UMX = one:half")
    install(tmp_path / "site", "two", "UMX = two:half")
    with pytest.raises(
        InputError, match=r"^systems: UMX: several packages register it in madsep\.separators \(one:half of package one 1\.2, two:half of "
    ):
        find_external("UMX", {})
    assert find_external("UMX", {"UMX": {"separator": "two:half"}}) == External(separator="two:half", origin="config")


def test_the_systems_of_installed_packages_are_listed(tmp_path: Path) -> None:
    install(tmp_path / "site", "wrapped", "UMX = wrapped:half\nALSO = wrapped:stems")
    lines = CliRunner().invoke(cli.app, ["systems"]).output.splitlines()
    assert [line.split() for line in lines[-2:]] == [["ALSO", "package", "wrapped", "1.2"], ["UMX", "package", "wrapped", "1.2"]]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "external: UMX: expected exactly one of oracle, separator, estimates; found none."),
        (
            {"separator": "a:b", "estimates": "d"},
            "external: UMX: expected exactly one of oracle, separator, estimates; found separator",
        ),
        ({"seperator": "a:b"}, "external: UMX: unknown key 'seperator'; did you mean 'separator'? (known: "),
        ({"separator": "a:b", "origin": "me"}, "external: UMX: unknown key 'origin'"),
        ({"separator": 3}, "external: UMX: 'separator' is 3: "),
        ({"oracle": "IRM"}, "external: UMX: there is no oracle 'IRM'; did you mean 'IRM"),
    ],
)
def test_a_faulty_entry_of_the_config(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match="^" + re.escape(message)):
        find_external("UMX", {"UMX": entry})


# targets


def test_targets_of_each_kind(here: Path) -> None:
    assert external_targets(External(oracle="IRM1", origin=""), TRACKS) == ALL_TARGETS
    assert external_targets(External(oracle="IRM1", origin="", targets=("accompaniment", "vocals")), TRACKS) == TWO
    assert external_targets(External(separator="mine:half", origin=""), TRACKS) == TWO
    assert external_targets(External(separator="mine:stems", origin=""), TRACKS) == ALL_TARGETS
    assert external_targets(External(separator="mine:stems", origin="", targets=("vocals",)), TRACKS) == TWO


def test_targets_of_a_folder_are_those_of_the_runs_own_tracks(here: Path) -> None:
    for track, names in {"0 not a track": ["drums"], "A": ["vocals", "linear_mixture"], "B": ["vocals"], "C": STEMS}.items():
        (here / "old/test" / track).mkdir(parents=True)
        for name in names:
            (here / "old/test" / track / f"{name}.wav").touch()
    old = External(estimates="old", origin="")
    assert external_targets(old, ("A", "B")) == TWO
    assert external_targets(old, ("A", "C")) == external_targets(old, ("C", "D")) == ALL_TARGETS
    assert estimate_files("old", ("B", "A", "D")) == {(track, "vocals"): Path(f"old/test/{track}/vocals.wav") for track in ("A", "B")}
    none = "estimates old: its targets, those of the run's tracks in that folder, are none; expected vocals and accompaniment, or"
    with pytest.raises(InputError, match="^" + re.escape(none)):
        external_targets(old, ("D",))


def test_targets_of_the_config_are_known_without_importing_anything() -> None:
    assert external_targets(External(separator="not.installed:here", origin="", targets=STEMS), TRACKS) == ALL_TARGETS


@pytest.mark.parametrize(
    ("external", "message"),
    [
        (
            {"separator": "mine:misspelt"},
            "separator mine:misspelt: its targets are ('vocal', 'accompaniment'); expected some of vocals",
        ),
        ({"separator": "mine:worded"}, "separator mine:worded: its targets are 'vocals'; expected some of vocals, drums"),
        ({"separator": "mine:half", "targets": ("drums", "bass")}, "separator mine:half: its targets are drums, bass; expected vocals and"),
        (
            {"oracle": "IBM1", "targets": ("vocals", "drums")},
            "oracle IBM1: its targets are vocals, drums; expected vocals and",
        ),
        ({"oracle": "IBM1", "targets": ()}, "oracle IBM1: its targets are none; expected vocals and accompaniment, or"),
        ({"estimates": "."}, ".: no tracks in it; expected test/<track>/<target>.wav, <track>/<target>.wav or <track>_<target>.wav."),
        ({"estimates": "nowhere"}, "nowhere: no such folder; it should hold test/"),
        ({"estimates": "nowhere", "targets": ("vocals",)}, "nowhere: no such folder; it should hold test/"),
    ],
)
def test_targets_that_are_no_set_of_targets(here: Path, external: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match="^" + re.escape(message)):
        external_targets(External(**external, origin=""), TRACKS)


# loading


def test_the_current_folder_is_importable(here: Path) -> None:
    assert str(here) not in sys.path
    assert load_separator("mine:half")(np.ones((3, 2), np.float32), 44_100)["vocals"].tolist() == [[0.5, 0.5]] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine", "separator 'mine': expected package.module:callable, such as "),
        ("mine.half", "separator 'mine.half': expected package.module:callable, such as "),
        (".mine:half", "separator '.mine:half': expected package.module:callable, such as "),
        ("absent.part:half", "separator absent.part:half: there is no module 'absent'; install it for "),
        ("mine.part:half", "separator mine.part:half: there is no module 'mine.part'; install it for "),
        ("mine:hlaf", "separator mine:hlaf: module mine has no 'hlaf'; did you mean 'half'?"),
        ("mine:Model.run", "separator mine:Model.run: module mine has no 'Model.run'"),
        ("mine:SCALE", "separator mine:SCALE: is of type float; expected a callable (audio, rate) -> {target: audio}."),
        ("needs:f", "separator needs:f: importing needs failed: ModuleNotFoundError: No module named 'absent_library'"),
        ("broken:f", "separator broken:f: importing broken failed: SyntaxError: "),
        ("ends:f", "separator ends:f: importing ends failed: SystemExit: 0"),
        ("panics:f", "separator panics:f: importing panics failed: BaseException: at the disco"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(here: Path, text: str, message: str) -> None:
    (here / "needs.py").write_text("import absent_library\n")
    (here / "broken.py").write_text("def f(:\n")
    (here / "ends.py").write_text("import sys\nsys.exit(0)\n")
    (here / "panics.py").write_text("raise BaseException('at the disco')\n")
    with pytest.raises(InputError, match="^" + re.escape(message)) as raised:
        load_separator(text)
    assert "\n" not in str(raised.value)


def test_an_import_leaves_the_current_folder(here: Path) -> None:
    (here / "moves.py").write_text("import os\nos.chdir('/')\n" + SOURCE)
    load_separator("moves:half")
    assert Path.cwd() == here


# changes of the code


def test_the_fingerprint_is_that_of_the_code_of_the_top_level_package_alone(here: Path) -> None:
    (here / "pack/part").mkdir(parents=True)
    for name in ("__init__", "one", "part/two"):
        (here / "pack" / f"{name}.py").write_text("raise ValueError('imported')\n")
    before = fingerprint("pack.one:f", sha256_each)
    assert before is not None and before == fingerprint("pack.part.two:f", sha256_each)
    (here / "pack/weights.bin").write_text("new")
    (here / "mine.py").write_text(SOURCE + "# new\n")
    assert fingerprint("pack.one:f", sha256_each) == before
    (here / "pack/part/two.py").write_text("raise ValueError('new')\n")
    changed = fingerprint("pack.one:f", sha256_each)
    (here / "pack/part/two.py").rename(here / "pack/part/three.py")
    assert len({before, changed, fingerprint("pack.one:f", sha256_each)}) == 3


def test_the_fingerprint_of_a_module_before_and_after_its_import_and_elsewhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint("mine:half", sha256_each)
    load_separator("mine:half")
    assert fingerprint("mine:half", sha256_each) == before
    (here / "mine.py").write_text(SOURCE + "# new\n")
    assert before is not None and fingerprint("mine:half", sha256_each) != before
    (here / "elsewhere").mkdir()
    (here / "elsewhere/mine.py").write_text(SOURCE)
    monkeypatch.delitem(sys.modules, "mine")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(here)])
    monkeypatch.chdir(here / "elsewhere")
    assert fingerprint("mine:half", sha256_each) == before


@pytest.mark.parametrize("separator", ["absent:f", "absent.part:f", ".mine:f", "", "__main__:f"])
def test_what_is_no_module_has_no_fingerprint(here: Path, monkeypatch: pytest.MonkeyPatch, separator: str) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    assert fingerprint(separator, sha256_each) is None


def test_code_that_cannot_be_read_is_named_with_its_separator(here: Path) -> None:
    def refuse(files: Sequence[Path]) -> list[str]:
        raise InputError(f"{files[0]}: cannot be read (Permission denied).")

    with pytest.raises(InputError, match=r"^separator mine:half: .*mine\.py: cannot be read \(Permission denied\)\.$"):
        fingerprint("mine:half", refuse)


# calling


def test_a_callable_is_given_its_own_copy_as_samples_by_channels() -> None:
    for n_channels in (1, 2):
        mixture = noise(0, n_channels)
        mixture.flags.writeable = False  # as a memory-mapped track
        given = {}

        def separate(audio: np.ndarray, rate: int, given: dict[str, Any] = given) -> dict[str, np.ndarray]:
            given["audio"], given["rate"] = audio.copy(), rate
            given["contiguous"] = audio.flags.c_contiguous
            audio *= 0.5
            return {"vocals": audio.astype(np.float64)}

        estimates = call_separator(separate, mixture, 44_100, "here")
        assert given["rate"] == 44_100 and given["contiguous"]
        assert given["audio"].dtype == np.float32
        np.testing.assert_array_equal(given["audio"], mixture.T)
        np.testing.assert_array_equal(mixture, noise(0, n_channels))
        np.testing.assert_array_equal(estimates["vocals"], mixture / 2)
        assert estimates["vocals"].dtype == np.float32


class Odd(Exception):
    def __str__(self) -> str:
        return "first\n  second " + 400 * "x"


def failing(error: BaseException) -> Callable[..., Any]:
    def separate(audio: np.ndarray, rate: int) -> dict[str, np.ndarray]:
        raise error

    return separate


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("bad shape"), "separator a:b, Song: failed: ValueError: bad shape"),
        (Odd(), "separator a:b, Song: failed: Odd: first second xxx"),
        (SystemExit(0), "separator a:b, Song: failed: SystemExit: 0"),
        (MemoryError(), "separator a:b, Song: failed: MemoryError: "),
        (BaseException("at the disco"), "separator a:b, Song: failed: BaseException: at the disco"),
    ],
)
def test_an_exception_of_the_callable_is_plain_lines_and_its_traceback_stands_in_the_log_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: BaseException, message: str
) -> None:
    path = tmp_path / "job.log"
    with pytest.raises(SystemExit) as ended, job_log(str(path)):
        call_separator(failing(error), noise(0), 44_100, "separator a:b, Song")
    assert ended.value.code == 1
    shown, hint = capsys.readouterr().err.splitlines()
    assert shown.startswith(f"ERROR: {message}") and len(shown) < 400
    assert hint == f"The traceback is in {path}."
    text = path.read_text()
    assert "Traceback (most recent call last)" in text and "in separate\n    raise error" in text
    assert text.endswith(f"{shown}\n{hint}\n")


def test_without_a_log_an_exception_of_the_callable_is_one_line() -> None:
    with pytest.raises(InputError, match=r"^here: failed: ValueError: bad$"):
        call_separator(failing(ValueError("bad")), noise(0), 44_100, "here")


def test_an_interruption_is_no_fault_of_the_callable() -> None:
    with pytest.raises(KeyboardInterrupt):
        call_separator(failing(KeyboardInterrupt()), noise(0), 44_100, "here")


@pytest.mark.parametrize("fault", [None, ValueError("bad")])
def test_a_call_leaves_the_current_folder(here: Path, fault: Exception | None) -> None:
    def moves(audio: np.ndarray, rate: int) -> dict[str, np.ndarray]:
        os.chdir("/")
        if fault:
            raise fault
        return {"vocals": audio}

    with contextlib.suppress(InputError):
        call_separator(moves, noise(0), 44_100, "here")
    assert Path.cwd() == here


class Tensor:
    """Somebody's array that is none of NumPy's."""


HUGE = np.full((N, 2), 1e300)
RIGHT = np.zeros((N, 2), np.float32)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "S: returned an object of type NoneType; expected a mapping, {target: audio}."),
        (RIGHT, "S: returned an object of type ndarray; expected a mapping, {target: audio}."),
        (
            {"vocal": RIGHT},
            "S: returned the unknown target 'vocal'; did you mean 'vocals'? (known: vocals, drums, bass, other, acc",
        ),
        ({"vocals": RIGHT, 0: RIGHT}, "S: returned the unknown target '0' (known: "),
        ({"vocals": RIGHT.T}, "S, vocals: has shape (2, 50); expected (50, 2) (samples, channels) as the mixture."),
        ({"vocals": RIGHT[:-1]}, "S, vocals: has shape (49, 2); expected (50, 2) (samples, channels) as the mixture."),
        ({"vocals": RIGHT, "drums": RIGHT[:, 0]}, "S, drums: has shape (50,); expected (50, 2) (samples, channels) as the mixture."),
        (
            {"vocals": RIGHT.astype(np.int16)},
            "S, vocals: is an array of int16; expected a NumPy array of floating-point numbers, full",
        ),
        ({"vocals": RIGHT.astype(complex)}, "S, vocals: is an array of complex128; expected a NumPy array of floating-point numbers"),
        ({"vocals": RIGHT.tolist()}, "S, vocals: is of type list; expected a NumPy array"),
        ({"vocals": Tensor()}, "S, vocals: is of type Tensor; expected a NumPy array"),
        ({"vocals": RIGHT, "bass": np.where(np.arange(N)[:, None] == 7, np.nan, RIGHT)}, "S, bass: holds NaN or infinite samples."),
        ({"vocals": RIGHT + np.inf}, "S, vocals: holds NaN or infinite samples."),
        ({"vocals": HUGE}, "S, vocals: holds NaN or infinite samples."),
    ],
)
def test_results_of_every_fault(result: object, message: str) -> None:
    with pytest.raises(InputError, match="^" + re.escape(message)):
        checked_estimates(result, noise(0), "S")


def test_a_mono_estimate_of_one_dimension_is_refused() -> None:
    with pytest.raises(InputError, match=re.escape("S, vocals: has shape (50,); expected (50, 1)")):
        checked_estimates({"vocals": RIGHT[:, 0]}, noise(0, 1), "S")


# completing


def test_vocals_alone_leave_the_rest_to_the_accompaniment() -> None:
    mixture, vocals = noise(0), noise(1) + np.float32(1e-5)
    estimates = completed({"vocals": vocals}, mixture, TWO, "S")
    assert list(estimates) == list(TWO)
    written = np.rint(vocals * 32768) / 32768
    np.testing.assert_array_equal(estimates["vocals"], vocals)
    np.testing.assert_array_equal(estimates["accompaniment"], mixture - written.astype(np.float32))


@pytest.mark.parametrize("targets", [TWO, ALL_TARGETS])
def test_the_accompaniment_of_stems_is_their_sum(targets: tuple[str, ...]) -> None:
    estimates = {stem: noise(seed) for seed, stem in enumerate(STEMS)}
    found = completed(estimates, noise(9), targets, "S")
    assert tuple(found) == targets
    np.testing.assert_array_equal(found["accompaniment"], noise(1) + noise(2) + noise(3))
    assert set(estimates) == set(STEMS)


def test_an_accompaniment_that_is_given_stays() -> None:
    estimates = {stem: noise(seed) for seed, stem in enumerate((*STEMS, "accompaniment"))}
    found = completed(estimates, noise(9), ALL_TARGETS, "S")
    assert all(np.array_equal(found[name], estimates[name]) for name in ALL_TARGETS)


@pytest.mark.parametrize(
    ("names", "targets", "missing"),
    [((), TWO, "vocals, accompaniment"), (("accompaniment",), TWO, "vocals"), (("vocals", "drums"), ALL_TARGETS, "bass, other")],
)
def test_a_target_that_is_missing(names: tuple[str, ...], targets: tuple[str, ...], missing: str) -> None:
    with pytest.raises(InputError, match=f"^S: there is no estimate of {missing}; expected {', '.join(targets)}\\.$"):
        completed({name: noise(1) for name in names}, noise(0), targets, "S")
