"""The whole pipeline on the toy world, into `demo/`: what `make demo` runs.

Every step is a command a user would type. What stands already is not done again.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import polars as pl

from cli.main import main as seal
from examples.toyworld.generate import Options, write

OUT = Path("demo")
MODELS = Path("examples/toyworld/models")
PAIRS, SEED = 2000, 2026


def main() -> int:
    """Run it; returns the exit code of the first step that fails, else 0."""
    world, texts, scores, results = OUT / "world", OUT / "texts", OUT / "scores", OUT / "results"
    if not (world / "truth.parquet").exists():
        _say(f"python -m examples.toyworld.generate --pairs {PAIRS} --seed {SEED} --out {world}")
        write(Options(PAIRS, SEED), world)
    steps = [
        ["import", world / "pairs.jsonl", "--out", texts],
        ["export", MODELS / "pre", "--out", OUT / "onnx" / "pre"],
        ["export", MODELS / "post", "--out", OUT / "onnx" / "post"],
        ["score", texts, "--model", OUT / "onnx" / "pre", "--model", OUT / "onnx" / "post", "--out", scores],
        ["analyze", "--texts", texts, "--scores", scores, "--pre", "pre", "--post", "post",
         "--labels", world / "truth.parquet", "--out", results, "--figures",
         # the whole dialogue repeats its last response too closely to tell the two apart
         "--exclude", "assistant_is_anthropomorphic,assistant_is_coherent"],
        ["compare", scores],
    ]  # fmt: skip
    for step in steps:
        # The tables of the analysis fill several screens: they go to a file, beside the CSVs.
        if code := _run(step, OUT / "tables.txt" if step[0] == "analyze" else None):
            return code
    _print_imprint(world, results)
    return 0


def _run(step: Sequence[str | Path], to: Path | None) -> int:
    command = [str(word) for word in step]
    _say(f"seal {' '.join(command)}{f' > {to}' if to else ''}")
    if to is None:
        return seal(command)
    with to.open("w", encoding="utf-8") as file, redirect_stdout(file):
        return seal(command)


def _print_imprint(world: Path, results: Path) -> None:
    """What the models reward, beside the weights that were planted."""
    facts = json.loads((world / "world.json").read_text(encoding="utf-8"))
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
        f"\nAll tables and figures: {results}, {OUT / 'tables.txt'}"
    )


def _say(command: str) -> None:
    print(f"\n$ {command}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
