/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a living process changes about itself: name, credentials, session and group, namespaces, directory, cgroup.
 *
 * Rules:
 *  - a system call is told after it has succeeded, with the state as it is then, whole: nothing has to be understood of
 *    its arguments. Each has a tracepoint of its own, since a raw one costs 40 ns of every call of every process;
 *  - a tracepoint of one system call does not see it called the 32-bit way (int 0x80). The state is told all the same
 *    with the next record of that process: each birth, exec and end carries it;
 *  - where the arguments are needed (whose group, which option), the beginning of the call leaves them for its end.
 */
#include "image.h"
#include "others.h"

struct changed {
	struct lineage_change record;
	struct tail tail;
};

struct moved {
	struct lineage_directory record;
	struct tail tail;
};

BPF_PERCPU_ARRAY(change_reads, struct reads, 1);
BPF_PERCPU_ARRAY(change_scratch, struct changed, 1);
BPF_PERCPU_ARRAY(session_reads, struct reads, 1);
BPF_PERCPU_ARRAY(session_scratch, struct changed, 1);
BPF_PERCPU_ARRAY(option_reads, struct reads, 1);
BPF_PERCPU_ARRAY(option_scratch, struct changed, 1);
BPF_PERCPU_ARRAY(unshare_reads, struct reads, 1);
BPF_PERCPU_ARRAY(unshare_scratch, struct lineage_change, 1);
BPF_PERCPU_ARRAY(setns_reads, struct reads, 1);
BPF_PERCPU_ARRAY(setns_scratch, struct lineage_change, 1);
BPF_PERCPU_ARRAY(setns_moved, struct moved, 1);
BPF_PERCPU_ARRAY(directory_reads, struct reads, 1);
BPF_PERCPU_ARRAY(directory_scratch, struct moved, 1);
BPF_PERCPU_ARRAY(attach_scratch, struct cgroup_record, 1);

/* By thread: what its call that is under way was asked for. Whoever ends within the call leaves his behind: LRU. */
BPF_TABLE("lru_hash", u64, u32, calls, LINEAGE_CALLS_MAX);

#define CHILDREN_MAX 64 /* of the caller of setpgid(2), youngest first */

static __always_inline void send_change(u16 kind, struct changed *scratch, struct reads *reads, u64 task)
{
	struct lineage_change *to = &scratch->record;
	u64 size;

	if (is_filtered(task))
		return;
	stamp(&to->header, kind);
	fill_task(&to->task, reads, task, task);
	to->uts_ns = to->ipc_ns = to->time_ns_inode = to->children_pid_ns = 0;
	to->groups.offset = to->groups.length = 0;
	scratch->tail.used = 0;
	if (kind == LINEAGE_CREDENTIALS)
		to->header.flags |=
			add_groups(&scratch->tail, &to->groups, sizeof(*to), AT(reads->CRED, CRED, CRED_GROUPS, u64));
	size = sizeof(*to) + scratch->tail.used;
	BOUND(size);
	if (size <= sizeof(*to) + 4 * LINEAGE_GROUPS_MAX)
		send(&to->header, size);
}

/* A thread may have a directory of its own; the process's is its leader's. */
static __always_inline void send_directory(struct moved *scratch, struct reads *reads, u64 task)
{
	struct lineage_directory *to = &scratch->record;
	u64 leader = leader_of(task), fs = word(task, LINEAGE_TASK_FS), path = fs + LINEAGE_FS_PWD, size;

	if (is_filtered(task))
		return;
	if (task != leader && word(leader, LINEAGE_TASK_FS) && word(leader, LINEAGE_TASK_FS) != fs)
		return;
	stamp(&to->header, LINEAGE_DIRECTORY);
	to->pid = half(task, LINEAGE_TASK_TGID);
	to->tid = half(task, LINEAGE_TASK_PID);
	to->start_ns = start_of(leader);
	scratch->tail.used = 0;
	to->header.flags |= directory_flags(
		add_path(&scratch->tail, &to->path, sizeof(*to), LINEAGE_PATH_MAX, reads, path, fs + LINEAGE_FS_ROOT), path);
	size = sizeof(*to) + scratch->tail.used;
	BOUND(size);
	if (size <= sizeof(*to) + LINEAGE_PATH_MAX)
		send(&to->header, size);
}

/* chdir, fchdir, chroot, pivot_root */
int on_directory(struct call_end *ctx)
{
	u32 zero = 0;
	struct moved *scratch = directory_scratch.lookup(&zero);
	struct reads *reads = directory_reads.lookup(&zero);

	if (!ctx->result && scratch && reads)
		send_directory(scratch, reads, bpf_get_current_task());
	return 0;
}

/* set*id, setgroups, capset: setfsuid and setfsgid return the id before, in success and in failure. */
int on_credentials(struct call_end *ctx)
{
	u32 zero = 0;
	struct changed *scratch = change_scratch.lookup(&zero);
	struct reads *reads = change_reads.lookup(&zero);

	if (ctx->result >= 0 && scratch && reads)
		send_change(LINEAGE_CREDENTIALS, scratch, reads, bpf_get_current_task());
	return 0;
}

int on_unshare(struct call_end *ctx)
{
	u32 zero = 0;
	struct lineage_change *scratch = unshare_scratch.lookup(&zero);
	struct reads *reads = unshare_reads.lookup(&zero);
	u64 task = bpf_get_current_task();

	if (ctx->result || !scratch || !reads)
		return 0;
	fill_task(&scratch->task, reads, task, task);
	send_namespaces(scratch, reads);
	return 0;
}

