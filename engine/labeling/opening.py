"""`[NAME=]computed|MODEL|URL` -> a labeler that is ready, its model loaded."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from seal.engine.checkpoints.named import named_path
from seal.engine.errors import UsageError, nearest
from seal.engine.frames.taxonomy import Taxonomy, load_taxonomy
from seal.engine.generation.loading import is_url, named_model, open_generator, served_name
from seal.engine.generation.options import OF_FOLDERS, OF_SERVERS, GeneratorOptions
from seal.engine.labeling.computed import FEATURES, ComputedLabeler
from seal.engine.labeling.contract import Labeler
from seal.engine.labeling.model_labeler import ModelLabeler
from seal.engine.labeling.options import COMPUTED, LabelOptions
from seal.engine.options import declared

_OF_MODELS = ("protocol", "max_tokens", "retries", "cross_check")

Labelers = str | Path | Labeler | Sequence[str | Path | Labeler]


def open_labelers(given: Labelers, options: LabelOptions, generator: GeneratorOptions) -> list[Labeler]:
    """The labelers that are named, models loaded; objects that label are taken as they are.

    Args:
        given: one or several.
        options: features, taxonomy and how models are asked.
        generator: what runs the models.

    Raises:
        UsageError: a feature is nobody's, a computed one bears a name of the taxonomy, or an option is not
            honoured.
    """
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    wanted = [str(w) if isinstance(w, Path) else w for w in several]
    named = [w for w in wanted if isinstance(w, str)]
    if not named:
        return [w for w in wanted if not isinstance(w, str)]
    asked = load_taxonomy(options.taxonomy)
    models = [w for w in named if not _is_computed(w)]
    _refuse_unknown_features(options, asked, computed=len(models) < len(named), model=bool(models))
    if not models:
        _refuse_model_options(options, generator)
    mixed = len({is_url(named_model(w)[1]) for w in models}) > 1
    return [
        w if not isinstance(w, str)
        else _computed(w, options, asked) if _is_computed(w)
        else _model(w, options, asked, _of_its_kind(generator, w) if mixed else generator)
        for w in wanted
    ]  # fmt: skip


def _is_computed(value: str) -> bool:
    return value.rpartition("=")[2] == COMPUTED


def _refuse_unknown_features(options: LabelOptions, asked: Taxonomy, *, computed: bool, model: bool) -> None:
    known = [*(feature.name for feature in FEATURES if computed), *(asked.names if model else ())]
    for name in options.features or ():
        if name not in known:
            raise UsageError(f"no labeler here knows a feature {name!r}; {nearest(name, known)}")


def _refuse_model_options(options: LabelOptions, generator: GeneratorOptions) -> None:
    of_models = [k for k in declared(LabelOptions) if k.name in _OF_MODELS]
    given = vars(generator) | {k.name: getattr(options, k.name) for k in of_models}
    for known in [*declared(GeneratorOptions), *of_models]:
        if given[known.name] != known.default:
            raise UsageError(f"the option {known.flag} is for models; the labeler {COMPUTED!r} asks none")


def _of_its_kind(generator: GeneratorOptions, value: str) -> GeneratorOptions:
    """Beside folders a server gets what servers take, and the folders the rest."""
    others = OF_FOLDERS if is_url(named_model(value)[1]) else OF_SERVERS
    return replace(generator, **{k.name: k.default for k in declared(GeneratorOptions) if k.name in others})


def _computed(value: str, options: LabelOptions, asked: Taxonomy) -> Labeler:
    known = [feature.name for feature in FEATURES]
    only = None if options.features is None else [name for name in options.features if name in known]
    labeler = ComputedLabeler(named_path(value)[0], only)
    if clash := [column for column in labeler.types if column in asked.names]:
        raise UsageError(f"{asked.origin}: feature '{clash[0]}' has the name of a computed one; rename it")
    return labeler


def _model(value: str, options: LabelOptions, asked: Taxonomy, generator: GeneratorOptions) -> Labeler:
    name, where = named_model(value)
    features = [f for f in asked.features if options.features is None or f.name in options.features]
    if not features:
        raise UsageError(f"features names none of the features that {value} is asked about")
    opened = open_generator(where, generator)
    name, how = name or served_name(opened), (options.protocol, options.max_tokens, options.retries)
    return ModelLabeler(name, opened, features, *how)
