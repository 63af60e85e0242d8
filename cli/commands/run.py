"""`seal run`: everything that a settings file asks for, in one command."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from seal.cli.options import json_option, print_json, say
from seal.cli.settings import load_run, load_settings
from seal.engine.errors import UsageError

if TYPE_CHECKING:
    from seal.cli.pipeline.calls import Call
    from seal.cli.pipeline.environments import Interpreter
    from seal.cli.pipeline.runner import Planned
    from seal.cli.pipeline.settings import RunSettings


@click.command("run")
@click.argument("settings", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be done and why, and do nothing.")
@click.option(
    "--overwrite", is_flag=True,
    help="Start afresh also where an output is refused that this run did not make, or for no known reason.",
)  # fmt: skip
@json_option
@click.pass_context
def command(
    context: click.Context, settings: Path | None, only_plan: bool, overwrite: bool, as_json: bool
) -> None:
    """Do everything that SETTINGS asks for: import, export, score, label, rewrite, compare, analyze, report.

    SETTINGS is a TOML file (`seal init` writes one; default: --config, else seal.toml here). Its table [run]
    says what, with what and where to; the other tables hold options of the commands. A stage that stands for
    the same inputs, models and options is left; one that was cut goes on; one that was made of something
    else is made again in the run's own folder. Killed anywhere, the same command ends in the same bytes.
    """
    from seal.cli.pipeline.runner import make_plan, prepare

    file = settings or context.find_root().obj or Path("seal.toml")
    if not file.is_file():
        raise UsageError(f"no settings file {file}; seal init --out {file} writes one to fill in")
    run = load_run(file)
    planned = make_plan(_calls(context, run), run.out)
    if only_plan and not as_json:
        _print_plan(planned)
    interpreters = prepare(planned, run)
    if not only_plan:
        _carry_out(planned, run, interpreters, overwrite)
    if as_json:
        print_json({"out": run.out, "stages": [_row(p, interpreters) for p in planned]})


def _calls(context: click.Context, run: "RunSettings") -> "list[Call]":
    """The stages with every option decided.

    Raises:
        UsageError: an option is not allowed, or a stage's command is not there (a report is left out then).
    """
    from seal.cli.pipeline.calls import make_call
    from seal.cli.pipeline.stages import stages_of
    from seal.engine.checkpoints.exported import SPEC

    group = cast(click.Group, context.find_root().command)
    known = {name: group.get_command(context, name) for name in group.list_commands(context)}
    commands = {name: found for name, found in known.items() if found}
    tables = load_settings(run.file, commands)
    backend = tables.get("score", {}).get("backend")
    calls = []
    for stage in stages_of(run, score_backend=backend, is_exported=lambda folder: (folder / SPEC).is_file()):
        if stage.command in commands:
            table = tables.get(stage.command, {})
            calls.append(make_call(stage, commands[stage.command], table, run))
        elif stage.command != "report":
            raise UsageError(
                f"{stage.name} needs the command '{stage.command}', which this seal does not have"
            )
    return calls


def _carry_out(
    planned: "Sequence[Planned]",
    run: "RunSettings",
    interpreters: "Mapping[str, Interpreter]",
    overwrite: bool,
) -> None:
    from seal.cli.pipeline.display import board
    from seal.cli.pipeline.runner import carry_out

    with board([p.call.stage.name for p in planned]) as shown:
        carry_out(planned, run, interpreters, shown, overwrite=overwrite)
    last = planned[-1].call.out
    say(f"{len(planned)} stages -> {last}")


def _print_plan(planned: "Sequence[Planned]") -> None:
    width = max(len(p.call.stage.name) for p in planned)
    for p in planned:
        click.echo(f"{p.call.stage.name:<{width}}  {p.decision.state:<7}  {p.decision.why}")


def _row(planned: "Planned", interpreters: "Mapping[str, Interpreter]") -> dict[str, Any]:
    call, name = planned.call, planned.call.stage.name
    return {
        "stage": name,
        "state": planned.decision.state,
        "why": planned.decision.why,
        "command": ["seal", *call.words],
        "python": interpreters[name].python if name in interpreters else None,
        "out": call.out,
    }
