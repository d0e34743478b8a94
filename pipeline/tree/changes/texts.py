"""How much long text is kept: what processes bring together may take ``texts_max_bytes``, whoever brings it.

Rules of this file:
- What an exec, a command line or a change of directory brings counts for its process until the version that has it, or
  the process, is forgotten. Children have it from their parent, and bring nothing.
- Where there is no room, what comes is kept in part, and says so as if it had been longer than a record carries
  (``cut``); ``counters.texts_shortened`` counts. The document of that very exec has all of it (``State.whole``).
"""

from __future__ import annotations

from sys import intern

from pipeline.process import Image
from pipeline.tree.known.state import Process, State
from pipeline.tree.known.texts import count, weight, weight_of_path

SHORT_BYTES = 512
"""So much of the arguments is kept in any case."""

ARGUMENT_CHARS = 100
"""Of the first one, where that alone takes more."""

PATH_CHARS = 80
"""And of a path: with the ellipsis before it no more than PATH_BYTES, unless it has characters that take four bytes."""


def keep_image(state: State, process: Process, image: Image) -> Image:
    """The image as the tree keeps it."""
    weighs = weight(image)
    processes = state.processes
    if weighs > SHORT_BYTES and processes.text_bytes + weighs > processes.texts_max_bytes:
        state.counters.texts_shortened += 1
        state.whole = image
        image = shortened(image)
        weighs = weight(image)
    count(processes, process, weighs)
    return image


def keep_directory(state: State, process: Process, path: str, *, is_cut: bool) -> tuple[str, bool]:
    """The path as the tree keeps it, and whether a part of it is missing."""
    weighs = weight_of_path(path)
    processes = state.processes
    if weighs:
        if processes.text_bytes + weighs > processes.texts_max_bytes and len(path) > PATH_CHARS:
            state.counters.texts_shortened += 1
            path, is_cut = _end_of(path), True
            weighs = weight_of_path(path)
        count(processes, process, weighs)
    return intern(path), is_cut


def is_kept_short(path: str, kept: str) -> bool:
    """Whether that is what is left of the path, for want of room."""
    return len(path) > PATH_CHARS and kept != path and kept == _end_of(path)


def shortened(image: Image) -> Image:
    """What is left of it: the first arguments, the ends of its paths."""
    args: list[str] = []
    left = SHORT_BYTES
    for argument in image.args:
        left -= argument.__sizeof__()
        if left < 0:
            break
        args.append(argument)
    if image.args and not args:
        args.append(image.args[0][:ARGUMENT_CHARS])
    script, loader = image.script, image.loader
    short = image._replace(
        args=tuple(args),
        environment=(),
        executable=intern(_end_of(image.executable)),
        script=script and script._replace(path=_end_of(script.path)),
        loader=loader and loader._replace(path=_end_of(loader.path)),
    )
    lost = [name for name in ("args", "executable", "environment", "script", "loader") if _differs(image, short, name)]
    return short._replace(cut=(*image.cut, *(name for name in lost if name not in image.cut)))


def _differs(image: Image, short: Image, name: str) -> bool:
    return bool(getattr(image, name) != getattr(short, name))


def _end_of(path: str) -> str:
    """As of a path that was longer than a record: an ellipsis stands for its upper end."""
    if not weight_of_path(path) or len(path) <= PATH_CHARS:
        return path
    end = path[-PATH_CHARS:]
    return f"…/{end[end.find('/') + 1 :]}"
