"""Folders that commands finished, for campaigns that damage them: made once, kept from case to case.

The pairs are the toy world's with malformed records behind them, so that folders have parts and failures.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.torture.malformed import pack
from benchmarks.torture.watched import Job, attempt
from examples.toyworld.answers import answers
from examples.toyworld.generate import Options, write
from seal.engine.frames.schema import SCORES, TEXTS, scan

N_PAIRS = 120
MODELS = Path(__file__).parents[2] / "examples/toyworld/models"
_SETTINGS = """\
[run]
sources = ["{pairs}"]
pre = "pre={models}/pre"
post = "post={models}/post"
labelers = ["computed", "toy={models}/labeler"]
out = "{out}"
[import]
limit = 40
max-failures = 0.5
[label]
sample = 0.5
seed = 3
[analyze]
labeler = "toy"
figures = true
level = 0.9
"""


class Finished:
    """What stands below one folder; each is made when first asked for.

    Args:
        folder: made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def world(self) -> Path:
        """`pairs.jsonl`, its last records malformed, and `truth.parquet`, LABELS."""

        def make(out: Path) -> None:
            write(Options(N_PAIRS, seed=7), out)
            lines = (out / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
            odd = [json.dumps({"chosen": None, "n": i}) for i in range(len(lines) // 10)]
            (out / "pairs.jsonl").write_text("\n".join([*lines, *odd]) + "\n", encoding="utf-8")

        return self._made("world", make)

    @property
    def truth(self) -> Path:
        """LABELS: what was planted."""
        return self.world / "truth.parquet"

    @property
    def other(self) -> Path:
        """The same LABELS of a labeler of another name."""
        renamed = pl.read_parquet(self.truth).with_columns(labeler=pl.lit("other"))
        return self._made("other.parquet", renamed.write_parquet)

    @property
    def pairs_jsonl(self) -> Path:
        """The dataset as lines."""
        return self.world / "pairs.jsonl"

    @property
    def pairs_gz(self) -> Path:
        """The same in gzip."""
        return self._made("pairs.jsonl.gz", lambda out: pack(out, self.pairs_jsonl.read_bytes(), ".gz"))

    @property
    def pairs_zst(self) -> Path:
        """The same in zstd."""
        return self._made("pairs.jsonl.zst", lambda out: pack(out, self.pairs_jsonl.read_bytes(), ".zst"))

    @property
    def pairs_parquet(self) -> Path:
        """The same as Parquet."""
        return self._made("pairs.parquet", pl.read_ndjson(self.pairs_jsonl).write_parquet)

    @property
    def texts(self) -> Path:
        """TEXTS in several parts, with failures."""
        words = (self.world / "pairs.jsonl", "--part-pairs", "50", "--max-failures", "1")
        return self._made("texts", lambda out: ran("import", *words, "--out", out))

    @property
    def computed(self) -> Path:
        """LABELS of the computed features."""
        words = (self.texts, "--labeler", "computed", "--part-pairs", "50")
        return self._made("computed", lambda out: ran("label", *words, "--out", out))

    @property
    def gold(self) -> Path:
        """A sample of pairs for people."""
        return self._made(
            "gold", lambda out: ran("gold", "sample", self.texts, "--pairs", "40", "--out", out)
        )

    @property
    def rewards(self) -> Path:
        """SCORES of two made-up models as another program writes them: one Parquet file."""

        def make(out: Path) -> None:
            key = scan(self.texts, TEXTS).select(
                "row_id", "preference", "variant", pl.col("response").str.len_chars()
            )
            texts, rng = key.collect(), np.random.default_rng(5)
            models = [
                texts.select(
                    "row_id", "preference", "variant", model=pl.lit(name),
                    reward=(pl.col("response") / 40 + rng.normal(size=texts.height)).cast(pl.Float32),
                    n_tokens=pl.lit(9, pl.Int32), truncated=pl.lit(False),
                )
                for name in ("pre", "post")
            ]  # fmt: skip
            pl.concat(models).select(*SCORES.types).write_parquet(out)

        return self._made("rewards.parquet", make)

    @property
    def results(self) -> Path:
        """An analysis with figures and the study's own arithmetic."""
        return self._made(
            "results", lambda out: ran(*self.analyze(), "--figures", "--as-published", "--out", out)
        )

    @property
    def pre(self) -> Path:
        """A reward model, exported."""
        return self.model("pre")

    @property
    def planted(self) -> Path:
        """Coefficients to hold an analysis against, as CSV."""

        def make(out: Path) -> None:
            terms = pl.read_csv(self.results / "imprint.csv")["term"].unique(maintain_order=True)
            rows = [
                f"{model},{term},{i},{i - 1},{i + 1}"
                for model in ("pre", "post")
                for i, term in enumerate(terms)
            ]
            out.write_text("\n".join(["model,term,planted,low,high", *rows]) + "\n", encoding="utf-8")

        return self._made("planted.csv", make)

    @property
    def answers(self) -> Path:
        """What a person exported from the page of the sample."""

        def make(out: Path) -> None:
            said = answers(self.gold, pl.read_parquet(self.truth))
            out.write_text(json.dumps(said), encoding="utf-8")

        return self._made("answers.json", make)

    @property
    def settings(self) -> Path:
        """Settings of a whole run."""
        text = _SETTINGS.format(pairs=self.pairs_jsonl, models=MODELS, out=self.folder / "planned")
        return self._made("seal.toml", lambda out: out.write_text(text, encoding="utf-8"))

    def analyze(self) -> tuple[object, ...]:
        """An analysis without where to write it."""
        labels = ("--labels", self.truth, "--texts", self.texts)
        return ("analyze", "--scores", self.rewards, *labels, "--pre", "pre", "--post", "post")

    def model(self, name: str) -> Path:
        """A reward model of the toy world (`pre`, `post`), exported."""
        return self._made(f"models-{name}", lambda out: ran("export", MODELS / name, "--out", out))

    @property
    def scores(self) -> Path:
        """SCORES of both models."""
        models = [word for name in ("pre", "post") for word in ("--model", f"{name}={self.model(name)}")]
        words = (self.texts, *models, "--part-pairs", "50")
        return self._made("scores", lambda out: ran("score", *words, "--out", out))

    def _made(self, name: str, make: Callable[[Path], object]) -> Path:
        path = self.folder / name
        if not path.exists():
            aside = self.folder / f"unfinished-{name}"
            make(aside)
            aside.rename(path)
        return path


def ran(*words: object) -> None:
    """Run a command that must succeed."""
    ended = attempt(Job(tuple(map(str, words))))
    assert ended.code == 0, f"seal {' '.join(map(str, words))} ended with {ended.code}: {ended.said}"
