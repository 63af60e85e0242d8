"""The table [run] of the settings file: what is measured, with what, and where to."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seal.cli.settings import kinds_of, read_tables
from seal.engine.checkpoints.cached import CachedName, cached_model
from seal.engine.checkpoints.named import NAME
from seal.engine.errors import UsageError, nearest
from seal.engine.labeling.options import COMPUTED

TABLE = "run"
KEYS = (
    "sources", "texts", "out", "pre", "post", "labelers", "labels", "gold", "combine", "rewriter", "embedder",
    "environments",
)  # fmt: skip
ENVIRONMENTS = ("cpu", "gpu", "export", "vllm")
MILD = "rewritten"
_TAKEN = (MILD, "texts", "scores", "labels", "models", "results", "report.html")
COMBINE = ("majority", "dawid-skene")
_SPLIT = re.compile(rf"(?:({NAME.pattern})=)?(.+)", re.DOTALL)


@dataclass(frozen=True)
class Model:
    """A model of a run.

    Attributes:
        name: what its rows are named after.
        where: an absolute folder, a URL, or `computed`.
        options: of its command, over those of the command's own table.
        named: whether the user chose the name.
    """

    name: str
    where: str
    options: Mapping[str, Any] = field(default_factory=dict)
    named: bool = True

    @property
    def is_folder(self) -> bool:
        """Whether it lies on this machine."""
        return self.where != COMPUTED and "://" not in self.where


@dataclass(frozen=True)
class Rewriting:
    """One kind of rewriting of a run.

    Attributes:
        name: the folder that its texts, scores and labels lie in.
        options: of `seal rewrite` for this kind alone, over those of [rewrite].
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def perturbs(self) -> bool:
        """Whether no model rewrites."""
        return "perturb" in self.options

    @property
    def aims(self) -> bool:
        """Whether responses are rewritten toward a value, so that it matters what each text is."""
        return "toward" in self.options

    @property
    def is_mild(self) -> bool:
        """Whether whole dialogues are put in other words, as in the study."""
        return self.name == MILD


@dataclass(frozen=True)
class RunSettings:
    """The table [run], its paths absolute.

    Attributes:
        file: the settings file.
        out: the folder that everything is written to.
        sources: datasets to import; none where `texts` is given.
        texts: a TEXTS frame that is there already.
        pre, post: the reward models before and after.
        labelers: who labels.
        labels: LABELS frames that are there already.
        gold: LABELS made by people on a sample of pairs; None does without.
        combine: how the labelers are made into one; None leaves them apart.
        rewriter: who rewrites; None does without.
        rewritings: the kinds of rewriting: the mild one where there is a rewriter, then a table
            [rewrite.NAME] each.
        embedder: what compares rewritten texts with their originals; None does without.
        environments: extra -> interpreter of the environment that has it.
    """

    file: Path
    out: Path
    sources: tuple[Path, ...]
    texts: Path | None
    pre: Model
    post: Model
    labelers: tuple[Model, ...] = ()
    labels: tuple[Path, ...] = ()
    gold: Path | None = None
    combine: str | None = None
    rewriter: Model | None = None
    rewritings: tuple[Rewriting, ...] = ()
    embedder: Model | None = None
    environments: Mapping[str, Path] = field(default_factory=dict)


def load_run(path: Path) -> RunSettings:
    """Read the table [run] of a settings file.

    Raises:
        UsageError: the file is no TOML, has no such table, or the table asks for what cannot be.
    """
    tables = read_tables(path)
    table = tables.get(TABLE)
    if not isinstance(table, dict):
        raise UsageError(
            f"{path} has no table [{TABLE}], which says what to run; seal init writes an example"
        )
    return parse_run(table, path, kinds_of(tables, "rewrite"))


