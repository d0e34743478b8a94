/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* struct lineage_task out of a task_struct, current or not; addresses are plain numbers (see record.h). */
#ifndef LINEAGE_TASK_H
#define LINEAGE_TASK_H

#include "record.h"

/* include/linux/pid_types.h, sched.h, sched/signal.h: none of them moved since 4.19 */
#define PID_TYPE_TGID 1
#define PID_TYPE_PGID 2
#define PID_TYPE_SID 3
#define TASK_IS_EXITING 0x00000004
#define TASK_IS_KERNEL_THREAD 0x00200000
#define SIGNAL_IS_GROUP_EXIT 0x4
#define PID_LEVEL_MASK 31 /* MAX_PID_NS_LEVEL is 32 */
#define NODE_BYTES 256

_Static_assert(LINEAGE_UPID_NR == 0 && LINEAGE_UPID_NS == 8 && LINEAGE_UPID_SIZE >= 16, "struct upid");

/* What was read last, for the time of one record. */
struct reads {
	SLAB(TASK);
	SLAB(SIGNAL);
	SLAB(CRED);
	SLAB(NSPROXY);
	SLAB(PID);
	SLAB(PATH);
	SLAB(INODE);
	SLAB(SB);
	SLAB(DENTRY);
	SLAB(MOUNT);
	SLAB(VMA);
	u64 node[NODE_BYTES / 8]; /* of a maple tree; an auxiliary vector */
	u64 first; /* address that the node has */
	u64 number[2]; /* struct upid: nr and padding, ns */
};

static __always_inline u64 leader_of(u64 task)
{
	return word(task, LINEAGE_TASK_LEADER);
}

static __always_inline u64 start_of(u64 task)
{
	return word(task, LINEAGE_TASK_START);
}

/* The number that the innermost pid namespace knows this struct pid by, and that namespace. */
static __always_inline void innermost(u64 number[2], u64 pid)
{
	u64 level = half(pid, LINEAGE_PID_LEVEL) & PID_LEVEL_MASK;

	bpf_probe_read_kernel(number, 16, (void *)(pid + LINEAGE_PID_NUMBERS + level * LINEAGE_UPID_SIZE));
}

static __always_inline u32 innermost_nr(u64 task)
{
	u64 number[2] = {};

	innermost(number, word(task, LINEAGE_TASK_THREAD_PID));
	return number[0];
}

/*
 * A session or process group is a struct pid. The task that gave it its number is the thread group leader in
 * tasks[PID_TYPE_TGID]; the one in tasks[PID_TYPE_SID] is merely its newest member. Start 0: that leader is gone.
 */
static __always_inline u32 group_of(struct reads *reads, u64 pid, u64 *start)
{
	u64 link;

	FETCH(reads->PID, PID, pid);
	link = AT(reads->PID, PID, PID_TASKS + 8 * PID_TYPE_TGID, u64);
	*start = link ? start_of(link - LINEAGE_TASK_PID_LINKS - 16 * PID_TYPE_TGID) : 0;
	return AT(reads->PID, PID, PID_NUMBERS, u32); /* numbers[0]: the host's namespace; nr is its first member */
}

static __always_inline u32 terminal_of(u64 tty)
{
	u64 driver;

	if (!tty)
		return 0;
	driver = word(tty, LINEAGE_TTY_DRIVER);
	return half(driver, LINEAGE_TTY_DRIVER_MAJOR) << 20 |
	       (half(driver, LINEAGE_TTY_DRIVER_MINOR) + half(tty, LINEAGE_TTY_INDEX));
}

