"""What a trained network does to its input, distilled into one matrix: couplings and Jacobians over tracks, with their controls.

S.I. Mimilakis, K. Drossos, E. Cano, G. Schuller, "Examining the mapping functions of denoising autoencoders in singing voice
separation", IEEE/ACM TASLP 28, 2020, for the couplings, their P = 1 baseline and the student. The untrained control and the Jacobian
are this package's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from madsep.core.devices import Device, claim
from madsep.core.errors import InputError
from madsep.core.files import atomic, check_unused, new_folder, sha256, write_text
from madsep.core.intervals import Bootstrap
from madsep.core.logs import log
from madsep.core.precision import products
from madsep.core.progress import Progress
from madsep.core.provenance import git_commit, hardware, versions
from madsep.couplings.algorithm import Options, neural_couplings, student, untrained_couplings
from madsep.couplings.figures import draw_losses, draw_maps, draw_profile
from madsep.couplings.frames import Group, TakeStack, groups, named_stack, own_stack, sequences_inside, stack_of, untrained
from madsep.couplings.jacobian import local_jacobian
from madsep.couplings.results import JACOBIANS, Results
from madsep.data.mixtures import Mixture
from madsep.models.checkpoint import Checkpoint, load_checkpoint
from madsep.models.network import Network

DETERMINED = 2  # frames of a fit for each bin: with fewer than 1 the map is underdetermined
FRAMES_AT_ONCE = 4096  # of a fit; bounds its memory
N_FITS = 3  # of a group: the trained network's couplings, its student, the untrained network's couplings
TITLES = {
    "nca": "couplings",
    "student": "student",
    "p1": "P = 1, not fitted",
    "untrained": "couplings, untrained",
    "jacobian": "Jacobian",
    "jacobian untrained": "Jacobian, untrained",
}


@dataclass(frozen=True)
class Request:
    """What to compute, as opposed to on what."""

    fit: Options
    n_frames: int | None  # least frames of a fit; None: twice the bins
    jacobian_sequences: int  # of each group
    bootstrap: Bootstrap
    layers: Sequence[str] = ()  # nn.Linear modules by name; none: those that the recipe's family names


def request(nca: Mapping[str, Any], bootstrap: Bootstrap) -> Request:
    """Return the request that the config's `nca` makes: the options of a fit, n_frames and jacobian_sequences."""
    beside = {key: nca[key] for key in ("n_frames", "jacobian_sequences")}
    fit = {key: value for key, value in nca.items() if key not in beside}
    return Request(Options(frames_at_once=FRAMES_AT_ONCE, **fit), **beside, bootstrap=bootstrap)


@dataclass(frozen=True)
class _Networks:
    """The checkpoint's network and the control, and how the dense layers of either are taken."""

    checkpoint: Checkpoint
    control: Network
    take: TakeStack


def couplings(checkpoint: Path, mixtures: Sequence[Mixture], folder: Path, request: Request, device: Device, n_threads: int) -> None:
    """Write the couplings of a checkpoint's dense layers, with baselines and control, and its Jacobian, over `mixtures`.

    `folder` then holds couplings.npz (the mean map of each kind, float32), measures.csv, summary.csv, losses.csv, lags.csv,
    {couplings,jacobian,lags,losses}.{pdf,svg,png} and provenance.yaml; it appears whole or not at all.
    Raises InputError for a folder in use, a damaged checkpoint, one without such layers, tracks of another rate, silent or too short
    together, and where a network gives nothing but zeros.
    """
    check_unused(folder)
    with claim(device, n_threads) as claimed:
        loaded = load_checkpoint(checkpoint, claimed)
        named = request.layers
        take = named_stack(loaded.recipe, loaded.network, named, str(checkpoint)) if named else own_stack(loaded.recipe, str(checkpoint))
        networks = _Networks(loaded, untrained(loaded, claimed), take)
        results = _over_groups(networks, mixtures, request, claimed)
    with new_folder(folder) as new:
        _write(results, loaded, request, new)
        provenance = _provenance(checkpoint, loaded, request, results) | {"device": claimed.type}
        write_text(new / "provenance.yaml", yaml.safe_dump(provenance, sort_keys=False, allow_unicode=True, width=120))
    log.info("%s: %d fits over %d tracks; %s", loaded.recipe.name, N_FITS * len(results.groups), len(mixtures), folder)


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
    """Fit a group's maps of both networks."""
    recipe = networks.checkpoint.recipe
    trained = stack_of(group, networks.checkpoint.network, recipe, networks.take)
    control = stack_of(group, networks.control, recipe, networks.take)
    for kind, fit, stack in (("nca", neural_couplings, trained), ("student", student, trained), ("untrained", neural_couplings, control)):

        def tell(_: int, relative_loss: float, kind: str = kind) -> None:
            progress.advance(len(group.tracks), f"{group.name}, {kind}: loss {relative_loss:.3f}")

        fitted = fit(stack, options, tell)
        progress.advance(len(group.tracks) * (options.n_iterations - len(fitted.losses) + 1))  # of a fit that has converged before
        if options.tolerance is not None and not fitted.converged:
            log.warning("%s: %s has not converged in %d iterations", group.name, kind, options.n_iterations)
        results.add_losses(kind, fitted)
        results.add(kind, fitted.couplings, stack.inputs, stack.outputs)
    results.add("p1", untrained_couplings(trained, options), trained.inputs, trained.outputs)


