"""Texts -> the same texts in other words: what `seal rewrite` does.

    windows of whole pairs -> messages -> answers, checked -> whole pairs -> a part -> Sink

A rewriting is accepted or it is none (`acceptance.py`); nothing is repaired. One that is refused is asked
for again with another seed. Where one text of a pair stays refused, the other becomes a failure too
(`other_side_refused`): only whole pairs flow on, and rows in = rows out + failures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import blake2b, sha256
from math import inf
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.background import Behind
from seal.engine.frames.manifest import Manifest, content_hash
from seal.engine.frames.reader import TEXT_COLUMNS, count_texts, keep_apart
from seal.engine.frames.sampling import Sample
from seal.engine.frames.schema import ORIGINAL, REWRITTEN, TEXT_KEY, TEXTS, VARIANT, scan
from seal.engine.frames.selection import (
    FAILED,
    Selection,
    commit,
    counted,
    parts,
    refuse_empty_sample,
    usable,
)
from seal.engine.frames.sink import Sink
from seal.engine.generation.asking import Asker, Failed, InvalidAnswerError, Spent
from seal.engine.generation.contract import Answer, Request, TextGenerator
from seal.engine.progress import Listener, Meter, silent
from seal.engine.rewriting.acceptance import Bounds, refusal
from seal.engine.rewriting.prompts import MILD_REWRITING, REVISION, rewriting_message
from seal.engine.rewriting.turns import Source

STAGE = "rewrite"
TEMPERATURE, SAMPLE, RETRIES, PART_ROWS = 0.1, 0.01, 2, 128
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
            sources = [Source.of(p, r) for p, r in some.select(TEXT_COLUMNS).iter_rows()]
            keys = some.select("row_id", "preference").iter_rows()
            requests = [self._request(s, *key) for s, key in zip(sources, keys, strict=True)]
            spent = Spent()
            asker: Asker[tuple[str, str]] = Asker(self._generator, self._retries, spent)
            outcomes += asker.ask(requests, partial(self._accepted, sources))
            n_tokens = spent.n_prompt_tokens + spent.n_generated_tokens
            meter.count(**asdict(spent))
            meter.batch(some.height, n_tokens, n_tokens)
        return outcomes

    @property
    def _retries(self) -> int:
        return self.wording.retries if self.wording.temperature > 0 else 0

    def _request(self, source: Source, row_id: int, preference: str) -> Request:
        message = rewriting_message(self.wording.instruction, source.transcript)
        return Request(
            message,
            max_tokens=longest_answer(source.transcript, message, self._generator),
            temperature=self.wording.temperature,
            seed=text_seed(self.wording.seed, row_id, preference),
        )

    def _accepted(self, sources: Sequence[Source], index: int, answer: Answer) -> tuple[str, str]:
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
class RewriteReport:
    """What a run did, earlier starts of it included.

    Attributes:
        n_texts: texts read.
        n_rows: texts rewritten.
        n_failures: texts that were not, `errors` by code.
        elapsed_s: seconds of work in all.
        n_requests: messages to the model, `n_retries` of them because an answer was cut or refused.
        n_prompt_tokens: tokens of the messages; `n_cached_tokens` of them were not computed again.
        n_generated_tokens: tokens of the answers.
    """

    n_texts: int
    n_rows: int
    n_failures: int
    elapsed_s: float
    n_requests: int = 0
    n_retries: int = 0
    n_prompt_tokens: int = 0
    n_cached_tokens: int = 0
    n_generated_tokens: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed_share(self) -> float:
        """Failures over texts read."""
        return self.n_failures / max(1, self.n_texts)


def rewrite(
    texts: Path,
    rewriter: Rewriter,
    out: Path,
    select: Selection | None = None,
    *,
    overwrite: bool = False,
    listen: Listener = silent,
) -> RewriteReport:
    """Rewrite texts into a TEXTS folder of variant `rewritten`; go on where an earlier run was killed.

    Args:
        texts: a TEXTS Parquet file or folder of originals.
        rewriter: who rewrites, and how it is asked.
        out: the folder to write; `source` and `meta_` columns are carried through.
        select: which texts; by default 1% of the pairs, as in the study.
        overwrite: start afresh in a folder that another run wrote.
        listen: told of the progress.

    Raises:
        SealError: one of its children, for whatever the user can mend.
    """
    select = select or Selection(Sample(SAMPLE), part_rows=PART_ROWS)
    keep_apart(texts, out)
    columns = _columns(texts)
    n_texts = count_texts(texts)
    with Sink(out, _manifest(texts, rewriter, select), overwrite=overwrite) as sink:
        if not sink.finished:
            total = n_texts if select.takes_all else None
            meter = Meter(listen, STAGE, total, int(sink.total("n_texts")), 1)
            with Behind() as writer:
                for window in parts(texts, sink, select, columns):
                    _refuse_rewritten(window, texts)
                    good, missing = usable(window)
                    rows, failures = _sorted_out(good, rewriter.rewrite(good, meter))
                    rows, failures = _whole_pairs(rows, pl.concat([failures, missing]))
                    writer.submit(commit, sink, window, rows, failures, meter.lap() | _by_code(failures))
        report = _report(sink)
        refuse_empty_sample(n_texts, report.n_texts, texts)
        sink.finish(**asdict(report))
    return report


def _columns(texts: Path) -> tuple[str, ...]:
    """What is read beyond the key, and written again."""
    there = scan(texts, TEXTS).collect_schema()
    return (*TEXTS.columns, *(name for name in there if name.startswith("meta_")))


def _refuse_rewritten(window: pl.DataFrame, texts: Path) -> None:
    if (window["variant"] != ORIGINAL).any():
        raise InputError(f"{texts} holds texts that are rewritten already; give the originals alone")


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


def _by_code(failures: pl.DataFrame) -> dict[str, float]:
    return {f"{_ERROR}{code}": n for code, n in failures["error"].value_counts().iter_rows()}


def _manifest(texts: Path, rewriter: Rewriter, select: Selection) -> Manifest:
    return Manifest(
        stage=STAGE,
        options=select.identity,
        inputs={"texts": content_hash(texts)},
        models={rewriter.name: rewriter.identity},
    )


def _report(sink: Sink) -> RewriteReport:
    figures = counted(sink)
    del figures["n_truncated"]  # nothing is left out of a text that is rewritten
    codes = {name for c in sink.commits for name in c.counters if name.startswith(_ERROR)}
    errors = {name.removeprefix(_ERROR): int(sink.total(name)) for name in codes}
    return RewriteReport(**figures, errors=dict(sorted(errors.items(), key=lambda item: (-item[1], item[0]))))
