"""The ways to score that `benchmarks.peers` compares, and the process that each of them runs in.

A process loads one contestant, answers every request for a pass over the texts, and tells its peak memory at
the end: requests and answers are lines of JSON on its standard input and output.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

BATCH_SIZES = (1, 4, 8, 16, 32)
BUDGETS = (256, 512, 1024)

Pair = tuple[str, str]


class Scored(NamedTuple):
    """One pass: rewards in the order of the texts, and tokens computed with and without padding."""

    rewards: list[float]
    n_tokens: int
    n_slots: int


Score = Callable[[Sequence[Pair], int], Scored]


class _Counter:
    """Counts the tokens that reach a model, padding apart."""

    def __init__(self, model: Any) -> None:
        self.n_tokens = self.n_slots = 0
        forward = model.forward

        @wraps(forward)  # peers read the signature to learn which inputs a model takes
        def counted(*args: Any, **inputs: Any) -> Any:
            self.n_slots += inputs["input_ids"].numel()
            self.n_tokens += int(inputs["attention_mask"].sum())
            return forward(*args, **inputs)

        model.forward = counted

    def scored(self, rewards: Sequence[float]) -> Scored:
        """What was counted since the last pass."""
        found = Scored([float(r) for r in rewards], self.n_tokens, self.n_slots)
        self.n_tokens = self.n_slots = 0
        return found


def engine(folder: Path) -> Score:
    """This project's engine as `seal score` runs it; the batch size is a budget of tokens."""
    import polars as pl

    from seal.engine.pooling.loading import load_models
    from seal.engine.pooling.runner import Runner, prepare
    from seal.engine.progress import Meter, silent
    from seal.engine.scoring.scoring import rewards_of

    model = load_models({"engine": folder}, "cpu", threads=_threads())[0]

    def score(pairs: Sequence[Pair], batch_size: int) -> Scored:
        rows = pl.DataFrame(pairs, schema=["prompt", "response"], orient="row")
        window = prepare(rows, [model], batch_size)
        with Runner([model], rewards_of([model]), Meter(silent, "bench", None, 0, 1)) as runner:
            rewards = runner.run(window)[0].values[window.distinct.index]
        plan = window.inputs[0][1]
        return Scored(rewards.tolist(), plan.n_tokens, plan.n_slots)

    return score


def _threads() -> int | None:
    """Threads that everyone is held to; None leaves each its own default. torch reads the variable itself."""
    return int(os.environ["OMP_NUM_THREADS"]) if "OMP_NUM_THREADS" in os.environ else None


