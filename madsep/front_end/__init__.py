"""From samples to magnitudes and back: windows, transforms, segments."""
