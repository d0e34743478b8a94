/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The wire: every record that a source may emit, and the only place where one is defined.
 *
 * Rules of this file (checked by tests/contracts, which compile it for the host and for BPF):
 *  - fixed-width types, explicit padding, no pointers; little-endian as the host writes it;
 *  - every record starts with struct lineage_header and is `size` bytes long, tail included;
 *  - strings of variable length live in the tail, after the fixed part, and are found by a struct lineage_span;
 *  - times are nanoseconds since boot, suspend included (CLOCK_BOOTTIME);
 *  - pipeline/wire.py is generated from here: `make generate`.
 * A change of any size, offset or meaning raises LINEAGE_WIRE_VERSION.
 */
#ifndef LINEAGE_EVENTS_H
#define LINEAGE_EVENTS_H

#define LINEAGE_WIRE_VERSION 3

/* Bounds of what one record carries; beyond them a string is cut and flagged. */
#define LINEAGE_ARGS_MAX 16384   /* bytes of argv */
#define LINEAGE_PATH_MAX 4096    /* bytes of one path */
#define LINEAGE_SCRIPT_MAX 1024  /* bytes of the path of a script's own file */
#define LINEAGE_LOADER_MAX 1024  /* bytes of the path of a loader */
#define LINEAGE_INTERPRETER_MAX 256 /* bytes of an interpreter's name and its NUL; no script's first line has a longer one */
#define LINEAGE_GROUPS_MAX 32    /* supplementary groups */
#define LINEAGE_ENVIRONMENT_MAX 2048 /* bytes of the allowed part of the environment */
#define LINEAGE_VARIABLE_MAX 512     /* bytes of one variable, name included */
#define LINEAGE_VARIABLES_MAX 256    /* variables that are looked at */
#define LINEAGE_CGROUP_DEPTH_MAX 32  /* components of a cgroup's path */
#define LINEAGE_REAPER_STEPS_MAX 64  /* ancestors looked at for a subreaper */
#define LINEAGE_COMM_MAX 16      /* TASK_COMM_LEN */
#define LINEAGE_LOSS_KINDS 16    /* slots of the loss counters, one a kind below 64 */

enum lineage_kind {
	/* from the kernel */
	LINEAGE_FORK = 1,           /* struct lineage_fork: a process was born */
	LINEAGE_EXEC = 2,           /* struct lineage_exec */
	LINEAGE_EXIT = 3,           /* struct lineage_exit: a whole process (thread group) ended */
	LINEAGE_THREAD_START = 4,   /* struct lineage_thread */
	LINEAGE_THREAD_END = 5,     /* struct lineage_thread: one thread ended, its process lives on */
	LINEAGE_RUNNING = 6,        /* struct lineage_exec: a process the snapshot found running */
	LINEAGE_RENAME = 7,         /* struct lineage_thread: prctl(PR_SET_NAME), or a write to comm */
	LINEAGE_CREDENTIALS = 8,    /* struct lineage_change: user, group, capability sets, securebits */
	LINEAGE_SESSION = 9,        /* struct lineage_change: setsid, setpgid */
	LINEAGE_NAMESPACES = 10,    /* struct lineage_change: setns, unshare; a birth or an exec in others than are known */
	LINEAGE_DIRECTORY = 11,     /* struct lineage_directory: chdir, fchdir, chroot, pivot_root */
	LINEAGE_CGROUP = 12,        /* struct lineage_cgroup; from user space for what the snapshot found */
	LINEAGE_THREAD_RUNNING = 13, /* struct lineage_thread: a thread the snapshot found, other than a leader */
	/* from the source itself, in user space */
	LINEAGE_HOST = 64,          /* struct lineage_host: first record of every stream */
	LINEAGE_ACCOUNT = 65,       /* struct lineage_account: a user's or a group's name */
	LINEAGE_COMMAND_LINE = 66,  /* struct lineage_command_line: argv of a process older than the source */
	LINEAGE_CLOCK = 67,         /* struct lineage_clock: wall clock offset, holds for later instants only */
	LINEAGE_LOSS = 68,          /* struct lineage_loss: records the kernel could not hand over */
	LINEAGE_SNAPSHOT_END = 69,  /* struct lineage_mark: every process of the snapshot has been told */
	LINEAGE_SNAPSHOT_BEGIN = 70, /* struct lineage_mark: what lives from here to the end will be told */
	LINEAGE_CONTAINER = 71,     /* struct lineage_container: what the runtime says of a container */
};

