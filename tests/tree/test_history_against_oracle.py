"""The tree's answers about any moment against the chronicle's: all of them, with few versions, with lost execs.

The machine that makes up histories is in ``moments``.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from pipeline import wire
from pipeline.events import Fork
from pipeline.tree import ProcessKey
from tests.tree.answers import answered, differences, id_of, images
from tests.tree.chronicle import Key
from tests.tree.history import Who
from tests.tree.moments import NAMES, Moments
from tests.tree.thread_chronicle import ThreadChronicle
from tests.tree.world import Told


class FewVersions(Moments):
    """Images outlive other changes; what is missing is said to be."""

    versions_max = 8

    @invariant()
    def images_are_right_though_others_are_dropped(self) -> None:
        dropped = 0
        few_live = not self.counters.over_bound  # else no versions are added at all
        for key in self.told:
            answers = self.tree.versions(id_of(key))
            assert len(answers) <= self.versions_max
            dropped += sum(answer.dropped for answer in answers)
            if few_live and self._is_told_since_its_birth(key) and len(self.told.images(key)) < self.versions_max:
                kept, expected = images(self.tree, key), self.told.images(key)
                if kept != expected:
                    raise AssertionError(f"{key}: {kept}, not {expected}")
        assert dropped <= self.counters.versions_dropped


class Losing(Moments):
    """Execs that nobody hears of: what is in no doubt is the truth, which another chronicle keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.truth = ThreadChronicle()
        self.unnoticed: set[Key] = set()  # no record has counted what it executed

    def _tell(self, event: Told) -> None:
        super()._tell(event)
        self.truth.tell(event)
        if isinstance(event, Fork):
            self.unnoticed.discard((event.birth_pid, event.birth_start_ns))
        task = getattr(event, "task", None)
        if task is not None:
            self.unnoticed.discard((task.pid, task.start_ns))

    def _hand_out(self, late: bool) -> None:
        super()._hand_out(False)

    @rule(who=Moments.everyone, name=NAMES, admitted=st.booleans())
    def executes_unseen(self, who: Who, name: str, admitted: bool) -> None:
        if who.key not in self.living:
            return
        if self.world.group(who).made:
            return  # whose end nobody hears of either
        self.world.execs(who, f"/lost/{name}", directory=f"/lost/{name}")
        (lost,) = self.world.events
        self.world.events = []
        self.truth.tell(lost)
        if admitted:
            self.world.loses(wire.EXEC)
            self._hand_out(False)
        else:
            self.unnoticed.add(who.key)

    def _compare(self, key: Key, time_ns: int | None) -> None:
        answer = self.tree.process(ProcessKey(id_of(key), time_ns))
        doubted = not {"loss", "unknown_parent", "evicted"}.isdisjoint(answer.process.doubt)
        if doubted or key in self.unnoticed or self._has_dropped(key):
            return
        seen = answered(self.tree, key, time_ns)
        # Who has executed unseen was something then that nobody knows, and is sure to be another now.
        expected = self.truth.at(key, time_ns)._replace(previous=seen.previous)
        if expected.parent_now in self.forgotten and expected.parent_now != expected.parent:
            expected = expected._replace(parent_now=seen.parent_now)
        if self._hangs_on_somebody_unsure(key):
            expected = expected._replace(entry=seen.entry)
        if seen != expected:
            raise AssertionError(f"{key} at {time_ns}: {differences(seen, expected)}")

    def _hangs_on_somebody_unsure(self, key: Key) -> bool:
        """Who let it in, or any it descends from, is judged by what their parent is called when they begin a session:
        one that has executed unseen since their birth may be called otherwise, and is in doubt itself."""
        climber: Key | None = key
        while climber is not None:
            if any(self._is_unsure(parent) for parent in self.truth.parents_then(climber)):
                return True
            climber = self.truth.parent(climber)
        return False

    def _is_unsure(self, key: Key) -> bool:
        known = self.tree.get(*key)
        return key in self.unnoticed or known is None or "loss" in known.doubt


SETTINGS = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestMoments = Moments.TestCase
TestMoments.settings = SETTINGS
TestFewVersions = FewVersions.TestCase
TestFewVersions.settings = SETTINGS
TestLosing = Losing.TestCase
TestLosing.settings = SETTINGS
