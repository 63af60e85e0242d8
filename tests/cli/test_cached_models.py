"""`org/name[@revision]` wherever a command asks for a model, from a cache laid out as by huggingface_hub."""

import json
from pathlib import Path

import polars as pl
import pytest

from seal.cli.pipeline.running import plan_run
from seal.engine.errors import InputError
from seal.engine.export import exporting
from seal.engine.frames.schema import REWRITTEN
from tests.support.caches import FIRST, SECOND, cache_model
from tests.support.command_line import Seal, caller
from tests.support.decoders import SOME, make_decoder
from tests.support.frames import random_texts, write
from tests.support.tiny import FEW_LENGTHS, make_embedder

LOCAL = ("--backend", "transformers", "--device", "cpu")


@pytest.fixture
def seal(capsys: pytest.CaptureFixture[str], elsewhere: None) -> Seal:
    return caller(capsys, one_line=True)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setattr(exporting, "PARITY_LENGTHS", FEW_LENGTHS)
    return tmp_path / "home" / "hub"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(random_texts(3, seed=2, longest=20), tmp_path / "texts.parquet")


def models_of(folder: str) -> dict[str, dict[str, str]]:
    return dict(json.loads(Path(folder, "manifest.json").read_text())["identity"]["models"])


def test_export_and_score(seal: Seal, hub: Path, path: Path, checkpoints: dict[str, Path]) -> None:
    cache_model(hub, "org/rm", checkpoints["short"], refs=["main", "v1"])
    assert seal("export", "org/rm@v1", "--out", "onnx")[0] == 0
    assert seal("score", path, "--model", "onnx", "--out", "scores")[0] == 0
    assert models_of("scores")["onnx"]["origin"] == f"org/rm@{FIRST}"
    torch = ("--backend", "torch", "--out", "reference")
    assert seal("score", path, "--model", "org/rm", "--model", "b=org/rm@v1", *torch)[0] == 0
    assert {m: facts["origin"] for m, facts in models_of("reference").items()} == {
        "rm": f"org/rm@{FIRST}", "b": f"org/rm@{FIRST}"
    }  # fmt: skip
    code, _, said = seal("score", path, "--model", "org/other@v1", *torch)
    assert code == 1
    assert said.startswith(
        "seal: model 'org/other@v1' is not a folder here, and not in the Hugging Face cache"
    )
    code, _, said = seal("score", path, "--model", "b=org/rm@v2", *torch)
    assert (code, said) == (
        1, f"seal: model 'org/rm' is in the cache {hub}, but not its revision 'v2'; there are: main, v1"
    )  # fmt: skip


def test_label_and_rewrite(seal: Seal, hub: Path, path: Path, tmp_path: Path) -> None:
    cache_model(hub, "org/judge", make_decoder(tmp_path / "made", context=1024))
    label = ("label", path, "--labeler", "org/judge", *LOCAL, "--features", ",".join(SOME), "--out", "labels")
    assert seal(*label)[0] == 0
    assert models_of("labels")["judge"]["origin"] == f"org/judge@{FIRST}"
    cache_model(hub, "org/judge", tmp_path / "made", commit=SECOND)
    code, _, said = seal(*label)
    assert code == 1
    assert "models.judge.origin" in said
    rewrite = (
        "rewrite",
        path,
        "--rewriter",
        f"who=org/judge@{FIRST}",
        *LOCAL,
        "--limit",
        "1",
        "--sample",
        "1",
    )
    assert seal(*rewrite, "--out", "texts", "--max-failures", "1")[0] == 0
    assert models_of("texts")["who"]["origin"] == f"org/judge@{FIRST}"


def test_similarity(seal: Seal, hub: Path, path: Path, tmp_path: Path) -> None:
    cache_model(hub, "org/near", make_embedder(tmp_path / "embedder", max_tokens=64))
    assert seal("export", "org/near", "--out", "onnx")[0] == 0
    cache_model(hub, "org/near-onnx", Path("onnx"))
    again = pl.read_parquet(path).with_columns(variant=pl.lit(REWRITTEN), response=pl.lit(" other words"))
    write(again, tmp_path / "again.parquet")
    compare = ("similarity", path, "again.parquet", "--embedder", "org/near-onnx", "--out", "similarities")
    assert seal(*compare)[0] == 0
    assert models_of("similarities")["near-onnx"]["origin"] == f"org/near-onnx@{FIRST}"


def settings(tmp_path: Path, **models: str) -> Path:
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n')
    lines = [f'{name} = "{where}"' for name, where in models.items()]
    text = "\n".join(["[run]", 'sources = "pairs.jsonl"', 'labelers = ["computed", "org/judge"]', *lines])
    (tmp_path / "seal.toml").write_text(text)
    return tmp_path / "seal.toml"


def test_the_settings_of_a_run(
    hub: Path, checkpoints: dict[str, Path], tmp_path: Path, elsewhere: None
) -> None:
    pre = cache_model(hub, "org/rm", checkpoints["short"], refs=["before"])
    judge = cache_model(hub, "org/judge", make_decoder(tmp_path / "made"))
    (tmp_path / "org" / "post").mkdir(parents=True)
    named = {"pre": "org/rm@before", "post": "org/post", "rewriter": "org/judge"}
    plan = plan_run(settings(tmp_path, **named))
    run = plan.settings
    assert (run.pre.where, run.post.where) == (str(pre), str(tmp_path / "org" / "post"))
    assert [(x.name, x.where) for x in run.labelers] == [("computed", "computed"), ("judge", str(judge))]
    words = {p.call.stage.name: p.call.words for p in plan.stages}
    assert words["models/pre"][:2] == ("export", str(pre))
    assert str(judge) in words["rewritten/texts"]
    with pytest.raises(InputError, match=r"not its revision 'after'; there are: before$"):
        plan_run(settings(tmp_path, **named | {"pre": "org/rm@after"}))
    plan = plan_run(settings(tmp_path, **named | {"pre": "org/none@v1"}))
    with pytest.raises(
        InputError, match=rf"org/none@v1 is not there, nor is such a name in the cache {hub}, and"
    ):
        plan.interpreters()
