"""Where the running kernel keeps what the BPF programs read: byte offsets out of its BTF.

Rules of this file:
- no kernel header says where a field lies, the kernel itself does (/sys/kernel/btf/vmlinux), so one source fits all;
- a field that is not there is an error that names it; no version is compared and no offset assumed;
- one fast walk finds where each type begins (a tenth of a second in pure Python); a BTF kind newer than this file is
  stepped over with the help of libbpf, which BCC brings along.

Format: Documentation/bpf/btf.rst of the kernel.
"""

from __future__ import annotations

import ctypes
import struct
from array import array
from pathlib import Path

from pipeline.errors import HostError

BTF = Path("/sys/kernel/btf/vmlinux")
_MAGIC = 0xEB9F
_PTR, _STRUCT, _UNION, _TYPEDEF, _FUNC_PROTO = 2, 4, 5, 8, 13
_MODIFIERS = frozenset((8, 9, 10, 11, 18))  # typedef, volatile, const, restrict, type tag
# kind -> (words after the common three, words per element); from include/uapi/linux/btf.h
_SIZES: tuple[tuple[int, int], ...] = (
    (0, 0), (1, 0), (0, 0), (3, 0), (0, 3), (0, 3), (0, 2), (0, 0), (0, 0), (0, 0),
    (0, 0), (0, 0), (0, 0), (0, 2), (1, 0), (0, 3), (0, 0), (1, 0), (0, 0), (0, 3),
)  # fmt: skip

