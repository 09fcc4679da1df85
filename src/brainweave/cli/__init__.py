"""The command line: each command says what it needs, calls one function and prints what it did.

A new command is one function in the module of its kind.
"""

import errno
import logging
import os
import sys
from typing import NoReturn

import typer

from brainweave.cli import completing, compressing, describing, judging, making, preparing, tuning
from brainweave.errors import FULL_DISK, BrainweaveError, Interrupted, RecipeError

app = typer.Typer(
    name="brainweave",
    help="Synthetic brain MRI: train, generate, complete, judge. Each command has its own --help.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (making, completing, compressing, tuning, judging, preparing, describing):
    app.registered_commands += commands.app.registered_commands
FAILED, INTERRUPTED = 1, 130


def main() -> NoReturn:
    """Runs the command line. What a user can cause ends as one line and an exit code above 0;
    --debug, anywhere, shows the traceback instead."""
    # before torch is loaded: threads that spin while they wait slow a busy machine down tenfold
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    debug = "--debug" in sys.argv
    words = [word for word in sys.argv[1:] if word != "--debug"] or ["--help"]
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        code = app(words, standalone_mode=False) or 0
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if debug:
            raise
        line, code = _told(error)
        what = "" if isinstance(error, Interrupted) else "error: "
        typer.echo(what + " ".join(line.split()), err=True)
    if code == INTERRUPTED:
        typer.echo("interrupted; the same command goes on", err=True)
    sys.exit(code)


def _told(error: Exception) -> tuple[str, int]:
    """One line and the exit code for an error."""
    if isinstance(error, BrainweaveError):
        full = getattr(error.__cause__, "errno", None) == errno.ENOSPC
        return str(error), FULL_DISK if full else error.exit_code
    if hasattr(error, "format_message"):  # of the option parser
        return error.format_message(), getattr(error, "exit_code", RecipeError.exit_code)
    if isinstance(error, OSError):
        code = FULL_DISK if error.errno == errno.ENOSPC else FAILED
        return f"{error.filename or 'system'}: {error.strerror or error}", code
    return f"{type(error).__name__}: {error} (a bug, or --debug shows where)", FAILED
