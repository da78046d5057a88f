"""Properties of a model family that can be used without loading its network."""

from typing import ClassVar, Generic, TypeVar

from madsep.core.errors import InputError
from madsep.core.settings import Settings
from madsep.systems.sizes import Sizes

NetworkSettings = TypeVar("NetworkSettings", bound=Settings)


class Family(Generic[NetworkSettings]):
    """Description of a family of networks. It contains no network, so that reading a recipe does not load PyTorch.

    To add a family, write two files and name them in two registries:

    1. `systems/families/<name>.py`: settings of the network and of its loss, and a subclass of this class that sets every attribute below.
       Override `check` if some sizes do not fit each other, and `method_of` if the description depends on the settings. Add an instance to
       `FAMILIES` in `systems/families/__init__.py`.
    2. `models/<name>.py`: a subclass of `madsep.models.network.Network` whose `family` is that class. Add it to `NETWORKS` in
       `models/__init__.py`.

    A recipe in `systems/recipes/` then names the family. Add a small case of it to tests/test_families.py.
    """

    name: ClassVar[str]
    """Value of `family` in recipes."""
    network_settings: type[NetworkSettings]
    loss_settings: ClassVar[type[Settings]]
    sources: ClassVar[tuple[str, ...]]
    """The sources that a recipe must train with, in this order."""
    recorded: ClassVar[tuple[str, ...]]
    """Terms of the loss that the training history records in addition to the loss."""
    followed: ClassVar[tuple[str, ...]] = ("loss",)
    """Recorded losses whose sum determines when the learning rate is reduced (`training.plateau`)."""
    method: ClassVar[str]
    """Text of description.md about the architecture."""
    cost: ClassVar[str]
    """Text of description.md about the objective."""
    masks: ClassVar[bool]
    """Estimates are masks times the mixture. Masks estimated from the mean of the channels can thus be applied to each channel."""
    takes_context: ClassVar[bool]
    """The network reads context frames that it does not estimate."""
    standardises: ClassVar[bool] = False
    """The network standardises its inputs with statistics of the training mixtures."""
    clips_parts: ClassVar[bool] = False
    """The gradients of the network's parts are clipped separately, each by its own norm."""
    has_stack: ClassVar[bool] = False
    """The network contains a stack of dense layers that see single frames."""

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of the objective and its terms in the training history."""
        return ("loss", *self.recorded)

    def method_of(self, network: NetworkSettings) -> str:
        """Return the text of description.md about the architecture with these settings."""
        return self.method

    def check(self, network: NetworkSettings, sizes: Sizes) -> None:
        """Raise InputError, naming the setting, if a network with these settings cannot have these sizes."""
        if sizes.n_context and not self.takes_context:
            raise InputError(
                f"segments.n_context is {sizes.n_context}; expected 0: family {self.name} estimates every frame of a sequence."
            )
        if sizes.n_sources != len(self.sources):
            wanted = f"{len(self.sources)} ({', '.join(self.sources)})"
            raise InputError(f"the recipe trains with {sizes.n_sources} sources; family {self.name} expects {wanted}.")
