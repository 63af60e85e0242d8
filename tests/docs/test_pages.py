"""Links, pictures, settings and Make targets of the pages exist; the README stays one page."""

import re
import tomllib
from pathlib import Path

import pytest

from seal.cli.main import cli
from seal.cli.pipeline.settings import ENVIRONMENTS, KEYS, TABLE, check_keys, load_run
from seal.cli.settings import load_settings
from tests.support.documentation import (
    DOCS,
    PAGES,
    code_blocks,
    commands,
    named,
    prose,
    section,
    table,
    typed,
)
from tests.support.places import ROOT

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
# Hosts and places that only some machine has, and numbers of issues that a reader cannot open.
PRIVATE = re.compile(r"/work/|/tmp/|/root/|/home/|issues? #?\d|(?<!\w)#\d+\b")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made on the web."""
    headings = re.findall(r"^#{1,6} (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(there), f"{page.name}: {target}"


def test_every_page_is_in_the_index() -> None:
    index = set(LINK.findall((DOCS / "README.md").read_text(encoding="utf-8")))
    assert {p.name for p in DOCS.glob("*.md")} - {"README.md"} <= index


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CITATION.cff"], ids=lambda p: p.name)
def test_pages_speak_to_everybody(page: Path) -> None:
    assert not PRIVATE.findall(page.read_text(encoding="utf-8"))


def test_the_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 90


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    said = {line.split()[1] for page in PAGES for line in typed(page) if line.startswith("make ")}
    said |= {m for page in PAGES for m in re.findall(r"`make ([a-z-]+)`", prose(page))}
    assert {"demo", "test", "check", "setup", "setup-vllm"} <= said <= targets


BLOCKS = [
    (page, block)
    for page in PAGES
    for block in code_blocks(page, "toml")
    if page.parent == DOCS and "[[feature]]" not in block
]


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_every_settings_file_shown_is_read(page: Path, block: str, tmp_path: Path) -> None:
    file = tmp_path / "seal.toml"
    tables = tomllib.loads(block)
    if set(tables) == {"run"} or "pre" not in tables.get("run", {"pre": ""}):
        block = block if "pre" in tables["run"] else block.replace("[run]", '[run]\npre = "a"\npost = "b"', 1)
    file.write_text(block, encoding="utf-8")
    tops = {name.split()[0]: cli.get_command(None, name.split()[0]) for name in commands()}  # type: ignore[arg-type]
    load_settings(file, {name: command for name, command in tops.items() if command}, {TABLE: check_keys})
    if "run" in tables:
        load_run(file)


def test_every_taxonomy_shown_is_one(tmp_path: Path) -> None:
    from seal.engine.frames.taxonomy import load_taxonomy

    blocks = [b for page in PAGES for b in code_blocks(page, "toml") if "[[feature]]" in b]
    assert blocks
    for block in blocks:
        (tmp_path / "taxonomy.toml").write_text(block, encoding="utf-8")
        assert load_taxonomy(tmp_path / "taxonomy.toml").features


def test_every_key_of_run_and_every_extra_is_told() -> None:
    settings = DOCS / "settings.md"
    keys = [name for row in table(section(settings, "The table [run]")) for name in named(row[0])]
    assert sorted(keys) == sorted(KEYS)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [named(row[0])[0] for row in table(section(settings, "Environments and extras"))]
    assert sorted(extras) == sorted(project["optional-dependencies"])
    assert set(ENVIRONMENTS) == set(extras) - {"dev"}


def test_every_exit_code_is_told() -> None:
    from seal.engine.errors import SealError

    codes = {int(row[0]) for row in table(section(DOCS / "settings.md", "Exit codes"))}
    kinds = [SealError, *SealError.__subclasses__()]
    assert {0, 130} | {int(k.exit_code) for k in kinds} <= codes


def test_every_place_for_a_change_exists() -> None:
    rows = table(section(ROOT / "CONTRIBUTING.md", "Where a change goes"))
    assert len(rows) == 10
    for what, where, _ in rows:
        (path, *others) = named(where)
        for place in (path, *others):
            there = ROOT / place
            assert there.exists() or there.parent.is_dir(), f"{what}: {place}"
    paths = [p for row in rows for cell in row for p in named(cell) if "/" in p]
    to_come = {"engine/rewriting/perturbations.py"}
    assert [p for p in paths if not (ROOT / p).exists()] in ([], sorted(to_come))


def test_versions_are_dated_and_cited() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    assert heads[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ \(\d{4}-\d{2}-\d{2}\)", h) for h in heads[1:])
    version, _, date = heads[1].partition(" ")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {version}\n" in citation
    assert f"date-released: {date.strip('()')}\n" in citation
