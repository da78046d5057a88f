"""Links from the tracks of a comparison to the listening page."""

from collections.abc import Iterable
from pathlib import Path

from madsep.core.reading import is_there, read_text
from madsep.data.tracks import slug_of

PAGE = "../listen/index.html"  # relative to the comparison


def listening_links(folder: Path, tracks: Iterable[str], is_planned: bool) -> dict[str, str]:
    """Return the links to the listening page next to `folder`, by name of the track.

    If the same run is to write the page (`is_planned`), every track has a link. Otherwise only tracks on the existing page have one.
    """
    links = {track: f"{PAGE}#{slug_of(track)}" for track in tracks}
    if is_planned:
        return links
    path = folder.parent / "listen/index.html"
    page = read_text(path) if is_there(path) else ""
    return {track: link for track, link in links.items() if slug_of(track) in page}
