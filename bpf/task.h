/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* struct lineage_task out of a task_struct, current or not; addresses are plain numbers (see record.h). */
#ifndef LINEAGE_TASK_H
#define LINEAGE_TASK_H

#include "record.h"

/* include/linux/pid_types.h, sched.h, sched/signal.h: none of them moved since 4.19 */
#define PID_TYPE_TGID 1
#define PID_TYPE_PGID 2
#define PID_TYPE_SID 3
#define TASK_IS_KERNEL_THREAD 0x00200000
#define SIGNAL_IS_GROUP_EXIT 0x4
#define PID_LEVEL_MASK 31 /* MAX_PID_NS_LEVEL is 32 */

static __always_inline u64 leader_of(u64 task)
{
	return word(task, LINEAGE_TASK_LEADER);
}

static __always_inline u64 start_of(u64 task)
{
	return word(task, LINEAGE_TASK_START);
}

/* Address of the number that the innermost pid namespace knows this struct pid by. */
static __always_inline u64 innermost(u64 pid)
{
	u64 level = half(pid, LINEAGE_PID_LEVEL) & PID_LEVEL_MASK;

	return pid + LINEAGE_PID_NUMBERS + level * LINEAGE_UPID_SIZE;
}

static __always_inline u32 innermost_nr(u64 task)
{
	return half(innermost(word(task, LINEAGE_TASK_THREAD_PID)), LINEAGE_UPID_NR);
}

/*
 * A session or process group is a struct pid. The task that gave it its number is the thread group leader in
 * tasks[PID_TYPE_TGID]; the one in tasks[PID_TYPE_SID] is merely its newest member. Start 0: that leader is gone.
 */
static __always_inline u32 group_of(u64 signal, u32 type, u64 *start)
{
	u64 pid = word(signal, LINEAGE_SIGNAL_PIDS + 8 * type);
	u64 link = word(pid, LINEAGE_PID_TASKS + 8 * PID_TYPE_TGID);

	*start = link ? start_of(link - LINEAGE_TASK_PID_LINKS - 16 * PID_TYPE_TGID) : 0;
	return half(pid, LINEAGE_PID_NUMBERS + LINEAGE_UPID_NR);
}

static __always_inline u32 terminal_of(u64 signal)
{
	u64 tty = word(signal, LINEAGE_SIGNAL_TTY);
	u64 driver;

	if (!tty)
		return 0;
	driver = word(tty, LINEAGE_TTY_DRIVER);
	return half(driver, LINEAGE_TTY_DRIVER_MAJOR) << 20 |
	       (half(driver, LINEAGE_TTY_DRIVER_MINOR) + half(tty, LINEAGE_TTY_INDEX));
}

static __always_inline void fill_credentials(struct lineage_task *to, u64 cred)
{
#if LINEAGE_CRED_IDS_TOGETHER
	bpf_probe_read_kernel(&to->uid, 32, (void *)(cred + LINEAGE_CRED_UID));
#else /* the kernel was built with its structs shuffled */
	to->uid = half(cred, LINEAGE_CRED_UID);
	to->gid = half(cred, LINEAGE_CRED_GID);
	to->suid = half(cred, LINEAGE_CRED_SUID);
	to->sgid = half(cred, LINEAGE_CRED_SGID);
	to->euid = half(cred, LINEAGE_CRED_EUID);
	to->egid = half(cred, LINEAGE_CRED_EGID);
	to->fsuid = half(cred, LINEAGE_CRED_FSUID);
	to->fsgid = half(cred, LINEAGE_CRED_FSGID);
#endif
	to->cap_permitted = word(cred, LINEAGE_CRED_CAP_PERMITTED);
	to->cap_effective = word(cred, LINEAGE_CRED_CAP_EFFECTIVE);
}

/* A task that has exited has no namespaces any more: `living` is another thread of its process, or itself. */
static __always_inline void fill_task(struct lineage_task *to, u64 task, u64 living)
{
	u64 leader = leader_of(task);
	u64 parent = leader_of(word(task, LINEAGE_TASK_REAL_PARENT));
	u64 number = innermost(word(leader, LINEAGE_TASK_THREAD_PID));
	u64 spaces = word(living, LINEAGE_TASK_NSPROXY);
	u64 signal = word(task, LINEAGE_TASK_SIGNAL);
	u64 cgroup = word(word(task, LINEAGE_TASK_CGROUPS), LINEAGE_CSS_SET_CGROUP);

	to->pid = half(task, LINEAGE_TASK_TGID);
	to->tid = half(task, LINEAGE_TASK_PID);
	to->start_ns = start_of(leader);
	to->thread_start_ns = start_of(task);
	to->parent_pid = half(parent, LINEAGE_TASK_TGID);
	to->parent_start_ns = start_of(parent);
	to->ns_pid = half(number, LINEAGE_UPID_NR);
	to->ns_tid = task == leader ? to->ns_pid : innermost_nr(task);
	to->pid_ns = half(word(number, LINEAGE_UPID_NS), LINEAGE_PID_NS_INUM);
	to->mnt_ns = half(word(spaces, LINEAGE_NSPROXY_MNT), LINEAGE_MNT_NS_INUM);
	to->net_ns = half(word(spaces, LINEAGE_NSPROXY_NET), LINEAGE_NET_NS_INUM);
	to->cgroup_ns = half(word(spaces, LINEAGE_NSPROXY_CGROUP), LINEAGE_CGROUP_NS_INUM);
	to->tty = terminal_of(signal);
	to->session_id = group_of(signal, PID_TYPE_SID, &to->session_start_ns);
	to->group_id = group_of(signal, PID_TYPE_PGID, &to->group_start_ns);
	to->cgroup_id = word(word(cgroup, LINEAGE_CGROUP_KN), LINEAGE_KERNFS_ID);
	fill_credentials(to, word(task, LINEAGE_TASK_CRED));
	bpf_probe_read_kernel(to->comm, sizeof(to->comm), (void *)(task + LINEAGE_TASK_COMM));
}

#endif
