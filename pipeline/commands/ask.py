"""`lineage show` and `lineage ancestors`: ask a running agent what a process or a thread is, was, and descends from."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import orjson
from rich.console import Console

from pipeline.config import Config
from pipeline.query.agent import UNKNOWN, Agent, Refused, moment, who
from pipeline.query.base import Fields
from pipeline.view import candidates, chain, timeline, words

Named = Mapping[str, str | int | None]


async def show(
    config: Config, process: str, *, at: str | None, history: bool, json: bool, verbose: bool = False
) -> int:
    """Print one version, or all until then as a timeline. Raises NoAgentError, Refused, UsageError."""
    agent = Agent(config)
    path, named = who(process)
    asked = {**named, "at": moment(at)}
    question = ["show", *(["--history"] if history else []), *_at(at)]
    try:
        if history:
            return await _history(agent, f"/processes{path}", asked, question, json=json, verbose=verbose)
        answer = await ask(agent, f"/processes{path}", asked, question, json=json)
    except Refused as refused:
        thread = await _thread(agent, process, asked["at"], refused)
        if thread is None:
            raise
        if history:
            path = f"/threads/{thread['process']['thread']['entity_id']}"
            asked = {"at": asked["at"]}
            return await _history(agent, path, asked, question, json=json, verbose=verbose, of_thread=True)
        if json:
            print_json([thread])
        else:
            chain.show_thread(_console(), thread)
        return 0
    if json:
        print_json([answer])
        return 0
    threads = await agent.ask(f"/processes/{answer['process']['entity_id']}/threads", {"at": answer.get("at")})
    chain.show_process(_console(), answer, threads["threads"], await _change(agent, answer))
    return 0


async def _change(agent: Agent, answer: Fields) -> str:
    """What the version began with, by the one just before it; nothing where that one is not known any more."""
    if answer["versions_dropped"]:
        return words.told(answer["told"])
    before = None
    if "birth" not in answer["told"]:
        try:
            then = just_before(answer["since"])
            before = await agent.ask(f"/processes/{answer['process']['entity_id']}", {"at": then})
        except Refused as refused:
            if refused.reason not in UNKNOWN:
                raise
    return timeline.change(before, answer)


def just_before(time: str) -> str:
    """A nanosecond earlier; ``time`` as answers have it, with nine digits and Z."""
    second, fraction = time.removesuffix("Z").split(".")
    if int(fraction):
        return f"{second}.{int(fraction) - 1:09d}Z"
    earlier = datetime.fromisoformat(second) - timedelta(seconds=1)
    return f"{earlier.isoformat()}.999999999Z"


def _at(at: str | None) -> list[str]:
    return [] if at is None else ["--at", at]


async def _history(
    agent: Agent,
    path: str,
    asked: Named,
    question: Sequence[str],
    *,
    json: bool,
    verbose: bool,
    of_thread: bool = False,
) -> int:
    """With a time, what it had been by then."""
    answer = await ask(agent, path, {**asked, "history": "true"}, question, json=json)
    if json:
        print_json(answer["versions"])
    else:
        timeline.show(_console(), answer["versions"], verbose=verbose, of_thread=of_thread)
    if answer["truncated"]:
        count = words.counted(answer["count"], "version")
        _say(f"the oldest {count}; there are more: raise the agent's api_rows_max")
    return 0


async def ancestors(config: Config, process: str, *, at: str | None, depth: int, json: bool) -> int:
    """Print the process below its ancestors. Raises NoAgentError, Refused, UsageError."""
    path, named = who(process)
    asked = {**named, "at": moment(at), "depth": depth}
    answer = await ask(Agent(config), f"/lineage{path}", asked, ["ancestors", *_at(at)], json=json)
    if json:
        print_json([answer])
        return 0
    chain.show_ancestors(_console(), answer)
    if doubt := answer["lineage"].get("doubt"):
        _say(f"this may not be the whole truth ({', '.join(doubt)})")
    return 0


async def ask(agent: Agent, path: str, parameters: Named, question: Sequence[str], *, json: bool) -> Fields:
    """The answer. Where a pid means several, who they are is printed, and the error says what to type next.

    ``question``: the verb and the options that it was asked with.
    """
    try:
        return await agent.ask(path, parameters)
    except Refused as refused:
        if not refused.candidates:
            raise
        if json:
            print_json([refused.answer])
        else:
            candidates.show(Console(stderr=True, highlight=False), refused.candidates)
        youngest = refused.candidates[0]["process"]["entity_id"]
        verb, *options = question
        mend = f"ask by id, for the youngest: {shlex.join(['lineage', verb, youngest, *options])}"
        raise Refused(refused.reason, refused.answer, refused.message, mend) from refused


async def _thread(agent: Agent, text: str, at: str | int | None, refused: Refused) -> Fields | None:
    """What was asked about, if it is a thread: by its entity id, or by its tid while it lives.

    Whose a tid is the kernel says, of what lives now; all else the agent does.
    """
    if refused.reason not in ("never_known", "no_such_pid"):
        return None
    try:
        if not text.isdecimal():
            found = await agent.ask(f"/threads/{text}", {"at": at})
        else:
            leader = leader_of(int(text))
            if leader is None:
                return None
            process = await agent.ask("/processes", {"pid": leader, "at": at})
            at = process["at"]
            threads = await agent.ask(f"/processes/{process['process']['entity_id']}/threads", {"at": at})
            own = [one for one in threads["threads"] if one["process"]["thread"]["id"] == int(text)]
            if not own:
                return None
            found = own[-1]
        of = await agent.ask(f"/processes/{found['process']['entity_id']}", {"at": at})
    except Refused:
        return None  # then the first refusal is the one to tell
    return {**found, "of": {name: of["process"].get(name) for name in ("name", "pid", "entity_id")}}


def leader_of(tid: int, proc: Path = Path("/proc")) -> int | None:
    """The pid whose living thread that is; None where it is nobody's."""
    try:
        status = (proc / str(tid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(fields.get("Tgid", "0")) or None


def print_json(answers: list[Fields]) -> None:
    """One a line."""
    for answer in answers:
        sys.stdout.write(orjson.dumps(answer).decode() + "\n")


def _console() -> Console:
    return Console(highlight=False)


def _say(text: str) -> None:
    sys.stdout.flush()
    print(text, file=sys.stderr)  # noqa: T201 - beside the answer, not in it
