"""`seal run`: everything that a settings file asks for, in one command."""

from pathlib import Path

import click

from seal.cli.options import json_option, print_json, put, say


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
    from seal.cli.pipeline.running import carry_out_plan, plan_run

    plan = plan_run(settings or context.find_root().obj or Path("seal.toml"))
    if only_plan and not as_json:
        width = max(len(p.call.stage.name) for p in plan.stages)
        for p in plan.stages:
            put(f"{p.call.stage.name:<{width}}  {p.decision.state:<7}  {p.decision.why}")
    interpreters = plan.interpreters()
    if not only_plan:
        carry_out_plan(plan, interpreters, overwrite=overwrite)
        say(f"{len(plan.stages)} stages -> {plan.stages[-1].call.out}")
    if as_json:
        print_json(plan.report(interpreters))