def _torch_model(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer with transformers' own defaults."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)


def one_by_one(folder: Path) -> Score:
    """A torch loop, one text at a time, as the SEAL study's own code has it."""
    import torch

    model, tokenizer = _torch_model(folder)
    counter = _Counter(model)

    def score(pairs: Sequence[Pair], _: int) -> Scored:
        rewards = []
        with torch.inference_mode():
            for prompt, response in pairs:
                rewards.append(float(model(**tokenizer(prompt, response, return_tensors="pt")).logits))
        return counter.scored(rewards)

    return score


def pipeline(folder: Path) -> Score:
    """transformers' text-classification pipeline; its own default is a batch of one."""
    from transformers import TextClassificationPipeline

    model, tokenizer = _torch_model(folder)
    counter = _Counter(model)
    pipe = TextClassificationPipeline(model=model, tokenizer=tokenizer, framework="pt", device="cpu")

    def score(pairs: Sequence[Pair], batch_size: int) -> Scored:
        texts = [{"text": prompt, "text_pair": response} for prompt, response in pairs]
        found = pipe(texts, batch_size=batch_size, function_to_apply="none", padding=True)
        return counter.scored([answer["score"] for answer in found])

    return score


def cross_encoder_torch(folder: Path) -> Score:
    """sentence-transformers' CrossEncoder in torch: sorted by characters, fixed batches."""
    return _cross_encoder(folder, "torch")


def cross_encoder_onnx(folder: Path) -> Score:
    """The same through its onnx backend: optimum's graph in onnxruntime on all cores."""
    return _cross_encoder(folder, "onnx")


def _cross_encoder(folder: Path, backend: Any) -> Score:
    import torch
    from sentence_transformers import CrossEncoder

    kwargs: dict[str, Any] | None = {"provider": "CPUExecutionProvider"} if backend == "onnx" else None
    if kwargs and (n := _threads()):
        import onnxruntime

        kwargs["session_options"] = onnxruntime.SessionOptions()
        kwargs["session_options"].intra_op_num_threads = n
    encoder = CrossEncoder(
        str(folder), backend=backend, local_files_only=True, device="cpu", model_kwargs=kwargs
    )
    counter = _Counter(encoder[0].auto_model)

    def score(pairs: Sequence[Pair], batch_size: int) -> Scored:
        found = encoder.predict(
            list(pairs), batch_size=batch_size, activation_fn=torch.nn.Identity(), show_progress_bar=False
        )
        return counter.scored(found)

    return score


def reward_bench(folder: Path) -> Score:
    """reward-bench's batching, reimplemented from its published `RewardBenchPipeline` and run script.

    In the order of the dataset, a batch of chosen and a batch of rejected texts in turn, each padded to its
    longest. It pads on the left there; here on the right, or DeBERTa's rewards would change.
    """
    import torch

    model, tokenizer = _torch_model(folder)
    counter = _Counter(model)

    def score(pairs: Sequence[Pair], batch_size: int) -> Scored:
        rewards = [0.0] * len(pairs)
        for start in range(0, len(pairs), 2 * batch_size):
            for side in (0, 1):
                places = range(start + side, min(start + 2 * batch_size, len(pairs)), 2)
                prompts, responses = zip(*(pairs[i] for i in places), strict=True)
                inputs = tokenizer(list(prompts), list(responses), padding=True, return_tensors="pt")
                with torch.no_grad():
                    logits = model(**inputs).logits
                for i, logit in zip(places, logits.flatten().tolist(), strict=True):
                    rewards[i] = logit
        return counter.scored(rewards)

    return score


LOADERS: dict[str, Callable[[Path], Score]] = {
    f.__name__: f
    for f in (engine, one_by_one, pipeline, cross_encoder_torch, cross_encoder_onnx, reward_bench)
}


@dataclass(frozen=True)
class Case:
    """A contestant and how it is set up.

    Attributes:
        name: in the results.
        loader: in `LOADERS`.
        model: which folder it gets: `checkpoint`, `fast`, `reference`, `int8` or `onnx`.
        batch_sizes: one is its default; of several the best is kept.
        unit: what a batch size counts, texts or (for the engine) tokens.
    """

    name: str
    loader: str
    model: str = "checkpoint"
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    unit: str = "texts"


CASES = (
    Case("seal, fast graph", "engine", "fast", BUDGETS, "tokens"),
    Case("seal, reference graph", "engine", "reference", BUDGETS, "tokens"),
    Case("seal, int8", "engine", "int8", BUDGETS, "tokens"),
    Case("CrossEncoder, onnx", "cross_encoder_onnx", "onnx"),
    Case("CrossEncoder, torch", "cross_encoder_torch"),
    Case("transformers pipeline", "pipeline", batch_sizes=(1,)),
    Case("torch, one by one", "one_by_one", batch_sizes=(1,)),
    Case("reward-bench's batching", "reward_bench", batch_sizes=(8,)),
)


def peak_memory_mib() -> float:
    """The most memory this process ever held, in MiB (VmHWM: what was inherited over exec does not count)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """`python -m benchmarks.contestants LOADER FOLDER TEXTS.json`: load, then answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print: only answers go to standard output
    loader, folder, texts = sys.argv[1:]
    began = time.perf_counter()
    score = LOADERS[loader](Path(folder))
    pairs = [tuple(pair) for pair in json.loads(Path(texts).read_text(encoding="utf-8"))]
    print(json.dumps({"load_s": time.perf_counter() - began}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        asked = pairs[: request.get("n", len(pairs))]
        start, start_cpu = time.perf_counter(), time.process_time()
        scored = score(asked, request["batch_size"])
        taken = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - start_cpu}
        answer = {**taken, **scored._asdict(), "peak_memory_mib": peak_memory_mib()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
