"""A synthetic MUSDB18-HQ for trying and testing the whole benchmark without the real data."""

from madsep.synth.dataset import make_dataset

__all__ = ["make_dataset"]
