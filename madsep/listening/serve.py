"""Serve a listening page on this machine, for browsers that cannot open it from its folder."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from madsep.core.errors import InputError
from madsep.core.logs import log

ADDRESS = "127.0.0.1"  # reachable only from this machine


class Handler(SimpleHTTPRequestHandler):
    """Request handler that serves files and logs no requests."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def make_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of the files in `folder` that only this machine can reach. Port 0 means any free port.

    Raises InputError if there is no page in the folder, or if the port cannot be used.
    """
    if not (folder / "index.html").is_file():
        raise InputError(f"{folder}: holds no listening page (index.html); write one first.")
    try:
        return ThreadingHTTPServer((ADDRESS, port), partial(Handler, directory=str(folder)))
    except OSError as error:
        raise InputError(f"port {port}: cannot be used ({error.strerror}); choose another one with --port.") from None


def serve(folder: Path, port: int) -> None:
    """Serve the page in `folder` until interrupted. Raises InputError as `make_server` does."""
    with make_server(folder, port) as server:
        log.info("http://%s:%d/ shows the page; Ctrl-C ends it", ADDRESS, server.server_address[1])
        server.serve_forever()
