"""`seal.analyze`: scores and labels in, estimates out, with a record of what was read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from seal.engine.errors import UsageError
from seal.engine.frames.folder import content_hash
from seal.engine.frames.given import Given, given_list, given_path
from seal.engine.frames.manifest import current_command, versions
from seal.engine.frames.schema import readable
from seal.stats.estimates import estimate
from seal.stats.inputs import Frames
from seal.stats.labelers.health import health_notes
from seal.stats.options import AnalyzeOptions
from seal.stats.results import InputRecord, Results, place_from, write


def analyze(
    scores: Given | Sequence[Given],
    labels: Given | Sequence[Given],
    options: AnalyzeOptions,
    *,
    texts: Given | None = None,
    rewritten: Given | None = None,
    rewritten_scores: Given | Sequence[Given] | None = None,
    rewritten_labels: Given | Sequence[Given] | None = None,
    similarities: Given | None = None,
    perturbed: Given | None = None,
    perturbed_scores: Given | Sequence[Given] | None = None,
    out: str | Path | None = None,
    as_published: bool = False,
    figures: bool = False,
) -> Results:
    """Estimate what the reward models learned, from their scores and a labeler's features.

    Each frame is a Parquet file or folder (its path), or in memory: polars, pandas or Arrow. Scores and
    labels may be CSV files too, and have `prompt` and `response` in the place of `row_id` and `preference`.

    Args:
        scores: SCORES of both models, one frame or a list.
        labels: LABELS, one frame or a list.
        options: the models' names, and how to estimate.
        texts: TEXTS: lengths for the rulers; `source` and `meta_` columns.
        rewritten: TEXTS of the rewritings.
        rewritten_scores, rewritten_labels: of the rewritten texts, both or neither; one frame or a list.
        similarities: SIMILARITIES of original and rewritten texts.
        perturbed: the folder of perturbed texts, for the pairs to which a perturbation did not apply.
        perturbed_scores: SCORES of the perturbed texts by both models, one frame or a list.
        out: a folder to write tables, suspects and `results.json` to; what an earlier analysis left goes.
        as_published, figures: add the study's own arithmetic; draw figures 2 to 5 into `out/figures`.

    Raises:
        UsageError: options or frames that do not go together, or a model or labeler that is not there.
        InputError: a frame is missing, lacks a column, or holds a key twice.
    """
    if figures and out is None:
        raise UsageError("figures are written into a folder: name it with out")
    given = _by_role(
        texts=texts, scores=scores, labels=labels, rewritten=rewritten, rewritten_scores=rewritten_scores,
        rewritten_labels=rewritten_labels, similarities=similarities, perturbed=perturbed,
        perturbed_scores=perturbed_scores,
    )  # fmt: skip
    folder = None if out is None else Path(out)
    with readable(*filter(None, (given_path(x) for frames in given.values() for x in frames))):
        frames = Frames.of(given)
        results = estimate(frames, options, as_published=as_published)
    labeled = (*given["labels"], *given["rewritten-labels"])
    results = replace(
        results, inputs=_records(given, folder), versions=versions(), command=current_command(),
        folder=folder, notes=(*frames.notes, *results.notes, *health_notes(labeled)),
    )  # fmt: skip
    return results if folder is None else _written(results, folder, frames, given["texts"], figures)


def _written(
    results: Results, folder: Path, frames: Frames, texts: Sequence[Given], figures: bool
) -> Results:
    """The results with their files in a folder."""
    drawing = _drawing(results, results.options) if figures else None
    with readable(*filter(None, map(given_path, texts))):
        return replace(results, files=tuple(write(results, folder, drawing, texts=frames.texts)))


def _by_role(**frames: Given | Sequence[Given] | None) -> dict[str, tuple[Given, ...]]:
    """What was given, by the long name of the option."""
    given = {name.replace("_", "-"): given_list(frame) for name, frame in frames.items()}
    if not (given["scores"] and given["labels"]):
        raise UsageError("an analysis needs scores and labels; one of them is an empty list")
    return given


def _drawing(results: Results, options: AnalyzeOptions) -> Callable[[Path], Sequence[Path]]:
    from seal.stats.figures import save_figures

    return lambda folder: save_figures(results.tables, options.pre, options.post, folder / "figures")


def _records(given: Mapping[str, Sequence[Given]], out: Path | None) -> tuple[InputRecord, ...]:
    """What was read: where it lies as seen from the results, and what it holds; the report finds it so."""
    records = []
    for role, path in ((role, given_path(frame)) for role, frames in given.items() for frame in frames):
        if path is None:
            records.append(InputRecord(role, "", ""))
        else:
            place = path.resolve().as_posix() if out is None else place_from(path, out)
            records.append(InputRecord(role, place, content_hash(path)))
    return tuple(records)
