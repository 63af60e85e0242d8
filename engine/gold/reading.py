"""Answers of people -> a LABELS folder in which each pair has its inclusion probability."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.files import file_sha256
from seal.engine.frames.folder import content_hash
from seal.engine.frames.manifest import Manifest
from seal.engine.frames.reader import keep_apart
from seal.engine.frames.schema import FAILURES, INCLUSION, LABELS, TEXT_KEY
from seal.engine.frames.sink import Sink
from seal.engine.frames.stage import FAILED, failures
from seal.engine.frames.taxonomy import Feature, load_taxonomy
from seal.engine.gold.answers import Answers, read_answers, wrong
from seal.engine.gold.blind import chosen_features, open_sample, sheet_hash
from seal.engine.gold.options import GOLD, GoldReadOptions
from seal.engine.gold.population import DRAWN_WITH, STRATUM
from seal.engine.notebook import Shown

STAGE = "gold read"

Pair = tuple[dict[str, Any], dict[str, Any]]
"""The answers to a pair's two texts, in the page's order."""


@dataclass(frozen=True)
class GoldReadReport(Shown):
    """What was read.

    Attributes:
        n_drawn: pairs of the sample.
        n_pairs: labeler -> pairs labeled.
        n_rows: rows written, one a text and labeler.
        n_failures: texts that were answered and are no labels.
        errors: code -> such texts.
        notes: what a reader must know.
    """

    n_drawn: int
    n_pairs: dict[str, int]
    n_rows: int
    n_failures: int
    errors: dict[str, int]
    notes: tuple[str, ...] = ()

    @property
    def failed_share(self) -> float:
        """Failures over texts answered."""
        return self.n_failures / max(1, self.n_rows + self.n_failures)


@dataclass
class _Read:
    """What one labeler said, pair by pair."""

    good: dict[str, Pair] = field(default_factory=dict)
    bad: dict[str, tuple[str, str]] = field(default_factory=dict)


def gold_read(
    answers: str | Path | Sequence[str | Path], gold: str | Path, out: str | Path,
    options: GoldReadOptions | None = None, *, overwrite: bool = False,
) -> GoldReadReport:  # fmt: skip
    """Check what people answered on a page and write it as LABELS with `inclusion_probability`.

    A pair counts where every question is answered for both texts. One that is half labeled, has a value that
    the taxonomy does not know, stands twice in a file, or was answered differently under one name is two
    failure rows (`half_labeled`, `invalid`, `duplicate`, `contradiction`). Where fewer pairs were labeled
    than drawn, the inclusion probability is that of the draw times the share of its stratum that was labeled.

    Args:
        answers: the files exported from the page, one or several; several of one name are joined.
        gold: the folder that `gold_sample` wrote and the page was made of.
        out: the folder to write.
        options: the taxonomy, and what the rows say under `labeler`.
        overwrite: start afresh in a folder that another run wrote.

    Raises:
        InputError: a file is no file of answers, belongs to another page, or names a text that is not on it;
            or no pair was labeled.
        ResumeError: `out` was made by something else, or another process writes it.
        UsageError: the taxonomy is wrong, or an option is.
        SealError: `out` cannot be written.
    """
    options, gold, out = options or GoldReadOptions(), Path(gold), Path(out)
    keep_apart(gold, out)
    paths = [Path(answers)] if isinstance(answers, str | Path) else [Path(path) for path in answers]
    texts, key = open_sample(gold)
    files = [read_answers(path) for path in paths]
    features = _questions(files, options, key)
    pairs = {two["pair"].item(0): two for two in texts.partition_by("pair", maintain_order=True)}
    people = _people(files, options, pairs, features)
    rows, failed, notes = _frames(people, texts, pairs, features)
    inputs = {"gold": content_hash(gold), "answers": sorted(file_sha256(path) for path in paths)}
    said = {"labeler": options.labeler, "sheet": files[0].sheet}
    with Sink(out, Manifest(STAGE, said, inputs), overwrite=overwrite) as sink:
        if not sink.commits:
            last = int(texts.select(pl.col("row_id").max()).item() or 0)
            sink.commit(rows, failed, last_row_id=last, counters={"n_texts": texts.height})
        sink.finish(n_texts=texts.height, n_rows=rows.height, n_failures=failed.height)
    n_pairs = {name: len(read.good) for name, read in people.items()}
    errors = dict(sorted(Counter(failed["error"]).items()))
    return GoldReadReport(len(pairs), n_pairs, rows.height, failed.height, errors, notes)


def _questions(files: Sequence[Answers], options: GoldReadOptions, key: str) -> tuple[Feature, ...]:
    """What the page asked, once for all files.

    Raises:
        InputError: a file is of another page.
        UsageError: there is none.
    """
    if not files:
        raise UsageError("no file of answers is named")
    taxonomy = load_taxonomy(options.taxonomy)
    for file in files:
        known = all(name in taxonomy.names for name in file.features) and file.features
        features = chosen_features(taxonomy, file.features) if known else ()
        if not known or file.sheet != sheet_hash(key, features):
            raise InputError(
                f"{file.path} was not answered on a page of this sample and {taxonomy.origin}: give the "
                "folder and the taxonomy that its page was made with"
            )
        if file.sheet != files[0].sheet:
            raise InputError(
                f"{file.path} and {files[0].path} are of two pages: read each into its own folder"
            )
    return features


def _people(
    files: Sequence[Answers], options: GoldReadOptions, pairs: Mapping[str, pl.DataFrame],
    features: Sequence[Feature],
) -> dict[str, _Read]:  # fmt: skip
    """Labeler -> what was said under that name.

    Raises:
        InputError: nobody labeled a pair.
        UsageError: the name is empty.
    """
    if options.labeler is not None and not options.labeler.strip():
        raise UsageError("the labeler's name is empty; leave it out, or give one")
    typed = sorted({file.labeler for file in files})
    people: dict[str, _Read] = {}
    for file in files:
        name = options.labeler or (GOLD if len(typed) == 1 else file.labeler)
        _join(people.setdefault(name, _Read()), _check(file, pairs, features))
    if not any(read.good for read in people.values()):
        raise InputError(f"no pair is labeled in {', '.join(str(file.path) for file in files)}")
    return dict(sorted(people.items()))


def _check(file: Answers, pairs: Mapping[str, pl.DataFrame], features: Sequence[Feature]) -> _Read:
    """Each pair of a file as labels or as a failure.

    Raises:
        InputError: it names a text or pair that is not on the page.
    """
    places = {text: (pair, i) for pair, two in pairs.items() for i, text in enumerate(two["text"])}
    said: dict[str, list[list[dict[str, Any]]]] = {}
    for text, values in file.texts:
        if text not in places:
            raise InputError(f"{file.path}: text {text[:40]!r} is not on the page; export the answers again")
        pair, side = places[text]
        said.setdefault(pair, [[], []])[side].append(values)
    read = _Read()
    for pair in file.half_labeled:
        if pair not in pairs:
            raise InputError(f"{file.path}: pair {pair[:40]!r} is not on the page; export the answers again")
        read.bad[pair] = ("half_labeled", "not every question was answered")
    for pair, (left, right) in said.items():
        if problem := _problem(left, right, features):
            read.bad[pair] = problem
        elif pair not in read.bad:
            read.good[pair] = (left[0], right[0])
    return read


def _problem(left: list[Any], right: list[Any], features: Sequence[Feature]) -> tuple[str, str] | None:
    """Why the answers to a pair's two texts are no labels: a code and the reason."""
    if not left or not right:
        return "half_labeled", "only one of the two texts was answered"
    if len(left) + len(right) > 2:
        return "duplicate", "a text of the pair stands in the file more than once"
    names = {feature.name for feature in features}
    for values in (left[0], right[0]):
        if missing := [f.name for f in features if f.name not in values]:
            return "half_labeled", f"not answered: {', '.join(missing)}"
        if unknown := sorted(values.keys() - names):
            return "invalid", f"{unknown[0]!r} was not asked"
        if reasons := [reason for f in features if (reason := wrong(f, values[f.name]))]:
            return "invalid", reasons[0]
    return None


