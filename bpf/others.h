/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What more than one program needs besides images: records of thread, cgroup, namespaces; how a system call is told. */
#ifndef LINEAGE_OTHERS_H
#define LINEAGE_OTHERS_H

#include "path.h"

/* A tracepoint of a system call: first what all tracepoints share. */
struct call_begin {
	u64 common;
	long number;
	unsigned long arguments[6];
};

struct call_end {
	u64 common;
	long number;
	long result;
};

struct cgroup_record {
	struct lineage_cgroup record;
	struct tail tail;
};

/* All but birth_tid. */
static __always_inline void fill_thread(struct lineage_thread *to, u64 task)
{
	to->pid = half(task, LINEAGE_TASK_TGID);
	to->tid = half(task, LINEAGE_TASK_PID);
	to->start_ns = start_of(leader_of(task));
	to->thread_start_ns = start_of(task);
	to->ns_tid = innermost_nr(task);
	bpf_probe_read_kernel(to->comm, sizeof(to->comm), (void *)(task + LINEAGE_TASK_COMM));
}

static __always_inline void send_cgroup(struct cgroup_record *scratch, u64 task, u64 cgroup)
{
	struct lineage_cgroup *to = &scratch->record;
	u64 node = word(cgroup, LINEAGE_CGROUP_KN), size;

	stamp(&to->header, LINEAGE_CGROUP);
	to->pid = half(task, LINEAGE_TASK_TGID);
	to->start_ns = start_of(leader_of(task));
	to->hierarchy = half(word(cgroup, LINEAGE_CGROUP_ROOT), LINEAGE_ROOT_HIERARCHY);
	to->cgroup_id = word(node, LINEAGE_KERNFS_ID);
	scratch->tail.used = 0;
	to->header.flags |= add_cgroup(&scratch->tail, &to->path, sizeof(*to), node);
	size = sizeof(*to) + scratch->tail.used;
	BOUND(size);
	if (size <= sizeof(*to) + LINEAGE_PATH_MAX)
		send(&to->header, size);
}

/* Of the task that fill_task has filled `to->task` with, and `reads` while it did. */
static __always_inline void send_namespaces(struct lineage_change *to, struct reads *reads)
{
	stamp(&to->header, LINEAGE_NAMESPACES);
	to->uts_ns = half(AT(reads->NSPROXY, NSPROXY, NSPROXY_UTS, u64), LINEAGE_UTS_NS_INUM);
	to->ipc_ns = half(AT(reads->NSPROXY, NSPROXY, NSPROXY_IPC, u64), LINEAGE_IPC_NS_INUM);
	to->time_ns_inode = half(AT(reads->NSPROXY, NSPROXY, NSPROXY_TIME, u64), LINEAGE_TIME_NS_INUM);
	to->children_pid_ns = half(AT(reads->NSPROXY, NSPROXY, NSPROXY_PID, u64), LINEAGE_PID_NS_INUM);
	to->groups.offset = to->groups.length = 0;
	send(&to->header, sizeof(*to));
}

#endif