# macro -> (struct, member). A bit field gives its byte, and its bit as <macro>_BIT. Of several members, separated by |,
# the first that is there: the kernel has renamed it.
FIELDS: dict[str, tuple[str, str]] = {
    "TASK_PID": ("task_struct", "pid"),
    "TASK_TGID": ("task_struct", "tgid"),
    "TASK_FLAGS": ("task_struct", "flags"),
    "TASK_COMM": ("task_struct", "comm"),
    "TASK_START": ("task_struct", "start_boottime"),
    "TASK_LEADER": ("task_struct", "group_leader"),
    "TASK_REAL_PARENT": ("task_struct", "real_parent"),
    "TASK_THREAD_PID": ("task_struct", "thread_pid"),
    "TASK_PID_LINKS": ("task_struct", "pid_links"),
    "TASK_TASKS": ("task_struct", "tasks"),
    "TASK_THREAD_NODE": ("task_struct", "thread_node"),
    "TASK_SIGNAL": ("task_struct", "signal"),
    "TASK_CRED": ("task_struct", "real_cred"),
    "TASK_MM": ("task_struct", "mm"),
    "TASK_FS": ("task_struct", "fs"),
    "TASK_FILES": ("task_struct", "files"),
    "TASK_NSPROXY": ("task_struct", "nsproxy"),
    "TASK_CGROUPS": ("task_struct", "cgroups"),
    "TASK_EXEC_ID": ("task_struct", "self_exec_id"),
    "TASK_EXIT_CODE": ("task_struct", "exit_code"),
    "TASK_EXIT_STATE": ("task_struct", "exit_state"),
    "TASK_IN_EXEC": ("task_struct", "in_execve"),
    "TASK_CPU": ("task_struct", "se.sum_exec_runtime"),
    "TASK_WORKS": ("task_struct", "task_works"),
    "TASK_CHILDREN": ("task_struct", "children"),
    "TASK_SIBLING": ("task_struct", "sibling"),
    "PID_LEVEL": ("pid", "level"),
    "PID_NUMBERS": ("pid", "numbers"),
    "PID_TASKS": ("pid", "tasks"),
    "UPID_NR": ("upid", "nr"),
    "UPID_NS": ("upid", "ns"),
    "PID_NS_INUM": ("pid_namespace", "ns.inum"),
    "PID_NS_REAPER": ("pid_namespace", "child_reaper"),
    "USER_NS_INUM": ("user_namespace", "ns.inum"),
    "UTS_NS_INUM": ("uts_namespace", "ns.inum"),
    "IPC_NS_INUM": ("ipc_namespace", "ns.inum"),
    "TIME_NS_INUM": ("time_namespace", "ns.inum"),
    "MNT_NS_INUM": ("mnt_namespace", "ns.inum"),
    "NET_NS_INUM": ("net", "ns.inum"),
    "CGROUP_NS_INUM": ("cgroup_namespace", "ns.inum"),
    "NSPROXY_MNT": ("nsproxy", "mnt_ns"),
    "NSPROXY_NET": ("nsproxy", "net_ns"),
    "NSPROXY_CGROUP": ("nsproxy", "cgroup_ns"),
    "NSPROXY_UTS": ("nsproxy", "uts_ns"),
    "NSPROXY_IPC": ("nsproxy", "ipc_ns"),
    "NSPROXY_TIME": ("nsproxy", "time_ns"),
    "NSPROXY_PID": ("nsproxy", "pid_ns_for_children"),
    "CSS_SET_CGROUP": ("css_set", "dfl_cgrp"),
    "CGROUP_KN": ("cgroup", "kn"),
    "CGROUP_ROOT": ("cgroup", "root"),
    "CGROUP_SELF": ("cgroup", "self"),
    "ROOT_HIERARCHY": ("cgroup_root", "hierarchy_id"),
    "CSS_PARENT": ("cgroup_subsys_state", "parent"),
    "CSS_CGROUP": ("cgroup_subsys_state", "cgroup"),
    "KERNFS_ID": ("kernfs_node", "id"),
    "KERNFS_NAME": ("kernfs_node", "name"),
    "KERNFS_PARENT": ("kernfs_node", "__parent|parent"),
    "CRED_UID": ("cred", "uid"),
    "CRED_GID": ("cred", "gid"),
    "CRED_SUID": ("cred", "suid"),
    "CRED_SGID": ("cred", "sgid"),
    "CRED_EUID": ("cred", "euid"),
    "CRED_EGID": ("cred", "egid"),
    "CRED_FSUID": ("cred", "fsuid"),
    "CRED_FSGID": ("cred", "fsgid"),
    "CRED_SECUREBITS": ("cred", "securebits"),
    "CRED_CAP_INHERITABLE": ("cred", "cap_inheritable"),
    "CRED_CAP_PERMITTED": ("cred", "cap_permitted"),
    "CRED_CAP_EFFECTIVE": ("cred", "cap_effective"),
    "CRED_CAP_BSET": ("cred", "cap_bset"),
    "CRED_CAP_AMBIENT": ("cred", "cap_ambient"),
    "CRED_USER_NS": ("cred", "user_ns"),
    "CRED_GROUPS": ("cred", "group_info"),
    "GROUPS_COUNT": ("group_info", "ngroups"),
    "GROUPS_GIDS": ("group_info", "gid"),
    "SIGNAL_PIDS": ("signal_struct", "pids"),
    "SIGNAL_TTY": ("signal_struct", "tty"),
    "SIGNAL_LIVE": ("signal_struct", "live"),
    "SIGNAL_FLAGS": ("signal_struct", "flags"),
    "SIGNAL_EXIT_CODE": ("signal_struct", "group_exit_code"),
    "SIGNAL_SUBREAPER": ("signal_struct", "is_child_subreaper"),
    "SIGNAL_BELOW_SUBREAPER": ("signal_struct", "has_child_subreaper"),
    "SIGNAL_THREADS": ("signal_struct", "thread_head"),
    "SIGNAL_CPU": ("signal_struct", "sum_sched_runtime"),
    "SIGNAL_MEMORY": ("signal_struct", "maxrss"),
    "TTY_DRIVER": ("tty_struct", "driver"),
    "TTY_INDEX": ("tty_struct", "index"),
    "TTY_DRIVER_MAJOR": ("tty_driver", "major"),
    "TTY_DRIVER_MINOR": ("tty_driver", "minor_start"),
    "MM_ARG_START": ("mm_struct", "arg_start"),
    "MM_ARG_END": ("mm_struct", "arg_end"),
    "MM_ENV_START": ("mm_struct", "env_start"),
    "MM_ENV_END": ("mm_struct", "env_end"),
    "MM_EXE_FILE": ("mm_struct", "exe_file"),
    "FILE_PATH": ("file", "f_path"),
    "FILE_FLAGS": ("file", "f_flags"),
    "FILE_WORK": ("file", "f_task_work|f_rcuhead|f_u.fu_rcuhead"),
    "FILE_INODE": ("file", "f_inode"),
    "PATH_MNT": ("path", "mnt"),
    "PATH_DENTRY": ("path", "dentry"),
    "INODE_NUMBER": ("inode", "i_ino"),
    "INODE_MODE": ("inode", "i_mode"),
    "INODE_SB": ("inode", "i_sb"),
    "INODE_LINKS": ("inode", "i_nlink"),
    "INODE_MODIFIED": ("inode", "i_mtime_sec|__i_mtime.tv_sec|i_mtime.tv_sec"),
    "INODE_MODIFIED_NS": ("inode", "i_mtime_nsec|__i_mtime.tv_nsec|i_mtime.tv_nsec"),
    "INODE_CHANGED": ("inode", "i_ctime_sec|__i_ctime.tv_sec|i_ctime.tv_sec"),
    "INODE_CHANGED_NS": ("inode", "i_ctime_nsec|__i_ctime.tv_nsec|i_ctime.tv_nsec"),
    "SB_DEV": ("super_block", "s_dev"),
    "SB_MAGIC": ("super_block", "s_magic"),
    "DENTRY_PARENT": ("dentry", "d_parent"),
    "DENTRY_INODE": ("dentry", "d_inode"),
    "DENTRY_NAME": ("dentry", "d_name.name"),
    "DENTRY_NAME_LENGTH": ("dentry", "d_name.len"),
    "DENTRY_UNHASHED": ("dentry", "d_hash.pprev"),
    "VFSMOUNT_ROOT": ("vfsmount", "mnt_root"),
    "MOUNT_MNT": ("mount", "mnt"),
    "MOUNT_PARENT": ("mount", "mnt_parent"),
    "MOUNT_POINT": ("mount", "mnt_mountpoint"),
    "FS_ROOT": ("fs_struct", "root"),
    "FS_PWD": ("fs_struct", "pwd"),
    "FILES_TABLE": ("files_struct", "fdt"),
    "FDTABLE_MAX": ("fdtable", "max_fds"),
    "FDTABLE_FD": ("fdtable", "fd"),
    "BPRM_FILENAME": ("linux_binprm", "filename"),
    "BPRM_INTERP": ("linux_binprm", "interp"),
    "BPRM_STACK": ("linux_binprm", "p"),
    "BPRM_ARGC": ("linux_binprm", "argc"),
    "BPRM_ENVC": ("linux_binprm", "envc"),
}
_BIT_FIELDS = ("SIGNAL_SUBREAPER", "SIGNAL_BELOW_SUBREAPER", "TASK_IN_EXEC")

