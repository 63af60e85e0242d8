"""Reading ahead and writing behind: order, one at a time, errors."""

# ruff: noqa: PT012 - leaving the block is what raises

import threading
import time

import pytest

from seal.engine.frames.background import BackgroundWriter, prefetch


def test_items_come_in_order_and_one_ahead():
    made = []

    def source():
        for i in range(5):
            made.append(i)
            yield i

    seen = []
    for item in prefetch(source()):
        time.sleep(0.01)
        seen.append((item, len(made)))
    assert [i for i, _ in seen] == list(range(5))
    assert all(n <= i + 2 for i, n in seen)
    assert seen[0][1] == 2


def test_nothing_to_yield():
    assert list(prefetch([])) == []
    assert list(prefetch([None, None])) == [None, None]


def test_an_error_while_making_is_raised_after_the_items_before_it():
    def source():
        yield 1
        yield 2
        raise KeyError("made it so far")

    seen = []
    with pytest.raises(KeyError, match="made it so far"):
        for item in prefetch(source()):
            seen.append(item)
    assert seen == [1, 2]


def test_items_are_made_on_another_thread_while_the_caller_works():
    threads = []

    def source():
        for _ in range(3):
            threads.append(threading.get_ident())
            yield

    list(prefetch(source()))
    assert set(threads) == {threads[0]}
    assert threads[0] != threading.get_ident()


def test_leaving_early_leaves_no_thread_behind():
    before = threading.active_count()
    for _ in prefetch(iter(range(10))):
        break
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_calls_run_in_order_one_at_a_time_and_are_done_when_left():
    done, running = [], []

    def call(i):
        running.append(i)
        assert len(running) == 1
        time.sleep(0.005)
        running.remove(i)
        done.append(i)

    with BackgroundWriter() as writer:
        for i in range(6):
            writer.submit(call, i)
    assert done == list(range(6))


def fail():
    raise ValueError("could not write")


def test_an_error_of_one_call_is_raised_by_the_next_which_does_not_run():
    done = []
    with pytest.raises(ValueError, match="could not write"), BackgroundWriter() as writer:
        writer.submit(fail)
        time.sleep(0.02)
        writer.submit(done.append, 1)
    assert done == []


def test_an_error_of_the_last_call_is_raised_on_leaving():
    with pytest.raises(ValueError, match="could not write"), BackgroundWriter() as writer:
        writer.submit(fail)


def test_an_error_in_the_block_is_the_one_that_is_raised_and_the_call_ends_first():
    done = []
    with pytest.raises(KeyError, match="first"), BackgroundWriter() as writer:
        writer.submit(lambda: (time.sleep(0.02), done.append(1)))
        raise KeyError("first")
    assert done == [1]
