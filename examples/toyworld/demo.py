"""The whole pipeline on the toy world, into `demo/`: what `make demo` runs.

Every step is a command a user would type. What stands already is not done again.
"""

import json
import sys
from pathlib import Path

from cli.main import main as seal
from examples.toyworld.generate import Options, write

OUT = Path("demo")
MODELS = Path("examples/toyworld/models")
PAIRS, SEED = 2000, 2026


def main() -> int:
    """Run it; returns the exit code of the first step that fails, else 0."""
    world, texts, scores = OUT / "world", OUT / "texts", OUT / "scores"
    if not (world / "truth.parquet").exists():
        _say(f"python -m examples.toyworld.generate --pairs {PAIRS} --seed {SEED} --out {world}")
        write(Options(PAIRS, SEED), world)
    steps = [
        ["import", world / "pairs.jsonl", "--out", texts],
        ["export", MODELS / "pre", "--out", OUT / "onnx" / "pre"],
        ["export", MODELS / "post", "--out", OUT / "onnx" / "post"],
        ["score", texts, "--model", OUT / "onnx" / "pre", "--model", OUT / "onnx" / "post", "--out", scores],
        ["compare", scores],
    ]
    for step in steps:
        command = [str(word) for word in step]
        _say(f"seal {' '.join(command)}")
        if code := seal(command):
            return code
    best = json.loads((world / "world.json").read_text())["bayes_accuracy"]
    print(f"\nThe noise in the choices allows an alignment of {best['post']:.3f} at most.")
    return 0


def _say(command: str) -> None:
    print(f"\n$ {command}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
