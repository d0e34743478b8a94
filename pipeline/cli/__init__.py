"""The verbs and their options. No logic: each verb reads the configuration and calls its file in ``commands``.

Commands are imported when they are called: `lineage search` shall not wait for what only `run` needs.
`--config`, `--set` and `--debug` mean the same before and after the verb: ``invoke`` puts them to the front.
Exit codes: 0 done, 1 could not do it (or nothing found), 2 wrong usage, 130 interrupted before it was ready.
"""

from __future__ import annotations

import sys
import traceback

import typer
from typer.exceptions import TyperException

from pipeline.cli import asking, output, tracing
from pipeline.cli.base import app, state
from pipeline.errors import LineageError
from pipeline.options import hoisted

__all__ = ["app", "invoke"]

INTERRUPTED = 130
EVERYWHERE = "--config, --set and --debug may stand here too: lineage --help tells of them."

for _verb in (
    *(tracing.run, tracing.setup, tracing.check, tracing.record, tracing.replay),
    *(asking.search, asking.tree, asking.show, asking.ancestors),
    tracing.bench,
):
    app.command(epilog=EVERYWHERE)(_verb)


def invoke(arguments: list[str]) -> int:
    """Run one command line. Errors become one line on standard error; a bug says so and asks for --debug."""
    state.debug = "--debug" in arguments
    code = _run(arguments)
    try:
        sys.stdout.flush()
    except OSError as error:
        return _report(error) or code
    return code


def _run(arguments: list[str]) -> int:
    try:
        result = app(hoisted(arguments), standalone_mode=False, prog_name="lineage")
    except TyperException as error:
        context = getattr(error, "ctx", None)
        asked = "lineage" if context is None else context.command_path
        return _complain(f"{error.format_message()} ({asked} --help)", 2)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BaseException as error:  # the last line of defence: nobody above it could report what is caught here
        return _report(error)
    return result if isinstance(result, int) else 0


def _report(error: BaseException) -> int:
    cause = _first(error)
    if state.debug:
        traceback.print_exception(error)
    if isinstance(cause, KeyboardInterrupt):
        return INTERRUPTED
    unwritten = output.failed_with(cause)
    by_library = isinstance(cause, SystemExit) and isinstance(cause.__context__, BrokenPipeError)
    if by_library or isinstance(cause, BrokenPipeError):
        return 0  # the reader of our output has seen enough
    if isinstance(cause, LineageError):
        return _complain(str(cause), cause.exit_code)
    if unwritten:
        return _complain(f"cannot write to standard output: {unwritten}", 1)
    if isinstance(cause, Exception):
        return _complain(f"internal error, {type(cause).__name__}: {cause} (a bug; --debug prints where)", 1)
    raise error


def _first(error: BaseException) -> BaseException:
    """The error that a group of tasks ended with; ours before others', since it says what to do."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_first(each) for each in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, LineageError)), leaves[0])


def _complain(message: str, code: int) -> int:
    from pipeline.view.text import printable

    print("lineage: " + printable(" ".join(message.split())), file=sys.stderr)  # noqa: T201 - the one line the user asked for
    return code
