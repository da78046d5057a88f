"""Load the Masker-and-Denoiser with the weights of reference vectors, to check the network against the authors' code."""

from pathlib import Path

import numpy as np
import torch

from madsep.core.errors import InputError
from madsep.models.mad import Mad
from madsep.systems.families.mad import MadSettings
from madsep.systems.sizes import Sizes


def load_reference(path: Path | str) -> Mad:
    """Return the network for a file of reference vectors (.npz) from the authors' published code.

    The file holds weights as `w/<layer>/<tensor>` and the sizes N, F, L. A denoiser as wide as the spectrum marks the `nmr_eval`
    implementation (residual at the encoder's output, decoder input added to the decoder's state). A narrower one marks the ICASSP 2018
    implementation (encoder residual fed back into the recurrence). Raises InputError if the file is not of this kind.
    """
    try:
        with np.load(path, allow_pickle=False) as vectors:
            sizes = {key: int(vectors[key]) for key in ("N", "F", "L")}
            weights = {key[2:]: torch.from_numpy(vectors[key]) for key in vectors.files if key.startswith("w/")}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: is not a file of reference vectors ({error}).") from None
    n_hidden = len(weights["denoiser_enc/bias"])
    nmr_eval = n_hidden == sizes["N"]
    settings = MadSettings(
        n_encoder_bins=sizes["F"],
        n_denoiser_hidden=n_hidden,
        encoder_residual="output" if nmr_eval else "recurrent",
        realign_backward=False,
        decoder_residual="enc_recurrent" if nmr_eval else "none",
        decoder_width=2,
        recurrent_inference=None,
    )
    network = Mad(settings, Sizes(sizes["N"], n_frames=0, n_context=sizes["L"], n_sources=1))
    renamed = {key.replace("/", ".") + ("_l0" if key.endswith(("ih", "hh")) else ""): value for key, value in weights.items()}
    network.load_state_dict(renamed, strict=True)
    return network.to(weights["mask/weight"].dtype).eval()
