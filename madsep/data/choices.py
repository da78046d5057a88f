"""Choices for the output files of songs. They are separate from the writers so that the command line starts quickly."""

from typing import Literal

Format = Literal["wav", "flac", "mp3"]
Subtype = Literal["PCM_16", "PCM_24", "FLOAT"]
Layout = Literal["mdx", "musdb", "mvsep"]
