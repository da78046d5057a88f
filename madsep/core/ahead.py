"""Work that is done ahead of who asks for it, by a thread."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item], n_items: int = 1) -> Generator[Item, None, None]:
    """Yield items that a thread makes up to `n_items` before they are asked for; what it raises is raised when its item would come.

    Close the generator to leave it early: the thread then ends after the item it is at.
    """
    made: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(n_items)
    left = threading.Event()

    def put(item: Item | None, error: BaseException | None = None) -> None:
        while not left.is_set():
            try:
                return made.put((item, error), timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put(item)
                if left.is_set():
                    return
            put(None, StopIteration())
        except BaseException as error:
            put(None, error)

    thread = threading.Thread(target=work, name="madsep-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]  # there is one wherever there is no error
    finally:
        left.set()
        thread.join()
