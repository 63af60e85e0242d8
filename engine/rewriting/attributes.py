"""Responses -> the same responses with one attribute changed, and back: what `--toward` does.

    a window -> first rewritings, each from the text itself -> second ones, each from the first's text

Only the response is rewritten; the prompt stays. Each text is rewritten away from what it is (see
`seal.engine.frames.contrasts`). A rewriting that is refused is asked for again, then a failure; one without a
first to start from is a failure too (`no_first`). Texts stand alone: where one of a pair fails, the other
stays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import polars as pl

from seal.engine.errors import InputError, UsageError, nearest
from seal.engine.frames import contrasts
from seal.engine.frames.contrasts import Contrast
from seal.engine.frames.schema import LABELS, ORIGINAL, TEXT_KEY, VARIANT, scan
from seal.engine.frames.stage import Part
from seal.engine.frames.taxonomy import Feature, load_taxonomy
from seal.engine.generation.asking import Asker, Failed, InvalidAnswerError, Spent
from seal.engine.generation.contract import Answer, Overheard, Request, TextGenerator
from seal.engine.progress import Meter
from seal.engine.rewriting.acceptance import Bounds, response_refusal
from seal.engine.rewriting.options import AttributeOptions
from seal.engine.rewriting.outcomes import TEXTS_AT_ONCE, counted, sorted_out
from seal.engine.rewriting.prompts import ATTRIBUTE_REVISION, PLACEBO, TOWARD, response_message
from seal.engine.rewriting.turns import Response
from seal.engine.rewriting.wording import Wording, longest_answer, text_seed

BOUNDS = Bounds(min_length=0.25, max_length=4.0, slack=80, min_known=0.1)
"""An attribute may need more than other words: a refusal becomes help."""

_NO_FIRST = Failed("no_first", "it starts from a first rewriting, and there is none")
_NO_LABEL = Failed("missing_label", "the labels do not say what this text is")
_NO_TEXT = Failed("missing_text", "prompt or response is null")
_ANSWERS = {contrasts.TRUE: "yes", contrasts.FALSE: "no"}


@dataclass(frozen=True)
class Aim:
    """What responses are rewritten for: one value of a feature against another."""

    contrast: Contrast
    feature: Feature

    def instruction(self, value: str) -> str:
        """What opens the message that asks for a value."""
        return TOWARD.format(question=self.feature.instruction, answer=_ANSWERS.get(value, value))


def find_aims(options: AttributeOptions) -> tuple[Aim, ...]:
    """The aims, checked against the taxonomy.

    Raises:
        UsageError: a feature or value is not there, cannot be aimed at, or without labels two values of one
            feature are.
    """
    taxonomy = load_taxonomy(options.taxonomy)
    known = {f.name: f for f in taxonomy.features}
    found: dict[Contrast, Aim] = {}
    for name, value in options.aims:
        if name not in known:
            raise UsageError(
                f"toward: no feature {name!r} in {taxonomy.origin}; {nearest(name, taxonomy.names)}"
            )
        feature = known[name]
        values = (contrasts.FALSE, contrasts.TRUE) if feature.kind == "boolean" else feature.values
        if feature.kind == "list" or feature.scope != "last response":
            raise UsageError(
                f"toward: {name} is a {feature.kind} of the {feature.scope}; a response is rewritten toward "
                "a boolean or an enum of the last response"
            )
        if value not in values:
            raise UsageError(f"toward: {name} cannot be {value!r}; it is one of {', '.join(values)}")
        base = contrasts.baseline(values)
        if value == base and feature.kind != "boolean":
            raise UsageError(
                f"toward: {base!r} of {name} is what the others are held against; name one of these"
            )
        contrast = Contrast(name, contrasts.TRUE if feature.kind == "boolean" else value, base)
        found[contrast] = Aim(contrast, feature)
    features = [contrast.feature for contrast in found]
    if options.labels is None and len(set(features)) < len(features):
        raise UsageError("toward: two values of one feature need labels, which say what each text is")
    return tuple(found.values())


@dataclass(frozen=True)
class OwnLabels:
    """What each original text is, by one labeler.

    Attributes:
        path: LABELS.
        features: that are asked for.

    Raises:
        InputError: a feature is not among the labels.
    """

    path: Path
    features: tuple[str, ...]

    def __post_init__(self) -> None:
        there = scan(self.path, LABELS).collect_schema()
        if missing := [f for f in self.features if f not in there]:
            raise InputError(f"{self.path}: no column {', '.join(map(repr, missing))}, which are aimed at")

    def of(self, texts: pl.DataFrame) -> pl.DataFrame:
        """A row a text, in order: each feature as text, null where no label says.

        Raises:
            InputError: several labelers, or a text that stands twice.
        """
        low, high = texts["row_id"].min(), texts["row_id"].max()
        values = [pl.col(f).cast(pl.String) for f in self.features]
        rows = scan(self.path, LABELS).filter(
            pl.col("row_id").is_between(low, high), pl.col("variant").cast(pl.String) == ORIGINAL
        )
        found = rows.select("row_id", "preference", "labeler", *values).collect()
        if found["labeler"].n_unique() > 1:
            raise InputError(f"{self.path} holds labels of several labelers; give those of one")
        if found.select("row_id", "preference").is_duplicated().any():
            raise InputError(
                f"{self.path}: a text is labeled twice; every (row_id, preference) must stand once"
            )
        key = texts.select("row_id", "preference")
        return key.join(found, on=["row_id", "preference"], how="left", maintain_order="left")


@dataclass(frozen=True)
class Asked:
    """One text to be rewritten, and back where that is wanted.

    Attributes:
        at: the row of its window.
        variant, back: what comes of it; `back` is empty where it is not rewritten back.
        instruction, home: what opens the messages.
        outcome: why it is not asked for.
    """

    at: int
    variant: str
    instruction: str = ""
    back: str = ""
    home: str = ""
    outcome: Failed | None = None


@dataclass(frozen=True)
class Plan:
    """What responses are rewritten to, known before any model is.

    Attributes:
        aims: the values that are aimed at.
        double: whether back again.
        placebo: whether with no aim also.
        labels: what each text is; None: both ways.
    """

    aims: tuple[Aim, ...]
    double: bool
    placebo: bool
    labels: OwnLabels | None

    @classmethod
    def of(cls, options: AttributeOptions) -> Self:
        """Check what was asked for.

        Raises:
            UsageError, InputError: aims or labels are not what they must be.
        """
        aims = find_aims(options)
        names = tuple(dict.fromkeys(aim.contrast.feature for aim in aims))
        labels = None if options.labels is None else OwnLabels(options.labels, names)
        return cls(aims, options.double, options.placebo, labels)

    @property
    def identity(self) -> dict[str, object]:
        """What of it changes a folder, for the manifest; the labels are an input."""
        aims = [asdict(aim.contrast) | {"question": aim.feature.instruction} for aim in self.aims]
        return {"aims": aims, "double": self.double, "placebo": self.placebo, "prompts": ATTRIBUTE_REVISION}

    def asked(self, texts: pl.DataFrame) -> list[Asked]:
        """What is asked for, aim by aim, so that messages with one instruction stand side by side."""
        there = (texts["prompt"].is_not_null() & texts["response"].is_not_null()).to_list()
        own = None if self.labels is None else self.labels.of(texts)
        found: list[Asked] = []
        for aim in self.aims:
            labels = [None] * texts.height if own is None else own[aim.contrast.feature].to_list()
            for at, label in enumerate(labels):
                found += self._of_text(aim, at, label, known=there[at])
        if self.placebo:
            found += [
                Asked(at, contrasts.PLACEBO, PLACEBO, outcome=None if known else _NO_TEXT)
                for at, known in enumerate(there)
            ]
        return found

    def _of_text(self, aim: Aim, at: int, label: str | None, *, known: bool) -> Iterator[Asked]:
        """Away from what the text is, or both ways where no labels were given."""
        contrast = aim.contrast
        outcome = None if known else _NO_TEXT
        if self.labels is not None and label is None:
            outcome = outcome or _NO_LABEL
        for has in (True, False) if self.labels is None else (label == contrast.value,):
            away, home = contrast.away(has=has), contrast.away(has=not has)
            back = contrasts.back(contrast.feature, away) if self.double else ""
            first = contrasts.toward(contrast.feature, away)
            yield Asked(at, first, aim.instruction(away), back, aim.instruction(home), outcome)


Outcome = tuple[int, str, tuple[str, str] | Failed]
"""The row of a window, the variant, and prompt and response or why there are none."""


class AttributeRewriter:
    """Asks a decoder for responses toward a value, and back.

    Args:
        generator: the decoder.
        wording: temperature, seed, retries and bounds.
        plan: what is asked for.
    """

    def __init__(self, generator: TextGenerator, wording: Wording, plan: Plan) -> None:
        self.wording, self.plan = wording, plan
        self._generator = generator

    @property
    def identity(self) -> dict[str, object]:
        """What changes its answers: the model, how it is asked and for what."""
        how = {k: v for k, v in self.wording.identity.items() if k != "instruction"}
        return {**how, **self.plan.identity, **self._generator.identity}

    def work(self, window: pl.DataFrame, meter: Meter) -> list[Outcome]:
        """Every rewriting of some texts, or why there is none.

        Args:
            window: key, prompt and response.
            meter: told of texts as they are done, and of tokens.
        """
        outcomes: list[Outcome] = []
        for start in range(0, window.height, TEXTS_AT_ONCE):
            texts, spent = window.slice(start, TEXTS_AT_ONCE), Spent()
            generator = Overheard(self._generator, meter.answered)
            asker: Asker[str] = Asker(generator, self.wording.rounds, spent)
            outcomes += [(start + at, variant, came) for at, variant, came in self._both(texts, asker)]
            n_tokens = spent.n_prompt_tokens + spent.n_generated_tokens
            meter.count(**asdict(spent))
            meter.batch(texts.height, n_tokens, n_tokens)
        return outcomes

    def part(self, window: pl.DataFrame, came: Sequence[Outcome]) -> Part:
        """The rewritten texts of a window, sorted, and what failed."""
        places = pl.Series([at for at, _, _ in came], dtype=pl.UInt32)
        variants = pl.Series([variant for _, variant, _ in came], dtype=VARIANT)
        told = window[places].with_columns(variant=variants)
        rows, failed = sorted_out(told, [outcome for *_, outcome in came])
        return counted(rows.sort(TEXT_KEY), failed)

    def _both(self, texts: pl.DataFrame, asker: Asker[str]) -> list[Outcome]:
        """The first rewritings of some texts, then the second ones."""
        asked, responses = self.plan.asked(texts), texts["response"].to_list()
        first = self._round(
            texts, [_Step(a, a.variant, a.instruction, a.outcome or responses[a.at]) for a in asked], asker
        )
        second = [
            _Step(a, a.back, a.home, a.outcome or (_NO_FIRST if isinstance(came, Failed) else came[1]))
            for a, (_, _, came) in zip(asked, first, strict=True)
            if a.back
        ]
        return [*first, *self._round(texts, second, asker)]

    def _round(self, texts: pl.DataFrame, steps: Sequence["_Step"], asker: Asker[str]) -> list[Outcome]:
        """One rewriting of each source that there is."""
        rows = texts.select("row_id", "preference", "prompt").rows()
        open_ones = [(step, Response.of(step.source)) for step in steps if isinstance(step.source, str)]
        requests = [self._request(rows[step.asked.at], step, source) for step, source in open_ones]
        came = iter(asker.ask(requests, partial(self._accepted, [source for _, source in open_ones])))
        outcomes: list[Outcome] = []
        for step in steps:
            said = step.source if isinstance(step.source, Failed) else next(came)
            prompt = rows[step.asked.at][2]
            outcomes.append(
                (step.asked.at, step.variant, said if isinstance(said, Failed) else (prompt, said))
            )
        return outcomes

    def _request(self, text: tuple[int, str, str], step: "_Step", source: Response) -> Request:
        row_id, preference, prompt = text
        message = response_message(step.instruction, _before(prompt), source.said)
        return Request(
            message,
            max_tokens=longest_answer(source.said, message, self._generator, self.wording.bounds.max_length),
            temperature=self.wording.temperature,
            seed=text_seed(self.wording.seed, row_id, preference, step.variant),
        )

    def _accepted(self, sources: Sequence[Response], index: int, answer: Answer) -> str:
        refused = response_refusal(sources[index], answer.text, self.wording.bounds)
        if refused is not None:
            raise InvalidAnswerError(refused.reason, refused.code)
        return sources[index].cut(answer.text)


class _Step(NamedTuple):
    """One rewriting: what it is part of, its variant, what opens the message, and what it starts from."""

    asked: Asked
    variant: str
    instruction: str
    source: str | Failed


def _before(prompt: str) -> str:
    """The prompt without the word that opens the response, which is no turn of its own."""
    return prompt.strip().removesuffix("Assistant:").rstrip()
