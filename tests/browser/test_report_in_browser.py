"""The report in a real browser: nothing comes alive, nothing is requested, axe objects to nothing.

`make test-browser` installs what it needs beside this file (npm) and runs it; it needs Node and Chromium.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from seal.stats.options import ReportOptions
from tests.support.browsers import HERE, find_browser
from tests.support.hostile import payloads
from tests.support.reports import ELOQUENT, make_report, make_results

WIDE, PHONE = 1280, 375
pytestmark = pytest.mark.slow

Look = dict[str, Any]


@pytest.fixture(scope="module")
def browser() -> Path:
    return find_browser()


def look(browser: Path, *pages: Look) -> list[Look]:
    done = subprocess.run(
        ["node", HERE / "look.mjs", browser, json.dumps(pages)], capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stderr
    answers: list[Look] = json.loads(done.stdout)
    return answers


def asked(file: Path, width: int = WIDE, scheme: str = "light", *, axe: bool = True) -> Look:
    return {"file": str(file), "width": width, "scheme": scheme, "axe": axe, "pdf": None}


def quiet(seen: Look) -> None:
    for nothing in ("console", "requests", "dialogs", "violations", "hidden_on_paper"):
        assert seen[nothing] == [], (nothing, seen[nothing])
    for none in ("pwned", "moved", "page_scrolls_sideways"):
        assert seen[none] is False, none
    for zero in ("payload_elements", "elements_in_dialogues", "scripts", "handlers", "clipped"):
        assert seen[zero] == 0, zero
    assert seen["visible"] is True
    assert seen["first"] == "#summary"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("full")
    make_report(make_results(root), root / "report.html")
    return root / "report.html"


def test_light_dark_phone_and_paper(browser: Path, full: Path) -> None:
    seen = look(browser, *(asked(full, w, s) for w in (WIDE, PHONE) for s in ("light", "dark")))
    for one in seen:
        quiet(one)
        assert one["passes"] > 30
    assert len({one["ground"] for one in seen}) == 2


def test_500_payloads_stay_text(browser: Path, tmp_path: Path) -> None:
    hostile = payloads()
    files = []
    for name, said in (("hostile", hostile), ("twin", ["word"] * 500)):
        make_report(
            make_results(tmp_path / name, dialogues=said),
            tmp_path / f"{name}.html",
            ReportOptions(pairs=500),
        )
        files.append(tmp_path / f"{name}.html")
    alive, twin = look(browser, asked(files[0], axe=False), asked(files[1], axe=False))
    quiet(alive)
    assert alive["dialogues"] == twin["dialogues"] == 1500
    assert alive["shape"] == twin["shape"]


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_hostile_and_long_names(browser: Path, tmp_path: Path, width: int) -> None:
    one, other, third = payloads()[3], payloads()[466], "last_response_is_" + payloads()[66] + "x" * 300
    names = {"pre": one, "post": other, "truth": payloads()[20], "source": payloads()[30], ELOQUENT: third}
    results = make_results(tmp_path / "a", names=names)
    make_report(results, tmp_path / "a.html", ReportOptions(title=payloads()[120]))
    (seen,) = look(browser, asked(tmp_path / "a.html", width))
    quiet(seen)