def _join(read: _Read, more: _Read) -> None:
    """Add another file of the same name: what is labeled in one and not in the other counts."""
    for pair, said in more.good.items():
        if read.good.get(pair, said) != said:
            read.bad[pair] = ("contradiction", "two files under this name answer differently")
        else:
            read.good[pair] = said
    for pair, problem in more.bad.items():
        read.bad.setdefault(pair, problem)
    for pair in list(read.bad):
        code = read.bad[pair][0]
        if code == "half_labeled" and pair in read.good:  # finished in the other file
            del read.bad[pair]
        elif code != "half_labeled":
            read.good.pop(pair, None)


def _frames(
    people: Mapping[str, _Read], texts: pl.DataFrame, pairs: Mapping[str, pl.DataFrame],
    features: Sequence[Feature],
) -> tuple[pl.DataFrame, pl.DataFrame, tuple[str, ...]]:  # fmt: skip
    """LABELS, FAILURES and notes."""
    types = {**LABELS.types, **{f.name: f.dtype for f in features}, INCLUSION: pl.Float64()}
    drawn = _per_stratum(pairs.values())
    rows: list[dict[str, Any]] = []
    failed, notes = [FAILURES.empty()], []
    for name, read in people.items():
        labeled = _per_stratum(pairs[pair] for pair in read.good)
        for pair, said in read.good.items():
            two = pairs[pair]
            stratum = two[STRATUM].item(0)
            chance = two[DRAWN_WITH].item(0) * labeled[stratum] / drawn[stratum]
            for key, values in zip(two.select(TEXT_KEY).iter_rows(named=True), said, strict=True):
                rows.append({**key, "labeler": name, **values, INCLUSION: chance})
        failed += [_failure(pairs[pair], name, *problem) for pair, problem in read.bad.items()]
        if len(read.good) < len(pairs):
            notes.append(_note(name, labeled, drawn))
    frame = pl.DataFrame(rows, schema=types).sort(LABELS.key)
    return frame, pl.concat(failed).sort(*TEXT_KEY, "detail"), tuple(notes)


def _per_stratum(pairs: Any) -> Counter[str]:
    return Counter(two[STRATUM].item(0) for two in pairs)


def _failure(two: pl.DataFrame, labeler: str, code: str, reason: str) -> pl.DataFrame:
    rows = two.select(*TEXT_KEY).with_columns(error=pl.lit(code), detail=pl.lit(reason)).cast(FAILED)  # type: ignore[arg-type]
    return failures(rows, STAGE, code, f"labeler {labeler}: {reason}").select(*FAILURES.types)


def _note(name: str, labeled: Counter[str], drawn: Counter[str]) -> str:
    counts = ", ".join(
        f"{labeled[s]} of {n} pairs{f' ({s})' if len(drawn) > 1 else ''}" for s, n in drawn.items()
    )
    none = [s for s, n in drawn.items() if not labeled[s]]
    empty = f" Of {', '.join(none)} none is labeled: its pairs are not represented." if none else ""
    return (
        f"{name} labeled {counts}. The inclusion probability is that of the draw times the share labeled in "
        f"the stratum: this takes the pairs without labels to be missing at random.{empty}"
    )
