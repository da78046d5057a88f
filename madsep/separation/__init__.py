"""Estimates of the sources: by a trained network, a callable, a folder of wavs or an oracle."""
