/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Filters of the configuration, compiled in (pipeline/sources/ebpf/filters.py makes the LINEAGE_DROP_... macros).
 *
 * What is filtered keeps its birth, execs and end, with the ids and the executable, for those are ancestry, and its
 * moves between cgroups and namespaces: a child has both from its parent, and whoever leaves the filter takes them
 * along, as the first stage of a container's runtime does, while no later record tells of them. It loses detail
 * (arguments, directories, environment, sockets, groups) and every other kind of record.
 */
#ifndef LINEAGE_FILTER_H
#define LINEAGE_FILTER_H

#include "task.h"

#if LINEAGE_DROP_CGROUPS
/* Whether the cgroup (v2) or one above it is named. */
static __always_inline int in_dropped_cgroup(u64 task)
{
	u64 cgroup = word(word(task, LINEAGE_TASK_CGROUPS), LINEAGE_CSS_SET_CGROUP);

	for (int depth = 0; depth < LINEAGE_CGROUP_DEPTH_MAX && cgroup; depth++) {
		u64 id = word(word(cgroup, LINEAGE_CGROUP_KN), LINEAGE_KERNFS_ID), above;

		if (LINEAGE_DROP_CGROUP(id))
			return 1;
		above = word(cgroup + LINEAGE_CGROUP_SELF, LINEAGE_CSS_PARENT);
		cgroup = above ? word(above, LINEAGE_CSS_CGROUP) : 0;
	}
	return 0;
}
#endif

static __always_inline int is_filtered(u64 task)
{
#if LINEAGE_DROP_KERNEL_THREADS
	if (half(task, LINEAGE_TASK_FLAGS) & TASK_IS_KERNEL_THREAD)
		return 1;
#endif
#if LINEAGE_DROP_PID
	if (half(task, LINEAGE_TASK_TGID) == LINEAGE_DROP_PID)
		return 1;
#endif
#if LINEAGE_DROP_UIDS
	{
		u32 uid = half(word(task, LINEAGE_TASK_CRED), LINEAGE_CRED_EUID);

		if (LINEAGE_DROP_UID(uid))
			return 1;
	}
#endif
#if LINEAGE_DROP_INSIDE || LINEAGE_DROP_OUTSIDE
	{
		u64 number[2] = {};
		int inside;

		innermost(number, word(task, LINEAGE_TASK_THREAD_PID));
		inside = half(number[1], LINEAGE_PID_NS_INUM) != LINEAGE_HOST_PID_NS;
		if (inside ? LINEAGE_DROP_INSIDE : LINEAGE_DROP_OUTSIDE)
			return 1;
	}
#endif
#if LINEAGE_DROP_CGROUPS
	if (in_dropped_cgroup(task))
		return 1;
#endif
	return 0;
}

#endif
