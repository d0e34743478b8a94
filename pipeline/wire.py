"""The layout of every record. Generated from bpf/events.h by bpf/generate_wire.py; not edited by hand.

A ``STRUCT_`` unpacks the fixed part: nested structs flattened, padding skipped; those that repeat
(surroundings, credentials, file) as bytes. ``LAYOUT`` has each member's (offset, size) in bytes.
"""

from struct import Struct
from typing import Final

WIRE_VERSION: Final = 3
ARGS_MAX: Final = 16384
PATH_MAX: Final = 4096
SCRIPT_MAX: Final = 1024
LOADER_MAX: Final = 1024
INTERPRETER_MAX: Final = 256
GROUPS_MAX: Final = 32
ENVIRONMENT_MAX: Final = 2048
VARIABLE_MAX: Final = 512
VARIABLES_MAX: Final = 256
CGROUP_DEPTH_MAX: Final = 32
REAPER_STEPS_MAX: Final = 64
COMM_MAX: Final = 16
LOSS_KINDS: Final = 16
ARGS_CUT: Final = 1
FILENAME_CUT: Final = 2
EXECUTABLE_CUT: Final = 4
DIRECTORY_CUT: Final = 8
GROUPS_CUT: Final = 16
ARGS_FAULT: Final = 32
KERNEL_THREAD: Final = 64
STDIN_SOCKET: Final = 128
STDOUT_SOCKET: Final = 256
STDERR_SOCKET: Final = 512
CORE_DUMPED: Final = 1024
ACCOUNT_GROUP: Final = 2048
ZOMBIE: Final = 4096
PARENT_REAPER: Final = 8192
EXECUTABLE_PSEUDO: Final = 16384
EXECUTABLE_DETACHED: Final = 32768
EXECUTABLE_DELETED: Final = 65536
DIRECTORY_DETACHED: Final = 131072
DIRECTORY_DELETED: Final = 262144
EXECUTABLE_MEMFD: Final = 524288
EXECUTABLE_UPPER: Final = 1048576
FILE_CAPABILITIES: Final = 2097152
SCRIPT: Final = 4194304
ENVIRONMENT_CUT: Final = 8388608
ENVIRONMENT_FAULT: Final = 16777216
REAPER_UNKNOWN: Final = 33554432
FILTERED: Final = 67108864
PATH_CUT: Final = 134217728
SCRIPT_CUT: Final = 268435456
ENDING: Final = 536870912
EVERY_HIERARCHY: Final = 1073741824
INTERPRETER_CUT: Final = 2147483648
FORK: Final = 1
EXEC: Final = 2
EXIT: Final = 3
THREAD_START: Final = 4
THREAD_END: Final = 5
RUNNING: Final = 6
RENAME: Final = 7
CREDENTIALS: Final = 8
SESSION: Final = 9
NAMESPACES: Final = 10
DIRECTORY: Final = 11
CGROUP: Final = 12
THREAD_RUNNING: Final = 13
HOST: Final = 64
ACCOUNT: Final = 65
COMMAND_LINE: Final = 66
CLOCK: Final = 67
LOSS: Final = 68
SNAPSHOT_END: Final = 69
SNAPSHOT_BEGIN: Final = 70
CONTAINER: Final = 71

STRUCT_HEADER: Final = Struct("<IHHIIQQ")
STRUCT_SPAN: Final = Struct("<II")
STRUCT_SURROUNDINGS: Final = Struct("<IIIIIIQQQ")
STRUCT_CREDENTIALS: Final = Struct("<IIIIIIIIIIQQQQQ")
STRUCT_TASK: Final = Struct("<IIQQIIQII48sQ80s16s")
STRUCT_FORK: Final = Struct("<IHHIIQQIIQQIIQII48sQ80s16sIIQ")
STRUCT_FILE: Final = Struct("<QIIIIqq")
STRUCT_EXEC: Final = Struct("<IHHIIQQIIQQIIQII48sQ80s16sI4xQ40s40s40sIIIIIIIIIIIIIIIIII")
STRUCT_EXIT: Final = Struct("<IHHIIQQIIQQIIQII48sQ80s16sIIQQQ")
STRUCT_THREAD: Final = Struct("<IHHIIQQIIQQII16s")
STRUCT_CHANGE: Final = Struct("<IHHIIQQIIQQIIQII48sQ80s16sIIIIII")
STRUCT_DIRECTORY: Final = Struct("<IHHIIQQIIQII")
STRUCT_CGROUP: Final = Struct("<IHHIIQQIIQQII")
STRUCT_CONTAINER: Final = Struct("<IHHIIQQIIII")
STRUCT_HOST: Final = Struct("<IHHIIQQ16sqQII")
STRUCT_ACCOUNT: Final = Struct("<IHHIIQQI4xII")
STRUCT_COMMAND_LINE: Final = Struct("<IHHIIQQI4xQQII")
STRUCT_CLOCK: Final = Struct("<IHHIIQQq")
STRUCT_LOSS: Final = Struct("<IHHIIQQQ16Q")
STRUCT_MARK: Final = Struct("<IHHIIQQ")

