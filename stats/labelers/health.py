"""What `label_health.csv` beside some labels warns of, as a note to whoever reads estimates made of them."""

from collections.abc import Iterable

import polars as pl

from seal.engine.frames.given import Given, given_path
from seal.engine.frames.health import FILE, WARN, WHOLE, LabelHealth, read_health

_NAMED = 6


def health_notes(labels: Iterable[Given]) -> list[str]:
    """One note on all folders whose labels deserve a look, or none.

    Args:
        labels: LABELS as they were given; frames in memory and single files have no health.

    Raises:
        InputError: a folder's records are damaged.
    """
    paths = filter(None, map(given_path, labels))
    found = [health for health in map(read_health, paths) if health is not None]
    said = dict.fromkeys(sentence for health in found for sentence in _sentences(health))
    return [f"label health: {'. '.join(said)} (see {FILE} beside the labels)"] if said else []


def _sentences(health: LabelHealth) -> Iterable[str]:
    for labeler in health.table["labeler"].unique(maintain_order=True):
        if labeler in health.warnings:
            yield f"the labels of {labeler} may mean nothing: {health.warnings[labeler]}"
        doubtful = health.table.filter(
            pl.col("feature") != WHOLE, labeler=pl.lit(labeler), verdict=pl.lit(WARN)
        )
        if doubtful.height:
            named = [
                f"{feature} ({reason})"
                for feature, reason in doubtful.select("feature", "reason").iter_rows()
            ]
            more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            yield f"features of {labeler} that deserve a look: {', '.join(named[:_NAMED])}{more}"
