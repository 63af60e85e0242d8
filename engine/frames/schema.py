"""The frames that flow between stages: names, types, keys, and one function that checks them.

A frame is long and keyed; frames are joined on keys, never by position. `row_id` is the pair's 0-based
position in its source (with several sources: in the sources laid end to end), `preference` the human's
choice, `variant` whether the text is the dataset's own or what was made of it:

    original                    the dataset's own
    rewritten                   the whole dialogue in other words
    perturb:<name>              the response perturbed without a model
    toward:<feature>=<value>    the response rewritten so that a feature has a value
    back:<feature>=<value>      that one rewritten again, back from the value (see `contrasts.py`)
    placebo                     the response rewritten with no target

In memory a variant is text. In files it is an Enum of the first two where a part holds no other, as it was
before there were others, else text; a folder may hold parts of both kinds.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import polars as pl
import pyarrow as pa

from seal.engine.errors import InputError
from seal.engine.files import parse_json

CHOSEN, REJECTED = "chosen", "rejected"
ORIGINAL, REWRITTEN = "original", "rewritten"
PREFERENCE = pl.Enum([CHOSEN, REJECTED])
VARIANT = pl.String()
USUAL_VARIANT = pl.Enum([ORIGINAL, REWRITTEN])
"""How variants lie in a file that holds no others."""

PAIR_KEY = ("row_id",)
TEXT_KEY = ("row_id", "preference", "variant")

INCLUSION = "inclusion_probability"  # a column of LABELS made by people: how likely the pair was to be drawn

_OTHERS = ("perturb:<name>", "toward:<feature>=<value>", "back:<feature>=<value>", "placebo")
_KNOWN_VARIANT = r"^(?:original|rewritten|perturb:[a-z0-9_]+|(?:toward|back):[^=\s]+=\S.*|placebo)$"
_PART = re.compile(r"part-\d{5,}\.parquet")
_KEY_TYPES: dict[str, pl.DataType] = {"row_id": pl.Int64(), "preference": PREFERENCE, "variant": VARIANT}


@dataclass(frozen=True)
class Schema:
    """Columns of one frame.

    Attributes:
        name: as users read it in errors.
        key: columns that identify a row, in sort order.
        columns: the columns beyond the key, with their types; all required.
        open_prefixes: further columns whose names start so are allowed and carried through; "" allows any.
        nullable: columns that may hold nulls (key columns included, where a key can be partly unknown).
        optional: columns that may be missing, with the type that this program gives them.
    """

    name: str
    key: tuple[str, ...]
    columns: dict[str, pl.DataType]
    open_prefixes: tuple[str, ...] = ()
    nullable: frozenset[str] = field(default_factory=frozenset)
    optional: dict[str, pl.DataType] = field(default_factory=dict)

    @property
    def types(self) -> dict[str, pl.DataType]:
        """All fixed columns in order, key first."""
        return {name: _KEY_TYPES.get(name, pl.String()) for name in self.key} | self.columns

    def empty(self) -> pl.DataFrame:
        """A frame of this schema with no rows."""
        return pl.DataFrame(schema=self.types)


def _strings(*names: str) -> dict[str, pl.DataType]:
    return {name: pl.String() for name in names}


GROUP = "group"
"""A column of TEXTS, equal for equal prompts; without it each pair is a group of its own."""

TEXTS = Schema(
    "TEXTS", TEXT_KEY, _strings("source", "prompt", "response"), open_prefixes=("meta_",),
    optional={GROUP: pl.Int64()},
)  # fmt: skip
_SCORED = {"reward": pl.Float32(), "n_tokens": pl.Int32(), "truncated": pl.Boolean()}
SCORES = Schema("SCORES", (*TEXT_KEY, "model"), _SCORED)
LABELS = Schema("LABELS", (*TEXT_KEY, "labeler"), {}, open_prefixes=("",))
SIMILARITIES = Schema("SIMILARITIES", ("row_id", "preference", "embedder"), {"cosine": pl.Float32()})
_PARTLY_UNKNOWN = frozenset({"preference", "variant"})
FAILURES = Schema("FAILURES", TEXT_KEY, _strings("stage", "error", "detail"), nullable=_PARTLY_UNKNOWN)


def check(
    frame: pl.LazyFrame,
    schema: Schema,
    *,
    origin: str,
    columns: Sequence[str] = (),
    further: bool = False,
) -> pl.LazyFrame:
    """Check a lazy frame against a schema and cast what may stand in another form (strings for enums).

    Nothing is read but the column names and types; a value that does not fit its type (a preference that is
    neither `chosen` nor `rejected`) raises `polars.exceptions.InvalidOperationError` when collected.

    Args:
        frame: the frame, usually from `scan`.
        schema: what it must be.
        origin: where it came from, for the error text.
        columns: the fixed columns wanted beyond the key; all of them when empty.
        further: carry through whatever other columns there are, fixed or not, as they are.

    Returns:
        The frame with the key first, then the wanted columns, then the open ones, each of its type; a number
        that is finer than its type (a reward as Float64) stays as fine.

    Raises:
        InputError: a column is missing or of a type that cannot be cast, with its name and the origin.
    """
    have = frame.collect_schema()
    wanted = {n: t for n, t in schema.types.items() if not columns or n in schema.key or n in columns}
    if missing := [n for n in wanted if n not in have]:
        raise InputError(
            f"{origin}: no column {', '.join(map(repr, missing))}; a {schema.name} frame has "
            f"{', '.join(schema.types)}, and here are {', '.join(have) or 'none'}"
        )
    for name, want in wanted.items():
        if not _castable(have[name], want):
            raise InputError(f"{origin}: column '{name}' is {have[name]}, a {schema.name} frame needs {want}")
    open_ones = (n for n in have if n not in schema.types and n.startswith(schema.open_prefixes))
    extra = [n for n in have if n not in wanted] if further else list(open_ones)
    return frame.select(*(_typed(n, have[n], t) for n, t in wanted.items()), *extra)


def parquet_files(path: Path) -> list[Path]:
    """The Parquet files that make up a frame: the file itself, or a folder's parts in order.

    In a folder, `part-*.parquet` where there are such, else every Parquet file that holds no failures.

    Raises:
        InputError: nothing is there, or a stage of this program has not finished writing the folder.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path} is neither a Parquet file nor a folder of such")
    if _is_unfinished(path / "manifest.json"):
        raise InputError(
            f"{path} is not finished: run the command that writes it again, it goes on from there"
        )
    parts = sorted(path.glob("part-*.parquet"))
    ours = [part for part in parts if _PART.fullmatch(part.name)]  # not part-00000-edited.parquet beside it
    files = (ours if (path / "log.jsonl").is_file() else parts) or sorted(
        p for p in path.glob("*.parquet") if not p.name.startswith("failures")
    )
    if not files:
        if (path / "failures.parquet").exists():
            raise InputError(f"{path} holds no rows: all failed, and the reasons are in its failures.parquet")
        raise InputError(f"{path} holds no Parquet files")
    return files


