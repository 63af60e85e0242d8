"""What runs an exported model fastest on this machine: measured once, kept beside it, used from then on.

Budget and batches at once are timed. The window (pairs sorted by length together, which become one part)
decides nothing but the padding, and that follows from the lengths of the texts: it is counted.

`tuning.json` in the exported folder has an entry a machine. It is not among the files that make the model's
identity: how texts are batched changes a reward by rounding at most. The batch budget in force is part of a
run's identity all the same, as ever, and so is the window: a run is gone on with what it was begun with.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.bench.options import ScoreBenchOptions
from seal.engine.bench.scoring import Say, run_engine, sample_pairs, take_turns
from seal.engine.checkpoints.exported import TUNING as TUNING
from seal.engine.errors import InputError, UsageError
from seal.engine.files import parse_json, write_atomic
from seal.engine.frames.manifest import machine, read_manifest, versions
from seal.engine.frames.reader import in_order, windows
from seal.engine.pooling.batching import plan_batches
from seal.engine.pooling.loading import LoadedModel, load_models
from seal.engine.pooling.onnx import choose_device
from seal.engine.pooling.options import MAX_BATCH_TOKENS, PART_PAIRS
from seal.engine.scoring.options import ScoreOptions

BUDGETS = {"cpu": (128, 256, 512, 1024, 2048), "cuda": (8_192, 16_384, 32_768, 65_536, 131_072)}
WINDOWS = (PART_PAIRS, 4_096, 8_192, 16_384)
_LENGTHS = 32_768  # pairs whose lengths tell the padding
_TOLERATED = 0.01  # a larger window must save more padding than that: a killed run loses up to a window
_WORTH = 1.02  # a setting must beat the default by more than runs differ from one another


@dataclass(frozen=True)
class Setting:
    """How to run a model.

    Attributes:
        max_batch_tokens: longest text x texts of a batch, at most.
        threads: batches at once.
        part_pairs: pairs in a window.
    """

    max_batch_tokens: int
    threads: int
    part_pairs: int = PART_PAIRS


@dataclass(frozen=True)
class Tuning:
    """The best setting found on one machine.

    Attributes:
        setting: that setting.
        tokens_per_s: real tokens a second with it, median.
        default_tokens_per_s: with the defaults, in the same turns.
        tried: every setting and its tokens a second.
        paddings: every window and its padded over its real tokens, at the best budget.
    """

    setting: Setting
    tokens_per_s: float
    default_tokens_per_s: float
    tried: list[tuple[Setting, float]]
    paddings: list[tuple[int, float]]


def this_machine(device: str) -> dict[str, Any]:
    """What a tuning depends on: processor, usable cores, device, GPUs, onnxruntime."""
    known, about = versions(), machine()
    runtime = known.get("onnxruntime-gpu") or known.get("onnxruntime")
    gpus = _gpus() if device != "cpu" else []
    return {
        "cpu": about["cpu"], "cores": about["cores"], "device": device, "gpus": gpus, "onnxruntime": runtime,
    }  # fmt: skip


def _gpus() -> list[str]:
    """Names of the NVIDIA GPUs, as their driver has them."""
    found = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        lines = path.read_text(encoding="utf-8").splitlines()
        found += [line.split(":", 1)[1].strip() for line in lines if line.startswith("Model:")]
    return found


def search(
    texts: Path, model: Path, options: ScoreBenchOptions, say: Say = lambda _: None
) -> tuple[Tuning, dict[str, Any]]:
    """Measure budgets, then batches at once, on some of the texts, count padding, and keep what is fastest.

    Args:
        texts: a TEXTS file or folder.
        model: an exported folder.
        options: pairs, turns, device; its budgets (else the usual ones) and threads (else all and half).
        say: told what is going on.

    Returns:
        What was found, and the machine it was found on.
    """
    if options.device == "tensorrt":
        raise UsageError("tuning: TensorRT builds its engines for one budget; tune on the device cuda")
    rows = sample_pairs(texts, options.n_pairs)
    engine = load_models({"engine": model}, options.device, "onnx", threads=options.threads)[0]
    default = Setting(MAX_BATCH_TOKENS[engine.device], engine.backend.concurrency)
    budgets = {*(options.budgets or BUDGETS[engine.device]), default.max_batch_tokens}
    fewer = [] if options.threads or engine.device != "cpu" else thread_counts(default.threads)
    n_tokens = int(_lengths(rows, engine).sum())
    run_engine(rows, engine, default.max_batch_tokens)  # the first pass of a session is slower

    def measured(settings: Iterable[Setting]) -> dict[Setting, float]:
        """Real tokens a second of each setting, medians of turns."""
        named = {describe(setting): setting for setting in settings}
        ways = {name: partial(_run, rows, engine, setting) for name, setting in named.items()}
        seconds, _ = take_turns(ways, options.repeats, say)
        return {named[name]: n_tokens / float(np.median(taken)) for name, taken in seconds.items()}

    rates = measured(replace(default, max_batch_tokens=b) for b in sorted(budgets))
    if fewer:
        first = _best(rates, default)
        rates |= measured([default, first, *(replace(first, threads=n) for n in fewer)])
    best = _best(rates, default)
    paddings = count_padding(_lengths_in_order(texts, engine), best.max_batch_tokens, WINDOWS)
    found = replace(best, part_pairs=smallest_window(paddings))
    tuning = Tuning(found, rates[best], rates[default], list(rates.items()), list(paddings.items()))
    return tuning, this_machine(engine.device)


def count_padding(lengths: NDArray[np.int64], budget: int, sizes: Sequence[int]) -> dict[int, float]:
    """Padded over real tokens with windows of some sizes.

    Args:
        lengths: tokens of each text, two texts a pair, in the order of the dataset, shape (2 n,).
        budget: longest text x texts of a batch, at most.
        sizes: pairs in a window.
    """
    found = {}
    for size in sizes:
        plans = [plan_batches(lengths[i : i + 2 * size], budget) for i in range(0, len(lengths), 2 * size)]
        found[size] = sum(p.n_slots for p in plans) / sum(p.n_tokens for p in plans) - 1
    return found


def smallest_window(paddings: Mapping[int, float]) -> int:
    """The smallest window that pads hardly more than the best one."""
    least = min(paddings.values())
    return min(size for size, padding in paddings.items() if padding <= least + _TOLERATED)


def _lengths_in_order(texts: Path, engine: LoadedModel) -> NDArray[np.int64]:
    with tempfile.TemporaryDirectory() as aside:
        files = in_order(texts, Path(aside) / "sorted.parquet")
        return np.concatenate(
            [_lengths(rows.drop_nulls(), engine) for rows in windows(files, PART_PAIRS, limit=_LENGTHS)]
        )


def thread_counts(cores: int) -> list[int]:
    """Fewer batches at once that are worth a try: half as many, where two share a physical core."""
    return [cores // 2] if cores >= 2 else []


def _best(rates: Mapping[Setting, float], default: Setting) -> Setting:
    best = max(rates, key=lambda setting: rates[setting])
    return best if rates[best] > _WORTH * rates[default] else default


def _lengths(rows: pl.DataFrame, engine: LoadedModel) -> NDArray[np.int64]:
    return engine.encoder.encode(rows["prompt"].to_list(), rows["response"].to_list()).lengths


def _run(rows: pl.DataFrame, engine: LoadedModel, setting: Setting) -> None:
    engine.backend.concurrency = setting.threads
    run_engine(rows, engine, setting.max_batch_tokens)


def describe(setting: Setting) -> str:
    """A setting in words."""
    return f"{setting.max_batch_tokens} tokens a batch, {setting.threads} at once"


def store(folder: Path, tuning: Tuning, where: Mapping[str, Any]) -> None:
    """Write a machine's tuning beside the model, in place of an earlier one of that machine."""
    entries = [entry for entry in _entries(folder) if entry["machine"] != where]
    entries.append({"machine": dict(where), **asdict(tuning)})
    write_atomic(folder / TUNING, json.dumps({"machines": entries}, indent=2).encode())


