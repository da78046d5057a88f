"""Fixtures that several test modules share."""

import importlib.util
import shlex
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
import torch
from commands import Call
from flow import Run, run, tiny_config
from systems_flow import make_songs, track_names
from trainings import sung, write_prepared

from madsep import cli
from madsep.data.prepared import PreparedTrack
from madsep.synth import make_dataset

torch.set_num_threads(1)  # the networks in tests are tiny, so more threads would only wait for each other

# A shell makes background processes ignore SIGINT, and nohup makes them ignore SIGHUP. Children inherit this, and tests that send these
# signals to them would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape captured bytes that are not UTF-8, because pytest's workers can send only text."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data next to the repository. Skips the test if it does not exist."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"real data not found at {SHARED}")
    return SHARED


@pytest.fixture
def madsep(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Run a command, given as one line or as its words, in an empty folder; return its status, what it printed and its lines on stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> tuple[int, str, list[str]]:
        line = shlex.split(str(words[0])) if len(words) == 1 else map(str, words)
        monkeypatch.setattr(sys, "argv", ["madsep", *line])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return int(ended.value.code or 0), printed.out, printed.err.splitlines()

    return call


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic songs of `make_songs` for runs of many systems. Tests only read them."""
    return make_songs(tmp_path_factory.mktemp("songs"))


@pytest.fixture(scope="session")
def names(songs: Path) -> list[str]:
    """Names of the test tracks of `songs`."""
    return track_names(songs / "musdb/test")


@pytest.fixture
def torch_settings_restored() -> Iterator[None]:
    """Restore PyTorch's number of threads and determinism after the test."""
    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that hides an installed package from `madsep.core.extras`."""

    def hide(package: str) -> None:
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == package else find_spec(name, *more))

    return hide


@pytest.fixture(scope="session")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> list[PreparedTrack]:
    """Three prepared training tracks of 15 sequences each. Tests only read them."""
    return write_prepared(tmp_path_factory.mktemp("prepared"), [sung(seed) for seed in range(3)])


@pytest.fixture(scope="session")
def musdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic MUSDB of 2 + 2 songs of 3 s. Tests only read it."""
    root = tmp_path_factory.mktemp("synthetic") / "musdb"
    make_dataset(root, 2, 2, 3.0, seed=0)
    return root


@pytest.fixture(scope="session")
def first(musdb: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One complete run on the synthetic songs in an empty folder."""
    folder, config = tmp_path_factory.mktemp("first") / "run", tiny_config(musdb)
    return Run(folder, config, run(folder, config))