# Slab -> the macros whose fields one read fetches together, with the bytes of the widest of them: see bpf/record.h.
SLABS: dict[str, tuple[int, tuple[str, ...]]] = {
    "TASK": (
        16,
        (
            *("TASK_PID", "TASK_TGID", "TASK_REAL_PARENT", "TASK_LEADER", "TASK_THREAD_PID"),
            *("TASK_START", "TASK_CRED", "TASK_COMM", "TASK_NSPROXY", "TASK_SIGNAL"),
            "TASK_EXEC_ID",
        ),
    ),
    "SIGNAL": (32, ("SIGNAL_PIDS", "SIGNAL_TTY")),
    "CRED": (
        8,
        (
            *("CRED_UID", "CRED_GID", "CRED_SUID", "CRED_SGID", "CRED_EUID", "CRED_EGID", "CRED_FSUID", "CRED_FSGID"),
            *("CRED_SECUREBITS", "CRED_CAP_INHERITABLE", "CRED_CAP_PERMITTED", "CRED_CAP_EFFECTIVE"),
            *("CRED_CAP_BSET", "CRED_CAP_AMBIENT", "CRED_USER_NS", "CRED_GROUPS"),
        ),
    ),
    "NSPROXY": (
        8,
        ("NSPROXY_MNT", "NSPROXY_NET", "NSPROXY_CGROUP", "NSPROXY_UTS", "NSPROXY_IPC", "NSPROXY_TIME", "NSPROXY_PID"),
    ),
    "PID": (32, ("PID_TASKS", "PID_NUMBERS")),
    "FILE": (16, ("FILE_INODE", "FILE_PATH")),
    "INODE": (
        8,
        (
            *("INODE_NUMBER", "INODE_MODE", "INODE_LINKS", "INODE_SB"),
            *("INODE_MODIFIED", "INODE_MODIFIED_NS", "INODE_CHANGED", "INODE_CHANGED_NS"),
        ),
    ),
    "DENTRY": (8, ("DENTRY_PARENT", "DENTRY_NAME", "DENTRY_NAME_LENGTH")),
    "MOUNT": (8, ("MOUNT_PARENT", "MOUNT_POINT")),
}
SLAB_BYTES_MAX = 8192
"""More only where a kernel was built with its structs shuffled (RANDSTRUCT) and is larger than any known."""


