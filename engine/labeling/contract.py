"""The contract between labeling and whoever labels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from seal.engine.frames.stage import FAILED
from seal.engine.progress import Meter


@dataclass(frozen=True)
class Labeled:
    """What a labeler made of some texts; every text is in one of the two frames.

    Attributes:
        rows: the key, then the labeler's columns.
        failures: the key, `error` (a short code), `detail`.
    """

    rows: pl.DataFrame
    failures: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=FAILED))


class Labeler(Protocol):
    """Anything that labels texts, with a model or without."""

    @property
    def name(self) -> str:
        """What its rows say under `labeler`."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything about it that changes a label, as plain JSON values: what a resumed run must share."""

    @property
    def types(self) -> Mapping[str, pl.DataType]:
        """Its columns beyond the key."""

    def label(self, texts: pl.DataFrame, meter: Meter) -> Labeled:
        """Label the texts of some whole pairs.

        Args:
            texts: key, prompt and response, sorted by key, none of them null.
            meter: told of texts as they are done, and of tokens.
        """
