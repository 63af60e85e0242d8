"""The stages of a run as data: which command each is, what it reads and writes, what it needs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seal.cli.pipeline.settings import MILD, Model, Rewriting, RunSettings
from seal.engine.generation.options import OF_FOLDERS, OF_SERVERS, GeneratorOptions
from seal.engine.labeling.options import COMPUTED
from seal.engine.options import declared

TEXTS, SIMILARITIES, RESULTS, REPORT = "texts", f"{MILD}/similarities", "results", "report.html"


@dataclass(frozen=True)
class Need:
    """One environment that would do.

    Attributes:
        extras: of `seal-engine` that bring it, any of them.
        packages: that must be importable there.
    """

    extras: tuple[str, ...]
    packages: tuple[str, ...]


ONNX = Need(("cpu", "gpu"), ("onnxruntime",))
EXPORT = Need(("export",), ("torch", "transformers", "onnx", "onnxruntime"))
TORCH = Need(("export",), ("torch", "transformers"))
VLLM = Need(("vllm",), ("vllm",))
_COMBINED, _MILD_TEXTS = "combined", f"{MILD}/texts"
_DECODERS = {"vllm": (VLLM,), "transformers": (TORCH,), "openai": (), None: (VLLM, TORCH)}


@dataclass(frozen=True)
class Stage:
    """One command of a run.

    Attributes:
        name: what it writes, below the run's folder: `scores/post`.
        command: `score`.
        words: what the run itself says on its command line, paths absolute, the output left out.
        reads: the stages whose outputs it reads.
        models: name -> folder or URL of each model that it runs, exported ones included.
        own: options of this stage alone, by long name, over those of the command's table.
        honours: the options that it takes of the command's table; None takes all.
        drops: those that it does not take.
        facts: what `words` says that changes the result, paths left out.
    """

    name: str
    command: str
    words: tuple[str, ...]
    reads: tuple[str, ...] = ()
    models: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    honours: frozenset[str] | None = None
    drops: frozenset[str] = frozenset()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def knows_itself(self) -> bool:
        """Whether its folder says what made it: it is resumed then, and refuses what would not fit."""
        return self.command not in ("analyze", "report")

    def needs(self, options: Mapping[str, Any]) -> tuple[Need, ...]:
        """The environments that would do, the best first; none where the base packages are enough."""
        if self.command in ("score", "similarity"):
            return (TORCH,) if options.get("backend") == "torch" else (ONNX,)
        if self.command == "export":
            return (EXPORT,)
        if self.command in ("label", "rewrite") and any(_is_folder(m) for m in self.models.values()):
            return _DECODERS[options.get("backend")]
        return ()


def _is_folder(where: str) -> bool:
    return "://" not in where


# Of [label], what stands there for models is not for `computed`; the rewritten texts are a sample already.
_COMPUTED_HONOURS = frozenset(("sample", "seed", "limit", "part-pairs", "part-rows", "max-failures"))
_OF_ORIGINALS = frozenset(("sample", "seed", "limit"))
# Beside folders a server gets what servers take, and the folders the rest, as in one `seal label` for all.
_FLAGS = {known.name: known.flag for known in declared(GeneratorOptions)}
_NOT_OF = {True: frozenset(_FLAGS[n] for n in OF_SERVERS), False: frozenset(_FLAGS[n] for n in OF_FOLDERS)}


def stages_of(
    settings: RunSettings, *, score_backend: str | None, is_exported: Callable[[Path], bool],
    gold: str | None = None, labeler: str | None = None,
) -> tuple[Stage, ...]:  # fmt: skip
    """The stages that the settings ask for, each behind those it reads.

    Args:
        settings: the table [run].
        score_backend: what [score] says; `torch` scores the models as they are.
        is_exported: whether a folder is what `seal export` writes.
        gold: whose the gold labels are, where there are such.
        labeler: whose labels [analyze] regresses on, where it says so.
    """
    return tuple(_Builder(settings, score_backend, is_exported, gold, labeler).stages())


class _Builder:
    """Puts paths into command lines."""

    def __init__(
        self, settings: RunSettings, score_backend: str | None, is_exported: Callable[[Path], bool],
        gold: str | None, labeler: str | None,
    ) -> None:  # fmt: skip
        self._run, self._backend, self._is_exported = settings, score_backend, is_exported
        self._gold, self._labeler = gold, labeler
        self._texts = str(settings.texts or settings.out / TEXTS)
        self._reads_texts = () if settings.texts else (TEXTS,)
        self._outs: dict[str, str] = {}  # role of a model -> the stage that exports it

    def stages(self) -> Iterator[Stage]:
        run = self._run
        if run.sources:
            yield Stage(TEXTS, "import", tuple(map(str, run.sources)), facts={"sources": self._named()})
        models = [run.pre, run.post]
        for model in [*models, *filter(None, [run.embedder])]:
            yield from self._export(model)
        yield from (self._score(model) for model in models)
        yield from self._labels()
        for kind in run.rewritings:
            yield self._rewrite(kind)
            if run.embedder and kind.is_mild:
                yield self._similarity(run.embedder)
            yield from (self._score(model, kind) for model in models)
            yield from self._labels(kind)
        yield self._analyze()
        yield Stage(REPORT, "report", (self._at(RESULTS),), reads=(RESULTS,))

    def _named(self) -> list[str]:
        """Sources as the settings name them: a text's `source` is made of it."""
        root = self._run.file.parent.absolute()
        return [str(p.relative_to(root) if p.is_relative_to(root) else p) for p in self._run.sources]

    def _at(self, name: str) -> str:
        return str(self._run.out / name)

    def _export(self, model: Model) -> Iterator[Stage]:
        backend = model.options.get("backend", self._backend if model is not self._run.embedder else None)
        if backend != "torch" and not self._is_exported(Path(model.where)):
            self._outs[model.name] = f"models/{model.name}"
            yield Stage(f"models/{model.name}", "export", (model.where,))

    def _score(self, model: Model, of: Rewriting | None = None) -> Stage:
        folder, reads = self._runnable(model)
        return Stage(
            f"{_below(of)}scores/{model.name}",
            "score",
            (self._source(of), "--model", f"{model.name}={folder}"),
            reads=(*self._source_stage(of), *reads),
            models={model.name: folder},
            own=model.options,
            drops=_OF_ORIGINALS if of else frozenset(),
            facts={"model": model.name},
        )

    def _runnable(self, model: Model) -> tuple[str, tuple[str, ...]]:
        """The folder that is run, exported or as it is, and the stage that writes it."""
        exported = self._outs.get(model.name)
        return (self._at(exported), (exported,)) if exported else (model.where, ())

    def _labels(self, of: Rewriting | None = None) -> Iterator[Stage]:
        """The labels of the texts themselves, or of those of a kind of rewriting by a model."""
        if of and of.perturbs:
            return
        mixed = len({x.is_folder for x in self._run.labelers if x.where != COMPUTED}) > 1
        for labeler in self._run.labelers:
            computed = labeler.where == COMPUTED
            # How far the protocols agree is known from the originals.
            once = ("--cross-check", "0") if of and not computed else ()
            yield Stage(
                f"{_below(of)}labels/{labeler.name}",
                "label",
                (self._source(of), "--labeler", f"{labeler.name}={labeler.where}", *once),
                reads=self._source_stage(of),
                models={} if computed else {labeler.name: labeler.where},
                own=labeler.options,
                honours=_COMPUTED_HONOURS if computed else None,
                drops=(_OF_ORIGINALS if of else frozenset())
                | (_NOT_OF[labeler.is_folder] if mixed else frozenset()),
                facts={"labeler": labeler.name},
            )
        found, files = self._combined(of)
        if self._run.combine and len(found) + len(files) > 1:
            yield Stage(
                f"{_below(of)}labels/{_COMBINED}",
                "agreement",
                (*map(self._at, found), *files, "--combine", self._run.combine),
                reads=found,
                drops=frozenset(("gold",)) if of else frozenset(),
                facts={"combine": self._run.combine},
            )

    def _combined(self, of: Rewriting | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The stages and the files whose labels are made into one."""
        found = tuple(f"{_below(of)}labels/{x.name}" for x in self._run.labelers if x.where != COMPUTED)
        return found, () if of else tuple(map(str, self._run.labels))

    def _rewrite(self, kind: Rewriting) -> Stage:
        """Only what is asked of a model takes what [rewrite] says of it."""
        name, run = f"{kind.name}/texts", self._run
        if kind.perturbs or not run.rewriter:
            return Stage(
                name, "rewrite", (self._texts,), reads=self._reads_texts, own=kind.options,
                honours=frozenset(),
            )  # fmt: skip
        rewriter = run.rewriter
        who = f"{rewriter.name}={rewriter.where}" if rewriter.named else rewriter.where
        labels = self._own_labels() if kind.aims and "labels" not in kind.options else None
        words = ("--labels", self._at(labels)) if labels else ()
        return Stage(
            name, "rewrite", (self._texts, "--rewriter", who, *words),
            reads=(*self._reads_texts, *filter(None, [labels])),
            models={rewriter.name: rewriter.where}, own={**rewriter.options, **kind.options},
        )  # fmt: skip

    def _own_labels(self) -> str | None:
        """The stage that says what each text is: whose labels are analyzed, or the only model's."""
        names = [s.name.removeprefix("labels/") for s in self._labels() if not s.honours]
        wanted = _COMBINED if _COMBINED in names else self._labeler
        known = [name for name in names if wanted in (None, name)]
        return f"labels/{known[0]}" if len(known) == 1 else None

    def _similarity(self, embedder: Model) -> Stage:
        folder, reads = self._runnable(embedder)
        return Stage(
            SIMILARITIES, "similarity",
            (self._texts, self._at(_MILD_TEXTS), "--embedder", f"{embedder.name}={folder}"),
            reads=(*self._reads_texts, _MILD_TEXTS, *reads), models={embedder.name: folder},
            own=embedder.options, drops=frozenset(("limit",)), facts={"embedder": embedder.name},
        )  # fmt: skip

    def _analyze(self) -> Stage:
        run = self._run
        words = ["--texts", self._texts, "--pre", run.pre.name, "--post", run.post.name]
        reads = [*self._reads_texts]
        for kind in (None, *run.rewritings):
            option = "--" if kind is None else "--perturbed-" if kind.perturbs else "--rewritten-"
            stages = [("scores", self._score(x, kind)) for x in (run.pre, run.post)]
            for what, stage in [*stages, *(("labels", x) for x in self._labels(kind))]:
                words += [f"{option}{what}", self._at(stage.name)]
                reads.append(stage.name)
        words += [word for path in run.labels for word in ("--labels", str(path))]
        words += ["--labels", str(run.gold), "--gold", str(self._gold)] if run.gold else []
        mild = [kind for kind in run.rewritings if kind.is_mild]
        perturbed = [kind for kind in run.rewritings if kind.perturbs]
        for option, kinds in (("--rewritten", mild), ("--perturbed", perturbed)):
            if len(kinds) == 1:  # of several the option takes none; what each leaves out is in its folder
                words += [option, self._source(kinds[0])]
                reads += self._source_stage(kinds[0])
        if run.embedder:
            words += ["--similarities", self._at(SIMILARITIES)]
            reads.append(SIMILARITIES)
        chosen = run.combine.replace("-", "_") if run.combine else None
        words += ["--labeler", chosen] if chosen else []
        facts = {"pre": run.pre.name, "post": run.post.name, "labeler": chosen}
        facts |= {"gold": self._gold} if run.gold else {}
        return Stage(RESULTS, "analyze", tuple(words), reads=tuple(reads), facts=facts)

    def _source(self, of: Rewriting | None) -> str:
        return self._at(f"{of.name}/texts") if of else self._texts

    def _source_stage(self, of: Rewriting | None) -> tuple[str, ...]:
        return (f"{of.name}/texts",) if of else self._reads_texts


def _below(kind: Rewriting | None) -> str:
    return f"{kind.name}/" if kind else ""
