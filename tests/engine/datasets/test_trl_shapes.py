"""The shapes of preference data that TRL documents: explicit and implicit, strings and conversations."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seal.engine.datasets.importing import import_texts
from seal.engine.datasets.options import ImportOptions
from seal.engine.frames.schema import TEXTS, scan

pytestmark = pytest.mark.usefixtures("fast_disk")

ASKED = {"role": "user", "content": "What color is the sky?"}
BLUE, GREEN = ({"role": "assistant", "content": f"It is {color}."} for color in ("blue", "green"))
RENDERED = (
    ["\n\nHuman: What color is the sky?\n\n"] * 2,
    ["Assistant: It is blue.", "Assistant: It is green."],
)
SHAPES: dict[str, tuple[dict[str, Any], str, tuple[list[str], list[str]]]] = {
    "explicit strings": (
        {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}, "pairs",
        (["The sky is"] * 2, [" blue.", " green."]),
    ),
    "explicit conversations": (
        {"prompt": [ASKED], "chosen": [BLUE], "rejected": [GREEN]}, "messages", RENDERED,
    ),
    "implicit conversations": (
        {"chosen": [ASKED, BLUE], "rejected": [ASKED, GREEN]}, "messages", RENDERED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_recognised_and_read(shape: str, suffix: str, tmp_path: Path) -> None:
    record, name, expected = SHAPES[shape]
    path = tmp_path / f"d{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([record]), path)
    else:
        path.write_text(json.dumps(record))
    report = import_texts(path, tmp_path / "out")
    assert report.formats == {f"d{suffix}": name}
    texts = scan(tmp_path / "out", TEXTS).collect()
    assert (texts["prompt"].to_list(), texts["response"].to_list()) == expected


def test_implicit_strings_are_read_where_they_are_named(tmp_path: Path) -> None:
    record = {"chosen": "The sky is blue.", "rejected": "The sky is green."}
    (tmp_path / "d.jsonl").write_text(json.dumps(record))
    import_texts(tmp_path / "d.jsonl", tmp_path / "out", ImportOptions(format="implicit"))
    texts = scan(tmp_path / "out", TEXTS).collect()
    assert texts["prompt"].to_list() == ["The sky is "] * 2
    assert texts["response"].to_list() == ["blue.", "green."]
