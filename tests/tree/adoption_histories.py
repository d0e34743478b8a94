"""Small histories of parents that end, and of pids used again; what is told of them may come in any order."""

from __future__ import annotations

from tests.tree.world import World


def an_end_after_a_cgroup() -> World:
    """The end says nothing that the cgroup did not."""
    world = World()
    a = world.forks(world.init)
    world.enters_cgroup(a, "/docker/" + "a" * 64, cgroup_id=2)
    world.exits(a)
    return world


def a_birth_after_an_adoption() -> World:
    """What it was born of has been adopted before, and executes something before that."""
    world = World()
    a = world.forks(world.shell)
    b = world.forks(a)
    world.execs(b, "/bin/b")
    world.exits(a)
    world.forks(b)
    return world


def a_pid_used_again_below_itself() -> World:
    """The second is a grandchild of the first, born of whom the first one's end has given away."""
    world = World()
    a = world.forks(world.shell, pid=301)
    b = world.forks(a)
    world.exits(a)
    world.forks(b, pid=301)
    return world


def a_sibling_that_ends_adopted() -> World:
    """Born by another than its parent (CLONE_PARENT); it goes to init with those."""
    world = World()
    a = world.forks(world.init)
    b = world.forks(a)
    c = world.forks(b, parent=a)
    world.exits(a)
    world.exits(c)
    return world


def an_adopted_one_whose_pid_is_used_again() -> World:
    world = World()
    a = world.forks(world.shell)
    b = world.forks(a, pid=103)
    world.exits(a)
    world.exits(b)
    world.forks(world.init, pid=103)
    return world


def adopted_twice() -> World:
    """By a subreaper, then by init; its own records name each."""
    world = World()
    reaper = world.forks(world.shell)
    a = world.forks(reaper)
    b = world.forks(a)
    world.exits(a, reaper=reaper)
    world.execs(b, "/bin/b")
    world.exits(reaper)
    world.renames(b, "b2")
    return world


SMALL = (
    an_end_after_a_cgroup,
    a_birth_after_an_adoption,
    a_pid_used_again_below_itself,
    an_adopted_one_whose_pid_is_used_again,
)
LONG = (adopted_twice,)