def _linearise(kind: str, network: Network, group: Group, checkpoint: Checkpoint, n_sequences: int, results: Results) -> None:
    """Take the whole network's Jacobian at the middle frame of some of a group's sequences."""
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


def _write(results: Results, loaded: Checkpoint, request: Request, new: Path) -> None:
    """Write maps, tables and figures into the folder `new`."""
    front_end, maps = loaded.recipe.front_end, results.mean_maps()
    frequencies_hz = np.arange(front_end.n_bins) * front_end.sample_rate_hz / front_end.fft_length
    with atomic(new / "couplings.npz") as temporary:
        np.savez(temporary, frequencies_hz=frequencies_hz, **maps)  # type: ignore[arg-type]
    summary = results.summary(request.bootstrap.seed, request.bootstrap.n_resamples)
    tables = {"measures": results.measures(), "summary": summary, "losses": results.losses(), "lags": results.lags()}
    for name, table in tables.items():
        with atomic(new / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.8g")
    name, n_groups = loaded.recipe.name, results.n_groups_text()
    about = f"{name}, mean over {n_groups}"
    nyquist_hz = front_end.sample_rate_hz / 2
    fitted = {title: maps[kind] for kind, title in TITLES.items() if kind not in JACOBIANS}
    draw_maps(fitted, nyquist_hz, f"{about}: |C| of the dense layers", new / "couplings")
    jacobians = {TITLES[kind]: maps[kind] for kind in JACOBIANS}
    draw_maps(jacobians, nyquist_hz, f"{about}: |J|, whole network", new / "jacobian")
    draw_losses(tables["losses"].replace({"kind": TITLES}), f"{name}: losses of the fits to {n_groups}", new / "losses")
    hop_s = front_end.hop_length / front_end.sample_rate_hz
    draw_profile(tables["lags"].replace({"kind": TITLES}), hop_s, f"{about}: the Jacobian's reach in time", new / "lags")


def _provenance(checkpoint: Path, loaded: Checkpoint, request: Request, results: Results) -> dict[str, Any]:
    """Everything needed to say where the numbers come from, as plain values."""
    n_frames = request.n_frames or DETERMINED * loaded.recipe.front_end.n_bins
    options = request.fit._asdict() | {"n_frames": n_frames, "jacobian_sequences": request.jacobian_sequences}
    return {
        "checkpoint": {"file": checkpoint.name, "sha256": sha256(checkpoint)},
        "layers": list(request.layers) or f"those of family {loaded.recipe.family}",
        "options": options | {"bootstrap": {"n_resamples": request.bootstrap.n_resamples, "seed": request.bootstrap.seed}},
        "groups": results.groups,
        "madsep_commit": git_commit(Path(__file__).parent),
        "versions": versions(),
        "hardware": hardware(),
        "settings": loaded.recipe.system_values(),
        "training": dict(loaded.provenance),
    }
