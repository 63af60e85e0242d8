"""Names in the local Hugging Face cache: which folder they stand for, and what is said of others."""

import shutil
from pathlib import Path

import pytest

from seal.engine.checkpoints.cached import CachedName, hub_cache, local_model, origin_of, own_name
from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.checkpoints.exported import load_spec
from seal.engine.checkpoints.named import named_path, named_paths
from seal.engine.errors import InputError, ResumeError
from seal.engine.export import exporting
from seal.engine.export.exporting import export
from seal.engine.export.options import ExportOptions
from seal.engine.scoring.options import ScoreOptions
from seal.engine.scoring.scoring import score
from tests.support.caches import FIRST, SECOND, cache_model
from tests.support.frames import random_texts, write
from tests.support.tiny import FEW_LENGTHS


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    hub = tmp_path / "home" / "hub"
    hub.mkdir(parents=True)
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exporting, "PARITY_LENGTHS", FEW_LENGTHS)
    return hub


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """What looks like a model from outside."""
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HF_HOME": ""}, "~/.cache/huggingface/hub"),
        ({}, "~/.cache/huggingface/hub"),
        ({"HF_HUB_CACHE": "~/x"}, "~/x"),
    ],
)
def test_the_cache_is_where_huggingface_hub_has_it(variables: dict[str, str], place: str) -> None:
    assert hub_cache(variables) == Path(place).expanduser()


@pytest.mark.parametrize(
    "value",
    ["a/b/c", "../b", "/a/b", "a", "a/", "a/b@", "~/b", "a/.b", "a..b/c", "a/b-", "-a/b", "a b/c", ""],
)
def test_what_cannot_be_a_name_is_a_path(value: str) -> None:
    assert CachedName.parse(value) is None


def test_a_name_is_the_folder_of_its_revision(hub: Path, model: Path) -> None:
    first = cache_model(hub, "org/rm", model, refs=["main", "v1.0", "refs/pr/3"])
    (model / "more.json").write_text("{}")
    second = cache_model(hub, "org/rm", model, commit=SECOND, refs=["main"])
    for revision in ("", "@main", f"@{SECOND}"):
        assert local_model(f"org/rm{revision}") == second
    for revision in ("@v1.0", "@refs/pr/3", f"@{FIRST}"):
        assert local_model(f"org/rm{revision}") == first
    assert (second / "more.json").is_file()
    assert not (first / "more.json").exists()
    assert origin_of(first) == f"org/rm@{FIRST}"
    assert origin_of(model) == ""


def test_it_is_called_after_the_repository_unless_named(hub: Path, model: Path) -> None:
    folder = cache_model(hub, "org/rm", model)
    assert named_path("org/rm") == named_path("org/rm@main") == named_path(str(folder)) == ("rm", folder)
    assert named_path(f"pre=org/rm@{FIRST}") == ("pre", folder)
    assert named_paths({"post": "org/rm@main"}) == {"post": folder}
    assert own_name("org/other@main") == "other"


def test_a_folder_of_that_name_wins(hub: Path, model: Path, tmp_path: Path) -> None:
    cached = cache_model(hub, "org/rm", model)
    (tmp_path / "org" / "rm").mkdir(parents=True)
    assert local_model("org/rm") == Path("org/rm")
    assert local_model("org/rm@main") == cached
    (tmp_path / "org" / "rm@main").mkdir()
    assert named_path("x=org/rm@main") == ("x", Path("org/rm@main"))


def test_what_is_nowhere_says_where_was_looked(hub: Path) -> None:
    said = rf"model 'org/rm' is not a folder here, and not in the Hugging Face cache {hub} .*nothing is ever"
    for opened in (Checkpoint.open, load_spec):
        with pytest.raises(InputError, match=said):
            opened(local_model("org/rm"))


@pytest.mark.parametrize(
    "revision",
    ["v9", "2c" * 20, "../main", "../../x", "main/..", "snapshots/x", "a//b", ".", "x\0y", "é", "v" * 300],
)
def test_an_unknown_revision_says_which_there_are(revision: str, hub: Path, model: Path) -> None:
    cache_model(hub, "org/rm", model, refs=["v1"])
    cache_model(hub, "org/rm", model, commit=SECOND, refs=[])
    with pytest.raises(InputError, match=rf"not its revision .*; there are: v1, {SECOND}$"):
        local_model(f"org/rm@{revision}")


