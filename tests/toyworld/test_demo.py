"""The demo's steps: commands that exist, settings that are understood, figures that are the tables'."""

import tomllib
from pathlib import Path

import click
import polars as pl
import pytest

from examples.toyworld import demo
from seal.cli.main import cli
from seal.cli.pipeline.settings import TABLE, parse_run


@pytest.mark.parametrize(
    "step", [*demo._pipeline(), *demo._correction()], ids=lambda s: " ".join(map(str, s[:2]))
)
def test_every_step_is_a_command_with_options_that_it_has(step: demo.Step) -> None:
    command: click.Command = cli
    words = [str(word) for word in step]
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None
        command = found
    flags = {flag for parameter in command.params for flag in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= flags


def test_its_settings_are_a_run() -> None:
    tables = tomllib.loads(demo._settings())
    run = parse_run(tables[TABLE], Path("demo/seal.toml").absolute())
    assert [labeler.name for labeler in run.labelers] == ["toy"]
    assert run.labels == (Path("demo/world/truth.parquet").absolute(),)
    # a smaller sample of the same seed is part of a larger one: what is rewritten was labeled
    assert tables["rewrite"]["sample"] < tables["label"]["sample"]
    assert "seed" not in tables["rewrite"].keys() | tables["label"].keys()


def test_naive_corrected_and_true_stand_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = {"model": ["pre", "post", "post-pre"], "term": ["kind"] * 3}
    corrected = pl.DataFrame(keys | {
        "estimate": [1.0, 2.0, 1.0], "conf_low": [0.5, 1.75, 0.5], "conf_high": [1.5, 2.25, 1.5],
        "naive_estimate": [0.7, 1.7, 1.0], "n_gold": [400] * 3,
    })  # fmt: skip
    for name in ("truth", "corrected"):
        (tmp_path / name).mkdir()
    corrected.write_csv(tmp_path / "corrected" / "imprint_corrected.csv")
    pl.DataFrame(keys | {"estimate": [1.1, 2.1, 1.0]}).write_csv(tmp_path / "truth" / "imprint.csv")

    demo._print_corrected(tmp_path / "corrected", tmp_path / "truth")

    said = capsys.readouterr().out
    row = next(line.split() for line in said.splitlines() if line.startswith("kind"))
    assert row == ["kind", "1.70", "2.00", "1.75", "to", "2.25", "2.10"]
    # root mean squares over three rows: of .4, .4, 0 and of .1, .1, 0
    assert "naive estimates are 0.33 off" in said
    assert "corrected ones 0.08" in said
