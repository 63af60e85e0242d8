"""Memory of `seal score` over a million short pairs: peak beyond the model, and growth as the run goes on.

    python -m benchmarks.score_memory [--pairs 1000000] [--out benchmarks/results/score_memory.json]

Makes a DeBERTa-v2 of one layer, 32 wide, exports it, writes random short pairs, scores them through the
command line in its own process, and samples that process's resident memory. The model's share is the peak
of a run over two pairs: libraries, session, weights.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from seal.engine.export.exporting import export
from seal.engine.export.options import ExportOptions
from seal.engine.frames.manifest import machine, versions

EVERY_S = 0.2
_AT_ONCE = 50_000
_SEAL = [sys.executable, "-c", "from seal.cli.main import run; run()"]


def make_model(folder: Path) -> Path:
    """A tiny DeBERTa-v2 reward model with a tokenizer of 1,000 words, exported."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocab = {
        word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *map(word_of, range(1000))])
    }
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    config = transformers.DebertaV2Config(
        vocab_size=len(vocab), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, relative_attention=True, position_buckets=16, norm_rel_ebd="layer_norm",
        share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0,
        num_labels=1, pad_token_id=0,
    )  # fmt: skip
    transformers.DebertaV2ForSequenceClassification(config).save_pretrained(folder / "model")
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(
        folder / "model"
    )
    return export(folder / "model", folder / "onnx", ExportOptions()).folder


def word_of(i: int) -> str:
    """The i-th word."""
    return f"w{i}"


def write_texts(path: Path, n_pairs: int) -> None:
    """Pairs of 2 to 8 words a side, no two texts alike, in row groups of 100,000 texts."""
    rng = np.random.default_rng(0)
    words = np.array([word_of(i) for i in range(1000)])
    schema = pa.schema(
        [("row_id", pa.int64())]
        + [(name, pa.string()) for name in ("preference", "variant", "source", "prompt", "response")]
    )
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, n_pairs, _AT_ONCE):
            ids = np.repeat(np.arange(start, min(start + _AT_ONCE, n_pairs)), 2)
            n = len(ids)
            picked = words[rng.integers(0, 1000, (n, 12))]
            lengths = rng.integers(2, 9, n)
            columns = [
                ids,
                np.tile(["chosen", "rejected"], n // 2),
                np.full(n, "original"),
                np.full(n, "made"),
                [" ".join(row[:4]) for row in picked],
                [" ".join(row[4 : 4 + k]) for row, k in zip(picked, lengths, strict=True)],
            ]
            writer.write_table(pa.table([pa.array(c) for c in columns], schema=schema))


def measure(texts: Path, model: Path, out: Path) -> tuple[list[tuple[float, int, int]], dict[str, Any]]:
    """Score in another process; (seconds, pairs done, resident bytes) over time, and the run's report."""
    command = [*_SEAL, "score", str(texts), "--model", f"tiny={model}", "--out", str(out), "--json"]
    samples = []
    with tempfile.TemporaryFile("w+") as answer:
        process = subprocess.Popen(command, stdout=answer, stderr=subprocess.DEVNULL)
        watched, began, log = psutil.Process(process.pid), time.monotonic(), out / "log.jsonl"
        n_pairs, place = 0, 0
        while process.poll() is None:
            if log.exists():
                with log.open("rb") as lines:
                    lines.seek(place)
                    for line in lines:
                        if line.endswith(b"\n"):
                            place += len(line)
                            n_pairs += json.loads(line).get("counters", {}).get("n_pairs", 0)
            try:
                samples.append((time.monotonic() - began, n_pairs, watched.memory_info().rss))
            except psutil.NoSuchProcess:
                break
            time.sleep(EVERY_S)
        if process.wait():
            raise SystemExit(f"seal score ended with {process.returncode}")
        answer.seek(0)
        return samples, json.load(answer)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/score_memory.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = make_model(folder)
        write_texts(folder / "two.parquet", 2)
        write_texts(folder / "texts.parquet", options.pairs)
        small, _ = measure(folder / "two.parquet", model, folder / "two")
        samples, report = measure(folder / "texts.parquet", model, folder / "scores")
    model_bytes = max(rss for _, _, rss in small)
    after = [(n, rss) for _, n, rss in samples if 0 < n < options.pairs]  # from the first window to the last
    slope = float(np.polyfit([n for n, _ in after], [rss for _, rss in after], 1)[0])
    late = [(n, rss) for n, rss in after if n > options.pairs / 2]
    late_slope = float(np.polyfit([n for n, _ in late], [rss for _, rss in late], 1)[0])
    result = {
        "pairs": options.pairs,
        "pairs_per_s": options.pairs / report["elapsed_s"],
        "tokens_per_s": report["n_tokens"] / report["elapsed_s"],
        "seconds": report["elapsed_s"],
        "model_rss_mib": model_bytes / 2**20,
        "peak_rss_mib": max(rss for _, _, rss in samples) / 2**20,
        "peak_beyond_model_mib": (max(rss for _, _, rss in samples) - model_bytes) / 2**20,
        "growth_mib_per_100k_pairs": slope * 1e5 / 2**20,
        "growth_mib_per_100k_pairs_second_half": late_slope * 1e5 / 2**20,
        "rss_mib_at_tenths": [
            float(np.interp(options.pairs * i / 10, [n for n, _ in after], [rss / 2**20 for _, rss in after]))
            for i in range(11)
        ],
        "n_samples": len(samples),
        "machine": machine(),
        "versions": versions(),
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k not in ("machine", "versions")}, indent=2))


if __name__ == "__main__":
    main()