static __always_inline void fill_credentials(struct lineage_credentials *to, struct reads *reads, u64 cred)
{
	FETCH(reads->CRED, CRED, cred);
	to->uid = AT(reads->CRED, CRED, CRED_UID, u32);
	to->gid = AT(reads->CRED, CRED, CRED_GID, u32);
	to->suid = AT(reads->CRED, CRED, CRED_SUID, u32);
	to->sgid = AT(reads->CRED, CRED, CRED_SGID, u32);
	to->euid = AT(reads->CRED, CRED, CRED_EUID, u32);
	to->egid = AT(reads->CRED, CRED, CRED_EGID, u32);
	to->fsuid = AT(reads->CRED, CRED, CRED_FSUID, u32);
	to->fsgid = AT(reads->CRED, CRED, CRED_FSGID, u32);
	to->securebits = AT(reads->CRED, CRED, CRED_SECUREBITS, u32);
	to->cap_inheritable = AT(reads->CRED, CRED, CRED_CAP_INHERITABLE, u64);
	to->cap_permitted = AT(reads->CRED, CRED, CRED_CAP_PERMITTED, u64);
	to->cap_effective = AT(reads->CRED, CRED, CRED_CAP_EFFECTIVE, u64);
	to->cap_bounding = AT(reads->CRED, CRED, CRED_CAP_BSET, u64);
	to->cap_ambient = AT(reads->CRED, CRED, CRED_CAP_AMBIENT, u64);
	to->user_ns = half(AT(reads->CRED, CRED, CRED_USER_NS, u64), LINEAGE_USER_NS_INUM);
}

/* A task that has exited has no namespaces any more: `living` is another thread of its process, or itself. */
static __always_inline void fill_task(struct lineage_task *to, struct reads *reads, u64 task, u64 living)
{
	u64 leader, parent, pid, signal, session, cgroup;

	FETCH(reads->TASK, TASK, task);
	leader = AT(reads->TASK, TASK, TASK_LEADER, u64);
	parent = leader_of(AT(reads->TASK, TASK, TASK_REAL_PARENT, u64));
	pid = AT(reads->TASK, TASK, TASK_THREAD_PID, u64);
	to->pid = AT(reads->TASK, TASK, TASK_TGID, u32);
	to->tid = AT(reads->TASK, TASK, TASK_PID, u32);
	to->thread_start_ns = AT(reads->TASK, TASK, TASK_START, u64);
	to->start_ns = task == leader ? to->thread_start_ns : start_of(leader);
	to->parent_pid = half(parent, LINEAGE_TASK_TGID);
	to->parent_start_ns = start_of(parent);
	innermost(reads->number, pid);
	to->ns_tid = reads->number[0];
	to->pid_ns = half(reads->number[1], LINEAGE_PID_NS_INUM);
	to->ns_pid = task == leader ? to->ns_tid : innermost_nr(leader);
	__builtin_memcpy(to->comm, &AT(reads->TASK, TASK, TASK_COMM, u64), sizeof(to->comm));

	FETCH(reads->NSPROXY, NSPROXY, living == task ? AT(reads->TASK, TASK, TASK_NSPROXY, u64) :
							 word(living, LINEAGE_TASK_NSPROXY));
	to->around.mnt_ns = half(AT(reads->NSPROXY, NSPROXY, NSPROXY_MNT, u64), LINEAGE_MNT_NS_INUM);
	to->around.net_ns = half(AT(reads->NSPROXY, NSPROXY, NSPROXY_NET, u64), LINEAGE_NET_NS_INUM);
	to->around.cgroup_ns = half(AT(reads->NSPROXY, NSPROXY, NSPROXY_CGROUP, u64), LINEAGE_CGROUP_NS_INUM);

	signal = AT(reads->TASK, TASK, TASK_SIGNAL, u64);
	FETCH(reads->SIGNAL, SIGNAL, signal);
	to->around.tty = terminal_of(AT(reads->SIGNAL, SIGNAL, SIGNAL_TTY, u64));
	session = AT(reads->SIGNAL, SIGNAL, SIGNAL_PIDS + 8 * PID_TYPE_SID, u64);
	pid = AT(reads->SIGNAL, SIGNAL, SIGNAL_PIDS + 8 * PID_TYPE_PGID, u64);
	to->around.session_id = group_of(reads, session, &to->around.session_start_ns);
	if (pid == session) {
		to->around.group_id = to->around.session_id;
		to->around.group_start_ns = to->around.session_start_ns;
	} else {
		to->around.group_id = group_of(reads, pid, &to->around.group_start_ns);
	}

	cgroup = word(word(task, LINEAGE_TASK_CGROUPS), LINEAGE_CSS_SET_CGROUP);
	to->exec_id = AT(reads->TASK, TASK, TASK_EXEC_ID, u64);
	to->around.cgroup_id = word(word(cgroup, LINEAGE_CGROUP_KN), LINEAGE_KERNFS_ID);
	fill_credentials(&to->who, reads, AT(reads->TASK, TASK, TASK_CRED, u64));
}

#endif
