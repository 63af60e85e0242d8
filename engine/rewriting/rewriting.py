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
from seal.engine.rewriting.acceptance import refusal
from seal.engine.rewriting.attributes import BOUNDS, AttributeRewriter, Plan
from seal.engine.rewriting.options import PART_PAIRS, AttributeOptions, RewriteOptions
from seal.engine.rewriting.outcomes import ERROR, STAGE, TEXTS_AT_ONCE, Came, Way, counted, sorted_out
from seal.engine.rewriting.prompts import MILD_REWRITING, rewriting_message
from seal.engine.rewriting.turns import Transcript
from seal.engine.rewriting.wording import Wording, longest_answer, text_seed


class Rewriter:
    """Asks a decoder for every text in other words.

    Args:
        name: what the manifest calls it.
        generator: the decoder.
        wording: what is asked.
    """

    def __init__(self, name: str, generator: TextGenerator, wording: Wording | None = None) -> None:
        self.name, self.wording = name, wording or Wording()
        self.generator = generator

    @property
    def identity(self) -> Mapping[str, Any]:
        """What changes its answers: the model and the wording."""
        return {**self.wording.identity, **self.generator.identity}

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
            generator = Overheard(self.generator, meter.answered)
            asker: Asker[tuple[str, str]] = Asker(generator, self.wording.rounds, spent)
            outcomes += asker.ask(requests, partial(self._accepted, sources))
            n_tokens = spent.n_prompt_tokens + spent.n_generated_tokens
            meter.count(**asdict(spent))
            meter.batch(some.height, n_tokens, n_tokens)
        return outcomes

    def work(self, window: pl.DataFrame, meter: Meter) -> list[tuple[str, str] | Failed]:
        """Rewrite the texts of a window that there are."""
        return self.rewrite(usable(window)[0], meter)

    def part(self, window: pl.DataFrame, came: Sequence[tuple[str, str] | Failed]) -> Part:
        """The rewritten texts of a window in whole pairs, and what failed."""
        good, missing = usable(window)
        rows, failed = sorted_out(good, came)
        return counted(*_whole_pairs(rows, pl.concat([failed, missing])))

    def _request(self, source: Transcript, row_id: int, preference: str) -> Request:
        message = rewriting_message(self.wording.instruction, source.transcript)
        return Request(
            message,
            max_tokens=longest_answer(source.transcript, message, self.generator),
            temperature=self.wording.temperature,
            seed=text_seed(self.wording.seed, row_id, preference),
        )

    def _accepted(self, sources: Sequence[Transcript], index: int, answer: Answer) -> tuple[str, str]:
        refused = refusal(sources[index], answer.text, self.wording.bounds)
        if refused is not None:
            raise InvalidAnswerError(refused.reason, refused.code)
        return sources[index].cut(answer.text)


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
        return replace(super().of(sink), errors=counts_by_code(sink, ERROR))


def rewrite(
    texts: str | Path,
    rewriter: str | Path | Rewriter,
    out: str | Path,
    options: RewriteOptions | None = None,
    generator: GeneratorOptions | None = None,
    *,
    attributes: AttributeOptions | None = None,
    overwrite: bool = False,
    listen: Listener | None = None,
) -> RewriteReport:
    """Rewrite texts into a TEXTS folder of variant `rewritten`; go on where an earlier run was killed.

    With `attributes`, responses alone are rewritten, into the variants of `seal.engine.frames.contrasts`.

    Args:
        texts: a TEXTS Parquet file or folder of originals.
        rewriter: `[NAME=]MODEL`, an open-weight model, `[NAME=]URL` of a server, or a `Rewriter`.
        out: the folder to write; `source` and `meta_` columns are carried through.
        options: which texts, and how the rewriter is asked; by default 1% of the pairs, as in the study.
        generator: what runs the model.
        attributes: toward what responses are rewritten, and whether back and with placebos.
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
    columns = columns_of(texts)
    plan = _plan(options, attributes)
    who = rewriter if isinstance(rewriter, Rewriter) else open_rewriter(str(rewriter), options, generator)
    inputs = {"texts": content_hash(texts)}
    if plan is None:
        stage = _stage(who, who.name, texts, options, columns, inputs)
        return run_stage(stage, out, RewriteReport, overwrite=overwrite, listen=listener(listen))
    if plan.labels is not None:
        inputs["labels"] = content_hash(plan.labels.path)
    wording = replace(who.wording, bounds=BOUNDS)
    aimed = _stage(AttributeRewriter(who.generator, wording, plan), who.name, texts, options, columns, inputs)
    return run_stage(aimed, out, RewriteReport, overwrite=overwrite, listen=listener(listen))


def _plan(options: RewriteOptions, attributes: AttributeOptions | None) -> Plan | None:
    """What responses are rewritten to; None where dialogues are."""
    if attributes is None or not attributes.asked:
        return None
    if options.instruction is not None:
        raise UsageError(
            f"instruction {options.instruction} is of whole dialogues; toward and placebo have their own"
        )
    return Plan.of(attributes)


def _stage(
    way: Way[Came],
    name: str,
    texts: Path,
    options: RewriteOptions,
    columns: Sequence[str],
    inputs: Mapping[str, str],
) -> Stage[pl.DataFrame, Came]:
    part_pairs, n_texts = options.part_pairs or PART_PAIRS, count_texts(texts)

    def windows(remaining: Remaining) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        sample = Sample(options.sample, options.seed)
        for window in remaining.windows(texts, part_pairs, sample=sample, columns=columns):
            refuse_rewritten(window, texts)
            yield window, window

    manifest = Manifest(STAGE, options.identity(part_pairs), inputs, {name: way.identity})
    return Stage(
        manifest, windows, lambda meter: nullcontext(partial(way.work, meter=meter)), way.part, options.limit,
        options.shard, n_total=n_texts if options.takes_all else None,
    )  # fmt: skip


def open_rewriter(value: str, options: RewriteOptions, generator: GeneratorOptions | None) -> Rewriter:
    """The rewriter that `[NAME=]MODEL|URL` names, its model loaded.

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


def columns_of(texts: Path) -> tuple[str, ...]:
    """What is read beyond the key, and written again."""
    there = scan(texts, TEXTS).collect_schema()
    return (*TEXTS.columns, *(name for name in there if name.startswith("meta_")))


def refuse_rewritten(window: pl.DataFrame, texts: Path) -> None:
    """Refuse a window that holds other texts than originals.

    Raises:
        InputError: it does.
    """
    if (window["variant"] != ORIGINAL).any():
        raise InputError(f"{texts} holds texts that are rewritten already; give the originals alone")


def _whole_pairs(rows: pl.DataFrame, failures: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rewritten texts of pairs of which nothing failed; the others are failures as well."""
    alone = rows.join(failures, on="row_id", how="semi").select(
        *TEXT_KEY,
        error=pl.lit("other_side_refused"),
        detail=pl.lit("it was rewritten, but the other text of its pair was not"),
    )
    rows = rows.join(failures, on="row_id", how="anti").with_columns(variant=pl.lit(REWRITTEN, VARIANT))
    return rows.sort(TEXT_KEY), pl.concat([failures, alone])