class Missing(Exception):  # noqa: N818  what it names is missing
    """The kernel's BTF has no such struct or member."""


class Btf:
    """The types of one BTF file. Raises ``ValueError`` where the bytes are no BTF that can be walked."""

    def __init__(self, raw: bytes, path: Path | None = None) -> None:
        """``path`` is where the bytes came from, for libbpf should it be needed."""
        if len(raw) < 24 or struct.unpack_from("<H", raw)[0] != _MAGIC:
            raise ValueError("no BTF")
        header, type_at, type_bytes, string_at, string_bytes = struct.unpack_from("<5I", raw, 4)
        self._words = array("I", raw[header + type_at : header + type_at + type_bytes])
        self._strings = raw[header + string_at : header + string_at + string_bytes]
        try:
            self._positions = self._walk()
        except IndexError as error:
            if path is None:
                raise ValueError("a kind of type that is not known") from error
            self._positions = positions_by_libbpf(path, header + type_at)
        self._named = self._by_name()

    def _walk(self) -> array[int]:
        """Word where each type begins, by its id; id 0 is void. IndexError: an unknown kind, or cut short."""
        words, sizes = self._words, _SIZES
        positions = array("I", (0,))
        at, end = 0, len(words)
        while at < end:
            positions.append(at)
            info = words[at + 1]
            fixed, each = sizes[info >> 24 & 0x1F]
            at += 3 + fixed + each * (info & 0xFFFF)
        if at != end:
            raise IndexError
        return positions

    def _by_name(self) -> dict[int, int]:
        """Offset of the name -> id, for structs that have members and for typedefs."""
        words, found = self._words, {}
        for number, at in enumerate(self._positions[1:], 1):
            kind = words[at + 1] >> 24 & 0x1F
            if kind == _TYPEDEF or (kind == _STRUCT and words[at + 1] & 0xFFFF):
                found[words[at]] = number
        return found

    def _kind(self, number: int) -> int:
        return self._words[self._positions[number] + 1] >> 24 & 0x1F

    def _name(self, offset: int) -> bytes:
        return self._strings[offset : self._strings.index(b"\0", offset)]

    def find(self, name: str) -> int:
        """Id of the struct or typedef. The linker shares the ends of strings, so each occurrence is looked at."""
        wanted = name.encode() + b"\0"
        at = self._strings.find(wanted)
        while at >= 0:
            if at in self._named:
                return self._named[at]
            at = self._strings.find(wanted, at + 1)
        raise Missing(name)

    def _plain(self, number: int) -> int:
        while number and self._kind(number) in _MODIFIERS:
            number = self._words[self._positions[number] + 2]
        return number

    def size(self, name: str) -> int:
        """Bytes of a struct."""
        return self._words[self._positions[self.find(name)] + 2]

    def arguments(self, typedef: str) -> int:
        """How many arguments the function has that ``typedef`` points to."""
        pointer = self._plain(self.find(typedef))
        prototype = self._plain(self._words[self._positions[pointer] + 2]) if self._kind(pointer) == _PTR else 0
        if not prototype or self._kind(prototype) != _FUNC_PROTO:
            raise Missing(typedef)
        return self._words[self._positions[prototype] + 1] & 0xFFFF

    def bit_offset(self, name: str, member: str) -> int:
        """Bits from the start of the struct; ``member`` may go through members (``ns.inum``) and anonymous ones."""
        number, total = self.find(name), 0
        for part in member.split("."):
            found = self._member(self._plain(number), part.encode())
            if found is None:
                raise Missing(f"{name}.{member}")
            number, bits = found
            total += bits
        return total

    def first_bit_offset(self, name: str, members: list[str]) -> int:
        """``bit_offset`` of the first of ``members`` that is there."""
        for member in members[:-1]:
            try:
                return self.bit_offset(name, member)
            except Missing:
                continue
        return self.bit_offset(name, members[-1])

    def _member(self, number: int, name: bytes) -> tuple[int, int] | None:
        words, at = self._words, self._positions[number]
        info = words[at + 1]
        if not number or info >> 24 & 0x1F not in (_STRUCT, _UNION):
            return None
        mask = 0xFFFFFF if info >> 31 else 0xFFFFFFFF  # with kind_flag the upper byte is a bit field's width
        members = range(at + 3, at + 3 + 3 * (info & 0xFFFF), 3)
        for member in members:
            if words[member] and self._name(words[member]) == name:
                return words[member + 1], words[member + 2] & mask
        for member in members:
            if not words[member]:
                inner = self._member(self._plain(words[member + 1]), name)
                if inner is not None:
                    return inner[0], inner[1] + (words[member + 2] & mask)
        return None


