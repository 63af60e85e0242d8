"""`seal label` with models, as a user types it: labels, refusals, resuming, and kills."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from seal.engine.checkpoints.decoder import Decoder
from seal.engine.frames.schema import LABELS, scan
from seal.engine.generation.transformers import TransformersGenerator
from tests.support.command_line import Seal, caller
from tests.support.decoders import SOME, make_decoder
from tests.support.frames import random_texts, texts, write
from tests.support.kills import kill_after, parquet_hashes
from tests.support.kills import seal as run_seal
from tests.support.servers import Brain, Server, serving
from tests.support.tiny import edit_config

FEATURES = ("--features", ",".join(SOME))
LOCAL = ("--backend", "transformers", "--device", "cpu")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_decoder(tmp_path_factory.mktemp("labeler") / "tiny", context=1024)


@pytest.fixture(scope="module")
def server(decoder: Path) -> Iterator[Server]:
    with serving(Brain(TransformersGenerator(Decoder.open(decoder), "cpu"))) as server:
        yield server


@pytest.fixture
def copied(decoder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(decoder, tmp_path / "copied")


@pytest.fixture
def seal(capsys: pytest.CaptureFixture[str], elsewhere: None) -> Seal:
    return caller(capsys, one_line=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(random_texts(4, seed=2, longest=20), tmp_path / "texts.parquet")


def rows_of(folder: Path | str) -> pl.DataFrame:
    return scan(Path(folder), LABELS).collect()


def test_labels_of_both_protocols(seal: Seal, path: Path, decoder: Path) -> None:
    code, out, _ = seal("label", path, "--labeler", f"a={decoder}", *LOCAL, *FEATURES, "--out", "json")
    assert code == 0
    assert out.startswith("8 texts x 1 labelers = 8 rows + 0 failures -> json")
    assert "8 requests (0 again)" in out
    rows = rows_of("json")
    assert rows.columns == [*LABELS.types, *SOME]
    assert rows["labeler"].unique().to_list() == ["a"]
    assert rows.schema["topics"] == pl.List(pl.Enum(rows.schema["topics"].inner.categories))
    choice = ("--protocol", "choice", "--json", "--out", "choice")
    code, out, _ = seal("label", path, "--labeler", decoder, *LOCAL, *FEATURES, *choice)
    report = json.loads(out)
    assert (code, report["n_rows"], report["n_failures"]) == (0, 8, 0)
    assert report["n_generated_tokens"] == report["n_requests"] >= 8 * 4
    rows = rows_of("choice")
    assert rows.columns == [*LABELS.types, *SOME, *(f"p_{name}" for name in SOME)]
    assert rows["labeler"].unique().to_list() == ["tiny"]
    assert rows["p_last_response_is_refusal"].is_between(0.5, 1).all()


def test_a_server_labels_as_the_folder_does(seal: Seal, path: Path, decoder: Path, server: Server) -> None:
    for protocol in ("json", "choice"):
        more = (*FEATURES, "--protocol", protocol)
        assert (
            seal("label", path, "--labeler", f"m={decoder}", *LOCAL, *more, "--out", f"{protocol}1")[0] == 0
        )
        assert seal("label", path, "--labeler", f"m={server.url}", *more, "--out", f"{protocol}2")[0] == 0
        local, served = rows_of(f"{protocol}1"), rows_of(f"{protocol}2")
        exact = [name for name in local.columns if not name.startswith("p_")]
        assert local.select(exact).equals(served.select(exact))
        for name in set(local.columns) - set(exact):
            assert served[name].to_list() == pytest.approx(local[name].to_list(), abs=1e-3)


def test_a_server_s_model_names_the_labeler(seal: Seal, path: Path, server: Server) -> None:
    server.models = ["/models/An Odd:Name"]
    assert seal("label", path, "--labeler", server.url, *FEATURES, "--limit", 1, "--out", "l")[0] == 0
    server.models = ["tiny"]
    assert rows_of("l")["labeler"].unique().to_list() == ["An-Odd-Name"]


def test_models_servers_and_computed_stand_side_by_side(
    seal: Seal, path: Path, decoder: Path, server: Server
) -> None:
    who = ("--labeler", "computed", "--labeler", f"local={decoder}", "--labeler", f"served={server.url}")
    features = ("--features", "n_words,last_response_is_refusal")
    more = ("--backend", "transformers", "--in-flight", 2)  # each goes to whom it fits
    code, out, _ = seal("label", path, *who, *features, *more, "--out", "l")
    assert (code, out.startswith("8 texts x 3 labelers = 24 rows + 0 failures")) == (0, True)
    rows = rows_of("l")
    assert rows.filter(labeler="computed")["last_response_is_refusal"].null_count() == 8
    assert rows.filter(labeler="computed")["n_words"].null_count() == 0
    by_model = [
        rows.filter(labeler=name)["last_response_is_refusal"].to_list() for name in ("local", "served")
    ]
    assert by_model[0] == by_model[1]


def test_a_taxonomy_of_one_s_own(seal: Seal, path: Path, decoder: Path, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        '[[feature]]\nname = "is_short"\nkind = "boolean"\nscope = "last response"\ninstruction = "Short?"\n'
        '[[feature]]\nname = "language"\nkind = "enum"\nvalues = ["de", "日本語", "none of these"]\n'
        'scope = "human turns"\ninstruction = "Which language?"\n',
        encoding="utf-8",
    )
    for protocol in ("json", "choice"):
        more = (*LOCAL, "--taxonomy", "own.toml", "--protocol", protocol, "--out", protocol)
        code, _, _ = seal("label", path, "--labeler", decoder, *more)
        rows = rows_of(protocol)
        assert rows.columns[4:6] == ["is_short", "language"]
        assert rows.null_count().sum_horizontal().item() == 0
        # a random model may spell words letter by letter until its answer is cut, but it chooses at once
        assert (code, rows.height) == (0, 8) if protocol == "choice" else code in (0, 3)
    code, _, err = seal("label", path, "--labeler", decoder, *LOCAL, *FEATURES, "--taxonomy", "own.toml",
                        "--out", "x")  # fmt: skip
    assert (code, "no labeler here knows a feature" in err) == (2, True)


def test_a_sample_takes_whole_pairs(seal: Seal, path: Path, server: Server) -> None:
    call = ("label", path, "--labeler", server.url, *FEATURES, "--sample", 0.5)
    assert seal(*call, "--out", "a")[0] == 0
    assert seal(*call, "--seed", 3, "--out", "b")[0] == 0
    a, b = rows_of("a"), rows_of("b")
    assert 0 < a.height < 8
    assert a.height == 2 * a["row_id"].n_unique()
    assert set(a["row_id"]) != set(b["row_id"])


REFUSED = {
    "no such folder": (("--labeler", "nowhere", *LOCAL), 1, "model 'nowhere' is not a folder here"),
    "a URL for transformers": (("--labeler", "URL", *LOCAL[:2]), 2, "backend transformers takes a model folder"),
    "a folder for openai": (("--labeler", "DIR", "--backend", "openai"), 2, "backend openai takes a URL"),
    "a folder with a timeout": (("--labeler", "DIR", *LOCAL, "--timeout", 3), 2, "does not take the option timeout"),
    "a URL with a context": (("--labeler", "URL", "--context", 9), 2, "backend openai does not take the option context"),
    "a URL with a device": (("--labeler", "URL", "--device", "cpu"), 2, "does not take the option device"),
    "a URL with --max-tokens": (("--labeler", "URL", "--max-tokens", 9), 2, "max_tokens needs a local model"),
    "gpu memory": (("--labeler", "DIR", *LOCAL, "--gpu-memory", 0.5), 2, "does not take the option gpu-memory"),
    "computed and --protocol": (("--labeler", "computed", "--protocol", "json"), 2, "option protocol is for models"),
    "computed and --device": (("--labeler", "computed", "--device", "cpu"), 2, "option device is for models"),
    "computed and --retries": (("--labeler", "computed", "--retries", 0), 2, "option retries is for models"),
    "a feature misspelt": (
        ("--labeler", "DIR", *LOCAL, "--features", "last_response_is_refusl"), 2, "did you mean 'last_response_is_refusal'",
    ),
    "a computed feature of a model": (("--labeler", "DIR", *LOCAL, "--features", "n_words"), 2, "knows a feature 'n_words'"),
    "no feature left for the model": (
        ("--labeler", "computed", "--labeler", "DIR", *LOCAL, "--features", "n_words"), 2, "names none of the features",
    ),
    "two of a name": (("--labeler", "a=DIR", "--labeler", "a=DIR", *LOCAL), 2, "each with a name of its own"),
    "a hostile name": (("--labeler", "../a=DIR", *LOCAL), 2, "cannot be a name"),
    "no URL": (("--labeler", "ftp://127.0.0.1/v1"), 1, "is no URL of a server"),
    "a patience below 0": (("--labeler", "URL", "--patience", -1), 2, "-1.0 is not in the range"),
    "a backend unknown": (("--labeler", "DIR", "--backend", "torch"), 2, "'torch' is not one of"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(seal: Seal, path: Path, decoder: Path, server: Server, case: str) -> None:
    arguments, code, reason = REFUSED[case]
    given = [str(a).replace("DIR", str(decoder)).replace("URL", server.url) for a in arguments]
    found, _, err = seal("label", path, "--out", "l", *given)
    assert (found, reason in err) == (code, True), err
    assert not Path("l").exists()


def test_folders_that_must_not_be_loaded_are_refused(seal: Seal, path: Path, copied: Path) -> None:
    call = ("label", path, "--labeler", copied, *LOCAL, "--out", "l")

    def refused(reason: str) -> None:
        code, _, err = seal(*call)
        assert (code, reason in err) == (1, True), err
        assert not Path("l").exists()

    edit_config(copied, architectures=["LlamaForSequenceClassification"])
    refused("is a LlamaForSequenceClassification, not a decoder")
    edit_config(copied, architectures=["LlamaForCausalLM"], auto_map={"AutoModel": "evil.Model"})
    refused("asks for its own Python code ('auto_map'")
    edit_config(copied, auto_map=None)
    edit_config(copied, "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})
    refused("asks for its own Python code ('auto_map'")
    edit_config(copied, "tokenizer_config.json", auto_map=None)
    config = (copied / "config.json").read_text()
    edit_config(copied, intermediate_size={"a": 3})
    refused("cannot be loaded")
    (copied / "config.json").write_text(config)
    whole = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(whole[:-100])
    refused("cannot be loaded")
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    refused("bring the same model over as safetensors")


def test_weights_that_lack_a_tensor_are_refused(seal: Seal, path: Path, copied: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(copied / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, copied / "model.safetensors", metadata={"format": "pt"})
    code, _, err = seal("label", path, "--labeler", copied, *LOCAL, "--out", "l")
    assert (code, "its weights lack lm_head.weight" in err) == (1, True), err


def test_another_run_is_refused_with_the_difference(
    seal: Seal, path: Path, decoder: Path, copied: Path, tmp_path: Path
) -> None:
    call = ("label", path, *LOCAL, "--out", "l")
    mine, features = ("--labeler", f"m={decoder}"), ("--features", "last_response_is_refusal")
    assert seal(*call, *mine, *features)[0] == 0
    assert seal(*call, *mine, *features)[0] == 0
    (tmp_path / "own.toml").write_text(
        '[[feature]]\nname = "last_response_is_refusal"\nkind = "boolean"\nscope = "last response"\n'
        'instruction = "No?"\n'
    )
    edit_config(copied, "generation_config.json", temperature=0.3)
    for arguments, difference in (
        ((*mine, *features, "--protocol", "choice"), 'models.m.protocol: "json" there, "choice" now'),
        ((*mine, "--taxonomy", "own.toml"), "models.m.features"),
        ((*mine, "--features", SOME[1]), "models.m.features"),
        ((*mine, *features, "--context", 900), "models.m.context: 1024 there, 900 now"),
        ((*mine, *features, "--max-tokens", 900), "models.m.max_tokens: null there, 900 now"),
        ((*mine, *features, "--retries", 0), "models.m.retries: 2 there, 0 now"),
        (("--labeler", f"m={copied}", *features), "models.m.sha256.generation_config.json"),
        (("--labeler", f"n={decoder}", *features), "models.m"),
    ):
        code, _, err = seal(*call, *arguments)
        assert (code, difference in err) == (1, True), err


def test_long_dialogues_are_cut_from_the_left_and_counted_or_fail(
    seal: Seal, tmp_path: Path, decoder: Path
) -> None:
    prompts = ["\n\nHuman: hi\n\n"] * 2 + ["\n\nHuman: " + "word of the " * 400 + "END\n\n"] * 2
    said = ["Assistant: yes", "Assistant: no", "Assistant: yes", "Assistant: " + "no " * 900]
    path = write(texts(prompts, said), tmp_path / "texts.parquet")
    call = ("label", path, "--labeler", decoder, *LOCAL, *FEATURES, "--json")
    code, out, err = seal(*call, "--out", "whole")
    assert (code, "50.0% of the rows failed" in err) == (3, True)
    assert json.loads(out)["n_truncated"] == 0
    code, out, _ = seal(*call, "--out", "cut", "--max-tokens", 700)
    report = json.loads(out)
    assert (code, report["n_rows"], report["n_failures"], report["n_truncated"]) == (3, 3, 1, 1)
    failed = pl.read_parquet("cut/failures.parquet").row(0, named=True)
    assert (failed["row_id"], failed["preference"], failed["error"]) == (1, "rejected", "too_long")
    assert "the last response and the questions alone are" in failed["detail"]
    assert "over max_tokens 700" in failed["detail"]
    whole, cut = rows_of("whole"), rows_of("cut")
    assert whole.equals(cut.filter(row_id=0))
    assert seal(*call, "--out", "cut", "--max-tokens", 700, "--max-failures", 0.3)[0] == 0


def test_answers_cut_by_a_small_context_are_counted_as_retries(
    seal: Seal, path: Path, server: Server
) -> None:
    server.plan = lambda message, times: "invalid labels"
    code, out, err = seal("label", path, "--labeler", server.url, *FEATURES, "--limit", 1, "--retries", 1,
                          "--json", "--out", "l")  # fmt: skip
    server.plan = None
    report = json.loads(out)
    assert (code, report["n_failures"], report["n_requests"], report["n_retries"]) == (3, 2, 4, 2)
    assert "100.0% of the rows failed" in err
    failed = pl.read_parquet("l/failures.parquet")
    assert failed["error"].to_list() == ["invalid"] * 2
    assert failed["detail"][0].endswith('; the answer: {"last_response_is_refusal": "perhaps"}')


def kill_and_go_on(folder: Path, server: Server, n_kills: int) -> tuple[int, int]:
    """Kill labeling at moments spread over its parts until it ends; the bytes are those of no kill."""
    rng, n_killed, n_redone = random.Random(0), 0, 0
    path = write(random_texts(40, seed=7, longest=12), folder / "texts.parquet")
    call = (
        "label",
        path,
        "--labeler",
        f"m={server.url}",
        *FEATURES,
        "--part-rows",
        2,
        "--in-flight",
        4,
        "--cross-check",
        0,
        "--out",
    )
    assert run_seal(*call, folder / "whole").returncode == 0
    whole = parquet_hashes(folder / "whole")
    assert len(whole) == 21
    out = folder / "killed"
    for i in range(n_kills):
        n_before = len(list(out.glob("part-*")))
        if n_before > 14:
            n_before = 0
            shutil.rmtree(out)
        part = out / f"part-{n_before + rng.randrange(3):05}.parquet"
        n_killed += kill_after(rng.choice([0.0, 0.002, 0.01, 0.04]), *call, out, when=part)
        if i % 4 == 3 or i == n_kills - 1:
            server.asked.clear()
            n_left = 20 - len((out / "log.jsonl").read_text().splitlines())
            done = run_seal(*call, out)
            assert done.returncode == 0, done.stderr
            assert parquet_hashes(out) == whole
            n_redone = max(n_redone, sum(server.asked.values()) - 4 * n_left)
            shutil.rmtree(out)
    rows = rows_of(folder / "whole")
    assert rows.height == rows.select("row_id", "preference").n_unique() == 80
    return n_killed, n_redone


def test_killed_it_ends_in_the_same_bytes(tmp_path: Path, server: Server) -> None:
    n_killed, n_redone = kill_and_go_on(tmp_path, server, 3)
    assert n_killed >= 2
    assert n_redone <= 0  # what the log names is not asked again


@pytest.mark.slow
def test_killed_twenty_times_it_ends_in_the_same_bytes(tmp_path: Path, server: Server) -> None:
    n_killed, n_redone = kill_and_go_on(tmp_path, server, 20)
    assert n_killed >= 15
    assert n_redone <= 0
