"""What is asked of a rewriter, and how long and from which seed it may answer."""

from dataclasses import asdict, dataclass, field
from hashlib import blake2b, sha256
from math import inf
from typing import Any

from seal.engine.errors import UsageError
from seal.engine.generation.contract import TextGenerator
from seal.engine.rewriting.acceptance import Bounds
from seal.engine.rewriting.options import RETRIES, TEMPERATURE
from seal.engine.rewriting.prompts import MILD_REWRITING, REVISION

_ROOM = 64


@dataclass(frozen=True)
class Wording:
    """What is asked of a rewriter, and what is taken from it.

    Attributes:
        instruction: what opens every message.
        temperature: of the answers; the study's is 0.1.
        seed: of the answers.
        retries: how often a refused answer is asked for again; never at temperature 0, where another seed
            changes nothing.
        bounds: how far an accepted rewriting may go.

    Raises:
        UsageError: the instruction is empty, or a number out of its range.
    """

    instruction: str = MILD_REWRITING
    temperature: float = TEMPERATURE
    seed: int = 0
    retries: int = RETRIES
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if not self.instruction.strip():
            raise UsageError("the instruction is empty; it says how a dialogue is to be rewritten")
        if not (0 <= self.temperature < inf and self.retries >= 0 and self.seed >= 0):
            raise UsageError(
                f"temperature {self.temperature}, retries {self.retries}, seed {self.seed}: each is a number "
                "from 0"
            )

    @property
    def identity(self) -> dict[str, Any]:
        """What of it changes an answer, or whether it is taken."""
        digest = sha256(self.instruction.encode()).hexdigest()
        return asdict(self) | {
            "instruction": {"sha256": digest, "text": self.instruction}, "prompts": REVISION,
        }  # fmt: skip

    @property
    def rounds(self) -> int:
        """How often a refused answer is asked for again, where another seed can change it."""
        return self.retries if self.temperature > 0 else 0


def text_seed(seed: int, row_id: int, preference: str, variant: str = "") -> int:
    """The seed of one text's answer, below 2^30: from its key alone, whatever stands beside it."""
    key = f"{seed}:{row_id}:{preference}" + (f":{variant}" if variant else "")
    digest = blake2b(key.encode(), digest_size=4).digest()
    return int.from_bytes(digest) >> 2


def longest_answer(transcript: str, message: str, generator: TextGenerator, times: float = 2) -> int:
    """Tokens that an answer may have: `times` the transcript's and some, so that what is cut went astray.

    Less where the model's context leaves less room, but for a transcript's own length. Where tokens cannot be
    counted, four bytes of UTF-8 are taken for one.
    """
    n_tokens = generator.count_tokens(transcript)
    if n_tokens is None:
        return int(times * len(transcript.encode())) // 4 + _ROOM
    wanted = int(times * n_tokens) + _ROOM
    left = (generator.context or 1 << 62) - (generator.count_tokens(message) or 0)
    return min(wanted, left) if left > n_tokens else wanted
