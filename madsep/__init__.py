"""madsep: one command from MUSDB18 to a validated SiSEC submission."""

__version__ = "0.2.0"
