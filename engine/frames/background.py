"""Reading ahead and writing behind: one item each, on a thread of their own."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self, TypeVar

T = TypeVar("T")


def prefetch(items: Iterable[T]) -> Iterator[T]:
    """Yield items in order while the next one is already being made on another thread."""
    iterator = iter(items)
    end = object()
    with ThreadPoolExecutor(1) as maker:
        coming: Future[Any] = maker.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = maker.submit(next, iterator, end)
            yield item


class BackgroundWriter:
    """Runs calls in order on another thread, at most one waiting; an error of one is raised by the next.

    Use it in a `with` statement: leaving it waits for the last call.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._last: Future[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()
        if kind is None:
            self._wait()

    def submit(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Start a call once the one before it has ended."""
        self._wait()
        self._last = self._thread.submit(call, *arguments)

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()
            self._last = None
