"""Texts -> the same texts in other words: what `seal rewrite` does.

    windows of whole pairs -> messages -> answers, checked -> whole pairs -> a part -> Sink

A rewriting is accepted or it is none (`acceptance.py`); nothing is repaired. One that is refused is asked
for again with another seed. Where one text of a pair stays refused, the other becomes a failure too
(`other_side_refused`): only whole pairs flow on, and rows in = rows out + failures.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from hashlib import blake2b, sha256
from math import inf
from pathlib import Path
from typing import Any, Self

import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.folder import content_hash
from seal.engine.frames.manifest import Manifest
from seal.engine.frames.reader import TEXT_COLUMNS, count_texts, keep_apart
from seal.engine.frames.sampling import Sample
from seal.engine.frames.schema import ORIGINAL, REWRITTEN, TEXT_KEY, TEXTS, VARIANT, scan
from seal.engine.frames.sink import Sink
from seal.engine.frames.stage import (
    FAILED,
    Part,
    Remaining,
    Stage,
    counts_by_code,
    run_stage,
    usable,
)
from seal.engine.generation.asking import Asker, AskingReport, Failed, InvalidAnswerError, Spent
from seal.engine.generation.contract import Answer, Overheard, Request, TextGenerator
from seal.engine.generation.loading import named_model, open_generator, served_name
from seal.engine.generation.options import GeneratorOptions
from seal.engine.progress import Listener, Meter, listener
from seal.engine.rewriting.acceptance import Bounds, refusal
from seal.engine.rewriting.options import PART_PAIRS, RETRIES, TEMPERATURE, RewriteOptions
from seal.engine.rewriting.prompts import MILD_REWRITING, REVISION, rewriting_message
from seal.engine.rewriting.turns import Transcript

STAGE = "rewrite"
TEXTS_AT_ONCE = 256
_ROOM = 64
_ERROR = "error_"


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


class Rewriter:
    """Asks a decoder for every text in other words.

    Args:
        name: what the manifest calls it.
        generator: the decoder.
        wording: what is asked.
    """

    def __init__(self, name: str, generator: TextGenerator, wording: Wording | None = None) -> None:
        self.name, self.wording = name, wording or Wording()
        self._generator = generator

    @property
    def identity(self) -> Mapping[str, Any]:
        """What changes its answers: the model and the wording."""
        return {**self.wording.identity, **self._generator.identity}

    def rewrite(self, texts: pl.DataFrame, meter: Meter) -> list[tuple[str, str] | Failed]:
        """The new prompt and response of each text, or why there is none.

        Args:
            texts: key, prompt and response, none of them null.
            meter: told of texts as they are done, and of tokens.
        """
        outcomes: list[tuple[str, str] | Failed] = []
        for some in texts.iter_slices(TEXTS_AT_ONCE):
            sources = [Transcript.of(p, r) for p, r in some.select(TEXT_COLUMNS).iter_rows()]
            keys = some.select("row_id", "preference").iter_rows()
            requests = [self._request(s, *key) for s, key in zip(sources, keys, strict=True)]
            spent = Spent()
            generator = Overheard(self._generator, meter.answered)
            asker: Asker[tuple[str, str]] = Asker(generator, self._retries, spent)
            outcomes += asker.ask(requests, partial(self._accepted, sources))
            n_tokens = spent.n_prompt_tokens + spent.n_generated_tokens
            meter.count(**asdict(spent))
            meter.batch(some.height, n_tokens, n_tokens)
        return outcomes

    @property
    def _retries(self) -> int:
        return self.wording.retries if self.wording.temperature > 0 else 0

    def _request(self, source: Transcript, row_id: int, preference: str) -> Request:
        message = rewriting_message(self.wording.instruction, source.transcript)
        return Request(
            message,
            max_tokens=longest_answer(source.transcript, message, self._generator),
            temperature=self.wording.temperature,
            seed=text_seed(self.wording.seed, row_id, preference),
        )

    def _accepted(self, sources: Sequence[Transcript], index: int, answer: Answer) -> tuple[str, str]:
        refused = refusal(sources[index], answer.text, self.wording.bounds)
        if refused is not None:
            raise InvalidAnswerError(refused.reason, refused.code)
        return sources[index].cut(answer.text)


def text_seed(seed: int, row_id: int, preference: str) -> int:
    """The seed of one text's answer, below 2^30: from its key alone, whatever stands beside it."""
    digest = blake2b(f"{seed}:{row_id}:{preference}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) >> 2


def longest_answer(transcript: str, message: str, generator: TextGenerator) -> int:
    """Tokens that an answer may have: twice the transcript's and some, so that what is cut went astray.

    Less where the model's context leaves less room, but for a transcript's own length. Where tokens cannot be
    counted, four bytes of UTF-8 are taken for one.
    """
    n_tokens = generator.count_tokens(transcript)
    if n_tokens is None:
        return len(transcript.encode()) // 2 + _ROOM
    wanted = 2 * n_tokens + _ROOM
    left = (generator.context or 1 << 62) - (generator.count_tokens(message) or 0)
    return min(wanted, left) if left > n_tokens else wanted


@dataclass(frozen=True)
class RewriteReport(AskingReport):
    """What a run did, earlier starts of it included: rows are texts rewritten.

    Attributes:
        errors: failures by code, the most frequent first.
    """

    errors: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, sink: Sink) -> Self:
        """What a sink's log says."""
        return replace(super().of(sink), errors=counts_by_code(sink, _ERROR))


