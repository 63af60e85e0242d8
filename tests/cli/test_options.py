"""Options are declared once: every click option says what its field says, and every class is used."""

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Literal

import click
import pytest
from click.testing import CliRunner

import seal
from seal.cli.main import cli
from seal.cli.options import DeclaredOption, options_of
from seal.cli.registry import COMMANDS, without_secrets
from seal.engine.errors import UsageError
from seal.engine.options import Declared, Options, declared, option
from seal.engine.rewriting.options import PerturbOptions, RewriteOptions

CLASSES = [getattr(seal, name) for name in seal.__all__ if name.endswith("Options")]


def all_commands() -> list[tuple[str, click.Command]]:
    """Every command, those inside a group too."""
    context = click.Context(cli)
    found = [(name, cli.get_command(context, name)) for name in COMMANDS]
    found += [(f"{n} {k}", c) for n, g in found if isinstance(g, click.Group) for k, c in g.commands.items()]
    return [(name, command) for name, command in found if command and not isinstance(command, click.Group)]


def of_classes() -> dict[int, tuple[str, Declared]]:
    """Which class declares what is remembered by an option."""
    return {id(k.words): (kind.__name__, k) for kind in CLASSES for k in declared(kind)}


DECLARED = [(n, p) for n, c in all_commands() for p in c.params if isinstance(p, DeclaredOption)]


@pytest.mark.parametrize(("command", "given"), DECLARED, ids=[f"{n} {p.name}" for n, p in DECLARED])
def test_an_option_is_its_field(command: str, given: DeclaredOption) -> None:
    kind, known = of_classes()[id(given.words)]
    assert (given.name, given.opts[0]) == (known.name, f"--{known.flag}"), kind
    assert given.help == known.words.help
    assert given.required == known.required
    if not known.required:
        default = given.get_default(click.Context(click.Command(command)))
        commas = known.many and not known.words.repeat and known.default is not None
        assert default == (",".join(known.default) if commas else known.default)
    if known.choices and not (known.many and not known.words.repeat):
        assert isinstance(given.type, click.Choice)
        assert tuple(given.type.choices) == tuple(known.choices)
    limits = (known.words.at_least, known.words.above, known.words.at_most, known.words.below)
    if any(limit is not None for limit in limits):
        assert given.type.min == next((x for x in limits[:2] if x is not None), None)  # type: ignore[attr-defined]
        assert given.type.max == next((x for x in limits[2:] if x is not None), None)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_field_of_a_class_is_an_option_of_some_command(kind: type[Options]) -> None:
    offered = {id(p.words) for _, p in DECLARED}
    missing = {k.name for k in declared(kind) if id(k.words) not in offered}
    if kind is PerturbOptions:  # `seal rewrite --perturb` makes them of what RewriteOptions offers
        missing -= {k.name for k in declared(RewriteOptions)}
    assert missing == set()


@dataclass(frozen=True)
class Some(Options):
    """A class with one option of each sort."""

    must: str = option(MISSING, "Needed.")
    way: Literal["a", "b"] = option("a", "One of two.")
    n: int | None = option(None, "A count.", at_least=1, formerly=("rows",))
    share: float = option(0.5, "A share.", above=0, below=1)
    names: tuple[str, ...] = option(("x", "y"), "Names.")
    files: tuple[Path, ...] = option((), "Files.", repeat=True)
    on: bool = option(False, "A switch.")


@click.command()
@options_of(Some)
def command(options: Some) -> None:
    click.echo(repr(options))


def test_a_command_gets_one_object() -> None:
    words = [
        "--must",
        "m",
        "--names",
        "p, q,p",
        "--files",
        "one",
        "--files",
        "two",
        "--on",
        "--share",
        "0.25",
    ]
    done = CliRunner().invoke(command, words)
    wanted = Some("m", "a", None, 0.25, ("p", "q"), (Path("one"), Path("two")), True)
    assert done.output.strip() == repr(wanted)


def test_a_former_name_is_taken_and_said_once() -> None:
    done = CliRunner().invoke(command, ["--must", "m", "--rows", "3"])
    assert "n=3" in done.stdout
    assert done.stderr.splitlines() == ["--rows is called --n now"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"way": "c"}, "way cannot be 'c'; allowed: a, b"),
        ({"n": 0}, "n must be at least 1, not 0"),
        ({"share": 0.0}, "share must be above 0, not 0.0"),
        ({"share": 1.0}, "share must be below 1, not 1.0"),
    ],
)
def test_the_class_refuses_what_the_command_line_refuses(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Some("m", **wrong)  # type: ignore[arg-type]
    (name, value), *_ = wrong.items()
    assert CliRunner().invoke(command, ["--must", "m", f"--{name}", str(value)]).exit_code == 2


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (["label", "t", "--api-key", "k3y", "--out", "o"], ["label", "t", "--out", "o"]),
        (["label", "t", "--api-key=k3y", "--out", "o"], ["label", "t", "--out", "o"]),
        (["label", "--api-key", "--odd", "t"], ["label", "t"]),
        (["verify", "api-key"], ["verify", "api-key"]),
    ],
)
def test_secrets_stand_in_no_record(typed: list[str], kept: list[str]) -> None:
    assert without_secrets(typed) == kept


def test_a_secret_is_not_in_the_repr() -> None:
    assert "k3y" not in repr(seal.GeneratorOptions(api_key="k3y"))