def parse_run(
    values: Mapping[str, Any], file: Path, kinds: Mapping[str, Mapping[str, Any]] | None = None
) -> RunSettings:
    """Read the table [run].

    Args:
        values: the table.
        file: where it stands; relative paths start in its folder.
        kinds: the tables [rewrite.NAME], by name.

    Raises:
        UsageError: a key is unknown (with the nearest), missing, of the wrong type, or does not fit another.
    """
    read = _Reader(values, file)
    check_keys(values, file)
    rewriter = read.model("rewriter") if "rewriter" in values else None
    mild = (Rewriting(MILD),) if rewriter else ()
    settings = RunSettings(
        file=file,
        out=read.path("out") or read.place("out"),
        sources=read.paths("sources"),
        texts=read.path("texts"),
        pre=read.model("pre", needed=True),
        post=read.model("post", needed=True),
        labelers=read.models("labelers"),
        labels=read.paths("labels"),
        gold=read.path("gold"),
        combine=read.text("combine"),
        rewriter=rewriter,
        rewritings=(*mild, *(Rewriting(name, options) for name, options in (kinds or {}).items())),
        embedder=read.model("embedder") if "embedder" in values else None,
        environments=read.environments("environments"),
    )
    _check(settings)
    return settings


def check_keys(values: Mapping[str, Any], file: Path) -> None:
    """Refuse keys that the table [run] does not have.

    Raises:
        UsageError: one of them, with the nearest that it has.
    """
    _known(values, KEYS, f"{file}: [{TABLE}]")


