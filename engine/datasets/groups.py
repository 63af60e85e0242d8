"""Which comparisons are of one prompt."""

from hashlib import blake2b

_TURN = "\n\n"
_OPENS = tuple(f"{_TURN}{speaker}:" for speaker in ("Human", "System", "Assistant"))
_GROUP_BYTES = 8


def group_of(prompt: str) -> int:
    """A number that equal prompts share, whatever file, order or format they come from.

    A prompt that is no transcript counts as its one Human turn, so that it is equal to the same prompt as a
    list of messages.

    Args:
        prompt: everything before the response, as TEXTS hold it.
    """
    turns = prompt if prompt.startswith(_OPENS) else f"{_OPENS[0]} {prompt}{_TURN}"
    return int.from_bytes(blake2b(turns.encode(), digest_size=_GROUP_BYTES).digest(), "big", signed=True)
