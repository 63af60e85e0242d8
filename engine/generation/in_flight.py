"""Many calls in flight at once, given up together."""

from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

from seal.engine.generation.contract import Told, untold

_LOOK_UP_S = 0.1
"""An interrupt is seen only so often: polars' signal handler does not wake a thread that waits for a lock."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_concurrently(
    call: Callable[[Item, Event], Result], items: Sequence[Item], most: int, told: Told = untold
) -> list[Result]:
    """Call with each item, at most `most` at once, and return the results in the items' order.

    The first error is raised at once, as an interrupt of the waiting thread is: the event is set and nobody
    is waited for. The threads are daemons, because one that reads from a silent server cannot be woken, and
    must not keep the program from ending.

    Args:
        call: told of an event that is set when the others need not go on.
        items: what to call with.
        most: threads.
        told: hears of each result that came.
    """
    given_up = Event()
    todo: SimpleQueue[tuple[int, Item]] = SimpleQueue()
    done: SimpleQueue[tuple[int, Result | None, BaseException | None]] = SimpleQueue()
    for numbered in enumerate(items):
        todo.put(numbered)

    def work() -> None:
        while not given_up.is_set():
            try:
                index, item = todo.get_nowait()
            except Empty:
                return
            try:
                done.put((index, call(item, given_up), None))
            except BaseException as error:  # noqa: BLE001  # whatever it is, the waiting thread raises it
                done.put((index, None, error))

    for _ in range(min(most, len(items))):
        Thread(target=work, name="in-flight", daemon=True).start()
    results: dict[int, Result] = {}
    try:
        while len(results) < len(items):
            try:
                index, result, error = done.get(timeout=_LOOK_UP_S)
            except Empty:
                continue
            if error is not None:
                raise error
            results[index] = result  # type: ignore[assignment]  # None only beside an error, or as a result
            told(1)
    finally:
        given_up.set()
    return [results[index] for index in range(len(items))]
