"""`seal.agreement`: the statistics of `seal.stats` together with the taxonomies of `seal.engine`.

The statistics know no labeler and so read no taxonomy; this is where the two meet.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from seal.engine.frames.given import Given
from seal.engine.labeling.taxonomy import load_taxonomy
from seal.stats.labelers.agreement import Agreement
from seal.stats.labelers.agreement import agreement as compared
from seal.stats.options import AgreementOptions


def agreement(
    labels: Given | Sequence[Given],
    gold: Given | None = None,
    options: AgreementOptions | None = None,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> Agreement:
    """Compare labelers on the texts and features they share.

    Each frame is a Parquet file or folder (its path), or in memory: polars, pandas or Arrow.

    Args:
        labels: LABELS with one labeler or several, one frame or a list.
        gold: LABELS of one labeler taken as right: precision, recall and F1 of the others.
        options: intervals, the taxonomy to hold labels to, and whether to make one labeler of them all.
        out: a folder to write `labelers.csv` to, and the combined labels.
        overwrite: start afresh where `out` holds other combined labels.

    Raises:
        UsageError: there are too few labelers, the gold frame has several, the taxonomy is none, or options
            do not go together.
        InputError: a frame is no LABELS frame or not one of the taxonomy, or the labelers share no feature.
        ResumeError: `out` was made by something else.
    """
    options = options or AgreementOptions()
    taxonomy = load_taxonomy(Path(options.taxonomy)) if options.taxonomy else None

    def check(frame: pl.LazyFrame, origin: str) -> pl.LazyFrame:
        return taxonomy.check_labels(frame, origin=origin, among=()) if taxonomy else frame

    return compared(labels, gold, options, out=out, overwrite=overwrite, check=check)
