"""The command line: parse, call, print. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

import harness
from harness.cli import experiments, release, results, review, store
from harness.cli.options import HOME, Home, Host, Json, Port, PublicUrl, print_lines, show_as
from harness.errors import DiskFull, HarnessError, Interrupted, UsageError, is_full_disk

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for group in (experiments, results, review, release, store):
    group.register(app)


def _version(asked: bool) -> None:
    if asked:
        print(harness.__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Tells which fine-tuning method to ship for a task, with evidence."""


def main() -> None:
    """Run the command line and turn every error into one line and an exit code.

    Leaves without taking the interpreter apart: with torch and DuckDB in one process that prints pages about leaked
    objects, and takes seconds. Everything is written and closed by then.
    """
    code = call(sys.argv[1:])
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def call(words: Sequence[str]) -> int:
    """The exit code of `harness WORDS…`, with every error turned into one line on standard error."""
    gc.set_threshold(50_000, 20, 20)  # most of what a command makes lives until it ends: imports, records
    return _guarded(lambda: app(list(words), standalone_mode=False))


def _guarded(call: Callable[[], Any]) -> int:
    try:
        result = call()
        return result if isinstance(result, int) else 0
    except HarnessError as error:
        return _fail(error)
    except typer.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _fail(Interrupted("stopped", hint="what was finished is kept; the same command goes on"))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except typer.TyperException as error:
        text = error.format_message() if isinstance(error, typer.BadParameter) else str(error)
        return _fail(UsageError(text.rstrip("."), hint="`harness COMMAND --help` shows the options"))
    except Exception as error:
        if is_full_disk(error):
            return _fail(DiskFull("no space left on the device", hint="free some space; the same command goes on"))
        if isinstance(error, OSError) and error.errno in _OF_PATHS and error.filename is not None:
            said = f"{error.filename}: {os.strerror(error.errno)}"
            return _fail(UsageError(said, hint="Give another --home or path, or mend its permissions"))
        return _crash(error)


_OF_PATHS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG)
"""Errors of a path that a person gave, and no bug: it cannot be made, read or written."""


def _fail(error: HarnessError) -> int:
    print(f"harness: {error}", file=sys.stderr)
    return error.exit_code


def _crash(error: Exception) -> int:
    import traceback

    from harness import redaction

    if redaction.marked(error):  # what it says may be somebody's data
        traceback.print_tb(error.__traceback__)
        print(redaction.reason_of(error), file=sys.stderr)
    else:
        traceback.print_exception(error)
    print("harness: this is a bug in the harness; what was stored is kept", file=sys.stderr)
    return 70


@app.command()
def doctor(home: Home = HOME, as_json: Json = False) -> int:
    """Show hardware and versions, what is missing and how to get it."""
    from harness.cli import doctor as checks

    diagnosis = checks.examine(home)
    show_as(diagnosis, as_json, checks.to_json, lambda diagnosis: print_lines(checks.lines(diagnosis)))
    return 0 if diagnosis.ready else 1


@app.command(name="app")
def app_command(
    home: Home = HOME,
    host: Host = "127.0.0.1",
    port: Port = 8501,
    public_url: PublicUrl = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page here.")] = True,
) -> int:
    """Open leaderboard and review in a browser, and print the owner's link."""
    from harness.app import launch

    return launch.serve(home, host, port, public_url, browser=browser)


if __name__ == "__main__":
    main()
