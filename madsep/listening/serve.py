"""Serve a listening page on this machine, for browsers that cannot open it from its folder."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from madsep.core.errors import InputError
from madsep.core.logs import log

ADDRESS = "127.0.0.1"  # reachable from this machine alone


class Handler(SimpleHTTPRequestHandler):
    """Serves files and logs none of the requests."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def make_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of the files in `folder`, on this machine alone; port 0 takes any that is free.

    Raises InputError if there is no page in the folder, or the port is taken.
    """
    if not (folder / "index.html").is_file():
        raise InputError(f"{folder}: holds no listening page (index.html); write one first.")
    try:
        return ThreadingHTTPServer((ADDRESS, port), partial(Handler, directory=str(folder)))
    except OSError as error:
        raise InputError(f"port {port}: cannot be used ({error.strerror}); give another by --port.") from None


def serve(folder: Path, port: int) -> None:
    """Serve the page in `folder` until it is interrupted; raises InputError as `make_server` does."""
    with make_server(folder, port) as server:
        log.info("http://%s:%d/ shows the page; Ctrl-C ends it", ADDRESS, server.server_address[1])
        server.serve_forever()