/* header.flags */
#define LINEAGE_ARGS_CUT (1u << 0)        /* argv was longer than LINEAGE_ARGS_MAX */
#define LINEAGE_FILENAME_CUT (1u << 1)
#define LINEAGE_EXECUTABLE_CUT (1u << 2)
#define LINEAGE_DIRECTORY_CUT (1u << 3)
#define LINEAGE_GROUPS_CUT (1u << 4)
#define LINEAGE_ARGS_FAULT (1u << 5)      /* argv could not be read */
#define LINEAGE_KERNEL_THREAD (1u << 6)
#define LINEAGE_STDIN_SOCKET (1u << 7)    /* file descriptor 0 is a socket */
#define LINEAGE_STDOUT_SOCKET (1u << 8)
#define LINEAGE_STDERR_SOCKET (1u << 9)
#define LINEAGE_CORE_DUMPED (1u << 10)
#define LINEAGE_ACCOUNT_GROUP (1u << 11)  /* the account is a group, not a user */
#define LINEAGE_ZOMBIE (1u << 12)         /* the snapshot found it ended, not yet reaped */
#define LINEAGE_PARENT_REAPER (1u << 13)  /* the parent is an init or a subreaper: an adoption may hide the birth parent */
#define LINEAGE_EXECUTABLE_PSEUDO (1u << 14)   /* no path but a name without a file system (memfd:x) */
#define LINEAGE_EXECUTABLE_DETACHED (1u << 15) /* path ends at the root of a mount outside the process's root */
#define LINEAGE_EXECUTABLE_DELETED (1u << 16)  /* its name was removed: nothing, or another file, is at that path */
#define LINEAGE_DIRECTORY_DETACHED (1u << 17)
#define LINEAGE_DIRECTORY_DELETED (1u << 18)
#define LINEAGE_EXECUTABLE_MEMFD (1u << 19)    /* the pseudo name is an anonymous file's (memfd_create) */
#define LINEAGE_EXECUTABLE_UPPER (1u << 20)    /* on an overlay, written after the image was made */
#define LINEAGE_FILE_CAPABILITIES (1u << 21)   /* no root, and the file gave it capabilities */
#define LINEAGE_SCRIPT (1u << 22)              /* the file asked for is a script; the executable interprets it */
#define LINEAGE_ENVIRONMENT_CUT (1u << 23)     /* more variables, or longer ones, than are looked at */
#define LINEAGE_ENVIRONMENT_FAULT (1u << 24)   /* the environment could not be read */
#define LINEAGE_REAPER_UNKNOWN (1u << 25)      /* more ancestors than are looked at for a subreaper */
#define LINEAGE_FILTERED (1u << 26)            /* a filter of the configuration: detail is missing on purpose */
#define LINEAGE_PATH_CUT (1u << 27)            /* of a cgroup, deeper than LINEAGE_CGROUP_DEPTH_MAX */
#define LINEAGE_SCRIPT_CUT (1u << 28)          /* the path of the script's file, or it was not found among too many */
#define LINEAGE_ENDING (1u << 29)              /* the snapshot found it in its last moments: its end is told, or will be */
#define LINEAGE_EVERY_HIERARCHY (1u << 30)     /* a cgroup, told of every hierarchy but for those told after it */
#define LINEAGE_INTERPRETER_CUT (1u << 31)     /* a registered format may name a longer one than a script can */

struct lineage_header {
	__u32 size;       /* whole record, tail included, bytes */
	__u16 kind;       /* enum lineage_kind */
	__u16 version;    /* LINEAGE_WIRE_VERSION */
	__u32 flags;
	__u32 cpu;
	__u64 time_ns;    /* since boot */
	__u64 sequence;   /* per cpu for kernel records, per stream for the source's own */
};

