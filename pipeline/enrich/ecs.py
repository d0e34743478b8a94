"""The parts of a document that many documents share, each serialised once: images, credentials, ancestors, leaders.

Rules:
- a part is finished JSON: ``members`` (without braces, to stand among others), an object, or text without its quotes;
- arguments and variables are masked before anything is made of them, then every string is cut to one term; a part knows
  whether any of its strings is not whole;
- caches go by value and are bounded, and what hangs on names or on the host is forgotten when those change: the bytes
  of a document never depend on what happens to be cached.

A hit costs 0.2 to 0.5 us, making an image or an ancestor 10 to 15. An entry is 0.5 to 2 kB as a rule but
100 kB at worst (16 KiB of arguments), so that IMAGES_MAX and ANCESTORS_MAX stay small.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from pipeline.counters import Counters
from pipeline.enrich.executables import FILES_MAX, described, executable
from pipeline.enrich.kernel_names import capabilities, securebits
from pipeline.enrich.lineage import UNKNOWN, escape
from pipeline.enrich.masking import Masker
from pipeline.enrich.tables import Tables
from pipeline.enrich.text import SURELY_FITS, cut
from pipeline.events import Credentials, Loader, Script
from pipeline.process import Ancestor, Image, ProcessVersion, entity_id

IMAGES_MAX = 512
ANCESTORS_MAX = 512
ARGUMENTS_KEPT_MAX = 128  # of an image that is kept; each takes 57 bytes beside its characters
CREDENTIALS_MAX = 512
IDENTITIES_MAX = 4096
TEXTS_MAX = 1024  # comms, directories, names
NUMBERS_MAX = 256  # capability sets, terminals, leaders that are gone
OWN_ALONE = frozenset(("environment", "loader"))  # among the names of what was cut: in no block of a relative

_UNKNOWN = UNKNOWN.encode()

_new = tuple.__new__  # a third of the time of calling the NamedTuple

COMMAND_IN_MESSAGE_MAX = 256  # characters; the whole of it is process.command_line


class Part(NamedTuple):
    json: bytes
    cut: bool  # a string in it is not whole


class TextPart(NamedTuple):
    json: bytes
    cut: bool
    text: str


class NamePart(NamedTuple):
    json: bytes
    shown: bytes  # for the message: never empty
    link: bytes  # as a lineage has it: arrows escaped, never empty
    cut: bool


class ImagePart(NamedTuple):
    members: bytes  # name, executable, args, args_count, command_line
    lean_bytes: int  # how much of ``members`` comes before command_line: what leaders have
    ran: bytes  # executable, args, args_count: what process.previous has
    name: bytes  # for the message and among ancestors: never empty
    executable: bytes  # among ancestors: never empty
    link: bytes  # as a lineage has it: arrows escaped, never empty
    command: bytes  # for the message: ": " and the beginning of the command line, or nothing
    environment: bytes  # a member of the process object, of a process's own image alone
    own: bytes  # likewise of the lineage object: executable, script, loader
    cut: bool
    own_cut: bool  # also where no more than the environment, the script or the loader is not whole


class AccountsPart(NamedTuple):
    members: bytes  # user, real_user, saved_user, group, real_group, saved_group, supplemental_groups
    lean: bytes  # user and group, as leaders have them
    top: bytes  # the document's own: user, related
    capabilities: bytes  # an object
    unusual: bytes  # members of the lineage object: capability sets and securebits that few processes have


class Parts:
    """Makes and keeps parts. ``clear`` when ``tables`` have learnt something."""

    def __init__(self, tables: Tables, masker: Masker, counters: Counters) -> None:
        self._tables = tables
        self._masker = masker
        self._counters = counters
        self._usual_image = lru_cache(IMAGES_MAX)(self._image)
        self.previous = lru_cache(IMAGES_MAX)(self._previous)
        self.accounts = lru_cache(CREDENTIALS_MAX)(self._accounts)
        self.gone_leader = lru_cache(NUMBERS_MAX)(self._gone_leader)
        self.group_leader = lru_cache(ANCESTORS_MAX)(self._group_leader)
        self._leader = lru_cache(ANCESTORS_MAX)(self._make_leader)
        self._session_leader = lru_cache(ANCESTORS_MAX)(self._make_session_leader)
        self.identity = lru_cache(IDENTITIES_MAX)(self._identity_members)
        self.loader = lru_cache(FILES_MAX)(self._loader)
        self.text = lru_cache(TEXTS_MAX)(self._text)
        self.name = lru_cache(TEXTS_MAX)(self._name)
        self.directory = lru_cache(TEXTS_MAX)(self._directory)
        self.tty = lru_cache(NUMBERS_MAX)(_tty)

    def clear(self) -> None:
        """Forget what hangs on tables: names, dates."""
        for cached in (
            self.accounts,
            self.identity,
            self.gone_leader,
            self.group_leader,
            self._leader,
            self._session_leader,
        ):
            cached.cache_clear()

    def cut(self, text: str) -> str:
        """At most one term of it; counted when that is not all."""
        if len(text) <= SURELY_FITS:
            return text
        short = cut(text)
        if short is not text:
            self._counters.strings_cut += 1
        return short

    def cut_all(self, texts: list[str]) -> tuple[list[str], bool]:
        """Each at most one term; and whether that is not all."""
        if max(map(len, texts), default=0) <= SURELY_FITS:
            return texts, False
        short = list(map(self.cut, texts))
        return short, short != texts

    def session_leader(self, leader: Ancestor, process: ProcessVersion, entry_type: str = "") -> Part:
        """The block of a session leader of ``process``; with ``entry_type`` that of its entry leader.

        Members inherit their session, so its leader is the process itself or among its ancestors, and the next one up
        is the leader's parent; where that cannot be seen the block is made without it.
        """
        return self._session_leader(leader, parent_of(leader, process), entry_type)

    def _make_session_leader(self, leader: Ancestor, parent: Ancestor | None, entry_type: str) -> Part:
        own = self._leader(leader)
        extra: dict[str, Any] = {}
        if parent is not None:
            extra["parent"] = self._identity(parent)
            if parent.session.id:
                extra["parent"]["session_leader"] = self._number(parent.session.id, parent.session.start_ns)
        if entry_type:
            extra["entry_meta"] = {"type": entry_type}
        return Part(b"{" + own.json + (b"," + members(extra) if extra else b"") + b"}", own.cut)

    def _gone_leader(self, pid: int, start_ns: int) -> bytes:
        """A leader of which only the number is left, and its start where the kernel still had it."""
        return orjson.dumps(self._number(pid, start_ns))

    def _previous(self, images: Sequence[Image]) -> Part:
        """``process.previous``: an array, newest first."""
        shown = []
        is_cut = False
        for image in images:
            part = self.image(image)
            shown.append(b"{%b}" % part.ran)
            is_cut = is_cut or part.cut
        return Part(b',"previous":[' + b",".join(shown) + b"]" if shown else b"", is_cut)

    def _masked(self, texts: tuple[str, ...]) -> list[str]:
        masked = list(map(self._masker.mask, texts))
        if tuple(masked) != texts:
            self._counters.secrets_masked += sum(map(str.__ne__, masked, texts))
        return masked

    def image(self, image: Image) -> ImagePart:
        """Kept, unless it has so many arguments that what is kept would have no bound to speak of."""
        return self._image(image) if len(image.args) > ARGUMENTS_KEPT_MAX else self._usual_image(image)

    def _image(self, image: Image) -> ImagePart:
        args, args_cut = self._masked(image.args), False
        joined = " ".join(args)
        if len(joined) > SURELY_FITS:
            args, args_cut = self.cut_all(args)
            joined = " ".join(args)
        command_line = self.cut(joined)
        name, path = self.name(image.name), self.text(image.executable)
        ran = (b'"executable":"%b",' % path.json) if path.json else b""
        ran += b'"args":%b,"args_count":%d' % (orjson.dumps(args), len(args))
        lean = (b'"name":"%b",%b' % (name.json, ran)) if name.json else ran
        whole, command = lean, b""
        if command_line:
            written = orjson.dumps(command_line)
            whole = b'%b,"command_line":%b' % (lean, written)
            if len(command_line) > COMMAND_IN_MESSAGE_MAX:
                command = b": " + inner(command_line[:COMMAND_IN_MESSAGE_MAX] + "…")
            else:
                command = b": " + written[1:-1]
        is_cut = args_cut or name.cut or path.cut or command_line is not joined
        is_cut = is_cut or (bool(image.cut) and not OWN_ALONE.issuperset(image.cut))
        environment, own, own_cut = self._own(image)
        return _new(
            ImagePart,
            (
                whole, len(lean), ran, name.shown, path.json or _UNKNOWN, name.link, command, environment, own,
                is_cut, is_cut or own_cut,
            ),
        )  # fmt: skip

    def _own(self, image: Image) -> tuple[bytes, bytes, bool]:
        """What only a process itself says of its image, and not its children: environment and own of an ImagePart."""
        own, environment, is_cut = executable(image.file), b"", not OWN_ALONE.isdisjoint(image.cut)
        if image.script is not None:
            script, script_cut = self._script(image.script)
            own += b',"script":' + script
            is_cut = is_cut or script_cut
        if image.loader is not None:
            loader = self.loader(image.loader)
            own += loader.json
            is_cut = is_cut or loader.cut
        if image.environment:
            variables, variables_cut = self.cut_all(self._masked(image.environment))
            environment = b',"env_vars":' + orjson.dumps(variables)
            is_cut = is_cut or variables_cut
        return environment, own, is_cut

    def _script(self, script: Script) -> tuple[bytes, bool]:
        """An object; what could not be found of the file is not in it."""
        interpreter, path = self.text(script.interpreter), self.text(script.path)
        told: dict[str, Any] = {"interpreter": interpreter.text}
        if path.text:
            told |= {"path": path.text} | described(script.file)
        return orjson.dumps(told), interpreter.cut or path.cut

    def _loader(self, loader: Loader) -> Part:
        """A member of the lineage object with the comma before it."""
        path = self.text(loader.path)
        return Part(b',"loader":' + orjson.dumps({"path": path.text} | described(loader.file)), path.cut)

    def _name(self, name: str) -> NamePart:
        short = self.cut(name)
        return NamePart(inner(short), inner(short or UNKNOWN), inner(escape(name)), short is not name)

    def _accounts(self, credentials: Credentials, named: bool) -> AccountsPart:
        """``named``: the ids are the host's own, not those of a container."""
        c, tables = credentials, self._tables

        def user(uid: int) -> dict[str, str]:
            return {"id": str(uid)} | _known("name", tables.user_name(uid) if named else None)

        def group(gid: int) -> dict[str, str]:
            return {"id": str(gid)} | _known("name", tables.group_name(gid) if named else None)

        lean = {"user": user(c.euid), "group": group(c.egid)}
        described: dict[str, Any] = lean | {
            "real_user": user(c.uid),
            "saved_user": user(c.suid),
            "real_group": group(c.gid),
            "saved_group": group(c.sgid),
        }
        if c.groups:
            described["supplemental_groups"] = [group(gid) for gid in c.groups]
        host = tables.host.facts.get("host", {})
        shown = (user(uid) for uid in (c.euid, c.uid, c.suid))
        related = {"user": _distinct(one.get("name", one["id"]) for one in shown)}
        hosts = _distinct(host[key] for key in ("name", "hostname") if host.get(key))
        if hosts:
            related["hosts"] = hosts
        return AccountsPart(
            members(described),
            members(lean),
            members({"user": user(c.euid), "related": related}),
            _capabilities(c.cap_permitted, c.cap_effective),
            _unusual(c.cap_inheritable, c.cap_bounding, c.cap_ambient, c.securebits, tables.usual_bounding),
        )

    def _make_leader(self, ancestor: Ancestor) -> Part:
        """Members of a leader's block, whichever leader."""
        described, is_cut = self._described(ancestor)
        image = self.image(ancestor.image)
        accounts = self.accounts(ancestor.credentials, self._is_of_host(ancestor))
        lean = image.members[: image.lean_bytes]
        return Part(b",".join((described, lean, accounts.lean)), image.cut or is_cut)

    def _group_leader(self, ancestor: Ancestor) -> Part:
        own = self._leader(ancestor)
        return Part(b"{" + own.json + b"}", own.cut)

    def parent(self, parent: Ancestor) -> Part:
        """The block of a parent: all but thread and capabilities; its identity alone where nobody has told of it."""
        if not parent.since_ns:
            return Part(orjson.dumps(self._number(parent.pid, parent.start_ns)), False)
        described, is_cut = self._described(parent)
        group = b""
        if parent.session.group_id == parent.pid:
            group = b',"group_leader":{"entity_id":"%b","pid":%d,"start":"%b"}' % (
                parent.entity_id.encode(),
                parent.pid,
                self._tables.stamp(parent.start_ns),
            )
        elif parent.session.group_id:
            group = b',"group_leader":' + self.gone_leader(parent.session.group_id, parent.session.group_start_ns)
        image = self.image(parent.image)
        accounts = self.accounts(parent.credentials, self._is_of_host(parent))
        return Part(b"{%b%b,%b,%b}" % (described, group, image.members, accounts.members), image.cut or is_cut)

    def _described(self, ancestor: Ancestor) -> tuple[bytes, bool]:
        """What neither its image nor its credentials say; and whether a string in it is not whole."""
        directory = self.directory(ancestor.working_directory)
        described = b'%b,"interactive":%b%b%b' % (
            self.identity(ancestor.entity_id, ancestor.pid, ancestor.ns_pid, ancestor.start_ns),
            b"true" if ancestor.session.tty else b"false",
            directory.json,
            self.tty(ancestor.session.tty),
        )
        return described, directory.cut or ancestor.cut != ()

    def _identity_members(self, entity_id: str, pid: int, ns_pid: int, start_ns: int) -> bytes:
        start = self._tables.stamp(start_ns)
        return b'"entity_id":"%b","pid":%d,"vpid":%d,"start":"%b"' % (entity_id.encode(), pid, ns_pid, start)

    def _is_of_host(self, ancestor: Ancestor) -> bool:
        """Whether its user and group ids are the host's own, not those of a container."""
        if ancestor.pid_ns:
            return ancestor.pid_ns == self._tables.host.pid_ns
        return ancestor.ns_pid == ancestor.pid  # namespace not told: inside another one the numbers differ

    def _identity(self, ancestor: Ancestor) -> dict[str, Any]:
        if not ancestor.since_ns:
            return self._number(ancestor.pid, ancestor.start_ns)
        start = self._tables.date(ancestor.start_ns)
        return {"entity_id": ancestor.entity_id, "pid": ancestor.pid, "vpid": ancestor.ns_pid, "start": start}

    def _number(self, pid: int, start_ns: int) -> dict[str, Any]:
        if not start_ns:
            return {"pid": pid}
        host = self._tables.host
        name = entity_id(host.boot_id, host.pid_ns, pid, start_ns)
        return {"entity_id": name, "pid": pid, "start": self._tables.date(start_ns)}

    def _text(self, text: str) -> TextPart:
        short = self.cut(text)
        return TextPart(inner(short), short is not text, short)

    def _directory(self, path: str) -> Part:
        """A member with the comma before it; nothing where it is not known."""
        short = self.cut(path)
        return Part(b',"working_directory":' + orjson.dumps(short) if short else b"", short is not path)