/* With another's mount namespace, its root and directory are one's own. */
int on_setns(struct call_end *ctx)
{
	u64 task = bpf_get_current_task();
	u32 zero = 0;
	struct lineage_change *scratch = setns_scratch.lookup(&zero);
	struct moved *moved = setns_moved.lookup(&zero);
	struct reads *reads = setns_reads.lookup(&zero);

	if (ctx->result || !scratch || !moved || !reads)
		return 0;
	fill_task(&scratch->task, reads, task, task);
	send_namespaces(scratch, reads);
	send_directory(moved, reads, task);
	return 0;
}

int on_setsid(struct call_end *ctx)
{
	u32 zero = 0;
	struct changed *scratch = session_scratch.lookup(&zero);
	struct reads *reads = session_reads.lookup(&zero);

	if (ctx->result >= 0 && scratch && reads)
		send_change(LINEAGE_SESSION, scratch, reads, bpf_get_current_task());
	return 0;
}

static __always_inline void note_call(u32 value)
{
	u64 thread = bpf_get_current_pid_tgid();

	calls.update(&thread, &value);
}

/* setpgid(pid, pgid): pid 0 is the caller itself, as is its own number. */
int on_setpgid_begin(struct call_begin *ctx)
{
	note_call(ctx->arguments[0]);
	return 0;
}

/* The child of the caller that the caller's pid namespace knows by this number; 0: not among the youngest. */
static __always_inline u64 child_of(u64 task, u32 number)
{
	u64 children = task + LINEAGE_TASK_CHILDREN, link = word(children, 8), pid, level;
	u64 own = word(task, LINEAGE_TASK_THREAD_PID);

	level = half(own, LINEAGE_PID_LEVEL) & PID_LEVEL_MASK;
	for (int step = 0; step < CHILDREN_MAX; step++) {
		u64 child = link - LINEAGE_TASK_SIBLING;

		if (!link || link == children)
			return 0;
		pid = word(child, LINEAGE_TASK_THREAD_PID);
		if (half(pid, LINEAGE_PID_NUMBERS + level * LINEAGE_UPID_SIZE) == number)
			return child;
		link = word(link, 8);
	}
	return 0;
}

int on_setpgid_end(struct call_end *ctx)
{
	u64 thread = bpf_get_current_pid_tgid(), task = bpf_get_current_task();
	u32 zero = 0, *whose = calls.lookup(&thread), number;
	struct changed *scratch = session_scratch.lookup(&zero);
	struct reads *reads = session_reads.lookup(&zero);

	if (!whose)
		return 0;
	number = *whose;
	calls.delete(&thread);
	if (ctx->result || !scratch || !reads)
		return 0;
	if (number && number != innermost_nr(leader_of(task)))
		task = child_of(task, number);
	if (task) /* else the child's next record tells */
		send_change(LINEAGE_SESSION, scratch, reads, task);
	return 0;
}

#define OPTION_KEEP_CAPS 8 /* include/uapi/linux/prctl.h; one of the securebits */
#define OPTION_DROP_BOUNDING 24
#define OPTION_SECUREBITS 28
#define OPTION_AMBIENT 47
#define AMBIENT_IS_SET 1 /* asks, and changes nothing */

int on_prctl_begin(struct call_begin *ctx)
{
	u32 option = ctx->arguments[0];

	if (option == OPTION_KEEP_CAPS || option == OPTION_DROP_BOUNDING || option == OPTION_SECUREBITS ||
	    (option == OPTION_AMBIENT && ctx->arguments[1] != AMBIENT_IS_SET))
		note_call(option);
	return 0;
}

int on_prctl_end(struct call_end *ctx)
{
	u64 thread = bpf_get_current_pid_tgid();
	u32 zero = 0;
	struct changed *scratch = option_scratch.lookup(&zero);
	struct reads *reads = option_reads.lookup(&zero);

	if (!calls.lookup(&thread))
		return 0;
	calls.delete(&thread);
	if (ctx->result == 0 && scratch && reads)
		send_change(LINEAGE_CREDENTIALS, scratch, reads, bpf_get_current_task());
	return 0;
}

/*
 * TP_PROTO(struct task_struct *task, const char *comm), before the name is changed. An exec changes it too, on its way,
 * and is told by itself.
 */
int on_rename(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = ctx->args[0];
	struct lineage_thread record = {};

	if (half(task, LINEAGE_TASK_IN_EXEC) >> LINEAGE_TASK_IN_EXEC_BIT & 1 || is_filtered(task))
		return 0;
	stamp(&record.header, LINEAGE_RENAME);
	fill_thread(&record, task);
	bpf_probe_read_kernel_str(record.comm, sizeof(record.comm), (void *)ctx->args[1]);
	send(&record.header, sizeof(record));
	return 0;
}

/* TP_PROTO(struct cgroup *dst_cgrp, const char *path, struct task_struct *task, bool threadgroup) */
int on_cgroup(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = ctx->args[2];
	u32 zero = 0;
	struct cgroup_record *scratch = attach_scratch.lookup(&zero);

	/* of a thread alone only where it stands for its process */
	if (scratch && ((u8)ctx->args[3] || task == leader_of(task)))
		send_cgroup(scratch, task, ctx->args[0]);
	return 0;
}