def positions_by_libbpf(path: Path, types_at: int) -> array[int]:
    """Word where each type begins, as libbpf counts. Raises ``ValueError`` where it cannot tell either."""
    try:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise ValueError("a kind of type that is not known, and no libbpf.so.1 that might") from error
    for function, result, arguments in (
        ("btf__parse_raw", ctypes.c_void_p, (ctypes.c_char_p,)),
        ("btf__type_cnt", ctypes.c_uint32, (ctypes.c_void_p,)),
        ("btf__type_by_id", ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_uint32)),
        ("btf__raw_data", ctypes.c_void_p, (ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint32))),
        ("btf__free", None, (ctypes.c_void_p,)),
    ):
        getattr(library, function).restype = result
        getattr(library, function).argtypes = arguments
    btf = library.btf__parse_raw(bytes(path))
    if not btf:
        raise ValueError(f"libbpf cannot read it either (error {ctypes.get_errno()})")
    try:
        begin = library.btf__raw_data(btf, ctypes.byref(ctypes.c_uint32())) + types_at
        count = library.btf__type_cnt(btf)
        by_id = library.btf__type_by_id
        return array("I", (0, *((by_id(btf, number) - begin) // 4 for number in range(1, count))))
    finally:
        library.btf__free(btf)


def offsets(path: Path = BTF, fields: dict[str, tuple[str, str]] | None = None) -> dict[str, int]:
    """Every macro that bpf/ needs, without its LINEAGE_ prefix. Raises ``HostError`` where the kernel cannot tell."""
    try:
        btf = Btf(path.read_bytes(), path)
    except FileNotFoundError as error:
        mend = "run a kernel built with CONFIG_DEBUG_INFO_BTF=y; Debian's and Ubuntu's are"
        raise HostError(f"this kernel has no BTF ({path})", mend) from error
    except (OSError, ValueError) as error:
        raise HostError(
            f"cannot read the kernel's BTF ({path}: {error})", "start as root on a kernel since 5.10"
        ) from error
    found: dict[str, int] = {}
    try:
        for macro, (name, member) in (FIELDS if fields is None else fields).items():
            bits = btf.first_bit_offset(name, member.split("|"))
            found[macro] = bits // 8
            if macro in _BIT_FIELDS:
                found[f"{macro}_BIT"] = bits % 8
        found["UPID_SIZE"] = btf.size("upid")
        found["INODE_SIZE"] = btf.size("inode")
        found["EXIT_ARGUMENTS"] = btf.arguments("btf_trace_sched_process_exit") - 1  # the first is BPF's own context
    except Missing as missing:
        mend = "this kernel is newer than lineage, or built without what it needs; please report it with `uname -r`"
        raise HostError(f"the kernel's BTF has no {missing}", mend) from missing
    return found | slabs(found)


def slabs(found: dict[str, int]) -> dict[str, int]:
    """Where each slab begins and how long it is, in whole words. Raises ``HostError`` where one is beyond reason."""
    macros: dict[str, int] = {}
    for name, (widest, fields) in SLABS.items():
        places = [found[field] for field in fields if field in found]
        if not places:
            continue
        begin = min(places) & ~7
        macros[f"{name}_SLAB_FROM"] = begin
        macros[f"{name}_SLAB_BYTES"] = size = (max(places) + widest - begin + 7) & ~7
        if size > SLAB_BYTES_MAX:
            raise HostError(f"the kernel's structs are too large ({name})", "please report this with `uname -r`")
    return macros