/*
 * Where a string lies: bytes from the start of the record. Empty: length 0.
 *
 * executable, working_directory, script, loader and path hold a path as the kernel walks it: leaf first, each component ended
 * by NUL, so "bash\0bin\0usr\0" is /usr/bin/bash, and a single NUL is the root. With ..._CUT the components next to the root are
 * missing, with ..._PSEUDO the one component is a name and no path. Every other string reads forwards.
 */
struct lineage_span {
	__u32 offset;
	__u32 length;
};

/* The same in many processes, and so read as one value each (REPEATED in generate_wire.py): no padding in these three. */
struct lineage_surroundings {
	__u32 mnt_ns;             /* inode numbers of namespaces */
	__u32 net_ns;
	__u32 cgroup_ns;
	__u32 tty;                /* (major << 20) | minor, 0 without a terminal */
	__u32 session_id;
	__u32 group_id;
	__u64 session_start_ns;
	__u64 group_start_ns;
	__u64 cgroup_id;
};

struct lineage_credentials {
	__u32 uid, gid, suid, sgid, euid, egid, fsuid, fsgid;
	__u32 securebits;
	__u32 user_ns;            /* inode number of the namespace that the ids and capabilities count in */
	__u64 cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
};

/*
 * What is true of a process at the instant of the record. Ids are of the host's (initial) pid namespace unless
 * they say otherwise. A session or group leader that is gone has start 0.
 */
struct lineage_task {
	__u32 pid;                /* thread group id */
	__u32 tid;
	__u64 start_ns;           /* of the thread group leader */
	__u64 thread_start_ns;    /* of this thread */
	__u32 parent_pid;         /* real_parent's thread group: who would reap it now */
	__u32 ns_pid;             /* thread group id in the innermost pid namespace */
	__u64 parent_start_ns;
	__u32 ns_tid;
	__u32 pid_ns;             /* inode number */
	struct lineage_surroundings around;
	__u64 exec_id;            /* execs so far, its own and those of whom it descends from before each birth */
	struct lineage_credentials who;
	char comm[LINEAGE_COMM_MAX];
};

struct lineage_fork {
	struct lineage_header header;
	struct lineage_task child;
	__u32 birth_pid;          /* the process that called fork or clone, also under CLONE_PARENT */
	__u32 birth_tid;
	__u64 birth_start_ns;     /* of its thread group leader */
};

/* A file beside its path. inode 0: there is none, or it could not be found. */
struct lineage_file {
	__u64 inode;
	__u32 device;             /* superblock's dev_t, kernel encoding (major << 20) | minor; on an overlay, the overlay's */
	__u32 mode;
	__u32 links;              /* hard links; 0: none is left */
	__u32 flags;              /* LINEAGE_EXECUTABLE_...; of the executable FILE_CAPABILITIES and SCRIPT too, as in the header */
	__s64 modified_ns;        /* Unix times: st_mtime, st_ctime */
	__s64 changed_ns;
};

/*
 * Also LINEAGE_RUNNING, where filename, interpreter, script, args, environment and old_tid are empty.
 *
 * Where a script is run (LINEAGE_SCRIPT) the executable is its interpreter, and script... are of the script itself. The
 * loader is what the kernel has mapped beside the executable to load it (PT_INTERP, ld-linux.so): none for a static
 * program. Inode 0 and LINEAGE_EXECUTABLE_CUT in its flags: it could not be found.
 */
struct lineage_exec {
	struct lineage_header header;
	struct lineage_task task;
	__u32 old_tid;            /* tid of the thread that called exec; differs from pid when it was no leader */
	__u32 pad;
	__u64 args_total;         /* bytes of argv as the process has it, before any cut */
	struct lineage_file executable_file;
	struct lineage_file script_file;
	struct lineage_file loader_file;
	struct lineage_span filename;          /* as asked for */
	struct lineage_span executable;        /* resolved, as the process sees it */
	struct lineage_span working_directory;
	struct lineage_span args;              /* NUL-separated, each ended by NUL unless cut */
	struct lineage_span groups;            /* supplementary group ids, __u32 each */
	struct lineage_span interpreter;       /* as the script names it */
	struct lineage_span script;            /* resolved, leaf first, as the process sees it */
	struct lineage_span environment;       /* NAME=value of the names that the configuration allows, each ended by NUL */
	struct lineage_span loader;            /* resolved, leaf first, as the process sees it */
};

