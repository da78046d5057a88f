"""Conversion of samples to magnitudes and back: windows, transforms, segments."""
