"""The command ``memlab``: find the command in a literal list, parse, run, return an exit code.

Each command is a module with ``HELP``, ``add_arguments(parser)`` and ``run(args, console) -> int``. Only
the module of the command that runs imports anything heavy, and only when it runs.

An error that memlab raises on purpose is one line on stderr and exit code 2. What the user's own code
raises is reported as the user's. Anything else is a bug of memlab: it keeps its traceback, and ends with a
code of its own, because Python's 1 would read as "leak".
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
import traceback
from typing import TYPE_CHECKING, Any

from memlab import __version__
from memlab.errors import MemlabError
from memlab.faces.cli.console import Console
from memlab.faces.cli.parser import BAD_USE, HuntParser

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

COMMANDS = (
    "leaks",
    "heap",
    "run",
    "attach",
    "diff",
    "profile",
    "gc",
    "where",
    "pressure",
    "bench",
    "regress",
    "history",
    "show",
    "report",
    "export",
    "convert",
    "import",
    "demo",
    "lab",
)
# A module cannot be named like a keyword.
_MODULES = {"import": "import_"}
INTERRUPTED = 130
OUR_BUG = 70


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: the arguments without the program's name. Default: those of the process.

    >>> main(["--version"]) == 0
    memlab ...
    True
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    console = Console("memlab")
    try:
        return _run(arguments, console)
    except SystemExit as leaving:  # argparse's own: --help, --version, a wrong option
        return leaving.code if isinstance(leaving.code, int) else BAD_USE
    finally:
        console.flush()


def _run(arguments: list[str], console: Console) -> int:
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        console.error(_unknown(arguments[0]))
        return BAD_USE
    # A program that is run shall not carry what the other commands need.
    parser, modules = _build(arguments[:1] if arguments[:1] in ([name] for name in COMMANDS) else COMMANDS)
    if not arguments:
        console.out(parser.format_help().rstrip())
        console.error("name a command, for example: memlab leaks app.py:step")
        return BAD_USE
    args, unread = parser.parse_known_args(arguments)
    console = Console(f"memlab {args.command}", quiet=getattr(args, "quiet", False))
    if unread:  # argparse would have the program say so; it is the command that does not know them
        console.error(_unread(args.command, unread))
        return BAD_USE
    try:
        code: int = modules[args.command].run(args, console)
    except MemlabError as error:
        console.error(str(error))
        return BAD_USE
    except KeyboardInterrupt:
        console.error("interrupted")
        return INTERRUPTED
    except Exception:  # noqa: BLE001 - the outermost frame: told apart by its exit code, and shown whole
        console.clear()
        traceback.print_exc()
        console.error("this is a bug in memlab; please report it with the lines above")
        return OUR_BUG
    return code


def _build(names: Sequence[str] = COMMANDS) -> tuple[argparse.ArgumentParser, dict[str, Any]]:
    parser = HuntParser(
        prog="memlab",
        description="A memory laboratory for Python: hunts leaks and shows line, object and holder.",
        epilog="memlab COMMAND --help shows an example and the exit codes of a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"memlab {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    modules = {}
    for name in names:
        module = importlib.import_module(f"memlab.faces.cli.{_MODULES.get(name, name)}")
        modules[name] = module
        command = commands.add_parser(
            name,
            help=module.HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **module.TEXTS,
        )
        module.add_arguments(command)
    return parser, modules


def _unread(command: str, unread: Sequence[str]) -> str:
    what = "no option" if unread[0].startswith("-") else "nothing to do with"
    said = "".join(c if c.isprintable() else " " for c in unread[0])
    return f"{what} {said!r}; memlab {command} --help lists what there is"


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
    if near:
        return f"no command {name!r}; did you mean 'memlab {near[0]}'?"
    return f"no command {name!r}; the commands are {', '.join(COMMANDS)}"
