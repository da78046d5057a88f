"""What a user may choose of the files of a song, apart from what writes them, so that the command line starts quickly."""

from typing import Literal

Format = Literal["wav", "flac", "mp3"]
Subtype = Literal["PCM_16", "PCM_24", "FLOAT"]
Layout = Literal["mdx", "musdb", "mvsep"]
