"""`lineage show` and `lineage ancestors`: ask a running agent what a process or a thread is, was, and descends from."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import orjson
from rich.console import Console

from pipeline.config import Config
from pipeline.query.agent import UNKNOWN, Agent, Refused, moment, who
from pipeline.query.base import Fields
from pipeline.view import candidates, chain, timeline, words
from pipeline.view.text import printable

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
        thread = await _thread(agent, process, asked["at"], question, refused, json=json)
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
        await tell_bounds(agent, of_threads=True)
        return 0
    if json:
        print_json([answer])
    else:
        threads = await agent.ask(f"/processes/{answer['process']['entity_id']}/threads", {"at": answer["at"]})
        chain.show_process(_console(), answer, threads, await _change(agent, answer))
    _tell_earlier(answer, process, question)
    await _tell_threads(agent, answer["process"]["entity_id"], asked, question)
    await tell_bounds(agent)
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
    if answer["missing"]:
        count, more = words.counted(answer["count"], "version"), f"{answer['missing']:,}"
        _say(f"the oldest {count}; {more} more had no room: raise the agent's api_rows_max")
    _tell_earlier(answer, str(asked.get("pid")), question)
    await _tell_threads(agent, answer["entity_id"], asked, question)
    await tell_bounds(agent, of_threads=of_thread)
    return 0


def _tell_earlier(answer: Fields, pid: str, question: Sequence[str]) -> None:
    """A pid is used again, and without a time the last that had it is meant."""
    earlier = answer.get("earlier_with_pid")
    if earlier is None:
        return
    ended = f", ended {words.when(earlier['end'], terminal=sys.stderr.isatty())}" if earlier["end"] else ""
    verb, *options = question
    again = shlex.join(["lineage", verb, earlier["entity_id"], *options])
    _say(f"another process had pid {pid} before, {printable(earlier['name'])}{ended}: {again}")


async def _tell_threads(agent: Agent, process_id: str, asked: Named, question: Sequence[str]) -> None:
    """Threads have their numbers among the pids: one of another process may have had it in the same second.

    Or later: without a time the last process that had it is meant.
    """
    tid, at = asked.get("pid"), asked["at"]
    if tid is None:
        return
    try:
        found = [await agent.ask("/threads", {"tid": tid, "at": at})]
    except Refused as refused:
        found = refused.candidates  # none where it is busy; the answer stands
    verb, *options = question
    for thread in found:
        process = thread["process"]
        if process["entity_id"] != process_id:
            whose = printable(f"thread {tid} of {process.get('name') or 'the process'} {process['pid']}")
            again = shlex.join(["lineage", verb, candidates.identity(thread), *options])
            _say(f"{whose} had the number {'after it' if at is None else 'too'}: {again}")


async def ancestors(config: Config, process: str, *, at: str | None, depth: int, json: bool) -> int:
    """Print the process below its ancestors. Raises NoAgentError, Refused, UsageError."""
    path, named = who(process)
    asked = {**named, "at": moment(at), "depth": depth}
    agent = Agent(config)
    answer = await ask_about(agent, f"/lineage{path}", asked, ["ancestors", *_at(at)], json=json)
    if json:
        print_json([answer])
    else:
        chain.show_ancestors(_console(), answer)
        if doubt := answer["lineage"].get("doubt"):
            _say(f"this may not be the whole truth ({', '.join(doubt)})")
    await tell_bounds(agent)
    return 0


async def tell_bounds(agent: Agent, *, of_threads: bool = False) -> None:
    """Beside an answer: that more lives than the agent has room for, so that it keeps less of each."""
    try:
        health = await agent.ask("/health", {})
    except Refused:  # it is busy; the answer stands
        return
    for what in ("processes", "threads") if of_threads else ("processes",):
        kept = health[what]
        if kept["over_bound"]:
            number = kept.get("pinned", kept["alive"])
            bound = f"{what}_max ({kept['max']:,})"
            _say(
                f"{number:,} {what} must be kept, more than {bound}: of each only the first and the present version are"
            )


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
        youngest = candidates.identity(refused.candidates[0])
        verb, *options = question
        mend = f"ask by id, for the youngest: {shlex.join(['lineage', verb, youngest, *options])}"
        raise Refused(refused.reason, refused.answer, refused.message, mend) from refused


async def _thread(
    agent: Agent, text: str, at: str | int | None, question: Sequence[str], refused: Refused, *, json: bool
) -> Fields | None:
    """What was asked about, if it is a thread: by its entity id, or by its tid."""
    if refused.reason not in ("never_known", "no_such_pid", "forgotten"):
        return None
    path, named = ("/threads", {"tid": text}) if text.isdecimal() else (f"/threads/{text}", {})
    try:
        return await ask(agent, path, {**named, "at": at}, question, json=json)
    except Refused as another:
        if another.candidates or (another.reason == "forgotten" and refused.reason == "no_such_pid"):
            raise
        if another.reason == "no_such_tid":
            then = "" if at is None else " to have lived then"
            message = f"no process and no thread with the number {text} is known{then}"
            raise Refused(refused.reason, refused.answer, message) from refused
        return None  # then the first refusal is the one to tell


async def ask_about(agent: Agent, path: str, parameters: Named, question: Sequence[str], *, json: bool) -> Fields:
    """As ``ask``, of a process. Of a number that is a thread's, the error says whose that is."""
    try:
        return await ask(agent, path, parameters, question, json=json)
    except Refused as refused:
        if refused.reason != "no_such_pid":
            raise
        try:
            thread = await agent.ask("/threads", {"tid": parameters["pid"], "at": parameters["at"]})
        except Refused:
            raise refused from None
        process, (verb, *options) = thread["process"], question
        whose = f"a thread of {process.get('name') or 'the process'} {process['pid']}"
        mend = f"ask about that: {shlex.join(['lineage', verb, str(process['pid']), *options])}"
        raise Refused(refused.reason, refused.answer, f"{parameters['pid']} is {whose}", mend) from refused


def print_json(answers: list[Fields]) -> None:
    """One a line."""
    for answer in answers:
        sys.stdout.write(orjson.dumps(answer).decode() + "\n")


def _console() -> Console:
    return Console(highlight=False)


def _say(text: str) -> None:
    sys.stdout.flush()
    print(text, file=sys.stderr)  # noqa: T201 - beside the answer, not in it
