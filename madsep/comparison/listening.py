"""Links from a track of the comparison to the page where it can be heard."""

from collections.abc import Iterable
from pathlib import Path

from madsep.core.reading import is_there, read_text
from madsep.data.tracks import slug_of

PAGE = "../listen/index.html"  # relative to the comparison


def listening_links(folder: Path, tracks: Iterable[str], is_planned: bool) -> dict[str, str]:
    """Return the link of each track, by name, to the listening page next to `folder`.

    There is none to a track that is not on the page, and none at all if the page is neither there nor planned in the same run.
    """
    links = {track: f"{PAGE}#{slug_of(track)}" for track in tracks}
    if is_planned:
        return links
    path = folder.parent / "listen/index.html"
    page = read_text(path) if is_there(path) else ""
    return {track: link for track, link in links.items() if slug_of(track) in page}
