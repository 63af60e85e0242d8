"""`seal run`, from its settings file to its last stage."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seal.cli.pipeline.calls import Call, make_call
from seal.cli.pipeline.display import board
from seal.cli.pipeline.environments import Interpreter
from seal.cli.pipeline.gold import gold_labeler
from seal.cli.pipeline.runner import Planned, carry_out, make_plan, prepare
from seal.cli.pipeline.settings import TABLE, RunSettings, check_keys, load_run
from seal.cli.pipeline.stages import stages_of
from seal.cli.registry import load_all
from seal.cli.settings import load_settings
from seal.engine.checkpoints.exported import SPEC
from seal.engine.errors import UsageError
from seal.engine.notebook import Shown


@dataclass(frozen=True)
class RunReport(Shown):
    """What a run was made of.

    Attributes:
        out: its folder.
        stages: for each stage its name, state before the run (`done`, `run`, `resume`, ...), why, its
            command, the interpreter that ran it, and what it wrote.
    """

    out: Path
    stages: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class RunPlan:
    """What is to be done: the settings, and every stage with a decision about it."""

    settings: RunSettings
    stages: tuple[Planned, ...]

    def interpreters(self) -> dict[str, Interpreter]:
        """What runs each stage that is not done; found before any work is.

        Raises:
            InputError: a dataset, a model or an interpreter is missing.
            SealError: no environment has what a stage needs.
        """
        return prepare(self.stages, self.settings)

    def report(self, interpreters: Mapping[str, Interpreter]) -> RunReport:
        """The plan as plain values."""
        return RunReport(self.settings.out, tuple(_row(p, interpreters) for p in self.stages))


def plan_run(settings: str | Path = "seal.toml") -> RunPlan:
    """What a settings file asks for, and what of it stands already; nothing is started.

    Raises:
        UsageError: there is no such file, or it asks for what cannot be.
        InputError: a file, or the record of an earlier run, cannot be read.
    """
    file = Path(settings)
    if not file.is_file():
        raise UsageError(f"no settings file {file}; seal init --out {file} writes one to fill in")
    run = load_run(file)
    return RunPlan(run, tuple(make_plan(_calls(run), run.out)))


def run(settings: str | Path = "seal.toml", *, overwrite: bool = False) -> RunReport:
    """Do everything that a settings file asks for: import, export, score, label, ..., report.

    Each stage runs in a process of its own. What stands for the same inputs, models and options is left, what
    was cut goes on, what was made of something else is made again. Progress goes to stderr.

    Args:
        settings: a TOML file with a table [run], as `seal init` writes it.
        overwrite: start afresh also where an output is refused that this run did not make.

    Raises:
        UsageError: there is no such file, or it asks for what cannot be.
        InputError: a dataset, a model or an interpreter is missing.
        SealError: a stage failed; what was done before stays.
    """
    plan = plan_run(settings)
    interpreters = plan.interpreters()
    carry_out_plan(plan, interpreters, overwrite=overwrite)
    return plan.report(interpreters)


def carry_out_plan(plan: RunPlan, interpreters: Mapping[str, Interpreter], *, overwrite: bool) -> None:
    """Do what a plan says, with a display of all stages.

    Raises:
        SealError: a stage failed, or another run holds the folder.
    """
    with board([p.call.stage.name for p in plan.stages]) as shown:
        carry_out(plan.stages, plan.settings, interpreters, shown, overwrite=overwrite)


def _calls(run: RunSettings) -> list[Call]:
    """The stages with every option decided."""
    commands = load_all()
    tables = load_settings(run.file, commands, {TABLE: check_keys})
    backend = tables.get("score", {}).get("backend")
    named, labeler = (
        os.environ.get(f"SEAL_ANALYZE_{key.upper()}") or tables.get("analyze", {}).get(key)
        for key in ("gold", "labeler")
    )
    gold = gold_labeler(run.gold, named, f"{run.file}: [{TABLE}]") if run.gold else None
    stages = stages_of(
        run, score_backend=backend, is_exported=lambda folder: (folder / SPEC).is_file(), gold=gold,
        labeler=labeler,
    )  # fmt: skip
    return [make_call(s, commands[s.command], tables.get(s.command, {}), run) for s in stages]


def _row(planned: Planned, interpreters: Mapping[str, Interpreter]) -> dict[str, Any]:
    call, name = planned.call, planned.call.stage.name
    return {
        "stage": name,
        "state": planned.decision.state,
        "why": planned.decision.why,
        "command": ["seal", *call.words],
        "python": interpreters[name].python if name in interpreters else None,
        "out": call.out,
    }
