"""A local reward model or embedder -> an ONNX folder that runs without torch, with its parity report.

    model.onnx           the graph after onnxruntime's optimisation (model.onnx_data beside it beyond 1.5 GB)
    tokenizer.json       the fast tokenizer
    config.json          the model's own configuration
    seal.json            what scoring needs to know (spec.py), with the hashes of all files

The graph must give torch's rewards, at lengths from 5 to beyond 512 tokens and in padded batches, or there is
no folder. An embedder's graph ends in its embedding: pooling, Dense layers and normalisation are part of it.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers

from seal.engine.checkpoints import exported
from seal.engine.checkpoints.adapter import Adapter, is_adapter, read_adapter
from seal.engine.checkpoints.cached import local_model, not_here
from seal.engine.checkpoints.checkpoint import Checkpoint, read_config
from seal.engine.checkpoints.exported import (
    ENGINES,
    MODEL,
    SPEC,
    TOKENIZER,
    TUNING,
    Graph,
    ModelSpec,
    Precision,
    load_spec,
)
from seal.engine.checkpoints.merged import Merged
from seal.engine.errors import InputError, ResumeError, UsageError
from seal.engine.export import onnx_graph
from seal.engine.export.aside import clear_aside, made_aside
from seal.engine.export.graphs import choose_graph, write_graph
from seal.engine.export.options import ExportOptions
from seal.engine.export.parity import PARITY_LENGTHS, Parity, measure_parity, unit
from seal.engine.export.precision import halve, quantize
from seal.engine.frames.manifest import differences, versions
from seal.engine.notebook import Shown
from seal.engine.pooling import onnx as onnx_backend
from seal.engine.pooling.contract import Compute
from seal.engine.pooling.torch import TorchBackend, convert_pickles, load_tokenizer


@dataclass(frozen=True)
class ExportReport(Shown):
    """What an export did."""

    folder: Path
    spec: ModelSpec
    parity: Parity
    notes: list[str]


def export(
    model: str | Path, out: str | Path, options: ExportOptions | None = None, *, overwrite: bool = False
) -> ExportReport:
    """Export one model. The same export standing in `out` already is left as it is.

    Args:
        model: a transformers folder: config.json, tokenizer, safetensors weights, a head of one logit or
            several; or a sentence-transformers folder; or `org/name[@revision]` of either in the Hugging Face
            cache.
        out: the folder to make; an earlier export there is replaced only with `overwrite`.
        options: graph, precision, template, tolerance; the defaults when None.
        overwrite: replace an earlier export.

    Raises:
        InputError: the folder cannot be loaded, the architecture cannot be exported, or parity failed.
        MissingExtraError: the extra `export` is not installed.
        ResumeError: `out` is not empty, or another process exports to it.
    """
    options, model, out = options or ExportOptions(), local_model(model), Path(out)
    adapter = _adapter(model, options)
    graph, notes = _choose_graph(_source(model, adapter, weights=False), options)
    clear_aside(out)
    if out.exists() and any(out.iterdir()) and not (overwrite and (out / SPEC).is_file()):
        return _standing(_source(model, adapter), out, options, graph)
    _refuse_strangers(out)
    with made_aside(out) as aside:
        checkpoint = _open(model, adapter, aside, convert=options.convert)
        folder = aside / "onnx"
        spec, parity = _write(checkpoint, graph, options, folder)
        if not parity.passed:
            values = "rewards" if spec.kind == "reward" else "embeddings"
            raise InputError(
                f"the exported graph of {model} ({checkpoint.architecture}) does not give torch's {values}: "
                f"largest difference {parity.max_abs_diff:.3g} ({parity.worst}), allowed {parity.tolerance:g}"
                "; nothing was written"
            )
        if out.exists():
            _refuse_strangers(out)  # exporting takes minutes: something may have come meanwhile
            shutil.rmtree(out)
        folder.rename(out)
    return ExportReport(out, spec, parity, [*notes, *filter(None, [checkpoint.heads.note("NAME")])])


def _adapter(model: Path, options: ExportOptions) -> Adapter | None:
    """The adapter that is to be merged, if one is.

    Raises:
        UsageError: merging was asked for, of what is no adapter or together with reading pickles.
        InputError: it cannot be merged (see `read_adapter`).
    """
    if not options.merge:
        return None
    if options.convert:
        raise UsageError("merge and convert do not go together: convert the base first, then merge into that")
    if not model.is_dir():
        raise InputError(not_here(model))
    if not is_adapter(model):
        raise UsageError(f"{model} is no adapter; leave merge out")
    return read_adapter(model)


def _source(model: Path, adapter: Adapter | None, *, weights: bool = True) -> Checkpoint:
    """What is exported, before anything is converted or merged."""
    return Merged.of(adapter, weights=weights) if adapter else Checkpoint.open(model, weights=weights)


def _refuse_strangers(out: Path) -> None:
    """Of a folder to be replaced only what its own record names goes, and what was measured and built for it.

    Raises:
        ResumeError: it holds something else too.
    """
    if not out.exists():
        return
    ours = {*load_spec(out).files, SPEC, TUNING, ENGINES} if (out / SPEC).is_file() else set()
    if strange := sorted(path.name for path in out.iterdir() if path.name not in ours):
        raise ResumeError(f"{out} holds {', '.join(strange[:3])}, which no export wrote: move it elsewhere")


def _write(
    checkpoint: Checkpoint, graph: Graph, options: ExportOptions, folder: Path
) -> tuple[ModelSpec, Parity]:
    tokenizer_json, pad_token_id = _tokenizer(checkpoint)
    asked, longest = _asked(checkpoint, graph, options), checkpoint.max_tokens
    folder.mkdir()
    (folder / TOKENIZER).write_text(tokenizer_json, encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(checkpoint.config, indent=2), encoding="utf-8")
    _write_graph(checkpoint, graph, folder / MODEL, folder.parent, options.precision)
    parity = measure_parity(
        *_both(checkpoint, folder), tokenizer_json, asked["pair_template"], longest, pad_token_id,
        options.allowed(checkpoint.kind), PARITY_LENGTHS, ordered=checkpoint.kind == "reward",
    )  # fmt: skip
    spec = ModelSpec(
        architecture=checkpoint.architecture, max_tokens=longest, pad_token_id=pad_token_id,
        versions=versions(), parity=asdict(parity), kind=checkpoint.kind, **_logits(checkpoint), **asked,
    )  # fmt: skip
    spec.save(folder)
    return spec, parity


def _asked(checkpoint: Checkpoint, graph: Graph, options: ExportOptions) -> dict[str, Any]:
    """What tells one export from another, by the names of `ModelSpec`."""
    embedder = checkpoint.embedder
    return {
        "graph": graph, "precision": options.precision, "pair_template": options.template(checkpoint.kind),
        "weights_sha256": checkpoint.weights_sha256(), "head": embedder.describe() if embedder else {},
        "usual_tokens": embedder.usual_tokens if embedder else None, "origin": checkpoint.origin,
    }  # fmt: skip


def _logits(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a model's logits are, by the names of `ModelSpec`."""
    names, positive = checkpoint.heads.names, checkpoint.heads.positive
    return {"label": names[0]} if len(names) == 1 else {"label": "", "heads": names, "positive": positive}


