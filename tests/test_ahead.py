"""Items made ahead by a thread."""

import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from madsep.core.ahead import ahead

NAME = "madsep-ahead"


def at_work() -> bool:
    return any(thread.name == NAME for thread in threading.enumerate())


def test_items_come_in_their_order_and_the_thread_ends() -> None:
    assert list(ahead(iter(range(100)), 3)) == list(range(100))
    assert list(ahead([])) == []
    assert not at_work()


def test_none_is_an_item() -> None:
    assert list(ahead([None, 1, None])) == [None, 1, None]


def test_as_many_items_as_asked_for_are_made_before_they_are_taken() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for item in range(10):
            made.append(item)
            yield item

    taken = ahead(items(), 2)
    assert next(taken) == 0
    deadline = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert made == [0, 1, 2, 3]  # the one taken, two that wait and the one that has no place yet
    assert list(taken) == list(range(1, 10))


def test_an_error_comes_where_its_item_would_have_come() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    taken = ahead(items())
    assert next(taken) == 1
    with pytest.raises(OSError, match="gone"):
        next(taken)
    assert not at_work()


def test_an_endless_source_can_be_left() -> None:
    taken = ahead(itertools.count(), 2)
    assert next(taken) == 0
    taken.close()
    assert not at_work()
