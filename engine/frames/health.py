"""`label_health.csv`: what the labels of a folder look like, beside its parts (made in `labeling/health.py`).

One row a labeler and feature, then one for the labeler as a whole. Valid labels are not yet meaningful ones:
a labeler that says yes to everything passes every check of its answers, and shows here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from seal.engine.errors import InputError
from seal.engine.frames.csv_cells import neutralised
from seal.engine.frames.folder import StageFolder
from seal.engine.notebook import html

FILE = "label_health.csv"
WHOLE = "(all)"
"""What stands under `feature` in the row of a labeler as a whole."""
OK, WARN = "ok", "warn"

SCHEMA: dict[str, pl.DataType] = {
    **dict.fromkeys(("labeler", "feature", "kind"), pl.String()),
    "n": pl.Int64(),
    "null_share": pl.Float64(),
    "most": pl.String(),
    "most_share": pl.Float64(),
    "shares": pl.String(),
    **dict.fromkeys(("mean", "mean_probability", "same_in_pair"), pl.Float64()),
    **dict.fromkeys(("cross_check", "n_crossed"), pl.Int64()),
    **dict.fromkeys(("agreement", "kappa"), pl.Float64()),
    **dict.fromkeys(("verdict", "reason"), pl.String()),
}


@dataclass(frozen=True)
class LabelHealth:
    """What the labels of a folder look like.

    Attributes:
        table: `label_health.csv`, of the columns in `docs/formats.md`.
    """

    table: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SCHEMA))

    @property
    def cross_checked(self) -> Mapping[str, int]:
        """Labeler -> pairs about which it was to be asked by the other protocol too."""
        whole = self.table.filter(pl.col("cross_check").is_not_null())
        return dict(whole.select("labeler", "cross_check").iter_rows())

    @property
    def warnings(self) -> Mapping[str, str]:
        """Labeler -> what is wrong with its labels as a whole, where something is."""
        whole = self.table.filter(feature=pl.lit(WHOLE), verdict=pl.lit(WARN))
        return dict(whole.select("labeler", "reason").iter_rows())

    @property
    def n_doubtful(self) -> int:
        """Features that deserve a look."""
        return self.table.filter(pl.col("feature") != WHOLE, verdict=pl.lit(WARN)).height

    def as_csv(self) -> bytes:
        """The file."""
        return neutralised(self.table).write_csv().encode()

    def _repr_html_(self) -> str:
        notes = [f"{labeler}: {reason}" for labeler, reason in self.warnings.items()]
        return html("Label health", {"features": self.table}, notes)


def read_health(folder: Path) -> LabelHealth | None:
    """The health of the labels in a folder; None where no stage wrote one there.

    Raises:
        InputError: the folder's records are damaged, or the file is not what they say.
    """
    stage = StageFolder.open(folder) if folder.is_dir() else None
    path = folder / FILE
    if stage is None or FILE not in stage.hashes or not path.exists():
        return None
    try:
        return LabelHealth(pl.read_csv(path, schema=SCHEMA))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(
            f"{path} cannot be read: {error}; run the `seal label` that writes it again"
        ) from None
