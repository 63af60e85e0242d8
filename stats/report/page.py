"""A results folder as one HTML file: no script, nothing loaded from anywhere, all text of others escaped.

What stands in a dialogue, a label or a model's name was written by someone else. It reaches the page through
autoescaping only; `Markup` is used for the drawings of `seal.stats.report.svg` and for nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seal.engine.errors import InputError, ResumeError, SealError
from seal.engine.files import write_atomic
from seal.stats.options import ReportOptions
from seal.stats.report import provenance as provenance
from seal.stats.report.chapters import sections
from seal.stats.report.folders import Folder, find_folders
from seal.stats.report.resisting_pairs import Pair, resisting_pairs
from seal.stats.report.summary import summarise
from seal.stats.report.text import count, cut, fixed, percent, pieces, visible
from seal.stats.results import JSON, Results, read

_MADE_BY = b"Made by <code>seal report</code>"  # in the footer of every report, of every version
CHARACTERS = 20_000  # of one text; a dialogue may be a book


@dataclass(frozen=True)
class Report:
    """A page made of results.

    Attributes:
        html: the page.
        missing: what could not be shown and why, one line each.
        path: the file it was written to; None where it was not.
    """

    html: str = field(repr=False)
    missing: tuple[str, ...]
    path: Path | None = None

    @property
    def n_bytes(self) -> int:
        """Its size as a file."""
        return len(_encoded(self.html))

    def _repr_html_(self) -> str:
        frame = 'style="width: 100%; height: 50em; border: 0" sandbox'
        return f'<iframe {frame} srcdoc="{escape(self.html)}"></iframe>'


def report(
    results: str | Path | Results, out: str | Path | None = None, options: ReportOptions | None = None
) -> Report:
    """Make one HTML page of what an analysis found: no script in it, nothing loaded from anywhere.

    The same results, folders and options give the same bytes.

    Args:
        results: the folder that `seal analyze` wrote, or what `seal.analyze` returned.
        out: an HTML file to write, whole or not at all.
        options: title, folders, what to set beside, and how many pairs are shown.

    Raises:
        InputError: the results, the truth or the other results cannot be read.
        SealError: the file cannot be written.
    """
    options = options or ReportOptions()
    found = results if isinstance(results, Results) else read(Path(results))
    stages = [Path(stage) for stage in options.stages]
    folders = find_folders(found.inputs, found.folder or Path(), stages)
    pairs, no_pairs = _pairs(found, folders, options.pairs)
    missing = (*_missing(found, folders), *no_pairs)
    page = Report(render(found, folders, pairs, missing, options), missing)
    if out is None:
        return page
    path = Path(out)
    try:
        _refuse_foreign(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, _encoded(page.html))
    except OSError as error:
        raise SealError(f"cannot write {path}: {error.strerror or error}") from None
    return replace(page, path=path)


def _refuse_foreign(path: Path) -> None:
    """A file that is no report is not replaced by one.

    Raises:
        ResumeError: it is none.
    """
    if path.exists() and not (_MADE_BY in path.read_bytes() if path.is_file() else False):
        raise ResumeError(f"{path} is there and no report of this program; choose another name")


def _encoded(page: str) -> bytes:
    return page.encode("utf-8", errors="replace")


def render(
    results: Results,
    folders: Sequence[Folder],
    pairs: Sequence[Pair],
    missing: Sequence[str],
    options: ReportOptions,
) -> str:
    """The page as text."""
    pre, post = results.settings["pre"], results.settings["post"]
    title = options.title or f"What training taught: {pre} and {post}"
    return _environment().get_template("report.html.j2").render(
        title=visible(title), pre=visible(pre), post=visible(post),
        summary=summarise(results), sections=sections(results, options),
        pairs=pairs, missing=[visible(m) for m in missing], joins=_joins(results),
        stages=[provenance.throughput_table(folders), provenance.failures_table(folders)],
        total_s=provenance.total_seconds(folders),
        origins=[
            provenance.inputs_table(folders), provenance.models_table(folders),
            provenance.settings_table(results, folders), provenance.versions_table(results, folders),
        ],
        commands=provenance.commands(results, folders, results.folder), results_file=JSON,
        taxonomy=provenance.taxonomy(results), characters=CHARACTERS,
        level=f"{100 * float(results.settings.get('level', 0.95)):g}%",
    )  # fmt: skip


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("seal.stats.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {
        "pieces": pieces, "visible": visible, "count": count, "fixed": fixed, "percent": percent, "cut": cut,
        "parts": name_parts, "drawing": lambda figure: Markup(figure.svg),  # drawn and escaped here
        "narrow_drawing": lambda figure: Markup(figure.narrow),
    }  # fmt: skip
    return environment


def name_parts(name: str) -> list[str]:
    """A name cut behind its underscores, where a line may break."""
    parts = name.split("_")
    return [*(f"{p}_" for p in parts[:-1]), parts[-1]]


def _joins(results: Results) -> list[tuple[str, list[tuple[str, str]]]]:
    """What the keyed joins counted, in words, and rows that they name as examples."""
    return [
        (
            visible(of),
            [(_count_name(name), _counted(value)) for name, value in counts.items() if value or value == 0],
        )
        for of, counts in results.joins.items()
    ]


def _count_name(name: str) -> str:
    return visible(name.removeprefix("n_").replace("_", " "))


def _counted(value: object) -> str:
    if isinstance(value, int):
        return count(value)
    return visible(", ".join(map(str, value)) if isinstance(value, list | tuple) else value)


def _missing(results: Results, folders: Sequence[Folder]) -> list[str]:
    said = [f"{f.role} ({f.place}): {f.problem}" for f in folders if f.problem]
    if not results.inputs:
        said.append(
            f"{JSON} does not say what the analysis read: it was written by an earlier version; name the "
            "folders with --stage, or run seal analyze again"
        )
    return said


def _pairs(results: Results, folders: Sequence[Folder], n_pairs: int) -> tuple[list[Pair], tuple[str, ...]]:
    """The resisting pairs, or why there are none to show."""
    paths: dict[str, list[Path]] = {}
    for f in folders:
        if f.path is not None:
            paths.setdefault(f.role, []).append(f.path)
    if n_pairs and "scores" not in paths:
        return [], ("the scores were not found: the pairs that resist most are not shown",)
    options: Mapping[str, Any] = results.settings
    try:
        found = resisting_pairs(
            paths.get("scores", []), next(iter(paths.get("texts", [])), None), paths.get("labels", []),
            pre=options["pre"], post=options["post"], labeler=options.get("labeler"), n_pairs=n_pairs,
        )  # fmt: skip
    except InputError as error:
        return [], (f"the pairs that resist most are not shown: {error}",)
    without = found and "texts" not in paths
    return found, ("the texts were not found: resisting pairs are shown by number only",) if without else ()
