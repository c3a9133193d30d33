"""The command `kdvideo`: one file per command. Its `add_arguments(commands)` sets the function that the command runs.

The commands import what they need only when they run, so `kdvideo --help` answers without loading torch.
"""

import argparse
import errno
import io
import logging
import os
import re
import sys
import threading
from collections.abc import Sequence

from kdvideo.cli import (
    configs,
    data,
    demo,
    doctor,
    embed,
    eval,
    export,
    picture,
    predict,
    report,
    runs,
    study,
    teach,
    train,
    zoo,
)
from kdvideo.cli.imports import import_modules
from kdvideo.cli.options import FLAGS
from kdvideo.cli.process import speaker
from kdvideo.errors import naming
from kdvideo.extras import missing_extra
from kdvideo.foreign import printable, printable_record
from kdvideo.names import SHOWN
from kdvideo.paths import home_advice

__all__ = ["build_parser", "main", "parse", "train_main"]

_COMMANDS = (train, teach, eval, demo, zoo, data, predict, embed, export, study, runs, report, picture, configs, doctor)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)  # errors for a folder of another user


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser of the whole command line. The parsed `run` is the function to call."""
    parser = argparse.ArgumentParser(prog="kdvideo", description="Self-supervised video models, distilled and kept.")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in _COMMANDS:
        command.add_arguments(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one of kdvideo's commands.

    Errors end in one line on standard error. The exit code is 2 for a user's mistake, and 1 if work under way fails.
    """
    return _run(parse(arguments))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses a command line. KEY VALUE pairs may stand before and after options; argparse itself does not allow it."""
    parser = build_parser()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for word in arguments[: arguments.index("--") if "--" in arguments else None]:
        # No option begins with a single dash, except -h.
        if word[:1] == "-" and word[:2] not in ("-", "-h", "--") and os.path.lexists(word):
            parser.error(f"{word} is taken for an option: write ./{word} for the file of that name")
    options, rest = parser.parse_known_args(arguments)
    if rest and (rest[0].startswith("-") or "overrides" not in options):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.arguments = list(arguments)
    if rest:
        options.overrides = [*options.overrides, *rest]
    return options


def train_main(arguments: Sequence[str] | None = None) -> int:
    """Runs `kdvideo train`, for `tools/train_net.py`."""
    return main(["train", *(sys.argv[1:] if arguments is None else arguments)])


def _run(options: argparse.Namespace) -> int:
    # Threads that wait by spinning take processor time from the loader's workers and from other jobs. See the effect of
    # sleeping in `benchmarks/step_settings.py`. OpenMP reads this once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.getLogger("kdvideo").addFilter(printable_record)  # file names and entries contain other people's text
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=SHOWN)
    default, threading.excepthook = threading.excepthook, _ignore_full_disk
    try:
        with naming(**FLAGS):
            import_modules(getattr(options, "imports", ()))
            return options.run(options) or 0
    except BrokenPipeError:  # the reader of the output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, FloatingPointError, OSError, MemoryError) as error:
        print(f"kdvideo: error: {speaker()}{printable(_one_line(error))}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    except ImportError as error:
        if missing := missing_extra(error):
            print(f"kdvideo: error: {missing}", file=sys.stderr)
            return 2
        print(f"kdvideo: error: {printable(_one_line(error))}; `kdvideo doctor` says what is missing", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _say_interrupted(options)
    except RuntimeError as error:
        if not _is_interruption(error):
            raise
        return _say_interrupted(options)
    finally:
        threading.excepthook = default


def _say_interrupted(options: argparse.Namespace) -> int:
    hint = {"train": "; continue with --resume", "teach": "; run it again to continue"}.get(options.command, "")
    print(f"kdvideo: interrupted{hint}", file=sys.stderr)
    return 130


def _is_interruption(error: BaseException | None) -> bool:
    """Returns whether Ctrl-C caused an error. If it stops torch's writing, torch says that the file is too short."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _ignore_full_disk(arguments: threading.ExceptHookArgs) -> None:
    """Ignores OSErrors of threads. TensorBoard writes in a thread, and the run's next write fails in the same way."""
    if not isinstance(arguments.exc_value, OSError):
        threading.__excepthook__(arguments)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and not error.filename:
        return error.strerror  # without the number at its beginning
    if isinstance(error, OSError) and error.errno in _REFUSED and (advice := home_advice(error.filename)):
        return f"{error.strerror}: {advice}"
    # A loader's worker sends its whole traceback as the message. The last line is the error.
    line = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return re.sub(r"^[\w.]+Error: ", "", line)