def members(described: dict[str, Any]) -> bytes:
    """An object's JSON without its braces."""
    return orjson.dumps(described)[1:-1]


def inner(value: str | Sequence[object]) -> bytes:
    """A string's JSON without its quotes, a list's without its brackets."""
    return orjson.dumps(value)[1:-1]


@lru_cache(NUMBERS_MAX)
def _capabilities(permitted: int, effective: int) -> bytes:
    # Both sets of a privileged process are 41 names each: 15 us and 1.6 kB to make, 0.1 us to find again.
    return orjson.dumps({"permitted": capabilities(permitted), "effective": capabilities(effective)})


@lru_cache(NUMBERS_MAX)
def _unusual(inheritable: int, bounding: int, ambient: int, bits: int, usual_bounding: int) -> bytes:
    """Members with the comma before each. Not there: empty sets, a bounding set of all that is usual, no bits set."""
    sets = {"inheritable": inheritable, "bounding": bounding, "ambient": ambient}
    if bounding & usual_bounding == usual_bounding:
        del sets["bounding"]
    told = {name: capabilities(mask) for name, mask in sets.items() if mask or name == "bounding"}
    described: dict[str, Any] = {"capabilities": told} if told else {}
    if bits:
        described["securebits"] = securebits(bits)
    return b"," + members(described) if described else b""


def _tty(tty: int) -> bytes:
    """A member with the comma before it; nothing without a terminal."""
    return b',"tty":{"char_device":{"major":%d,"minor":%d}}' % (tty >> 20, tty & 0xFFFFF) if tty else b""


def _known(key: str, value: str | None) -> dict[str, str]:
    return {key: value} if value else {}


def parent_of(leader: Ancestor, process: ProcessVersion) -> Ancestor | None:
    """Of a leader of ``process`` that is the process itself or among its ancestors; None where it cannot be seen."""
    if leader.entity_id == process.entity_id:
        return process.parent or process.named_parent
    found = False
    for ancestor in process.ancestors:
        if found:
            return ancestor
        found = ancestor.entity_id == leader.entity_id
    return None


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
