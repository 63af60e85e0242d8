"""Texts -> the same texts perturbed: what `seal rewrite --perturb` does, without a model.

    windows of whole pairs -> each perturbation of each response -> whole pairs -> a part -> Sink

The response is perturbed, the prompt stays. A pair is perturbed where the perturbation changes at least one
of its texts, and the other then stands in it as it is: the same is done to both, and of one of them there may
be nothing to do. Where it changes neither, both are rows of the failures (`does_not_apply`), which are
counted, and are no failures of the run: rows in x perturbations = rows out + failures.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Self

import polars as pl

from seal.engine.frames.folder import content_hash
from seal.engine.frames.manifest import Manifest
from seal.engine.frames.perturbed import DOES_NOT_APPLY, PREFIX
from seal.engine.frames.reader import count_texts, keep_apart
from seal.engine.frames.sampling import Sample, hashed
from seal.engine.frames.schema import FAILURES, TEXT_KEY
from seal.engine.frames.sink import Sink
from seal.engine.frames.stage import (
    Part,
    Remaining,
    Stage,
    StageReport,
    counts_by_code,
    failures,
    run_stage,
    usable,
)
from seal.engine.progress import Listener, Meter, listener
from seal.engine.rewriting.options import PERTURB_PART_PAIRS, PerturbOptions
from seal.engine.rewriting.outcomes import STAGE
from seal.engine.rewriting.perturbations import REVISION, Perturbation, chosen
from seal.engine.rewriting.rewriting import columns_of, refuse_rewritten

_NOT_APPLIED = "not_applied_"

Perturbed = Mapping[str, list[str | None]]
"""Name of a perturbation -> for each text its perturbed response, or None."""


@dataclass(frozen=True)
class PerturbReport(StageReport):
    """What a run did, earlier starts of it included: rows are texts x perturbations.

    Attributes:
        n_not_applied: rows of the failures that are no failures: the perturbation changed neither text.
        not_applied: pairs of which it changed neither text, by perturbation.
    """

    n_not_applied: int = 0
    not_applied: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed_share(self) -> float:
        """Failures over rows asked for, those left out to which a perturbation did not apply."""
        failed = self.n_failures - self.n_not_applied
        return failed / max(1, self.n_rows + failed)

    @classmethod
    def of(cls, sink: Sink) -> Self:
        """What a sink's log says."""
        return replace(super().of(sink), not_applied=counts_by_code(sink, _NOT_APPLIED))


def perturb(
    texts: str | Path,
    names: Sequence[str],
    out: str | Path,
    options: PerturbOptions | None = None,
    *,
    overwrite: bool = False,
    listen: Listener | None = None,
) -> PerturbReport:
    """Perturb responses into a TEXTS folder of variants `perturb:<name>`; go on where a run was killed.

    Args:
        texts: a TEXTS Parquet file or folder of originals.
        names: of perturbations (`seal.engine.rewriting.perturbations`), or `all`.
        out: the folder to write; `source` and `meta_` columns are carried through.
        options: which texts, and the seed; by default all pairs.
        overwrite: start afresh in a folder that another run wrote.
        listen: told of the progress; by default a bar in a notebook, else nothing.

    Raises:
        InputError: the texts are not what they must be.
        ResumeError: `out` was made by something else, or another process writes it.
        UsageError: a name is none.
        SealError: `out` cannot be written.
    """
    options, texts, out = options or PerturbOptions(), Path(texts), Path(out)
    wanted = chosen(names)
    keep_apart(texts, out)
    columns = columns_of(texts)
    part_pairs = options.part_pairs or PERTURB_PART_PAIRS
    n_texts = count_texts(texts)
    rates = {p.name: p.rate for p in wanted}
    manifest = Manifest(
        STAGE,
        options.identity(part_pairs) | {"perturb": rates, "revision": REVISION, "seed": options.seed},
        {"texts": content_hash(texts)},
    )

    def windows(remaining: Remaining) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        sample = Sample(options.sample, options.seed)
        for window in remaining.windows(texts, part_pairs, sample=sample, columns=columns):
            refuse_rewritten(window, texts)
            yield window, window

    def work(window: pl.DataFrame, meter: Meter) -> Perturbed:
        made = perturbed(usable(window)[0], wanted, options.seed)
        meter.batch(window.height, 0, 0)
        return made

    stage = Stage(
        manifest, windows, lambda meter: nullcontext(partial(work, meter=meter)), _part, options.limit,
        options.shard, n_total=n_texts if options.takes_all else None,
    )  # fmt: skip
    return run_stage(stage, out, PerturbReport, overwrite=overwrite, listen=listener(listen))


