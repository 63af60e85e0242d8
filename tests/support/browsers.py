"""A real browser and its driver, for the tests in `tests/browser`."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.places import ROOT

HERE = ROOT / "tests" / "browser"


def find_browser() -> Path:
    """Chromium's path; skips where something is missing."""
    names = (os.environ.get("CHROMIUM", "chromium"), "chromium-browser", "google-chrome")
    found = next((p for n in names if (p := shutil.which(n))), None)
    if found is None:
        pytest.skip("no Chromium here: install one, or name it in CHROMIUM")
    if shutil.which("node") is None:
        pytest.skip("no Node here: install it")
    if not (HERE / "node_modules" / "playwright-core").is_dir():
        pytest.skip("playwright-core and axe-core are not here: `make test-browser` installs them")
    return Path(found)