def _choose_graph(checkpoint: Checkpoint, options: ExportOptions) -> tuple[Graph, list[str]]:
    options.template(checkpoint.kind)  # refused before anything is loaded
    if checkpoint.kind == "reward":
        return choose_graph(options.graph, checkpoint.config)
    note = "there is no fast graph for embedders; the reference graph was exported"
    return "reference", [note] * (options.graph == "fast")


def _both(checkpoint: Checkpoint, folder: Path) -> tuple[Compute, Compute]:
    graph = onnx_backend.OnnxBackend(folder, "cpu", n_logits=len(checkpoint.heads.names))
    if checkpoint.kind == "reward":
        return TorchBackend(checkpoint).rewards, graph.rewards
    from seal.engine.export.pooling import TorchEmbedder

    return unit(TorchEmbedder(checkpoint).embeddings), unit(graph.embeddings)


def _tokenizer(checkpoint: Checkpoint) -> tuple[str, int]:
    """The tokenizer, which lowers texts first where the embedder's settings say so."""
    tokenizer_json, pad_token_id = load_tokenizer(checkpoint)
    if checkpoint.embedder and checkpoint.embedder.lower_case:
        tokenizer = Tokenizer.from_str(tokenizer_json)
        before = [tokenizer.normalizer] if tokenizer.normalizer else []
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *before])
        tokenizer_json = tokenizer.to_str()
    return tokenizer_json, pad_token_id