struct lineage_exit {
	struct lineage_header header;
	struct lineage_task task;
	__u32 status;             /* as wait(2) gives it: code << 8 | signal */
	__u32 reaper_pid;         /* who adopts its children, 0: nobody (it was the init of a pid namespace) */
	__u64 reaper_start_ns;
	__u64 cpu_ns;             /* of all its threads, user and system */
	__u64 memory_peak;        /* bytes resident at most, over all its images */
};

struct lineage_thread {
	struct lineage_header header;
	__u32 pid;
	__u32 tid;
	__u64 start_ns;           /* of the thread group leader */
	__u64 thread_start_ns;
	__u32 ns_tid;
	__u32 birth_tid;          /* thread that called clone; 0 for an end */
	char comm[LINEAGE_COMM_MAX];
};

/* The state after the change, whole. Of the thread that made it; a setpgid(2) of a child tells of the child. */
struct lineage_change {
	struct lineage_header header;
	struct lineage_task task;
	__u32 uts_ns;             /* inode numbers; of LINEAGE_NAMESPACES alone, else 0 */
	__u32 ipc_ns;
	__u32 time_ns_inode;      /* not a time: of its time namespace */
	__u32 children_pid_ns;    /* the pid namespace that its next child is born in */
	struct lineage_span groups; /* supplementary group ids, __u32 each; of LINEAGE_CREDENTIALS alone */
};

struct lineage_directory {
	struct lineage_header header; /* LINEAGE_DIRECTORY_... in flags */
	__u32 pid;
	__u32 tid;
	__u64 start_ns;           /* of the thread group leader */
	struct lineage_span path; /* leaf first */
};

/*
 * One process in one cgroup hierarchy; where there are several (v1) there is a record for each, and one for all at once
 * (LINEAGE_EVERY_HIERARCHY) where a repair begins to tell them anew.
 */
struct lineage_cgroup {
	struct lineage_header header;
	__u32 pid;
	__u32 hierarchy;          /* as in /proc/PID/cgroup; 0: the unified one (v2) */
	__u64 start_ns;           /* of the thread group leader */
	__u64 cgroup_id;          /* 0: not told */
	struct lineage_span path; /* leaf first, from the root of the hierarchy */
};

struct lineage_container {
	struct lineage_header header;
	struct lineage_span id;
	struct lineage_span facts; /* JSON: container.*, orchestrator.* */
};

struct lineage_host {
	struct lineage_header header;
	__u8 boot_id[16];         /* /proc/sys/kernel/random/boot_id, as bytes */
	__s64 clock_offset_ns;    /* wall clock (Unix) = time since boot + offset */
	__u64 pid_ns;             /* inode of the initial pid namespace */
	struct lineage_span facts; /* JSON: hostname, id, architecture, os.*, ip, mac, kernel, agent.* */
};

struct lineage_account {
	struct lineage_header header; /* LINEAGE_ACCOUNT_GROUP in flags for a group */
	__u32 id;
	__u32 pad;
	struct lineage_span name;
};

struct lineage_command_line {
	struct lineage_header header; /* LINEAGE_ARGS_CUT in flags */
	__u32 pid;
	__u32 pad;
	__u64 start_ns;
	__u64 args_total;
	struct lineage_span args;
};

struct lineage_clock {
	struct lineage_header header;
	__s64 offset_ns;
};

struct lineage_loss {
	struct lineage_header header;
	__u64 since_ns;           /* the loss lies between here and header.time_ns */
	__u64 lost[LINEAGE_LOSS_KINDS]; /* records lost in that interval, by kind */
};

struct lineage_mark {
	struct lineage_header header;
};

#endif
