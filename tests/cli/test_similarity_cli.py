"""`seal similarity` and `seal export` of embedders on the command line."""

import json
import subprocess
import sys

import polars as pl
import pytest

from seal.cli.main import main
from seal.engine.export import exporting as module
from seal.engine.frames.schema import REWRITTEN, VARIANT
from tests.support.frames import random_texts, write
from tests.support.kills import environment
from tests.support.tiny import FEW_LENGTHS, make_embedder

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_embedder(tmp_path_factory.mktemp("embedder") / "model", max_tokens=60)


@pytest.fixture(scope="module")
def onnx(model, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PARITY_LENGTHS", FEW_LENGTHS)
        return module.export(model, tmp_path_factory.mktemp("onnx") / "onnx", module.ExportOptions()).folder


@pytest.fixture
def files(tmp_path):
    """Originals and rewritten texts, the first two of these without an original."""
    frame = random_texts(8, twice=0)
    new = frame.with_columns(variant=pl.lit(REWRITTEN, VARIANT))
    return [write(frame[2:], tmp_path / "texts.parquet"), write(new, tmp_path / "new.parquet")]


def run(capfd, *arguments):
    code = main([str(a) for a in arguments])
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_compared_printed_and_verified(capfd, files, onnx):
    code, out, err = run(
        capfd, "similarity", *files, "--embedder", onnx, "--out", "sims", "--max-failures", 0.2
    )
    assert code == 0, err
    assert out.startswith("16 rewritten texts x 1 embedders = 14 cosines + 2 failures -> sims (")
    assert "similarity: 14 of 16 texts" in err
    assert "texts were too long for the embedder and were cut on the right" in err
    assert run(capfd, "verify", "sims")[0] == 0
    document = json.loads((files[0].parent / "sims/manifest.json").read_text())
    identity = document["identity"]
    assert set(identity["inputs"]) == {"texts", "rewritten"}
    assert identity["models"]["onnx"]["max_tokens"] == 60
    assert identity["models"]["onnx"]["files"]["model.onnx"]
    assert (document["complete"], document["totals"]["n_rows"]) == (True, 14)


def test_too_many_failures_end_in_3_and_json_is_all_on_stdout(capfd, files, onnx):
    call = ["similarity", *files, "--embedder", f"m={onnx}", "--out", "sims", "--json", "--min-cosine", 1]
    code, out, err = run(capfd, *call)
    assert code == 3
    report = json.loads(out)
    assert report["n_rows"] + report["n_failures"] == report["n_texts"] == 16
    assert report["n_low"] == report["n_failures"] - 2
    assert "of the rows failed, more than --max-failures 1.0% allows" in err
    assert run(capfd, *call, "--max-failures", 1)[0] == 0


def test_the_low_ones_are_counted(capfd, files, onnx):
    more = ["--min-cosine", 0.5, "--max-failures", 1]
    out = run(capfd, "similarity", *files, "--embedder", onnx, "--out", "sims", *more)[1]
    assert "14 cosines + 2 failures (0 below 0.5) -> sims" in out


def test_two_embedders_in_one_pass(capfd, files, onnx):
    names = ["--embedder", f"a={onnx}", "--embedder", f"b={onnx}"]
    code, out, _ = run(capfd, "similarity", *files, *names, "--out", "sims", "--max-failures", 1)
    assert code == 0
    assert "x 2 embedders = 28 cosines + 4 failures" in out


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--embedder", "{onnx}", "--embedder", "{onnx}"], 2, "two models have the same name"),
        (["--embedder", "nowhere"], 1, "model 'nowhere' is not a folder here, and nothing is ever fetched"),
        (["--embedder", "{model}"], 1, "holds no seal.json; export it first"),
        (["--embedder", "{pre}"], 1, "is a reward model, not an embedder; it is for seal score"),
        (["--embedder", "{onnx}", "--min-cosine", "2"], 2, "2.0 is not in the range -1<=x<=1"),
        (["--embedder", "{onnx}", "--max-tokens", "2"], 1, "leaves no room beside 2"),
        (["--embedder", "{onnx}", "--device", "cuda"], 2, "device cuda: onnxruntime offers"),
        (["--embedder", "{onnx}", "--backend", "torch"], 2, "No such option"),
        ([], 2, "Missing option '--embedder'"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_leaves_nothing(
    capfd, tmp_path, files, model, onnx, exported, more, code, said
):
    places = {"onnx": onnx, "model": model, "pre": exported["pre"]}
    got, out, err = run(capfd, "similarity", *files, "--out", "o", *(m.format_map(places) for m in more))
    assert (got, out) == (code, "")
    assert said in " ".join(err.split())
    if code == 1:
        assert err.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_an_embedder_is_refused_where_a_reward_model_is_wanted(capfd, files, model, onnx):
    said = "is an embedder, not a reward model; it is for seal similarity"
    for folder, more in [(onnx, []), (model, ["--backend", "torch"])]:
        code, _, err = run(capfd, "score", files[0], "--model", f"m={folder}", "--out", "o", *more)
        assert (code, err.count("\n")) == (1, 1)
        assert said in err
    code, _, err = run(capfd, "bench", "score", files[0], "--pairs", 2, "--model", onnx)
    assert code == 1
    assert said in err


def test_export_prints_the_parity_of_embeddings(capfd, model, monkeypatch):
    monkeypatch.setattr(module, "PARITY_LENGTHS", FEW_LENGTHS)
    code, out, _ = run(capfd, "export", model, "--out", "o")
    assert code == 0
    assert "parity with torch:" in out
    assert "flipped" not in out
    code, _, err = run(capfd, "export", model, "--out", "other", "--pair-template", "concat")
    assert code == 2
    assert "pair template is for reward models" in err


def test_comparing_needs_no_torch(files, onnx, tmp_path):
    blocked = (
        "sys.modules['torch'] = sys.modules['transformers'] = sys.modules['sentence_transformers'] = None"
    )
    script = f"import sys; {blocked}\nfrom seal.cli.main import run; run()"
    call = ["similarity", *files, "--embedder", onnx, "--out", "o", "--max-failures", "1"]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, call)],
        env=environment(), cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
