"""Couplings and Jacobians over tracks, with baselines and controls. Each describes a network as one matrix.

The couplings, their baseline with P = 1 and the student are from S.I. Mimilakis, K. Drossos, E. Cano, G. Schuller, "Examining the
mapping functions of denoising autoencoders in singing voice separation", IEEE/ACM TASLP 28, 2020. The untrained control and the Jacobian
are additions of this package.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from madsep.core.artefacts import Stage
from madsep.core.devices import Device, claim
from madsep.core.errors import InputError
from madsep.core.figures import UNDATED
from madsep.core.files import atomic, digest, new_folder, sha256
from madsep.core.logs import log
from madsep.core.precision import products
from madsep.core.progress import Progress
from madsep.core.provenance import git_commit, hardware, versions
from madsep.core.settings import FrontEnd
from madsep.core.tables import write_table
from madsep.core.yaml_files import write_yaml
from madsep.couplings.algorithm import neural_couplings, student, untrained_couplings
from madsep.couplings.figures import draw_losses, draw_maps, draw_profile
from madsep.couplings.frames import Group, TakeStack, groups, named_stack, own_stack, sequences_inside, stack_of, untrained
from madsep.couplings.jacobian import local_jacobian
from madsep.couplings.options import JACOBIAN_SEQUENCES, Options
from madsep.couplings.results import JACOBIANS, Results
from madsep.couplings.table import SIGNIFICANT_DIGITS
from madsep.data.mixtures import Mixture, prepared_mixtures
from madsep.data.prepared import PreparedTrack
from madsep.models.checkpoint import Checkpoint, load_checkpoint
from madsep.models.network import Network

COUPLINGS = "couplings"  # name of the record and of the job
DETERMINED = 2  # default number of frames per bin for a fit; with fewer than 1, the map is underdetermined
N_FITS = 3  # per group: the trained network's couplings, its student, the untrained network's couplings
TITLES = {
    "nca": "couplings",
    "student": "student",
    "p1": "P = 1, not fitted",
    "untrained": "couplings, untrained",
    "jacobian": "Jacobian",
    "jacobian untrained": "Jacobian, untrained",
}
TABLES = ("measures", "summary", "losses", "lags")
FIGURES = ("couplings", "jacobian", "losses", "lags")
# names of all files that are written
PARTS = (
    *("couplings.npz", "provenance.yaml"),
    *(f"{name}.csv" for name in TABLES),
    *(f"{name}{suffix}" for name in FIGURES for suffix in UNDATED),
)


@dataclass(frozen=True)
class Request:
    """What to compute for a checkpoint and its tracks."""

    fit: Options
    n_frames: int | None  # minimum number of frames per fit; None: twice the number of bins
    jacobian_sequences: int  # per group
    layers: Sequence[str] = ()  # names of nn.Linear modules; empty: the stack of the recipe's family


@dataclass(frozen=True)
class _Computed:
    checkpoint: Checkpoint
    results: Results
    device: str


def request(nca: Mapping[str, Any]) -> Request:
    """Return the request in the config's `nca`, with the defaults of `madsep couplings` for missing keys."""
    others = {"n_frames": None, "jacobian_sequences": JACOBIAN_SEQUENCES}
    fit = {key: value for key, value in nca.items() if key not in others}
    return Request(Options(**fit), **{key: nca.get(key, default) for key, default in others.items()})


@dataclass(frozen=True)
class _Networks:
    """The checkpoint's network, the control, and the function that takes the dense layers of both."""

    checkpoint: Checkpoint
    control: Network
    take: TakeStack


def couplings(checkpoint: Path, mixtures: Sequence[Mixture], folder: Path, request: Request, device: Device, n_threads: int) -> None:
    """Write the couplings of a checkpoint's dense layers over `mixtures`, with baselines and control, and its Jacobian.

    `folder` then holds couplings.npz (the mean map of each kind, float32), measures.csv, summary.csv, losses.csv, lags.csv,
    {couplings,jacobian,lags,losses}.{pdf,svg,png} and provenance.yaml; it appears whole or not at all, in place of what was there. Raises
    InputError for a checkpoint that is damaged or has no such layers, tracks that have another rate, are silent or are too short together,
    and network outputs that are all zero.
    """
    computed = _compute(checkpoint, mixtures, request, device, n_threads)
    with new_folder(folder) as new:
        _write(computed, request, {"checkpoint": sha256(checkpoint)}, new)
    log.info("%s: %s", folder, _summary(computed, mixtures))


