"""Prefetching: a thread prepares items before they are needed."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item], n_items: int = 1) -> Generator[Item, None, None]:
    """Yield `items`, of which a thread prepares up to `n_items` in advance.

    An exception of `items` is raised when the failed item would have been yielded. Close the generator to stop early. The thread then ends
    after its current item.
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
            yield item  # type: ignore[misc]  # without an error there is an item
    finally:
        left.set()
        thread.join()
