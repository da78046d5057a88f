"""What a recipe may say, as closed, frozen, typed settings; an unknown key is an error that names the nearest right one.

A setting has no default in code unless leaving it out is meaningful: recipes say everything, so that a result can be read from its recipe.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from madsep.core.errors import InputError, nearest

# No system comes near these. They keep a damaged or hostile checkpoint from asking for days of work or more memory than there is.
MAX_COUNT = 1_000_000
MAX_LENGTH = 1 << 16  # samples of a window or a hop, frames of a sequence, sequences of a batch
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


class Settings(BaseModel):
    """Base of all settings: frozen, closed, strict about ranges."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> Self:
        """Check `values` and return them as settings; raises InputError that names `where`, the key and what was expected."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InputError("\n".join(f"{where}: {fault_line(cls, fault)}" for fault in error.errors()[:5])) from None


class FrontEnd(Settings):
    """Short-time Fourier transform: a scaled window, zero-padded to fft_length."""

    sample_rate_hz: Count = Field(description="Hz; audio at another rate is resampled there and back")
    window: Literal["hamming", "hann", "bartlett", "blackman_harris"]
    periodic: bool = Field(description="false: symmetric; true: the first window_length of window_length + 1 samples of a symmetric one")
    scale: Literal["sqrt_fft_length", "window_sum", "one"] = Field(description="what the window is divided by")
    gain: Annotated[float, Field(gt=0)] = Field(description="what the window is then multiplied with")
    window_length: Length = Field(description="samples")
    fft_length: Length = Field(description="samples")
    hop_length: Length = Field(description="samples")

    @property
    def n_bins(self) -> int:
        """Number of non-negative frequencies."""
        return self.fft_length // 2 + 1


class Segments(Settings):
    """Sequences that the network sees: n_frames in, n_frames - 2 n_context out."""

    n_frames: Length = Field(description="frames in a sequence (T)")
    n_context: Annotated[int, Field(ge=0, le=MAX_LENGTH)] = Field(description="frames of context on either side, not estimated (L)")
    overlap: Annotated[int, Field(ge=0, le=MAX_LENGTH)] = Field(
        description="estimated frames shared by neighbouring sequences, cross-faded at test"
    )

    @property
    def n_estimated(self) -> int:
        """Frames that one sequence estimates."""
        return self.n_frames - 2 * self.n_context

    @property
    def step(self) -> int:
        """Frames between the beginnings of neighbouring sequences."""
        return self.n_estimated - self.overlap


class Target(Settings):
    """What the network is trained to give of each source, from the magnitudes of mixture X, source V and the rest of the mixture B."""

    definition: Literal["irm_background", "irm_mixture_x2", "magnitude"] = Field(description="X V / (V + B), 2 X V / (V + X), or V")
    clip: Weight | None = Field(description="upper bound of the target magnitude; null: none")
    input_clip: Weight | None = Field(description="upper bound of the mixture magnitude, in training only; null: none")


class Plateau(Settings):
    """Multiply the learning rate by `factor` when the training loss has not fallen for `patience` epochs; family mad: without penalties."""

    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: Annotated[int, Field(ge=0)] = Field(description="epochs")
    first_epoch: Annotated[int, Field(ge=0)] = Field(description="earlier epochs are not considered")


class Augmentation(Settings):
    """Mixtures that each epoch makes from voices and accompaniments (Huang et al., IEEE/ACM TASLP 23(12), 2015, for the shifts)."""

    circular_shift: bool = Field(description="shift the accompaniment against the voice by a random amount, around the track's end")
    other_accompaniments: bool = Field(description="take the accompaniment of a track drawn at random instead of the voice's own")
    gain_db: Weight = Field(description="dB; the accompaniment's gain is drawn between minus and plus this")
    speed: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="voice and accompaniment are each played at a speed drawn between 1 - this and 1 + this, which moves their pitch too"
    )


class Training(Settings):
    """Optimisation, and the tracks that it sees."""

    optimiser: Literal["adam", "adadelta"] = Field(description="Kingma and Ba, ICLR 2015; or Zeiler, arXiv:1212.5701")
    n_epochs: Count
    batch_size: Length = Field(description="sequences")
    learning_rate: Annotated[float, Field(gt=0)]
    final_learning_rate: Annotated[float, Field(gt=0)] | None = Field(
        description="of the last epoch, reached along half a cosine (Loshchilov and Hutter, ICLR 2017); null: constant"
    )
    gradient_norm_clip: Annotated[float, Field(gt=0)] | None = Field(
        description="L2 norm over all parameters jointly, or over each part that its family clips separately; null: no clip"
    )
    edge_frames_dropped: Annotated[int, Field(ge=0)] = Field(description="frames left out at either end of a track")
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
        description="seconds; train on those first sequences of each such block of a track that DeepConvSep's code counts; null: on all",
    )


class Separation(Settings):
    """From a checkpoint to audio; nothing here needs training again."""

    framing: Literal["full", "legacy"] = Field(
        description="full: every frame; legacy: no padding in front, whole batches only, as the published code"
    )
    channels: Literal["each", "mean"] = Field(
        description="each: every channel by itself; mean: the masks found for the channels' mean, applied to all"
    )
    griffin_lim_iterations: Iterations = Field(description="0: phase of the mixture")
    latent_threshold: Weight = Field(description="entries of H_dec with |h| <= threshold become 0")
    batch_size: BatchSize = Field(
        description="segments of each channel at a time; bounds the memory; auto: as many as are fastest on the device"
    )
    precision: Precision = Field(description="arithmetic of the network's matrix products")


class Description(Settings):
    """What description.md says in addition to the method, whose text is generated from the settings."""

    title: str
    note: str | None = Field(default=None, description="sentences after the title, such as on data that the original had")
    original_authors: str
    is_blind: bool
    additional_training_data: bool
    code: str
    demos: str
    references: tuple[str, ...]


def fault_line(cls: type[BaseModel], fault: Any) -> str:
    """Return in words one of the faults that Pydantic finds in the values of settings."""
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
    """Return the keys that a settings class, or one nested in it, knows."""
    for name in folder:
        annotation = cls.model_fields[name].annotation if name in cls.model_fields else None
        options = [annotation, *getattr(annotation, "__args__", ())]
        cls = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), cls)
    return list(cls.model_fields)
