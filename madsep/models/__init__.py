"""The registry of model families, and networks rebuilt from reference vectors."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from madsep.core.errors import InputError
from madsep.core.settings import Settings
from madsep.models import cha, dae, dwf, gra, hel, highway, mad
from madsep.models.stack import Stack
from madsep.systems.sizes import Sizes

FOUR_STEMS = ("vocals", "drums", "bass", "other")


@dataclass(frozen=True)
class Family:
    """What the rest of the package needs of a network: settings of network and loss, the network, its loss, its estimates.

    sources are those that a recipe may train with. network(settings, sizes) maps mixture magnitudes (B, T, N) to a named tuple; its
    `sequences_independent` says whether each sequence's result depends on no other, and `clipped_alone`, where it has it, the parts whose
    gradients are clipped each by its own norm. terms(output, targets), for the sources' target magnitudes (B, S, T - 2L, N), gives a named
    tuple of means over the sequences, the first of which validation looks at; objective(network, terms, settings) gives `loss`, a named
    tuple of scalars that begins with `total`. estimate(network, mixture, separation) gives the magnitudes (B, E, T - 2L, N) of the voice
    alone or of all sources.
    stack(network, mixture) gives the dense layers that see single frames; None for families that have none.
    """

    network_settings: type[Settings]
    loss_settings: type[Settings]
    sources: tuple[tuple[str, ...], ...]
    network: Callable[..., Any]
    terms: Callable[..., Any]
    loss: type[Any]
    objective: Callable[..., Any]
    estimate: Callable[..., Tensor]
    stack: Callable[..., Stack] | None
    masks: bool  # the estimates are masks times the mixture, so that masks found for the mean of channels can be applied to each
    method: Callable[..., str]  # what description.md says of the architecture, from the network's settings
    cost: str  # and of the objective

    @property
    def losses(self) -> tuple[str, ...]:
        """Names under which a history records the objective and its terms."""
        return ("loss", *self.loss._fields[1:])


def _family(module: ModuleType, name: str, *sources: tuple[str, ...], masks: bool = True) -> Family:
    """The family of a module whose parts are called after `name`: NameSettings, Name, name_terms and so on."""
    lower = name.lower()
    return Family(
        network_settings=getattr(module, f"{name}Settings"),
        loss_settings=getattr(module, f"{name}LossSettings"),
        sources=sources,
        network=getattr(module, name),
        terms=getattr(module, f"{lower}_terms"),
        loss=getattr(module, f"{name}Loss"),
        objective=getattr(module, f"{lower}_objective"),
        estimate=getattr(module, f"{lower}_estimate"),
        stack=getattr(module, f"{lower}_stack", None),
        masks=masks,
        method=getattr(module, f"{lower}_method", lambda settings: module.METHOD),
        cost=module.COST,
    )


VOICE, VOICE_AND_BACKGROUND = ("vocals",), ("vocals", "background")

FAMILIES = {
    "mad": _family(mad, "Mad", VOICE),
    "dwf": _family(dwf, "Dwf", VOICE),
    "highway": _family(highway, "Highway", VOICE, masks=False),
    "gra": _family(gra, "Gra", VOICE_AND_BACKGROUND),
    "cha": _family(cha, "Cha", FOUR_STEMS),
    "hel": _family(hel, "Hel", FOUR_STEMS),
    "dae": _family(dae, "Dae", VOICE, masks=False),
}


def load_reference(path: Path | str) -> nn.Module:
    """Return the network of a file of reference vectors (.npz) of the authors' published code, ready to be called.

    The file holds weights as `w/<layer>/<tensor>` and the sizes N, F, L. A denoiser as wide as the spectrum marks the `nmr_eval`
    implementation (residual at the encoder's output, decoder input added to the decoder's state); a narrower one the ICASSP 2018
    implementation (encoder residual fed back into the recurrence). Raises InputError when the file is not of this kind.
    """
    try:
        with np.load(path, allow_pickle=False) as vectors:
            sizes = {key: int(vectors[key]) for key in ("N", "F", "L")}
            weights = {key[2:]: torch.from_numpy(vectors[key]) for key in vectors.files if key.startswith("w/")}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: is not a file of reference vectors ({error}).") from None
    n_hidden = len(weights["denoiser_enc/bias"])
    nmr_eval = n_hidden == sizes["N"]
    settings = mad.MadSettings(
        n_encoder_bins=sizes["F"],
        n_denoiser_hidden=n_hidden,
        encoder_residual="output" if nmr_eval else "recurrent",
        realign_backward=False,
        decoder_residual="enc_recurrent" if nmr_eval else "none",
        decoder_width=2,
        recurrent_inference=None,
    )
    network = mad.Mad(settings, Sizes(sizes["N"], n_frames=0, n_context=sizes["L"], n_sources=1))
    renamed = {key.replace("/", ".") + ("_l0" if key.endswith(("ih", "hh")) else ""): value for key, value in weights.items()}
    network.load_state_dict(renamed, strict=True)
    return network.to(weights["mask/weight"].dtype).eval()
