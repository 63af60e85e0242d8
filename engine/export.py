"""A local reward model -> an ONNX folder that scores without torch, with its parity report.

    model.onnx           the graph after onnxruntime's optimisation (model.onnx_data beside it beyond 1.5 GB)
    tokenizer.json       the fast tokenizer
    config.json          the model's own configuration
    seal.json            what scoring needs to know (spec.py), with the hashes of all files

The graph must give torch's rewards, at lengths from 5 to beyond 512 tokens and in padded batches, or there is
no folder.
"""

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from engine.backends import onnx as onnx_backend
from engine.backends.base import RewardBackend
from engine.backends.torch import TorchBackend, convert_pickles, load_tokenizer
from engine.checkpoint import Checkpoint
from engine.encoding import EncodedTexts, PairEncoder
from engine.errors import InputError, ResumeError
from engine.graphs import choose_graph, write_graph
from engine.manifest import versions
from engine.spec import (
    MODEL,
    SPEC,
    TOKENIZER,
    Graph,
    ModelSpec,
    PairTemplate,
    Precision,
    load_spec,
    verify_files,
)

PARITY_LENGTHS = (5, 16, 64, 128, 256, 400, 512, 700, 1100)
_LONGEST_CHECKED = 2048  # attention takes memory by the square, and torch's takes it layer by layer


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
        graph: `reference` is optimum's; `fast` is this project's own (None: the fastest there is).
        precision: `fp32`; `fp16` for GPUs; `int8` for CPUs, where what it costs is acceptable.
        pair_template: how prompt and response reach the tokenizer.
        convert: accept pickled weights, read with `weights_only`.
        tolerance: largest difference of a reward from torch, relative to max(1, |reward|); None takes 1e-4
            for fp32, 2e-2 for fp16 and 1e-1 for int8.
    """

    graph: Graph | None = None
    precision: Precision = "fp32"
    pair_template: PairTemplate = "pair"
    convert: bool = False
    tolerance: float | None = None

    @property
    def allowed(self) -> float:
        """The tolerance in force."""
        return self.tolerance or {"fp32": 1e-4, "fp16": 2e-2, "int8": 1e-1}[self.precision]


@dataclass(frozen=True)
class Parity:
    """Rewards of the exported graph against torch on the same tokens.

    Attributes:
        cases: one per case: its name, number of texts, longest text, largest absolute difference.
        max_abs_diff: over all cases.
        max_rel_diff: largest difference over max(1, |torch's reward|).
        flipped_pairs: share of all pairs of texts whose order differs between the two.
        tolerance: what `max_rel_diff` was held to.
    """

    cases: list[dict[str, Any]]
    max_abs_diff: float
    max_rel_diff: float
    flipped_pairs: float
    tolerance: float

    @property
    def worst(self) -> str:
        """The case of the largest difference (or of one that is no number)."""
        return str(max(self.cases, key=lambda c: np.nan_to_num(c["diff"], nan=np.inf))["case"])

    @property
    def passed(self) -> bool:
        """Whether the graph may be used (a difference that is not a number fails)."""
        return self.max_rel_diff <= self.tolerance


@dataclass(frozen=True)
class ExportReport:
    """What an export did."""

    folder: Path
    spec: ModelSpec
    parity: Parity
    notes: list[str]


def export(model: Path, out: Path, options: ExportOptions, *, overwrite: bool = False) -> ExportReport:
    """Export one reward model. The same export standing in `out` already is left as it is.

    Args:
        model: a transformers folder: config.json, tokenizer, safetensors weights, a head of one logit.
        out: the folder to make; an earlier export there is replaced only with `overwrite`.
        options: how.
        overwrite: replace.

    Raises:
        InputError: the folder cannot be loaded, the architecture cannot be exported, or parity failed.
        MissingExtraError: the extra `export` is not installed.
        ResumeError: `out` is not empty.
    """
    graph, notes = choose_graph(options.graph, Checkpoint.open(model, weights=False).config)
    if out.exists() and any(out.iterdir()) and not (overwrite and (out / SPEC).is_file()):
        return _standing(model, out, options, graph)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=_existing(out.parent)) as aside:
        checkpoint = _open(model, Path(aside), convert=options.convert)
        folder = Path(aside) / "onnx"
        spec, parity = _write(checkpoint, graph, options, folder)
        if not parity.passed:
            raise InputError(
                f"the exported graph of {model} ({checkpoint.architecture}) does not give torch's rewards: "
                f"largest difference {parity.max_abs_diff:.3g} ({parity.worst}), allowed {parity.tolerance:g}"
                "; nothing was written"
            )
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    return ExportReport(out, spec, parity, notes)


def _write(
    checkpoint: Checkpoint, graph: Graph, options: ExportOptions, folder: Path
) -> tuple[ModelSpec, Parity]:
    """Write the whole export into a new folder and measure its parity."""
    tokenizer_json, pad_token_id = load_tokenizer(checkpoint)
    folder.mkdir()
    (folder / TOKENIZER).write_text(tokenizer_json, encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(checkpoint.config, indent=2), encoding="utf-8")
    _write_graph(checkpoint, graph, folder / MODEL, folder.parent, options.precision)
    parity = measure_parity(
        TorchBackend(checkpoint),
        onnx_backend.OnnxBackend(folder, "cpu"),
        tokenizer_json,
        options.pair_template,
        checkpoint.max_tokens,
        pad_token_id,
        options.allowed,
    )
    spec = ModelSpec(
        architecture=checkpoint.architecture,
        graph=graph,
        precision=options.precision,
        pair_template=options.pair_template,
        max_tokens=checkpoint.max_tokens,
        pad_token_id=pad_token_id,
        label=checkpoint.label,
        weights_sha256=checkpoint.weights_sha256(),
        versions=versions(),
        parity=asdict(parity),
    )
    spec.save(folder)
    return spec, parity


def _standing(model: Path, out: Path, options: ExportOptions, graph: Graph) -> ExportReport:
    """The export that stands in `out`, if it is the one asked for."""
    if not (out / SPEC).is_file():
        raise ResumeError(f"{out} is not empty and holds no export; choose another --out")
    refusal = ResumeError(f"{out} holds another export; choose another --out, or --overwrite to replace it")
    if options.convert:
        raise refusal
    spec, checkpoint = load_spec(out), Checkpoint.open(model)
    asked = (graph, options.precision, options.pair_template, checkpoint.weights_sha256())
    stands = (spec.graph, spec.precision, spec.pair_template, spec.weights_sha256)
    if asked != stands or verify_files(out, spec) or not _same_texts(checkpoint, out):
        raise refusal
    return ExportReport(out, spec, Parity(**spec.parity), ["exported before; nothing to do"])


def _same_texts(checkpoint: Checkpoint, out: Path) -> bool:
    """Whether the checkpoint's tokenizer and configuration are still those that were exported."""
    tokenizer_json, _ = load_tokenizer(checkpoint)
    return (
        tokenizer_json == (out / TOKENIZER).read_text(encoding="utf-8")
        and checkpoint.config == Checkpoint.open(out, weights=False).config
    )


def _existing(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _open(model: Path, aside: Path, *, convert: bool) -> Checkpoint:
    if not convert:
        return Checkpoint.open(model)
    Checkpoint.open(model, weights=False)
    converted = aside / "converted"
    converted.mkdir()
    convert_pickles(model, converted)
    return Checkpoint.open(converted)


def _write_graph(
    checkpoint: Checkpoint, graph: Graph, target: Path, aside: Path, precision: Precision
) -> None:
    onnx_backend.require("exporting a model")  # optimum would ask for it late, in words of its own
    raw = aside / "raw.onnx"
    write_graph(checkpoint, graph, raw)
    if precision == "fp32":
        onnx_backend.optimize(raw, target)
    else:
        onnx_backend.optimize(raw, aside / MODEL)
        reduce = onnx_backend.halve if precision == "fp16" else onnx_backend.quantize
        reduce(aside / MODEL, target)


def measure_parity(
    reference: RewardBackend,
    graph: RewardBackend,
    tokenizer_json: str,
    template: PairTemplate,
    max_tokens: int | None,
    pad_token_id: int,
    tolerance: float,
) -> Parity:
    """Hold a graph's rewards against torch's on texts of random vocabulary, alone and in one padded batch.

    Torch always has a text alone: a model whose reward changes with the padding beside it must not pass.

    Args:
        reference: torch.
        graph: what was exported.
        tokenizer_json: content of the `tokenizer.json`.
        template: how prompt and response reach the tokenizer.
        max_tokens: the model's limit; longer cases are left out, and one of exactly that length is added
            (up to 2,048 tokens).
        pad_token_id: what pads.
        tolerance: see `ExportOptions.tolerance`.
    """
    limit = min(max_tokens or max(PARITY_LENGTHS), _LONGEST_CHECKED)
    lengths = sorted({n for n in PARITY_LENGTHS if n < limit} | {limit})
    texts = EncodedTexts.joined([_random_text(tokenizer_json, template, n) for n in lengths])
    cases = {f"{n} tokens": np.array([i]) for i, n in enumerate(lengths)}
    cases["padded batch"] = np.flatnonzero(texts.lengths <= 512)
    alone = [reference.rewards(texts.batch(np.array([i]), pad_token_id)) for i in range(len(lengths))]
    rewards = np.concatenate(alone).astype(np.float64)
    measured, expected, found = [], [], []
    for name, rows in cases.items():
        batch = texts.batch(rows, pad_token_id)
        want, got = rewards[rows], graph.rewards(batch).astype(np.float64)
        expected.append(want)
        found.append(got)
        measured.append(
            {
                "case": name,
                "n_texts": len(rows),
                "longest": batch.width,
                "diff": float(np.abs(want - got).max()),
            }
        )
    want, got = np.concatenate(expected), np.concatenate(found)
    off = np.abs(want - got)
    order_want, order_got = (
        np.sign(np.subtract.outer(x[: len(lengths)], x[: len(lengths)])) for x in (want, got)
    )
    return Parity(
        measured,
        float(off.max()),
        float((off / np.maximum(1, np.abs(want))).max()),
        float((order_want != order_got).mean()),
        tolerance,
    )


def _random_text(tokenizer_json: str, template: PairTemplate, n_tokens: int) -> EncodedTexts:
    """A text of exactly n tokens: random vocabulary read as text, and cut by the encoder itself."""
    tokenizer = Tokenizer.from_str(tokenizer_json)
    ids = np.random.default_rng(n_tokens).integers(0, tokenizer.get_vocab_size(), 4 * n_tokens + 16)
    words = tokenizer.decode(ids.tolist())
    half = len(words) // 8  # a response of about half the text; the prompt is cut to what is left
    return PairEncoder(tokenizer_json, template, n_tokens).encode([words[half:]], [words[:half]])


def describe(parity: Parity) -> str:
    """The parity report as lines for people."""
    lines = [f"{c['case']:>14}  {c['n_texts']:>3} texts  difference {c['diff']:.1e}" for c in parity.cases]
    return "\n".join([*lines, f"largest {parity.max_abs_diff:.1e}, pairs flipped {parity.flipped_pairs:.1%}"])


def to_json(report: ExportReport) -> str:
    """The report for programs."""
    return json.dumps(
        {"folder": str(report.folder), "notes": report.notes, **asdict(report.spec)}, default=str
    )
