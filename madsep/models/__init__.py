"""The registry of model families, and networks rebuilt from reference vectors."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from madsep.errors import InputError
from madsep.models import mad
from madsep.settings import Settings


@dataclass(frozen=True)
class Family:
    """What the rest of the package needs of a network: settings of network and loss, the network, its loss, its estimate.

    network(settings, n_bins, n_context) maps mixture magnitudes (B, T, N) to a named tuple; its `sequences_independent` says whether
    each sequence's result depends on no other. terms(output, target) gives a named tuple of means over the sequences, and
    objective(network, terms, settings) a named tuple of scalars that begins with `total`. estimate names the output field with the
    voice's magnitude.
    """

    network_settings: type[Settings]
    loss_settings: type[Settings]
    network: Callable[..., Any]
    terms: Callable[..., Any]
    objective: Callable[..., Any]
    estimate: str
    method: str  # what description.md says of the architecture


FAMILIES = {
    "mad": Family(
        mad.MadSettings,
        mad.MadLossSettings,
        mad.Mad,
        mad.mad_terms,
        mad.mad_objective,
        "denoised",
        "Masker and Denoiser (MaD): a bidirectional GRU encoder and a GRU decoder predict a mask (ReLU) that filters the mixture's "
        "magnitude; a denoiser of two ReLU layers filters the result again.",
    ),
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
    network = mad.Mad(settings, sizes["N"], sizes["L"])
    renamed = {key.replace("/", ".") + ("_l0" if key.endswith(("ih", "hh")) else ""): value for key, value in weights.items()}
    network.load_state_dict(renamed, strict=True)
    return network.to(weights["mask/weight"].dtype).eval()
