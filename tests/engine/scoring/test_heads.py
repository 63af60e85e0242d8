"""Models of several logits: a reward a head, or one that is weighed, from one run of the network."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from seal.engine.checkpoints.exported import load_spec
from seal.engine.errors import InputError, ResumeError, UsageError
from seal.engine.export import exporting
from seal.engine.export.exporting import export
from seal.engine.export.options import ExportOptions
from seal.engine.frames.schema import FAILURES, SCORES
from seal.engine.pooling.loading import load_models
from seal.engine.scoring.options import ScoreOptions
from seal.engine.scoring.scoring import score, weigh
from seal.engine.verify import verify
from tests.support.frames import random_texts, write
from tests.support.tiny import DEBERTA, FEW_LENGTHS, make_checkpoint

HEADS = ("helpful", "harmless", "honest")
MANY, TWO = {"heads": HEADS}, {"heads": ("negative", "positive")}
FAMILIES = {
    "fast": ("deberta-v2", DEBERTA | MANY),
    "reference": ("bert", {"max_position_embeddings": 64} | MANY),
    "classes": ("bert", {"max_position_embeddings": 64} | TWO),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Name -> a checkpoint, and what it was exported to."""
    root = tmp_path_factory.mktemp("heads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "PARITY_LENGTHS", FEW_LENGTHS)
        checkpoints = {n: make_checkpoint(root / n, f, seed=5, **s) for n, (f, s) in FAMILIES.items()}
        return {n: (c, export(c, root / f"{n}-onnx").folder) for n, c in checkpoints.items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(random_texts(12, seed=3, longest=40), tmp_path / "texts.parquet")


def rows_of(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(p) for p in sorted(folder.glob("part-*.parquet"))])


def wide(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.pivot("model", index=["row_id", "preference"], values="reward").sort("row_id", "preference")


def by_transformers(checkpoint: Path, path: Path) -> np.ndarray:
    """The logits of every text on its own, by transformers alone: shape (n, h)."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    found = []
    for prompt, response in pl.read_parquet(path).sort("row_id", "preference")["prompt", "response"].rows():
        inputs = tokenizer(prompt, response, return_tensors="pt", truncation="only_first", max_length=64)
        if not getattr(model.config, "type_vocab_size", 0):
            inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            found.append(model(**inputs).logits[0].numpy())
    return np.stack(found)


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """Texts that no model here cuts."""
    return write(random_texts(12, seed=3, longest=8), tmp_path / "short.parquet")


@pytest.mark.parametrize("name", ["fast", "reference"])
@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_each_head_is_a_model_with_the_logits_of_transformers(
    name: str, backend: str, made: dict[str, tuple[Path, Path]], short: Path, tmp_path: Path
) -> None:
    checkpoint, exported = made[name]
    model = exported if backend == "onnx" else checkpoint
    report = score(short, {"rm": model}, tmp_path / "out", ScoreOptions(backend=backend))
    names = [f"rm.{head}" for head in HEADS]
    assert report.models == tuple(names)
    assert (report.n_texts, report.n_rows, report.n_failures) == (24, 72, 0)
    assert report.notes == (f"rm has 3 heads: {', '.join(names)}",)
    rows = rows_of(tmp_path / "out")
    assert rows.columns == list(SCORES.types)
    assert not rows["truncated"].any()
    found = wide(rows).select(names).to_numpy()
    expected = by_transformers(checkpoint, short)
    assert expected.std(axis=0).min() > 0.3, "heads that are nearly alike would show no difference"
    assert np.abs(np.diff(expected, axis=1)).max() > 0.3
    assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize("name", FAMILIES)
def test_a_text_goes_through_the_network_once(
    name: str, made: dict[str, tuple[Path, Path]], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seal.engine.pooling.onnx import OnnxBackend

    n_run, rewards = [], OnnxBackend.rewards
    monkeypatch.setattr(OnnxBackend, "rewards", lambda self, b: n_run.append(len(b)) or rewards(self, b))
    report = score(path, {"rm": made[name][1]}, tmp_path / "out")
    distinct = pl.read_parquet(path)["prompt", "response"].unique().height
    assert sum(n_run) == distinct
    tokens = rows_of(tmp_path / "out").filter(pl.col("model") == report.models[0])
    assert report.n_tokens <= tokens["n_tokens"].sum()


def test_exporting_says_what_the_logits_are(made: dict[str, tuple[Path, Path]]) -> None:
    spec = load_spec(made["fast"][1])
    assert (spec.graph, list(spec.heads), spec.positive, spec.label) == ("fast", list(HEADS), None, "")
    assert spec.parity["flipped_pairs"] is not None
    again = export(*made["fast"], ExportOptions())
    assert again.notes == ["exported before; nothing to do"]
    spec = load_spec(made["classes"][1])
    assert (list(spec.heads), spec.positive) == (["negative", "positive"], 1)
    assert verify(made["classes"][1]).changed == []


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_of_two_classes_the_positive_one_is_the_reward(
    backend: str, made: dict[str, tuple[Path, Path]], short: Path, tmp_path: Path
) -> None:
    checkpoint, exported = made["classes"]
    model = exported if backend == "onnx" else checkpoint
    report = score(short, {"rm": model}, tmp_path / "out", ScoreOptions(backend=backend))
    assert report.models == ("rm",)
    assert report.notes == (
        "rm has two classes: its reward is the logit of 'positive' (--head rm=-1,1 takes the difference to "
        "'negative')",
    )
    expected = by_transformers(checkpoint, short)
    assert np.abs(wide(rows_of(tmp_path / "out"))["rm"].to_numpy() - expected[:, 1]).max() < 1e-4
    options = ScoreOptions(backend=backend, head=("rm=-1,1",))
    report = score(short, {"rm": model}, tmp_path / "difference", options)
    assert report.notes == ()
    found = wide(rows_of(tmp_path / "difference"))["rm"].to_numpy()
    assert np.abs(found - (expected[:, 1] - expected[:, 0])).max() < 1e-4


def test_a_weighting_is_one_reward_and_part_of_the_identity(
    made: dict[str, tuple[Path, Path]], path: Path, tmp_path: Path
) -> None:
    models = {"rm": made["reference"][1]}
    score(path, models, tmp_path / "apart")
    options = ScoreOptions(head=("rm=0.5,0,-2",))
    report = score(path, models, tmp_path / "one", options)
    assert (report.models, report.notes, report.n_rows) == (("rm",), (), 24)
    apart = wide(rows_of(tmp_path / "apart"))
    expected = 0.5 * apart["rm.helpful"].cast(pl.Float64) - 2 * apart["rm.honest"].cast(pl.Float64)
    assert (wide(rows_of(tmp_path / "one"))["rm"] - expected.cast(pl.Float32)).abs().max() == 0
    identity = json.loads((tmp_path / "one" / "manifest.json").read_text())["identity"]
    assert identity["models"]["rm"]["weights"] == {"helpful": 0.5, "honest": -2.0}
    assert score(path, models, tmp_path / "one", options) == report
    for head, said in (
        (("rm=0.5,0,-1",), r"models\.rm\.weights\.honest: -2\.0 there, -1\.0 now"),
        ((), r"models\.rm\..*there, nothing now"),
    ):
        with pytest.raises(ResumeError, match=said):
            score(path, models, tmp_path / "one", ScoreOptions(head=head))


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("rm=1,2", r"head rm=1,2: 2 weights for 3 logits \(helpful, harmless, honest\)"),
        ("mr=1,2,3", r"head mr=\.\.\.: no model here is called so; there are: rm"),
        ("rm", r"head 'rm' is not NAME=W"),
    ],
)
def test_weights_that_fit_no_model_are_refused(
    head: str, said: str, made: dict[str, tuple[Path, Path]], path: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        score(path, {"rm": made["reference"][1]}, tmp_path / "out", ScoreOptions(head=(head,)))
    assert not (tmp_path / "out").exists()


def test_a_head_cannot_take_the_name_of_a_model(
    made: dict[str, tuple[Path, Path]], exported: dict[str, Path], path: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"two models would be called 'rm\.helpful' in the scores"):
        score(path, {"rm": made["fast"][1], "rm.helpful": exported["short"]}, tmp_path / "out")


def test_a_head_that_gives_no_number_spoils_no_other(
    made: dict[str, tuple[Path, Path]], path: Path, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "broken"
    checkpoint.mkdir()
    for file in made["reference"][0].iterdir():
        (checkpoint / file.name).write_bytes(file.read_bytes())
    weights = load_file(checkpoint / "model.safetensors")
    weights["classifier.bias"][1] = torch.inf
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    report = score(path, {"rm": checkpoint}, tmp_path / "out", ScoreOptions(backend="torch"))
    assert (report.n_rows, report.n_failures) == (48, 24)
    failed = pl.read_parquet(tmp_path / "out" / "failures.parquet")
    assert failed.columns == list(FAILURES.types)
    assert failed["error"].unique().to_list() == ["not_finite"]
    assert failed["detail"].unique().to_list() == ["model rm.harmless: the reward is no number"]
    options = ScoreOptions(backend="torch", head=("rm=1,0,1",))
    assert score(path, {"rm": checkpoint}, tmp_path / "weighed", options).n_failures == 0


def test_a_graph_with_another_number_of_logits_is_refused(
    made: dict[str, tuple[Path, Path]], path: Path
) -> None:
    from seal.engine.pooling.onnx import OnnxBackend

    model = load_models({"rm": made["reference"][1]})[0]
    batch = model.encoder.encode(["a"], ["b"]).batch(np.array([0]), 0)
    with pytest.raises(InputError, match=r"gives \(1, 3\) for 1 texts, not 2 logits each"):
        OnnxBackend(made["reference"][1], "cpu", 1, n_logits=2).rewards(batch)
    assert model.backend.rewards(batch).shape == (1, 3)


def test_weights_are_summed_in_float64() -> None:
    logits = np.array([[1e8, 1.0, -1e8], [np.nan, 2.0, np.inf]], np.float32)
    assert weigh(logits, (1.0, 1.0, 1.0))[0] == 1.0
    assert weigh(logits, (0.0, 3.0, 0.0)).tolist() == [3.0, 6.0]
    assert weigh(np.zeros((0, 2), np.float32), (1.0, 2.0)).shape == (0,)
    assert weigh(np.array([1.5], np.float32), (-2.0,)).tolist() == [-3.0]