def scan(path: Path, schema: Schema, *, columns: Sequence[str] = (), further: bool = False) -> pl.LazyFrame:
    """Open a frame lazily from a Parquet file or folder and check it (see `parquet_files`, `check`)."""
    with readable(path):
        return scan_files(parquet_files(path), schema, origin=str(path), columns=columns, further=further)


def scan_files(
    files: Sequence[Path], schema: Schema, *, origin: str, columns: Sequence[str] = (), further: bool = False
) -> pl.LazyFrame:
    """Open the parts of a frame, in order, as `scan` does; of a folder that is still being written too."""
    frames = [
        check(pl.scan_parquet(alike), schema, origin=origin, columns=columns, further=further)
        for alike in _alike(files, schema)
    ]
    return pl.concat(frames) if len(frames) > 1 else frames[0]


def _alike(files: Sequence[Path], schema: Schema) -> list[list[Path]]:
    """The files in order, in runs that polars reads as one frame: their variants are of one type."""
    if len(files) == 1 or "variant" not in schema.key:
        return [list(files)]
    return [list(run) for _, run in groupby(files, _stored_variant)]


def _stored_variant(file: Path) -> pl.DataType | None:
    return pl.read_parquet_schema(file).get("variant")


def as_stored(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows with the variant of the type that it has in files (see the head of this module)."""
    if "variant" not in frame.columns:
        return frame
    usual = frame["variant"].is_in([*USUAL_VARIANT.categories, None], nulls_equal=True).all()
    return frame.with_columns(pl.col("variant").cast(USUAL_VARIANT if usual else VARIANT))


@contextmanager
def readable(*paths: Path) -> Iterator[None]:
    """What polars and pyarrow raise over the content of some files, as an `InputError` that names them."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException, OSError) as error:
        if (isinstance(error, OSError) and error.errno) or not paths:
            raise  # the system's own (pyarrow's over damage have no number), or of frames in memory
        said = next(iter(str(error).splitlines()), type(error).__name__)  # polars goes on about its own plan
        raise InputError(f"{', '.join(map(str, paths))} cannot be read: {said}") from None


def _is_unfinished(manifest: Path) -> bool:
    """Whether a stage of this program says so; a `manifest.json` of another program says nothing."""
    try:
        document = parse_json(manifest.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(document, dict) and document.get("complete") is False


def _typed(name: str, have: pl.DataType, want: pl.DataType) -> pl.Expr:
    """A fixed column cast to its type; a variant that is none fails when collected."""
    column = pl.col(name).cast(_at_least(have, want))
    if name != "variant" or have == USUAL_VARIANT:
        return column
    unknown = ~column.str.contains(_KNOWN_VARIANT)
    refused = pl.when(unknown).then(column).cast(pl.Enum([*USUAL_VARIANT.categories, *_OTHERS]))
    return pl.when(unknown).then(refused.cast(VARIANT)).otherwise(column).alias(name)


def _at_least(have: pl.DataType, want: pl.DataType) -> pl.DataType:
    """The type to cast to: Float64 where a Float32 would round what is there."""
    finer = have == pl.Float64() or (have.is_integer() and have not in (pl.Int8(), pl.Int16()))
    return pl.Float64() if want == pl.Float32() and finer else want


def _castable(have: pl.DataType, want: pl.DataType) -> bool:
    if isinstance(want, pl.Enum | pl.String):
        return isinstance(have, pl.String | pl.Categorical | pl.Enum)
    if want.is_integer():
        return have.is_integer()
    return have == want or (want.is_float() and have.is_numeric())