def rewrite(
    texts: str | Path,
    rewriter: str | Path | Rewriter,
    out: str | Path,
    options: RewriteOptions | None = None,
    generator: GeneratorOptions | None = None,
    *,
    overwrite: bool = False,
    listen: Listener | None = None,
) -> RewriteReport:
    """Rewrite texts into a TEXTS folder of variant `rewritten`; go on where an earlier run was killed.

    Args:
        texts: a TEXTS Parquet file or folder of originals.
        rewriter: `[NAME=]DIR` of an open-weight model, `[NAME=]URL` of a server, or a `Rewriter`.
        out: the folder to write; `source` and `meta_` columns are carried through.
        options: which texts, and how the rewriter is asked; by default 1% of the pairs, as in the study.
        generator: what runs the model.
        overwrite: start afresh in a folder that another run wrote.
        listen: told of the progress; by default a bar in a notebook, else nothing.

    Raises:
        InputError: texts, instruction or model are not what they must be.
        ResumeError: `out` was made by something else, or another process writes it.
        UsageError: options that do not go together.
        SealError: `out` cannot be written, or the model or server failed for good.
    """
    options, texts, out = options or RewriteOptions(), Path(texts), Path(out)
    keep_apart(texts, out)
    columns = _columns(texts)
    who = rewriter if isinstance(rewriter, Rewriter) else open_rewriter(str(rewriter), options, generator)
    part_pairs = options.part_pairs or PART_PAIRS
    n_texts = count_texts(texts)
    manifest = Manifest(
        stage=STAGE,
        options=options.identity(part_pairs),
        inputs={"texts": content_hash(texts)},
        models={who.name: who.identity},
    )

    def windows(remaining: Remaining) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        sample = Sample(options.sample, options.seed)
        for window in remaining.windows(texts, part_pairs, sample=sample, columns=columns):
            _refuse_rewritten(window, texts)
            yield window, window

    stage = Stage(
        manifest, windows, lambda meter: nullcontext(lambda window: who.rewrite(usable(window)[0], meter)),
        _part, options.limit, n_total=n_texts if options.takes_all else None,
    )  # fmt: skip
    return run_stage(stage, out, RewriteReport, overwrite=overwrite, listen=listener(listen))


def open_rewriter(value: str, options: RewriteOptions, generator: GeneratorOptions | None) -> Rewriter:
    """The rewriter that `[NAME=]DIR|URL` names, its model loaded.

    Raises:
        InputError: the instruction or the model cannot be read.
        UsageError: the instruction is empty, or an option is not honoured.
    """
    path = options.instruction
    try:
        instruction = MILD_REWRITING if path is None else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the instruction {path}: {error}") from None
    wording = Wording(instruction, options.temperature, options.seed, options.retries)
    name, where = named_model(value)
    opened = open_generator(where, generator)
    return Rewriter(name or served_name(opened), opened, wording)


def _columns(texts: Path) -> tuple[str, ...]:
    """What is read beyond the key, and written again."""
    there = scan(texts, TEXTS).collect_schema()
    return (*TEXTS.columns, *(name for name in there if name.startswith("meta_")))


def _refuse_rewritten(window: pl.DataFrame, texts: Path) -> None:
    if (window["variant"] != ORIGINAL).any():
        raise InputError(f"{texts} holds texts that are rewritten already; give the originals alone")


def _part(window: pl.DataFrame, outcomes: Sequence[tuple[str, str] | Failed]) -> Part:
    """The rewritten texts of a window in whole pairs, and what failed, counted by code."""
    good, missing = usable(window)
    rows, failed = _sorted_out(good, outcomes)
    rows, failed = _whole_pairs(rows, pl.concat([failed, missing]))
    codes = failed["error"].value_counts().iter_rows()
    return Part(rows, failed, {f"{_ERROR}{code}": n for code, n in codes})


def _sorted_out(
    texts: pl.DataFrame, outcomes: Sequence[tuple[str, str] | Failed]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rewritten texts, and those that failed."""
    failed = [outcome if isinstance(outcome, Failed) else None for outcome in outcomes]
    told = texts.with_columns(
        prompt=pl.Series([None if isinstance(o, Failed) else o[0] for o in outcomes], dtype=pl.String),
        response=pl.Series([None if isinstance(o, Failed) else o[1] for o in outcomes], dtype=pl.String),
        error=pl.Series([f.error if f else None for f in failed], dtype=pl.String),
        detail=pl.Series([f.detail if f else None for f in failed], dtype=pl.String),
    )
    rows = told.filter(pl.col("error").is_null()).drop("error", "detail")
    return rows, told.filter(pl.col("error").is_not_null()).select(FAILED.keys())


def _whole_pairs(rows: pl.DataFrame, failures: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rewritten texts of pairs of which nothing failed; the others are failures as well."""
    alone = rows.join(failures, on="row_id", how="semi").select(
        *TEXT_KEY,
        error=pl.lit("other_side_refused"),
        detail=pl.lit("it was rewritten, but the other text of its pair was not"),
    )
    rows = rows.join(failures, on="row_id", how="anti").with_columns(variant=pl.lit(REWRITTEN, VARIANT))
    return rows.sort(TEXT_KEY), pl.concat([failures, alone]).with_columns(stage=pl.lit(STAGE))
