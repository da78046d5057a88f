"""The settings of recipes: typed and immutable. An unknown key is an error that suggests the nearest known key.

A setting has no default in code unless leaving it out has a meaning. Recipes state everything, so that a recipe fully describes its result.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from madsep.core.errors import InputError, nearest

# Far above what any system uses. These limits stop a damaged or hostile checkpoint from using days of work or all memory.
MAX_COUNT = 1_000_000
MAX_LENGTH = 1 << 16  # samples per window or hop, frames per sequence, sequences per batch
MAX_LAYERS = 100
MAX_ITERATIONS = 1000


def _batch_size(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_LENGTH):
        return value
    raise ValueError(f"expected auto or a number from 1 to {MAX_LENGTH}")


Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Length = Annotated[int, Field(ge=1, le=MAX_LENGTH)]
Layers = Annotated[int, Field(ge=1, le=MAX_LAYERS)]
Iterations = Annotated[int, Field(ge=0, le=MAX_ITERATIONS)]
Weight = Annotated[float, Field(ge=0)]
BatchSize = Annotated[int | Literal["auto"], PlainValidator(_batch_size)]
Precision = Literal["fp32", "tf32", "bf16"]

MAX_FAULTS = 3  # told at once


class Settings(BaseModel):
    """Base of all settings: immutable, without unknown keys, and with checked ranges."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> Self:
        """Check `values` and return them as settings. Raises InputError naming `where`, the key and the expected value."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InputError("\n".join(f"{where}: {line}" for line in _fault_lines(cls, error.errors())[:MAX_FAULTS])) from None


class FrontEnd(Settings):
    """Short-time Fourier transform: a scaled window, zero-padded to fft_length."""

    sample_rate_hz: Count = Field(description="Hz; audio at another rate is converted to this rate and back")
    window: Literal["hamming", "hann", "bartlett", "blackman_harris"]
    periodic: bool = Field(description="false: symmetric; true: the first window_length of window_length + 1 samples of a symmetric one")
    scale: Literal["sqrt_fft_length", "window_sum", "one"] = Field(description="divisor of the window")
    gain: Annotated[float, Field(gt=0)] = Field(description="factor applied after the division")
    window_length: Length = Field(description="samples")
    fft_length: Length = Field(description="samples")
    hop_length: Length = Field(description="samples")

    @property
    def n_bins(self) -> int:
        """Number of non-negative frequencies."""
        return self.fft_length // 2 + 1


class Segments(Settings):
    """Sequences that the network sees: n_frames input frames, n_frames - 2 n_context output frames."""

    n_frames: Length = Field(description="frames in a sequence (T)")
    n_context: Annotated[int, Field(ge=0, le=MAX_LENGTH)] = Field(description="frames of context on either side, not estimated (L)")
    overlap: Annotated[int, Field(ge=0, le=MAX_LENGTH)] = Field(
        description="estimated frames shared by neighbouring sequences, cross-faded in separation"
    )

    @property
    def n_estimated(self) -> int:
        """Number of frames that one sequence estimates."""
        return self.n_frames - 2 * self.n_context

    @property
    def step(self) -> int:
        """Frames between the starts of neighbouring sequences."""
        return self.n_estimated - self.overlap


class Target(Settings):
    """Training target per source, computed from the magnitudes of the mixture X, the source V and the rest of the mixture B."""

    definition: Literal["irm_background", "irm_mixture_x2", "magnitude"] = Field(description="X V / (V + B), 2 X V / (V + X), or V")
    clip: Weight | None = Field(description="upper bound of the target magnitude; null: none")
    input_clip: Weight | None = Field(description="upper bound of the mixture magnitude, in training only; null: none")


class Plateau(Settings):
    """Multiply the learning rate by `factor` when the training loss has not fallen for `patience` epochs. Family mad excludes penalties."""

    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: Annotated[int, Field(ge=0)] = Field(description="epochs")
    first_epoch: Annotated[int, Field(ge=0)] = Field(description="earlier epochs are not considered")


class Augmentation(Settings):
    """New mixtures that each epoch makes from voices and accompaniments. The shifts follow Huang et al., IEEE/ACM TASLP 23(12), 2015."""

    circular_shift: bool = Field(description="shift the accompaniment against the voice by a random amount, circularly")
    other_accompaniments: bool = Field(description="replace the voice's own accompaniment by that of a random track")
    gain_db: Weight = Field(description="dB; the accompaniment's gain is drawn between minus and plus this")
    speed: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="voice and accompaniment are each played at a speed drawn between 1 - this and 1 + this, which also shifts their pitch"
    )


class Training(Settings):
    """Settings of the optimisation and of the training tracks."""

    optimiser: Literal["adam", "adadelta"] = Field(description="Kingma and Ba, ICLR 2015; or Zeiler, arXiv:1212.5701")
    n_epochs: Count
    batch_size: Length = Field(description="sequences")
    learning_rate: Annotated[float, Field(gt=0)]
    final_learning_rate: Annotated[float, Field(gt=0)] | None = Field(
        description="learning rate of the last epoch, reached along half a cosine (Loshchilov and Hutter, ICLR 2017); null: constant"
    )
    gradient_norm_clip: Annotated[float, Field(gt=0)] | None = Field(
        description="limit of the L2 norm over all parameters, or over each part that the family clips separately; null: no clipping"
    )
    edge_frames_dropped: Annotated[int, Field(ge=0)] = Field(description="frames left out at each end of a track")
    plateau: Plateau | None = Field(description="null: constant learning rate")
    validation: bool = Field(description="hold out the validation tracks; false: train on all tracks")
    selection: Literal["last", "best"] = Field(description="epoch kept: the last, or the best on the validation tracks")
    precision: Precision = Field(description="arithmetic of the network's matrix products; sums, states, losses and weights stay fp32")
    augmentation: Augmentation | None = Field(description="null: mixtures as they are")
    extra_tracks: bool = Field(description="train on the tracks of the config's extra_root, too")
    seed: int
    block_s: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        exclude_if=lambda seconds: seconds is None,  # weights trained before this key existed keep their identity
        description="seconds; in each block of this length, train only on the sequences that DeepConvSep's code counts; null: on all",
    )


class Separation(Settings):
    """Settings of separation. Changing them does not require retraining."""

    framing: Literal["full", "legacy"] = Field(
        description="full: every frame; legacy: no padding at the start, whole batches only, as in the published code"
    )
    channels: Literal["each", "mean"] = Field(
        description="each: every channel by itself; mean: masks estimated from the mean of the channels, applied to all"
    )
    griffin_lim_iterations: Iterations = Field(description="0: phase of the mixture")
    latent_threshold: Weight = Field(description="entries of H_dec with |h| <= threshold become 0")
    batch_size: BatchSize = Field(
        description="segments of a channel processed at a time, which limits memory; auto: the fastest number on the device"
    )
    precision: Precision = Field(description="arithmetic of the network's matrix products")


class Description(Settings):
    """Additional content of description.md. The text about the method is generated from the settings."""

    title: str
    note: str | None = Field(default=None, description="sentences after the title, for example about the original's data")
    original_authors: str
    is_blind: bool
    additional_training_data: bool
    code: str
    demos: str
    references: tuple[str, ...]


def _fault_lines(cls: type[BaseModel], faults: list[Any]) -> list[str]:
    """Return a line per fault, and one line for all missing keys."""
    missing = [".".join(str(part) for part in fault["loc"]) for fault in faults if fault["type"] == "missing"]
    lines = [fault_line(cls, fault) for fault in faults if fault["type"] != "missing"]
    if len(missing) > 1:
        more = f" and {len(missing) - MAX_FAULTS} more" if len(missing) > MAX_FAULTS else ""
        return [f"keys {', '.join(map(repr, missing[:MAX_FAULTS]))}{more} are missing", *lines]
    return [f"key '{missing[0]}' is missing", *lines] if missing else lines


def fault_line(cls: type[BaseModel], fault: Any) -> str:
    """Return a fault that Pydantic found in settings as a message."""
    *folder, key = fault["loc"] or ("",)
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] in ("extra_forbidden", "invalid_key"):
        known = known_keys(cls, folder)
        return f"unknown key '{path}'{nearest(str(key), known)} (known: {', '.join(known)})"
    if fault["type"] == "missing":
        return f"key '{path}' is missing"
    message = fault["msg"].removeprefix("Value error, ")
    return f"'{path}' is {fault['input']!r}: {message[0].lower() + message[1:]}"


def known_keys(cls: type[BaseModel], folder: list[Any]) -> list[str]:
    """Return the keys of a settings class, or of the one nested in it at `folder`."""
    for name in folder:
        annotation = cls.model_fields[name].annotation if name in cls.model_fields else None
        options = [annotation, *getattr(annotation, "__args__", ())]
        cls = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), cls)
    return list(cls.model_fields)
