"""`seal`: registers the commands, merges the settings, and turns every user's mistake into one line."""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import click

from seal.cli import registry
from seal.cli.events import end_with_the_run, is_stage, tell
from seal.cli.options import say
from seal.cli.pipeline.settings import TABLE, check_keys
from seal.cli.settings import load_settings
from seal.cli.streams import end_streams, hold_streams
from seal.engine.errors import SealError, nearest
from seal.engine.frames.manifest import recorded_command
from seal.engine.offline import stay_offline
from seal.engine.systems import check_system
from seal.engine.visible import visible


class _Group(click.Group):
    """Commands in the order of the pipeline, each module imported when first asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(registry.COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return registry.load(cmd_name) if cmd_name in registry.COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; an unknown command is told with the nearest."""
        if args[0] not in registry.COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}; {nearest(args[0], registry.COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("seal-engine"), prog_name="seal")
@click.option(
    "--config",
    envvar="SEAL_CONFIG",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings file, one table a command. Default: seal.toml in this folder, where there is one.",
)
@click.pass_context
def cli(ctx: click.Context, config: Path | None) -> None:
    """What a reward model really learned from human preferences.

    `seal init` writes a settings file, `seal run` does all that it asks for. Settings are merged in this
    order, the later winning: defaults, the settings file, SEAL_<COMMAND>_<OPTION> variables, options.
    """
    if not is_stage():
        for line in registry.unknown_variables(os.environ):
            say(f"seal: {line}")
    ctx.obj = config or _default()
    if ctx.invoked_subcommand == "init":  # which may be about to replace a file that nobody can read
        return
    ctx.default_map = load_settings(
        ctx.obj, registry.load_all() if ctx.obj.exists() else {}, {TABLE: check_keys}
    )


def _default() -> Path:
    return Path("seal.toml")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 wrong usage, 3 too many failed rows."""
    try:
        check_system()
    except SealError as error:
        return _fail(str(error), error.exit_code)
    end_with_the_run()
    stay_offline()
    # Threads of torch that wait for each other would keep cores busy with waiting: where something else needs
    # a core, labeling took seven times as long. It is read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        words = sys.argv[1:] if argv is None else list(argv)
        typed = words[2:] if is_stage() else words  # a run gives its stages an empty settings file
        with recorded_command(registry.without_secrets(typed)):
            code = cli.main(words, "seal", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        _show(error)
        tell(error=visible(error.format_message()), kind=type(error).__name__, code=error.exit_code)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _fail("stopped; the same command goes on from here", 130)
    except SealError as error:
        return _fail(str(error), error.exit_code, type(error).__name__)
    except BrokenPipeError:
        return 1
    except OSError as error:
        return _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1)


def _fail(text: str, code: int, kind: str = "") -> int:
    line = visible(text)
    tell(error=line, kind=kind, code=code)
    say(f"seal: {line}")
    return code


def _show(error: click.ClickException) -> None:
    """What click says of a wrong call, which quotes words and file names as they are."""
    said = StringIO()
    error.show(said)
    say(said.getvalue().removesuffix("\n"))


def run() -> None:
    """The console script."""
    hold_streams()
    sys.exit(end_streams(main()))


if __name__ == "__main__":
    run()