LAYOUT: Final[dict[str, dict[str, tuple[int, int]]]] = {
    "header": {
        "size": (0, 4),
        "kind": (4, 2),
        "version": (6, 2),
        "flags": (8, 4),
        "cpu": (12, 4),
        "time_ns": (16, 8),
        "sequence": (24, 8),
    },
    "span": {
        "offset": (0, 4),
        "length": (4, 4),
    },
    "surroundings": {
        "mnt_ns": (0, 4),
        "net_ns": (4, 4),
        "cgroup_ns": (8, 4),
        "tty": (12, 4),
        "session_id": (16, 4),
        "group_id": (20, 4),
        "session_start_ns": (24, 8),
        "group_start_ns": (32, 8),
        "cgroup_id": (40, 8),
    },
    "credentials": {
        "uid": (0, 4),
        "gid": (4, 4),
        "suid": (8, 4),
        "sgid": (12, 4),
        "euid": (16, 4),
        "egid": (20, 4),
        "fsuid": (24, 4),
        "fsgid": (28, 4),
        "securebits": (32, 4),
        "user_ns": (36, 4),
        "cap_inheritable": (40, 8),
        "cap_permitted": (48, 8),
        "cap_effective": (56, 8),
        "cap_bounding": (64, 8),
        "cap_ambient": (72, 8),
    },
    "task": {
        "pid": (0, 4),
        "tid": (4, 4),
        "start_ns": (8, 8),
        "thread_start_ns": (16, 8),
        "parent_pid": (24, 4),
        "ns_pid": (28, 4),
        "parent_start_ns": (32, 8),
        "ns_tid": (40, 4),
        "pid_ns": (44, 4),
        "around": (48, 48),
        "exec_id": (96, 8),
        "who": (104, 80),
        "comm": (184, 16),
    },
    "fork": {
        "header": (0, 32),
        "child": (32, 200),
        "birth_pid": (232, 4),
        "birth_tid": (236, 4),
        "birth_start_ns": (240, 8),
    },
    "file": {
        "inode": (0, 8),
        "device": (8, 4),
        "mode": (12, 4),
        "links": (16, 4),
        "flags": (20, 4),
        "modified_ns": (24, 8),
        "changed_ns": (32, 8),
    },
    "exec": {
        "header": (0, 32),
        "task": (32, 200),
        "old_tid": (232, 4),
        "pad": (236, 4),
        "args_total": (240, 8),
        "executable_file": (248, 40),
        "script_file": (288, 40),
        "loader_file": (328, 40),
        "filename": (368, 8),
        "executable": (376, 8),
        "working_directory": (384, 8),
        "args": (392, 8),
        "groups": (400, 8),
        "interpreter": (408, 8),
        "script": (416, 8),
        "environment": (424, 8),
        "loader": (432, 8),
    },
    "exit": {
        "header": (0, 32),
        "task": (32, 200),
        "status": (232, 4),
        "reaper_pid": (236, 4),
        "reaper_start_ns": (240, 8),
        "cpu_ns": (248, 8),
        "memory_peak": (256, 8),
    },
    "thread": {
        "header": (0, 32),
        "pid": (32, 4),
        "tid": (36, 4),
        "start_ns": (40, 8),
        "thread_start_ns": (48, 8),
        "ns_tid": (56, 4),
        "birth_tid": (60, 4),
        "comm": (64, 16),
    },
    "change": {
        "header": (0, 32),
        "task": (32, 200),
        "uts_ns": (232, 4),
        "ipc_ns": (236, 4),
        "time_ns_inode": (240, 4),
        "children_pid_ns": (244, 4),
        "groups": (248, 8),
    },
    "directory": {
        "header": (0, 32),
        "pid": (32, 4),
        "tid": (36, 4),
        "start_ns": (40, 8),
        "path": (48, 8),
    },
    "cgroup": {
        "header": (0, 32),
        "pid": (32, 4),
        "hierarchy": (36, 4),
        "start_ns": (40, 8),
        "cgroup_id": (48, 8),
        "path": (56, 8),
    },
    "container": {
        "header": (0, 32),
        "id": (32, 8),
        "facts": (40, 8),
    },
    "host": {
        "header": (0, 32),
        "boot_id": (32, 16),
        "clock_offset_ns": (48, 8),
        "pid_ns": (56, 8),
        "facts": (64, 8),
    },
    "account": {
        "header": (0, 32),
        "id": (32, 4),
        "pad": (36, 4),
        "name": (40, 8),
    },
    "command_line": {
        "header": (0, 32),
        "pid": (32, 4),
        "pad": (36, 4),
        "start_ns": (40, 8),
        "args_total": (48, 8),
        "args": (56, 8),
    },
    "clock": {
        "header": (0, 32),
        "offset_ns": (32, 8),
    },
    "loss": {
        "header": (0, 32),
        "since_ns": (32, 8),
        "lost": (40, 128),
    },
    "mark": {
        "header": (0, 32),
    },
}
