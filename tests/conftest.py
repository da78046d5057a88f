"""Fixtures that several test modules share."""

import importlib.util
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
import torch
from flow import Run, run, tiny_config
from systems_flow import make_songs, track_names
from trainings import sung, write_prepared

from madsep.data.prepared import PreparedTrack
from madsep.synth import make_dataset

torch.set_num_threads(1)  # the tests' networks are tiny: more threads would only wait for each other

# A shell ignores SIGINT in what it starts in the background, and nohup SIGHUP. Children inherit that, and tests that send them would wait
# for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make captured names that are not UTF-8 into text, which alone goes from a worker to the process that reports."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the project; the test skips where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"real data not found at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic songs for runs of many systems, as `make_songs` says; nothing writes there."""
    return make_songs(tmp_path_factory.mktemp("songs"))


@pytest.fixture(scope="session")
def names(songs: Path) -> list[str]:
    """Of their test tracks."""
    return track_names(songs / "musdb/test")


@pytest.fixture
def torch_settings_restored() -> Iterator[None]:
    """Leaves PyTorch's threads and determinism as they were."""
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
    """Three prepared training tracks of 15 sequences each; not to be changed."""
    return write_prepared(tmp_path_factory.mktemp("prepared"), [sung(seed) for seed in range(3)])


@pytest.fixture(scope="session")
def musdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic MUSDB of 2 + 2 songs of 3 s; not to be changed."""
    root = tmp_path_factory.mktemp("synthetic") / "musdb"
    make_dataset(root, 2, 2, 3.0, seed=0)
    return root


@pytest.fixture(scope="session")
def first(musdb: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run on the synthetic songs, from nothing to everything."""
    folder, config = tmp_path_factory.mktemp("first") / "run", tiny_config(musdb)
    return Run(folder, config, run(folder, config))
