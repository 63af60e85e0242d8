"""Standard streams that are closed, full or gone: the work goes on, and what is lost is told."""

import io
import os
import sys
from typing import Any


class _Printed(io.FileIO):
    """stdout: what cannot be printed is an error that says what is kept, once."""

    lost = False

    def write(self, data: Any) -> int:
        if self.lost:
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            self.lost = True
            if isinstance(error, BrokenPipeError):
                raise
            kept = "what was written to files is kept"
            raise OSError(error.errno, f"cannot print: {error.strerror}; {kept}") from None


class _Told(io.FileIO):
    """stderr: nobody can be told that nobody can be told."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def hold_streams() -> None:
    """Put /dev/null where a stream is closed, lest a file get its number, and let a full one do no harm."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    sys.stdout = _text(_Printed(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Told(2, "w", closefd=False), sys.stderr)


def _text(raw: io.FileIO, before: Any) -> io.TextIOWrapper:
    encoding, errors = getattr(before, "encoding", "utf-8"), getattr(before, "errors", "backslashreplace")
    by_line = getattr(before, "line_buffering", True)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=by_line)


def end_streams(code: int) -> int:
    """Flush what was printed.

    Args:
        code: the exit code so far.

    Returns:
        The exit code: 1 where something printed was lost.
    """
    try:
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return code or 1
    except OSError as error:
        print(f"seal: {error.strerror}", file=sys.stderr)
        return code or 1
    finally:
        sys.stderr.flush()
