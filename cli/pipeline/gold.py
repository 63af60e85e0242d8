"""The labels of people that a run corrects by: whose they are, before any work is done."""

from pathlib import Path

import polars as pl

from seal.engine.errors import InputError, UsageError, nearest
from seal.engine.frames.schema import INCLUSION, LABELS, readable, scan


def gold_labeler(path: Path, name: str | None, where: str) -> str:
    """The labeler of gold labels, with all that `seal analyze` needs to correct by them.

    Args:
        path: LABELS as `seal gold read` writes them, a file or a folder.
        name: which labeler, where they are several people's; None for the only one.
        where: what the error names: the settings file and its table.

    Raises:
        InputError: nothing is there, it is no LABELS frame, or nobody knows how likely its pairs were drawn.
        UsageError: a choice among several labelers is missing, or is none of them.
    """
    if not path.exists():
        raise InputError(
            f"{where} gold {path} is not there: `seal gold read` writes it from the answers of people"
        )
    frame = scan(path, LABELS)
    if INCLUSION not in frame.collect_schema():
        raise InputError(
            f"{where} gold {path} has no column {INCLUSION}, how likely each pair was to be drawn: draw the "
            "pairs with `seal gold sample` and read the answers with `seal gold read`; labels of other "
            "origin go into labels"
        )
    with readable(path):
        names: list[str] = frame.select(pl.col("labeler").unique().sort()).collect()["labeler"].to_list()
    if name is not None and name not in names:
        raise UsageError(f"{where} gold {path} has no labeler {name!r}; {nearest(name, names)}")
    if name is None and len(names) != 1:
        raise UsageError(
            f"{where} gold {path} has {len(names)} labelers ({', '.join(names)}); say which one is taken as "
            'right: [analyze] gold = "NAME"'
        )
    return name or names[0]