def couplings_of_run(
    checkpoint: Path, tracks: Sequence[PreparedTrack], folder: Path, request: Request, device: Device, n_threads: int
) -> None:
    """Write the files of `couplings` for prepared tracks to a stage's folder, with a record and jobs/couplings.json.

    Nothing is computed if the files were made from the same checkpoint, tracks and request. Raises InputError as `couplings` does.
    """
    stage = Stage(folder)
    made_from = {"checkpoint": sha256(checkpoint), "request": digest(asdict(request))} | {track.slug: track.sha256 for track in tracks}
    if stage.is_current(COUPLINGS, made_from):
        log.info("the couplings in %s are up to date", folder)
    else:
        mixtures = prepared_mixtures(tracks)
        computed = _compute(checkpoint, mixtures, request, device, n_threads)
        with stage.making(COUPLINGS, made_from) as made:
            made["files"] = _write(computed, request, made_from, folder)
        log.info("%s: %s", folder, _summary(computed, mixtures))
    stage.finish_job(COUPLINGS, [COUPLINGS])


def _compute(checkpoint: Path, mixtures: Sequence[Mixture], request: Request, device: Device, n_threads: int) -> _Computed:
    with claim(device, n_threads) as claimed:
        loaded = load_checkpoint(checkpoint, claimed)
        named = request.layers
        take = named_stack(loaded.recipe, loaded.network, named, str(checkpoint)) if named else own_stack(loaded.recipe, str(checkpoint))
        networks = _Networks(loaded, untrained(loaded, claimed), take)
        return _Computed(loaded, _over_groups(networks, mixtures, request, claimed), claimed.type)


def _summary(computed: _Computed, mixtures: Sequence[Mixture]) -> str:
    return f"{N_FITS * len(computed.results.groups)} fits for {computed.checkpoint.recipe.name} over {len(mixtures)} tracks"


def _over_groups(networks: _Networks, mixtures: Sequence[Mixture], request: Request, device: torch.device) -> Results:
    recipe, results = networks.checkpoint.recipe, Results()
    least = request.n_frames or DETERMINED * recipe.front_end.n_bins
    with Progress(f"couplings of {recipe.name}", N_FITS * request.fit.n_iterations * len(mixtures)) as progress:
        for group in groups(mixtures, recipe, least, device):
            results.start(group)
            try:
                _fit(networks, group, request.fit, results, progress)
                for kind, network in zip(JACOBIANS, (networks.checkpoint.network, networks.control), strict=True):
                    _linearise(kind, network, group, networks.checkpoint, request.jacobian_sequences, results)
            except InputError as error:
                raise InputError(f"{group.name}: {error}") from None
    return results


def _fit(networks: _Networks, group: Group, options: Options, results: Results, progress: Progress) -> None:
    """Fit the maps of both networks to a group's frames."""
    recipe = networks.checkpoint.recipe
    trained = stack_of(group, networks.checkpoint.network, recipe, networks.take)
    control = stack_of(group, networks.control, recipe, networks.take)
    for kind, fit, stack in (("nca", neural_couplings, trained), ("student", student, trained), ("untrained", neural_couplings, control)):

        def tell(_: int, relative_loss: float, kind: str = kind) -> None:
            progress.advance(len(group.tracks), f"{group.name}, {kind}: loss {relative_loss:.3f}")

        fitted = fit(stack, options, tell)
        progress.advance(
            len(group.tracks) * (options.n_iterations - len(fitted.losses) + 1)
        )  # iterations that a converged fit did not need
        if options.tolerance is not None and not fitted.converged:
            log.warning("%s: %s has not converged in %d iterations", group.name, kind, options.n_iterations)
        results.add_losses(kind, fitted)
        results.add(kind, fitted.couplings, stack.inputs, stack.outputs)
    results.add("p1", untrained_couplings(trained, options), trained.inputs, trained.outputs)


