"""What a stage tells the `seal run` that started it: JSON lines on a pipe of their own.

`SEAL_PROGRESS` names the pipe's descriptor; stdout and stderr stay free for whatever a library prints.
Standard input is the other way round: nothing is ever written to it, and its end says that the run is gone.
"""

import json
import os
import signal
import threading
from contextlib import suppress
from typing import Any

VARIABLE = "SEAL_PROGRESS"


def is_stage() -> bool:
    """Whether this process is a stage of a run."""
    return VARIABLE in os.environ


def tell(**event: Any) -> None:
    """Send one event to the run; does nothing where there is none.

    Args:
        event: plain JSON values: `progress` (a `Progress` as a mapping), `warning`, or `error`, `kind` and
            `code`.
    """
    if is_stage():
        with suppress(OSError, ValueError):  # the run is gone, and so is this process soon
            os.write(int(os.environ[VARIABLE]), json.dumps(event).encode() + b"\n")


def end_with_the_run() -> None:
    """Let this process, and whatever it starts, not outlive the run (killed, say): two would write then."""
    if is_stage():
        os.set_inheritable(int(os.environ[VARIABLE]), False)
        threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    while os.read(0, 1):  # not sys.stdin: its lock would be held when the interpreter ends
        pass
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