def _standing(checkpoint: Checkpoint, out: Path, options: ExportOptions, graph: Graph) -> ExportReport:
    if not (out / SPEC).is_file():
        raise ResumeError(f"{out} is not empty and holds no export; choose another folder")
    if options.convert:
        raise _other(out)
    spec = exported.load_spec(out)
    asked = _asked(checkpoint, graph, options)
    if changed := differences({name: getattr(spec, name) for name in asked}, asked):
        raise _other(out, changed[0])
    if changed := exported.verify_files(out, spec):
        raise _other(out, f"{changed[0]} changed since")
    standing = ExportReport(out, spec, Parity(**spec.parity), ["exported before; nothing to do"])
    if isinstance(checkpoint, Merged):  # every file it is made of is among the hashes
        return standing
    tokenizer_json, _ = _tokenizer(checkpoint)  # it and the configuration may have changed since
    if tokenizer_json != (out / TOKENIZER).read_text(encoding="utf-8"):
        raise _other(out, "the tokenizer is another")
    if checkpoint.config != read_config(out):
        raise _other(out, "config.json is another")
    return standing


def _other(out: Path, difference: str = "") -> ResumeError:
    said = f" ({difference})" if difference else ""
    return ResumeError(f"{out} holds another export{said}; choose another folder, or overwrite it")


def _open(model: Path, adapter: Adapter | None, aside: Path, *, convert: bool) -> Checkpoint:
    if adapter:
        from seal.engine.export.merging import merge

        return merge(adapter, aside / "merged")
    if not convert:
        return Checkpoint.open(model)
    embedder = Checkpoint.open(model, weights=False).embedder
    converted, folders = aside / "converted", embedder.folders if embedder else [""]
    if embedder:
        _copy_settings(model, converted)
    else:
        converted.mkdir()
    for part in [f for f in folders if not list((model / f).glob("*.safetensors"))] or folders[:1]:
        convert_pickles(model / part, converted / part)
    return Checkpoint.open(converted)


def _copy_settings(model: Path, target: Path) -> None:
    """Copy an embedder's folder without what may be code."""

    def unwanted(folder: str, names: list[str]) -> list[str]:
        kept = (".json", ".txt", ".model", ".safetensors")
        return [n for n in names if not n.endswith(kept) and not (Path(folder) / n).is_dir()]

    shutil.copytree(model, target, ignore=unwanted)


def _write_graph(
    checkpoint: Checkpoint, graph: Graph, target: Path, aside: Path, precision: Precision
) -> None:
    onnx_backend.require("exporting a model")  # optimum would ask for it late, in words of its own
    raw, full = aside / "raw.onnx", target if precision == "fp32" else aside / MODEL
    write_graph(checkpoint, graph, raw)
    onnx_graph.optimize(raw, full)
    if precision != "fp32":
        reduce = halve if precision == "fp16" else quantize
        reduce(full, target)


def to_json(report: ExportReport) -> str:
    """The report for programs."""
    about = {"folder": str(report.folder), "notes": report.notes}
    return json.dumps(about | asdict(report.spec), default=str)
