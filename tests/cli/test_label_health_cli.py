"""Label health as a user meets it: the warning, the cross-check, and what a kill leaves of them."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from seal.engine.frames import sink as sinks
from seal.engine.frames.folder import LOG
from seal.engine.frames.manifest import read_manifest
from tests.support.command_line import Seal, caller
from tests.support.decoders import SOME
from tests.support.frames import random_texts, write
from tests.support.kills import kill_after, parquet_hashes
from tests.support.kills import seal as run_seal
from tests.support.servers import Server, serving
from tests.support.yes_sayers import Sayer

HEALTH = "label_health.csv"
N_PAIRS = 12
FEATURES = ("--features", ",".join(SOME))


@pytest.fixture
def seal(capsys: pytest.CaptureFixture[str], elsewhere: None) -> Seal:
    return caller(capsys, one_line=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(random_texts(N_PAIRS, seed=3, longest=12, twice=0), tmp_path / "texts.parquet")


def table(folder: Path | str) -> pl.DataFrame:
    return pl.read_csv(Path(folder) / HEALTH)


def test_a_labeler_that_says_yes_to_everything_is_warned_about_loudly(seal: Seal, path: Path) -> None:
    with serving(Sayer()) as server:
        call = ("label", path, "--labeler", f"yes={server.url}", "--out", "l")
        code, out, err = seal(*call)
        assert code == 0
        assert "WARNING: the labels of yes may mean nothing: says yes to nearly everything: 100% of" in err
        assert "all 16 booleans have the same value on 100% of the texts" in err
        assert "both texts of a pair have the same labels in 100% of the pairs" in err
        assert "Label health (l/label_health.csv)" in out
        assert "true on every text" in " ".join(out.split())
        found = table("l")
        assert found.height == 20
        assert set(found["verdict"]) == {"warn"}
        code, out, _ = seal(*call, "--json")
    report = json.loads(out)
    assert report["health"]["warnings"].keys() == {"yes"}
    assert [f["feature"] for f in report["health"]["features"]] == found["feature"].to_list()
    assert seal("verify", "l")[0] == 0


def test_a_labeler_that_says_yes_in_one_way_and_no_in_the_other_is_warned_about(
    seal: Seal, path: Path
) -> None:
    with serving(Sayer(json=True, choice=False)) as server:
        code, _, err = seal("label", path, "--labeler", f"m={server.url}", "--out", "l")
    assert code == 0
    assert "16 of 19 features depend on how they are asked for: by choice the labels of 24 texts" in err
    refusal = table("l").row(by_predicate=pl.col("feature") == "last_response_is_refusal", named=True)
    assert (refusal["n_crossed"], refusal["agreement"], refusal["kappa"]) == (24, 0.0, 0.0)
    assert "asked by choice, the same on only 0% of 24 texts (kappa 0.00)" in refusal["reason"]


def test_a_server_without_log_probabilities_is_not_asked_for_them_twice(seal: Seal, path: Path) -> None:
    with serving(Sayer(logprobs=False)) as server:
        call = ("label", path, "--labeler", f"m={server.url}", *FEATURES, "--in-flight", 1)
        assert seal(*call, "--out", "l")[0] == 0
        assert 1 <= sum("logprobs" in body for body in server.bodies) <= 2  # one more may be under way
        code, _, err = seal(*call, "--protocol", "choice", "--out", "c")
    assert (code, "the server gives no log-probabilities" in err) == (2, True)
    whole = table("l").filter(feature=pl.lit("(all)")).row(0, named=True)
    assert (whole["cross_check"], whole["n_crossed"], whole["agreement"]) == (20, 0, None)
    assert "not asked by choice: the server gives no log-probabilities" in whole["reason"]


def test_another_number_of_pairs_keeps_the_labels(seal: Seal, path: Path, server: Server) -> None:
    call = ("label", path, "--labeler", f"m={server.url}", *FEATURES, "--out", "l")
    assert seal(*call, "--cross-check", 0)[0] == 0
    labels = parquet_hashes(Path("l"))
    assert table("l")["agreement"].null_count() == len(SOME) + 1
    server.asked.clear()
    assert seal(*call, "--cross-check", 5)[0] == 0
    assert parquet_hashes(Path("l")) == labels
    assert {"json_schema" in str(body) for body in server.bodies[-5:]} == {False}
    found, n_asked = table("l"), sum(server.asked.values())
    assert found["n_crossed"].to_list() == [10] * (len(SOME) + 1)
    document = read_manifest(Path("l"))
    assert document is not None
    assert (document["complete"], document["totals"]["cross_check"]) == (True, 5)
    assert seal("verify", "l")[0] == 0
    assert seal(*call, "--cross-check", 5)[0] == 0
    assert sum(server.asked.values()) == n_asked  # it stands already
    assert seal(*call, "--cross-check", 5, "--overwrite", "--seed", 9)[0] == 0


@pytest.mark.parametrize("n", range(5))
def test_a_disk_that_fails_while_the_file_is_replaced_loses_no_label(
    seal: Seal, path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    call = ("label", path, "--labeler", f"m={server.url}", *FEATURES, "--out")
    assert seal(*call, "whole", "--cross-check", 5)[0] == 0
    assert seal(*call, "l", "--cross-check", 0)[0] == 0
    written = sinks.write_atomic
    left = n

    def failing(*arguments: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        return written(*arguments)

    monkeypatch.setattr(sinks, "write_atomic", failing)
    code, _, err = seal(*call, "l", "--cross-check", 5)
    assert (code, "No space left on device" in err) == (1, True), err
    monkeypatch.setattr(sinks, "write_atomic", written)
    server.asked.clear()
    assert seal(*call, "l", "--cross-check", 5)[0] == 0
    assert not any("JSON" in message for message in server.asked)
    assert parquet_hashes(Path("l")) == parquet_hashes(Path("whole"))
    assert Path("l", HEALTH).read_bytes() == Path("whole", HEALTH).read_bytes()
    assert seal("verify", "l")[0] == 0


def test_killed_in_the_cross_check_it_ends_in_the_same_bytes(
    tmp_path: Path, path: Path, server: Server
) -> None:
    call = ("label", path, "--labeler", f"m={server.url}", *FEATURES, "--part-pairs", 4, "--in-flight", 2)
    assert run_seal(*call, "--out", tmp_path / "whole").returncode == 0
    n_json = sum("json_schema" in str(body) for body in server.bodies)
    assert n_json >= 2 * N_PAIRS
    slow = server.plan = lambda message, times: "hangs" if "JSON" not in message else None
    last = tmp_path / "l/part-00002.parquet"
    assert kill_after(1.0, *call, "--out", tmp_path / "l", when=last)
    assert server.plan is slow
    server.plan = None
    assert not (tmp_path / "l" / HEALTH).exists()
    assert len((tmp_path / "l" / LOG).read_text().splitlines()) == 3
    server.bodies.clear()
    done = run_seal(*call, "--out", tmp_path / "l")
    assert done.returncode == 0, done.stderr
    assert not any("json_schema" in str(body) for body in server.bodies)  # no label is asked for again
    assert parquet_hashes(tmp_path / "l") == parquet_hashes(tmp_path / "whole")
    assert (tmp_path / "l" / HEALTH).read_bytes() == (tmp_path / "whole" / HEALTH).read_bytes()


def test_a_folder_of_an_earlier_version_gets_one(tmp_path: Path) -> None:
    from tests.support.places import DATA

    shutil.copytree(DATA / "earlier", tmp_path / "earlier")
    features = ("--features", "n_words,n_exclamations,n_questions", "--part-pairs", 20)
    done = run_seal(
        "label", "texts", "--labeler", "computed", "--out", "labels", *features, cwd=tmp_path / "earlier"
    )
    assert done.returncode == 0, done.stderr
    assert table(tmp_path / "earlier/labels")["feature"].to_list() == [
        "n_words", "n_questions", "n_exclamations", "(all)",
    ]  # fmt: skip
    assert run_seal("verify", tmp_path / "earlier/labels").returncode == 0