@pytest.mark.parametrize("said", ["../../../home", "", "a/b", "\xff" * 50, ".", "3d" * 20])
def test_a_branch_that_stands_for_no_commit_here_is_none(said: str, hub: Path, model: Path) -> None:
    folder = cache_model(hub, "org/rm", model, refs=["v1"])
    (folder.parents[1] / "refs" / "main").write_text(said, encoding="latin-1")
    with pytest.raises(InputError, match=r"not its revision 'main'; there are: v1$"):
        local_model("org/rm")


def test_a_cache_that_holds_no_commit(hub: Path) -> None:
    (hub / "models--org--rm" / "refs").mkdir(parents=True)
    with pytest.raises(InputError, match="there are: none"):
        local_model("org/rm")


def test_a_download_that_was_cut_is_told(hub: Path, model: Path) -> None:
    (model / "tokenizer.json").write_text("{ }")
    folder = cache_model(hub, "org/rm", model)
    blob = (folder / "tokenizer.json").resolve()
    blob.rename(blob.with_name(f"{blob.name}.incomplete"))
    with pytest.raises(InputError, match=rf"only in part: {folder} lacks tokenizer\.json; download it again"):
        local_model("org/rm")
    (folder / "tokenizer.json").unlink()
    assert local_model("org/rm") == folder


@pytest.mark.parametrize(
    ("gone", "said"), [("model.safetensors", "its weights"), ("config.json", "config.json")]
)
def test_so_is_one_that_never_came_to_a_file(gone: str, said: str, hub: Path, model: Path) -> None:
    folder = cache_model(hub, "org/rm", model)
    (folder / gone).unlink()
    with pytest.raises(InputError, match=rf"lacks {said};"):
        local_model("org/rm")


def test_so_is_a_shard_that_is_missing(hub: Path, model: Path) -> None:
    (model / "model.safetensors").rename(model / "model-1.safetensors")
    names = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    (model / "model.safetensors.index.json").write_text(str({"weight_map": names}).replace("'", '"'))
    cache_model(hub, "org/rm", model)
    with pytest.raises(InputError, match=r"lacks model-2\.safetensors;"):
        local_model("org/rm")


def test_an_export_says_its_commit_and_refuses_another(
    hub: Path, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    cache_model(hub, "org/rm", checkpoints["short"])
    report = export("org/rm", tmp_path / "onnx")
    assert load_spec(report.folder).origin == f"org/rm@{FIRST}"
    assert export("org/rm@main", tmp_path / "onnx").notes == ["exported before; nothing to do"]
    cache_model(hub, "org/rm", checkpoints["short"], commit=SECOND)
    with pytest.raises(ResumeError, match=r"holds another export \(origin: .*0a0a.* there, .*1b1b.* now\)"):
        export("org/rm", tmp_path / "onnx", ExportOptions())
    assert export("org/rm", tmp_path / "onnx", overwrite=True).spec.origin == f"org/rm@{SECOND}"


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_scores_say_its_commit_and_are_not_gone_on_with_another(
    backend: str, hub: Path, checkpoints: dict[str, Path], exported: dict[str, Path], tmp_path: Path
) -> None:
    model = (checkpoints if backend == "torch" else exported)["short"]
    path, options = write(random_texts(3), tmp_path / "texts.parquet"), ScoreOptions(backend=backend)
    cache_model(hub, "org/rm", model)
    alone = score(path, {"rm": model}, tmp_path / "alone", options)
    by_name = score(path, "org/rm", tmp_path / "scores", options)
    assert by_name.n_rows == alone.n_rows == 6
    parts = [(tmp_path / out / "part-00000.parquet").read_bytes() for out in ("alone", "scores")]
    assert parts[0] == parts[1]
    assert score(path, f"org/rm@{FIRST}", tmp_path / "scores", options) == by_name
    cache_model(hub, "org/rm", model, commit=SECOND)
    with pytest.raises(ResumeError, match=r"models\.rm\.origin: .*0a0a.* there, .*1b1b.* now"):
        score(path, "org/rm", tmp_path / "scores", options)


def test_a_damaged_index_is_told_by_who_loads_it(
    hub: Path, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    model = shutil.copytree(checkpoints["short"], tmp_path / "m")
    (model / "model.safetensors.index.json").write_text("[")
    folder = cache_model(hub, "org/rm", model)
    assert local_model("org/rm") == folder