def _known(values: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    for key in values:
        if key not in names:
            raise UsageError(f"{where} has no setting '{key}'; {nearest(key, names)}")


def _check(settings: RunSettings) -> None:
    where = f"{settings.file}: [{TABLE}]"
    if bool(settings.sources) == (settings.texts is not None):
        raise UsageError(f"{where} needs either sources (datasets to import) or texts (imported before)")
    models = [model.name for model in (settings.pre, settings.post, settings.embedder) if model]
    _distinct(models, f"{where} has two models")
    if not settings.labelers and not settings.labels:
        raise UsageError(f"{where} needs labelers ('{COMPUTED}', a model) or labels (files), or both")
    taken = ["combined"] if settings.combine else []
    _distinct([x.name for x in settings.labelers] + taken, f"{where} has two labelers")
    if settings.gold in settings.labels:
        raise UsageError(f"{where} names {settings.gold} under labels and as gold; once is enough, as gold")
    if settings.embedder and not settings.rewriter:
        raise UsageError(f"{where} has an embedder but no rewriter: it compares rewritten texts")
    _check_combine(settings, where)
    for kind in settings.rewritings:
        _check_rewriting(kind, settings)


def _check_rewriting(kind: Rewriting, settings: RunSettings) -> None:
    where = f"{settings.file}: [rewrite.{kind.name}]"
    if kind.is_mild and not kind.options:
        return
    if kind.name in _TAKEN or not NAME.fullmatch(kind.name):
        raise UsageError(f"{where} cannot be called so: it is the folder of these texts, and that is taken")
    if not kind.options.keys() & {"perturb", "toward", "placebo"}:
        raise UsageError(f"{where} needs perturb, toward or placebo; what all share stands in [rewrite]")
    if not kind.perturbs and not settings.rewriter:
        raise UsageError(f"{where} needs a rewriter under [{TABLE}]; only perturb does without a model")


def _distinct(names: list[str], what: str) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{what} named {twice[0]!r}; write NAME=DIR")


def _check_combine(settings: RunSettings, where: str) -> None:
    if settings.combine is None:
        return
    if settings.combine not in COMBINE:
        raise UsageError(
            f"{where} cannot combine by {settings.combine!r}; {nearest(settings.combine, COMBINE)}"
        )
    n_models = sum(labeler.where != COMPUTED for labeler in settings.labelers)
    n_labelers = n_models if settings.rewriter else n_models + len(settings.labels)
    if n_labelers < 2:
        raise UsageError(
            f"{where} combine needs two labelers or more, {COMPUTED!r} not counted"
            + (" (labels that are files say nothing of rewritten texts)" if settings.rewriter else "")
        )


class _Reader:
    """Values of the table by key, each refused with the name of its key."""

    def __init__(self, values: Mapping[str, Any], file: Path) -> None:
        self._values, self._file = values, file

    def place(self, value: str) -> Path:
        try:
            return (self._file.parent / Path(value).expanduser()).absolute()
        except RuntimeError:
            raise UsageError(f"{self._file}: {value!r}: nobody here has a home by that name") from None

    def text(self, key: str) -> str | None:
        value = self._values.get(key)
        if value is not None and not (isinstance(value, str) and value):
            raise self._wrong(key, "a text")
        return value

    def path(self, key: str) -> Path | None:
        value = self.text(key)
        return None if value is None else self.place(value)

    def paths(self, key: str) -> tuple[Path, ...]:
        value = self._values.get(key, [])
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(v, str) and v for v in values):
            raise self._wrong(key, "a path or a list of paths")
        return tuple(self.place(v) for v in values)

    def model(self, key: str, *, needed: bool = False) -> Model:
        if needed and key not in self._values:
            raise UsageError(f"{self._file}: [{TABLE}] names no {key}: a reward model's folder")
        return self._model(self._values[key], key, name=key)

    def models(self, key: str) -> tuple[Model, ...]:
        """A list of `[NAME=]MODEL|URL`, or a table NAME -> MODEL|URL or a table."""
        value = self._values.get(key, [])
        if isinstance(value, str | list):
            return tuple(self._model(v, key) for v in ([value] if isinstance(value, str) else value))
        if not isinstance(value, Mapping):
            raise self._wrong(key, "a list, or a table of names")
        for name in value:
            if not NAME.fullmatch(name):
                raise self._wrong(key, "named by letters, digits and . _ + - only")
        return tuple(self._model(v, key, name=name, fixed=True) for name, v in value.items())

    def _model(self, value: Any, key: str, name: str | None = None, *, fixed: bool = False) -> Model:
        options: Mapping[str, Any] = {}
        if isinstance(value, Mapping):
            options = {k: v for k, v in value.items() if k != "model"}
            value = value.get("model", COMPUTED if name == COMPUTED else None)
        found = _SPLIT.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise self._wrong(
                key, "a folder, [NAME=]MODEL, or a table with `model` and options of its command"
            )
        said, where = (None, value) if fixed else found.groups()
        own = where
        if where != COMPUTED and "://" not in where:
            where, own = self._folder(where)
        if "://" in where and said is None and name is None:
            raise UsageError(f"{self._file}: [{TABLE}] {key}: write NAME={where}, its rows need a name")
        chosen = said or name or own
        if not NAME.fullmatch(chosen):
            raise UsageError(
                f"{self._file}: [{TABLE}] {key}: {chosen!r} cannot be a name; write NAME={where}"
            )
        return Model(chosen, where, options, named=fixed or said is not None)

    def _folder(self, value: str) -> tuple[str, str]:
        """The folder of a MODEL, and its own name; one that is nowhere is told when the run begins."""
        place = self.place(value)
        if os.path.exists(place) or (asked := CachedName.parse(value)) is None:
            return str(place), place.name
        return str(cached_model(value) or place), asked.name

    def environments(self, key: str) -> dict[str, Path]:
        value = self._values.get(key, {})
        if not isinstance(value, Mapping) or not all(isinstance(v, str) and v for v in value.values()):
            raise self._wrong(key, 'a table of interpreters, e.g. vllm = ".venv-vllm/bin/python"')
        _known(value, ENVIRONMENTS, f"{self._file}: [{TABLE}.{key}]")
        return {extra: self.place(v) for extra, v in value.items()}

    def _wrong(self, key: str, wanted: str) -> UsageError:
        return UsageError(f"{self._file}: [{TABLE}] {key} must be {wanted}")
