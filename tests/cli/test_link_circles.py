"""What a run hashes where links lead in a circle."""

from pathlib import Path

from seal.cli.pipeline.identity import HashBook


def test_links_in_a_circle_end_and_linked_files_count(tmp_path: Path) -> None:
    model, elsewhere = tmp_path / "model", tmp_path / "elsewhere"
    for folder in (model, elsewhere):
        folder.mkdir()
        (folder / "config.json").write_text(folder.name)
        for name in ("a", "b"):
            (folder / name).symlink_to(".")
    (model / "linked").symlink_to(elsewhere)
    (model / "weights").symlink_to("../elsewhere/config.json")
    book = HashBook(tmp_path / "hashes.json")
    hashes = book.hashes(model)
    assert sorted(hashes) == ["config.json", "linked/config.json", "weights"]
    assert hashes["weights"] == hashes["linked/config.json"] != hashes["config.json"]
