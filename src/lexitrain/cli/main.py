"""The `lexitrain` command.

Each command lives in a file of its own. Nothing heavy is imported until a command runs, so that every `--help`
answers at once. Errors meant for the user become one message and an exit code; anything else is written to a
traceback file that the message names.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from lexitrain.cli.terminal.console import (
    errors_console,
    prepare_streams,
    print_error,
    write_nowhere,
)
from lexitrain.errors import InputError, LexiTrainError, nearest

#: Command, and the module below `lexitrain.cli` that holds it, in the order of the help text. A module holds either
#: a function of the command's name or, where the command has commands of its own, an `app`.
COMMANDS = (
    *("demo", "build", "data", "recipes", "plan", "doctor", "train", "watch", "runs"),
    *("evaluate", "compare", "predict", "tune", "export", "serve", "ab", "report", "notebook"),
)


_INTERRUPTED = 130
"""Exit code after SIGINT, SIGTERM or SIGHUP, where nothing is left to go on with."""
_GO_ON = {"build", "demo"}
_WRITE_AT_THEIR_END = {"data", "evaluate"}


class _Commands(TyperGroup):
    """Loads a command's module only when the command is asked for, or when help lists all of them."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module: Any = importlib.import_module(f"lexitrain.cli.{cmd_name}")
        sub_app = getattr(module, "app", None)
        if sub_app is None:
            sub_app = typer.Typer(add_completion=False, rich_markup_mode=None)
            sub_app.command(cmd_name)(getattr(module, cmd_name))
        command = get_command(sub_app)
        command.name = cmd_name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = nearest(args[0], COMMANDS)
            raise InputError(
                f"There is no command '{args[0]}'.",
                fix=f"Did you mean `lexitrain {close}`?"
                if close
                else f"Commands: {', '.join(COMMANDS)}. `lexitrain --help` says what they do.",
            )
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(value: bool) -> None:
    if value:
        from lexitrain import __version__

        typer.echo(f"lexitrain {__version__}")
        raise typer.Exit


@app.callback()
def _lexitrain(  # pyright: ignore[reportUnusedFunction]
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Plan, train, prove and ship a small tutor model on a budget GPU."""


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code."""
    try:
        get_command(app).main(args=arguments, prog_name="lexitrain")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
        return _interrupted(arguments) if code == _INTERRUPTED else code
    except LexiTrainError as error:
        print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted(arguments)
    except OSError as error:
        return _system_error(error)
    except Exception as error:
        return _unexpected(error)
    return 0


def _system_error(error: OSError) -> int:
    """What becomes of a command whose standard output is closed or full; any other error is unexpected."""
    if isinstance(error, BrokenPipeError):
        write_nowhere(sys.stdout)  # the reader (`| head`) has what it wanted
        return 128 + 13
    if error.filename is not None or error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return _unexpected(error)
    write_nowhere(sys.stdout)
    said = f"Standard output cannot be written: {error.strerror}."
    print_error(InputError(said, fix="Make room where it goes, and give the command again."))
    return InputError.exit_code


def _interrupted(arguments: list[str]) -> int:
    """Say that a signal ended the command; a training run that saved its step ends with 4 instead."""
    at_once = arguments and arguments[0] in _WRITE_AT_THEIR_END
    left = "nothing was written" if at_once else "what was written before is whole"
    if arguments and arguments[0] in _GO_ON:
        left += ", and the same command goes on from there"
    errors_console().print(f"[yellow]stopped[/] by a signal; {left}.", soft_wrap=True)
    return _INTERRUPTED


def _unexpected(error: Exception) -> int:
    """Keep the traceback in a file and say where it is."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="lexitrain-", suffix=".txt", delete=False, encoding="utf-8"
    ) as report:
        report.write("".join(traceback.format_exception(error)))
    print_error(
        LexiTrainError(
            f"Something unexpected happened: {type(error).__name__}: {error}",
            fix=f"The full traceback is in {report.name}; please report it.",
        )
    )
    return 1


def main() -> None:
    """Entry point of the `lexitrain` command."""
    # Libraries must not talk between our lines; a user who wants to hear them sets these beforehand.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    prepare_streams()
    # A machine that is taken away sends SIGTERM, a closed terminal SIGHUP: commands then tidy up as after Ctrl-C.
    signal.signal(signal.SIGTERM, _end)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _end)
    sys.exit(run(sys.argv[1:]))


def _end(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
