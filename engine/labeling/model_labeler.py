"""A labeler that asks a decoder (see `contract.Labeler`)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import polars as pl

from seal.engine.errors import UsageError
from seal.engine.frames.schema import TEXT_KEY
from seal.engine.frames.stage import FAILED
from seal.engine.frames.taxonomy import Feature
from seal.engine.generation.asking import Failed, Spent
from seal.engine.generation.contract import Overheard, TextGenerator
from seal.engine.labeling.contract import Labeled
from seal.engine.labeling.options import PROTOCOL, RETRIES, ProtocolName
from seal.engine.labeling.prompts import REVISION, Dialogue
from seal.engine.labeling.protocols import LabelingProtocol, Labels, make_protocol
from seal.engine.progress import Meter


class ModelLabeler:
    """Asks a decoder about every text.

    Args:
        name: what its rows say under `labeler`.
        generator: the decoder.
        features: what to ask about.
        protocol: how.
        max_tokens: the longest message; the beginning of a longer dialogue is left out, and counted. Where
            the last response alone is too long, the text fails. None leaves nothing out: what does not fit
            into the model is a failure.
        retries: how often an answer that is cut or invalid is asked for again.

    Raises:
        UsageError: `max_tokens` with a server, which cannot count tokens beforehand.
    """

    def __init__(
        self, name: str, generator: TextGenerator, features: Sequence[Feature],
        protocol: ProtocolName | None = None, max_tokens: int | None = None, retries: int | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.protocol: LabelingProtocol = make_protocol(protocol or PROTOCOL, features)
        self._generator, self._features = generator, tuple(features)
        self._max_tokens = max_tokens
        self._retries = RETRIES if retries is None else retries
        if max_tokens is not None and generator.count_tokens("") is None:
            raise UsageError("max_tokens needs a local model: a server does not count tokens beforehand")

    @property
    def identity(self) -> Mapping[str, Any]:
        """What changes its labels: the model, the protocol, the wording, the taxonomy."""
        return {
            "kind": "model", "protocol": self.protocol.name, "prompts": REVISION, "retries": self._retries,
            "max_tokens": self._max_tokens, "features": [asdict(f) for f in self._features],
            **self._generator.identity,
        }  # fmt: skip

    @property
    def types(self) -> Mapping[str, pl.DataType]:
        return self.protocol.types

    @property
    def features(self) -> tuple[str, ...]:
        """What it is asked about, in order."""
        return tuple(feature.name for feature in self._features)

    def asked_by(self, protocol: ProtocolName) -> "ModelLabeler":
        """The same labeler, asked by another protocol.

        Raises:
            UsageError: the features cannot be asked about so.
        """
        how = (protocol, self._max_tokens, self._retries)
        return ModelLabeler(self.name, self._generator, self._features, *how)

    def label(self, texts: pl.DataFrame, meter: Meter) -> Labeled:
        """Ask about each text, some at a time."""
        parts = [self._some(part, meter) for part in texts.iter_slices(self.protocol.texts_at_once)]
        if not parts:
            return Labeled(pl.DataFrame(schema=self._row_types()))
        return Labeled(pl.concat([p.rows for p in parts]), pl.concat([p.failures for p in parts]))

    def _some(self, texts: pl.DataFrame, meter: Meter) -> Labeled:
        fitted = [self._fitted(Dialogue(p, r)) for p, r in texts.select("prompt", "response").iter_rows()]
        dialogues = [d for d in fitted if isinstance(d, Dialogue)]
        spent, generator = Spent(), Overheard(self._generator, meter.answered)
        asked = iter(self.protocol.ask(dialogues, generator, self._retries, spent))
        outcomes = [next(asked) if isinstance(d, Dialogue) else d for d in fitted]
        rows, failures = [], []
        for key, outcome in zip(texts.select(TEXT_KEY).iter_rows(named=True), outcomes, strict=True):
            if isinstance(outcome, Labels):
                rows.append({**key, **outcome.values})
            elif isinstance(outcome, Failed):
                failures.append(key | asdict(outcome))
        n_tokens = spent.n_prompt_tokens + spent.n_generated_tokens
        meter.count(**asdict(spent), n_truncated=sum(d.n_cut > 0 for d in dialogues))
        meter.batch(texts.height, n_tokens, n_tokens)
        return Labeled(pl.DataFrame(rows, schema=self._row_types()), pl.DataFrame(failures, schema=FAILED))

    def _row_types(self) -> dict[str, pl.DataType]:
        return {name: FAILED[name] for name in TEXT_KEY} | dict(self.types)

    def _fitted(self, dialogue: Dialogue) -> Dialogue | Failed:
        """The dialogue without as much of its beginning as makes its longest message fit."""
        if self._max_tokens is None:
            return dialogue
        while True:
            message = self.protocol.longest_message(dialogue)
            excess = (self._generator.count_tokens(message) or 0) - self._max_tokens
            left = len(dialogue.prompt) - dialogue.n_cut
            if excess <= 0:
                return dialogue
            if left == 0:
                over = f"{excess} tokens over max_tokens {self._max_tokens}"
                return Failed("too_long", f"the last response and the questions alone are {over}")
            dialogue = replace(dialogue, n_cut=dialogue.n_cut + min(left, max(excess, 8)))
