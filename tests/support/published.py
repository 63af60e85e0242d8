"""The published figures that can be checked without the raw data."""

import json
from typing import Any

from tests.support.places import DATA

PUBLISHED: dict[str, Any] = json.loads((DATA / "seal_published_numbers.json").read_text(encoding="utf-8"))