def load(folder: Path, where: Mapping[str, Any]) -> Setting | None:
    """The setting that was found for a model on a machine; None where nothing was.

    Raises:
        InputError: the file is not what `store` writes.
    """
    settings = [Setting(**entry["setting"]) for entry in _entries(folder) if entry["machine"] == where]
    return settings[0] if settings else None


def _entries(folder: Path) -> list[dict[str, Any]]:
    path = folder / TUNING
    if not path.is_file():
        return []
    try:
        entries: list[dict[str, Any]] = parse_json(path.read_text(encoding="utf-8"))["machines"]
        for entry in entries:
            if "part_rows" in entry["setting"]:  # as an earlier version called it
                entry["setting"]["part_pairs"] = entry["setting"].pop("part_rows")
            least = min(asdict(Setting(**entry["setting"])).values())
            if not (isinstance(entry["machine"], dict) and least >= 1):
                raise ValueError(f"{entry}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not what seal bench score --tune writes ({error}); delete it") from None
    return entries


def apply_tuning(
    options: ScoreOptions, models: Sequence[Path], out: Path, *, overwrite: bool = False
) -> tuple[ScoreOptions, list[str]]:
    """Fill in what the user left open: from the run that stands in `out`, else from the models' tuning.

    Several models are run with one budget, the smallest that any was tuned to, and the largest window.

    Args:
        options: what the user asked for; a budget, threads or a window given there stay.
        models: exported folders.
        out: where the run writes.
        overwrite: whether what stands there is discarded.

    Returns:
        The options to score with, and what the user should know.
    """
    if options.backend != "onnx":
        return options, []
    where = this_machine(choose_device(options.device))
    found = [load(folder, where) for folder in models]
    settings, notes = [s for s in found if s], _elsewhere(models, found)
    begun = {} if overwrite else _begun(out)
    budget, threads, window = options.max_batch_tokens, options.threads, options.part_pairs
    if budget is None:
        tuned = min((s.max_batch_tokens for s in settings), default=None)
        default = MAX_BATCH_TOKENS[where["device"]]
        budget = _applied(begun.get("max_batch_tokens"), tuned, default, "tokens a batch", notes)
    if threads is None and settings and where["device"] == "cpu":
        threads = _applied(None, min(s.threads for s in settings), None, "batches at once", notes)
    if window is None:
        tuned = max((s.part_pairs for s in settings), default=None)
        tuned = None if tuned == PART_PAIRS else tuned
        window = _applied(begun.get("part_pairs"), tuned, PART_PAIRS, "pairs a part", notes)
    return replace(options, max_batch_tokens=budget, threads=threads, part_pairs=window), notes


def _applied(
    begun: int | None, tuned: int | None, default: int | None, unit: str, notes: list[str]
) -> int | None:
    """As the run was begun with, else as tuned, with a note; None where the default does."""
    if begun not in (None, tuned or default):
        notes.append(f"{begun} {unit}, as this run was begun with")
        return begun
    if tuned:
        notes.append(f"{tuned} {unit}, as tuned on this machine")
    return tuned


def _elsewhere(models: Sequence[Path], found: Sequence[Setting | None]) -> list[str]:
    return [
        f"{folder / TUNING} was measured on another machine or onnxruntime and is not used; "
        "seal bench score --tune measures it here"
        for folder, setting in zip(models, found, strict=True)
        if setting is None and _entries(folder)
    ]


def _begun(out: Path) -> dict[str, int]:
    """The whole numbers among the options that a run in this folder was begun with."""
    options = (read_manifest(out) or {}).get("identity", {}).get("options", {})
    return {name: value for name, value in options.items() if isinstance(value, int)}
