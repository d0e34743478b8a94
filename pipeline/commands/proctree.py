"""`--proctree`: switches of the process tree, several in one, as `source=both,process-cache=N,thread-cache=N`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from annotated_types import Ge, Le

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.tree.routes import Source

HELP = "help"
DIGITS_MAX = 20
KEYS = {"source": "tree_source", "process-cache": "processes_max", "thread-cache": "threads_max"}
"""Switch -> key of the configuration."""

TEXT = """\
--proctree source=none|events|signals|both
      both     from births, execs, changes and ends as they happen, and from a walk over all that runs: at the start,
               and after a loss; the default
      events   from what happens alone. What ran before is not known until it does something: lineages begin with
               unknown (lineage.doubt: unknown_parent), though a parent's pid and entity id are told; no snapshot
               documents; after a loss nothing is repaired
      signals  from walks alone, one each repair_interval_s. What is born and ends between two of them is in no lineage
               and in no answer; documents of what happens are made from the kernel's record and the last walk. An exec
               or an end of a process that no walk has found has the parent it has then (unknown_parent: it may have
               been adopted), and after a fork or at an end a name is the thread's, as long as no walk has told better
      none     no tree: documents of the kernel's records alone. A fork tells pid and entity id of its parent, an exec
               and an end those of the parent then (unknown_parent: it may be another); no lineage above that, no
               container, no entry leader; forks and ends have no arguments; no answers on the socket
--proctree process-cache=N   processes the tree knows, 64 or more (default 32768); what lives is always kept
--proctree thread-cache=N    threads the tree knows beside group leaders, 64 or more (default 32768)

Several in one, with commas, or one at a time; of the same switch the last counts:
  --proctree source=both,process-cache=8192,thread-cache=4096
  --proctree process-cache=8192 --proctree thread-cache=4096
"""


def settings(options: Sequence[str]) -> dict[str, Any]:
    """Keys of the configuration and their values. Raises UsageError for what is no switch."""
    found: dict[str, Any] = {}
    for switch in (part.strip() for option in options for part in option.split(",")):
        name, equals, value = switch.partition("=")
        if name not in KEYS or not equals:
            raise UsageError(f"--proctree {switch!r} is no switch", "see --proctree help")
        if name == "source":
            if value not in get_args(Source):
                raise UsageError(f"--proctree has no source {value!r}", f"use {', '.join(get_args(Source))}")
            found[KEYS[name]] = value
        else:
            found[KEYS[name]] = _number(name, value)
    return found


def _number(name: str, value: str) -> int:
    bounds = Config.model_fields[KEYS[name]].metadata
    least = next(int(str(bound.ge)) for bound in bounds if isinstance(bound, Ge))
    most = next(int(str(bound.le)) for bound in bounds if isinstance(bound, Le))
    if not (value.isascii() and value.isdecimal()):
        raise UsageError(f"--proctree {name} must be a number, not {value!r}", f"write --proctree {name}=32768")
    number = int(value) if len(value) < DIGITS_MAX else most + 1  # Python refuses to read what is longer
    if number < least:
        raise UsageError(f"--proctree {name}={value} is too small", f"{least} or more")
    if number > most:
        raise UsageError(f"--proctree {name}={value[:DIGITS_MAX]} is too large", f"{most:,} at most")
    return number
