"""The map in ARCHITECTURE.md names every module of seal under its folder, and no other."""

import re
from pathlib import Path

import seal

ROOT = Path(seal.__file__).parents[1]
TOPS = ("seal", "engine", "stats", "cli")


def _drawn(text: str) -> set[str]:
    """Modules of the first code block, as paths; two spaces of indent a folder, four more before modules."""
    block = text.split("```")[1]
    found, folders = set(), [""]
    for line in block.strip("\n").splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        if folder := re.match(r" *(\w+)/ ", line):
            folders = [*folders[: depth + 1], folder[1]]
        else:
            found |= {"/".join([*folders[1:], name]) for name in re.findall(r"\w+\.py\b", line)}
    return found


def _there() -> set[str]:
    """Every module; `__init__.py` only where it holds something, which is at the top."""
    found = {p.relative_to(ROOT).as_posix() for p in (ROOT / "seal").glob("*.py")}
    for top in TOPS[1:]:
        modules = (p for p in (ROOT / top).rglob("*.py") if p.name != "__init__.py")
        found |= {p.relative_to(ROOT).as_posix() for p in modules}
    return found


def test_the_map_names_every_module_and_no_other() -> None:
    drawn, there = _drawn((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")), _there()
    assert drawn - there == set(), "drawn, but not there"
    assert there - drawn == set(), "there, but not drawn"
