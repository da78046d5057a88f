"""Estimates of the sources, from a trained network, a callable, a folder of wavs or an oracle."""