def _linearise(kind: str, network: Network, group: Group, checkpoint: Checkpoint, n_sequences: int, results: Results) -> None:
    """Compute the whole network's Jacobian at the middle frame of some of a group's sequences."""
    recipe = checkpoint.recipe
    middle = recipe.segments.n_estimated // 2
    sequences = sequences_inside(group, middle, n_sequences)

    def voice(mixture: torch.Tensor) -> torch.Tensor:
        return network.estimate(mixture, recipe.separation)[:, 0]

    with products("fp32", sequences.device):
        jacobian = local_jacobian(voice, sequences, [middle])
        with torch.no_grad():
            estimated = voice(sequences)[:, middle]
    results.add(kind, jacobian.within, sequences[:, recipe.segments.n_context + middle], estimated)
    results.add_lags(kind, jacobian)


def _write(computed: _Computed, request: Request, made_from: Mapping[str, str], folder: Path) -> list[Path]:
    """Write maps, tables, figures and provenance to `folder`, and return the files."""
    recipe, results = computed.checkpoint.recipe, computed.results
    maps, n_groups = results.mean_maps(), results.n_groups_text()
    files = [_write_maps(maps, recipe.front_end, folder / "couplings.npz")]
    tables = dict(zip(TABLES, (results.measures(), results.summary(), results.losses(), results.lags()), strict=True))
    for name, table in tables.items():
        files.append(folder / f"{name}.csv")
        write_table(table, files[-1], SIGNIFICANT_DIGITS)
    about, nyquist_hz = f"{recipe.name}, mean over {n_groups}", recipe.front_end.sample_rate_hz / 2
    fitted = {title: maps[kind] for kind, title in TITLES.items() if kind not in JACOBIANS}
    files += draw_maps(fitted, nyquist_hz, f"{about}: |C| of the dense layers", folder / "couplings")
    jacobians = {TITLES[kind]: maps[kind] for kind in JACOBIANS}
    files += draw_maps(jacobians, nyquist_hz, f"{about}: |J|, whole network", folder / "jacobian")
    losses, lags = (tables[name].replace({"kind": TITLES}) for name in ("losses", "lags"))
    files += draw_losses(losses, f"{recipe.name}: losses of the fits to {n_groups}", folder / "losses")
    hop_s = recipe.front_end.hop_length / recipe.front_end.sample_rate_hz
    files += draw_profile(lags, hop_s, f"{about}: the Jacobian's reach in time", folder / "lags")
    write_yaml(folder / "provenance.yaml", _provenance(computed, request, made_from))
    return [*files, folder / "provenance.yaml"]


def _write_maps(maps: Mapping[str, NDArray[np.float32]], front_end: FrontEnd, path: Path) -> Path:
    frequencies_hz = np.arange(front_end.n_bins) * front_end.sample_rate_hz / front_end.fft_length
    with atomic(path) as temporary, temporary.open("wb") as stream:  # NumPy would add a suffix to a path without one
        np.savez(stream, frequencies_hz=frequencies_hz, **maps)  # type: ignore[arg-type]
    return path


def _provenance(computed: _Computed, request: Request, made_from: Mapping[str, str]) -> dict[str, Any]:
    """Return the provenance of the results as plain values."""
    recipe = computed.checkpoint.recipe
    n_frames = request.n_frames or DETERMINED * recipe.front_end.n_bins
    options = request.fit._asdict() | {"n_frames": n_frames, "jacobian_sequences": request.jacobian_sequences}
    return {
        "made_from": dict(made_from),
        "layers": list(request.layers) or f"those of family {recipe.family}",
        "options": options,
        "groups": computed.results.groups,
        "madsep_commit": git_commit(Path(__file__).parent),
        "versions": versions(),
        "hardware": hardware(),
        "settings": recipe.system_values(),
        "training": dict(computed.checkpoint.provenance),
        "device": computed.device,
    }