def perturbed(texts: pl.DataFrame, wanted: Sequence[Perturbation], seed: int) -> Perturbed:
    """The responses of some texts, perturbed: of each its key, the seed and the texts alone decide.

    Args:
        texts: key, prompt and response, none of them null.
        wanted: the perturbations.
        seed: of what is drawn in a text.
    """
    responses = texts["response"].to_list()
    seeds = [text_seeds(seed, *key) for key in texts.select("row_id", "preference").iter_rows()]
    generator, made = Random(), dict[str, list[str | None]]()
    for p in wanted:
        if p.make is None:
            made[p.name] = answers_of_others(texts, seed)
            continue
        start, found = int.from_bytes(blake2b(p.name.encode(), digest_size=8).digest()), list[str | None]()
        for response, own in zip(responses, seeds, strict=True):
            generator.seed(own ^ start)
            found.append(p.make(response, generator))
        made[p.name] = found
    return made


def text_seeds(seed: int, row_id: int, preference: str) -> int:
    """64 bits of a text's key and the seed, from which each perturbation of it draws."""
    return int.from_bytes(blake2b(f"{seed}:{row_id}:{preference}".encode(), digest_size=8).digest())


def answers_of_others(texts: pl.DataFrame, seed: int) -> list[str | None]:
    """For each text the response of the same side to another prompt, drawn among these texts; None if none.

    The pairs are laid in a circle in an order of the seed's; each takes from the next one that has another
    prompt and another response.
    """
    order = hashed(texts["row_id"].to_numpy(), seed)
    ringed = texts.with_row_index("place").with_columns(order=pl.Series(order)).sort("order", "place")
    answers: list[str | None] = [None] * texts.height
    for _, ring in ringed.group_by("preference", maintain_order=True):
        rows = ring.select("place", "prompt", "response").rows()
        for i, (place, prompt, response) in enumerate(rows):
            others = (rows[(i + k) % len(rows)] for k in range(1, len(rows)))
            answers[place] = next((r for _, p, r in others if p != prompt and r != response), None)
    return answers


def _part(window: pl.DataFrame, made: Perturbed) -> Part:
    """The perturbed texts of a window in whole pairs, and those that are none."""
    good, missing = usable(window)
    rows, failed, counts = [], [missing.clear()], {}
    alone = pl.col("row_id").is_in(missing["row_id"].unique().to_list())
    for name, responses in made.items():
        variant = pl.lit(PREFIX + name).alias("variant")
        texts = good.with_columns(variant, new=pl.Series(responses, dtype=pl.String))
        applies = pl.col("new").is_not_null().any().over("row_id")
        texts = texts.with_columns(applies=applies, alone=alone)
        done = texts.filter("applies", ~pl.col("alone"))
        rows.append(done.with_columns(response=pl.coalesce("new", "response")).select(good.columns))
        left, lost = texts.filter(~pl.col("applies"), ~pl.col("alone")), texts.filter("alone")
        counts[f"{_NOT_APPLIED}{name}"] = left["row_id"].n_unique()
        failed += [
            missing.with_columns(variant),
            failures(left, STAGE, DOES_NOT_APPLY, "it changes neither text of the pair").drop("stage"),
            failures(lost, STAGE, "other_side_refused", "the other text of its pair is missing").drop(
                "stage"
            ),
        ]
    failures_of_all = pl.concat([f.select(missing.columns) for f in failed]).with_columns(stage=pl.lit(STAGE))
    n_left = failures_of_all.filter(error=DOES_NOT_APPLY).height
    counts = {name: n for name, n in counts.items() if n} | {"n_not_applied": n_left}
    return Part(pl.concat(rows).sort(TEXT_KEY), failures_of_all.select(*FAILURES.types), counts)
