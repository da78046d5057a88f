"""madsep: one command from MUSDB18 to a validated SiSEC submission.

The functions of `madsep.api` are attributes of this package and are imported when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from madsep.api import Scores, Separator, compare, load, oracles, read_scores, score

__version__ = "0.3.0"
__all__ = ["Scores", "Separator", "__version__", "compare", "load", "oracles", "read_scores", "score"]


def __getattr__(name: str) -> Any:
    """Import what `__all__` names."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import madsep.api

    return getattr(madsep.api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
