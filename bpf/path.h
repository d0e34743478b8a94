/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The tail of a record: paths, names of cgroups, groups. See the rules of image.h about `used` and BOUND. */
#ifndef LINEAGE_PATH_H
#define LINEAGE_PATH_H

#include "filter.h"

#define PATH_DEPTH_MAX 128 /* components and mount points on the way to the root */
#define NAME_MAX_BYTES 255
/* filename, executable, working directory; the rest; and then argv, into whose room one string more may reach */
#define BEFORE_ARGS_MAX                                                                                                \
	(3 * LINEAGE_PATH_MAX + LINEAGE_SCRIPT_MAX + LINEAGE_INTERPRETER_MAX + 4 * LINEAGE_GROUPS_MAX +                \
	 LINEAGE_ENVIRONMENT_MAX + LINEAGE_LOADER_MAX)
/*
 * With its record it is the value of a per-CPU map, which the kernel bounds at 32 KiB: there is not the room for all at
 * once. Only where nearly everything before is as long as it may be, argv has less of it.
 */
#define TAIL_BYTES (BEFORE_ARGS_MAX + LINEAGE_ARGS_MAX - LINEAGE_LOADER_MAX)

struct tail {
	u8 bytes[TAIL_BYTES]; /* first: right behind the record, as it is sent */
	u64 used;
	u32 max; /* bytes of the path that is being walked */
	u32 end; /* enum walk_end of the last path: in memory for the same reason as `used` */
};

enum walk_end {
	WALK_ROOT,     /* the root of the process */
	WALK_CUT,      /* deeper or longer than fits */
	WALK_DETACHED, /* the root of a mount that the process's root is not above of */
	WALK_PSEUDO,   /* a name without a file system */
	WALK_NOTHING,
};

/* `at`: where the tail lies in the record. */
static __always_inline void span(struct tail *tail, struct lineage_span *span, u64 at, u64 from)
{
	span->offset = at + from;
	span->length = tail->used - from;
}

/* One component, ended by NUL. 0, or not 0 where there is no room for it. */
static __always_inline int add_name(struct tail *tail, u64 from, u64 name, u64 length)
{
	u64 used = tail->used;

	BOUND(length);
	BOUND(used);
	if (length > NAME_MAX_BYTES || used > BEFORE_ARGS_MAX || used + length + 1 - from > tail->max)
		return 1;
	bpf_probe_read_kernel(tail->bytes + used, length, (void *)name);
	tail->bytes[used + length] = 0;
	tail->used = used + length + 1;
	return 0;
}

/* Appends the components of a struct path leaf first, as events.h says. `end` is WALK_CUT, until it is known better. */
static __always_inline void walk(struct tail *tail, struct reads *reads, u64 path, u64 root)
{
	u64 mnt, dentry, root_mnt, root_dentry, mnt_root, from = tail->used;

	FETCH(reads->PATH, PATH, path);
	mnt = AT(reads->PATH, PATH, PATH_MNT, u64);
	dentry = AT(reads->PATH, PATH, PATH_DENTRY, u64);
	FETCH(reads->PATH, PATH, root);
	root_mnt = AT(reads->PATH, PATH, PATH_MNT, u64);
	root_dentry = AT(reads->PATH, PATH, PATH_DENTRY, u64);
	mnt_root = word(mnt, LINEAGE_VFSMOUNT_ROOT);
	tail->end = dentry ? WALK_CUT : WALK_NOTHING;
	if (!dentry)
		return;
	for (int depth = 0; depth <= PATH_DEPTH_MAX; depth++) { /* the last looks for the root alone, or finds it cut */
		u64 parent;

		if (dentry == root_dentry && mnt == root_mnt) {
			tail->end = WALK_ROOT;
			return;
		}
		if (dentry == mnt_root) {
			u64 mount = mnt - LINEAGE_MOUNT_MNT;

			FETCH(reads->MOUNT, MOUNT, mount);
			parent = AT(reads->MOUNT, MOUNT, MOUNT_PARENT, u64);
			if (parent == mount || !parent) {
				tail->end = WALK_DETACHED;
				return;
			}
			dentry = AT(reads->MOUNT, MOUNT, MOUNT_POINT, u64);
			mnt = parent + LINEAGE_MOUNT_MNT;
			mnt_root = word(mnt, LINEAGE_VFSMOUNT_ROOT);
			continue;
		}
		if (depth == PATH_DEPTH_MAX)
			return;
		FETCH(reads->DENTRY, DENTRY, dentry);
		parent = AT(reads->DENTRY, DENTRY, DENTRY_PARENT, u64);
		if (add_name(tail, from, AT(reads->DENTRY, DENTRY, DENTRY_NAME, u64),
			     AT(reads->DENTRY, DENTRY, DENTRY_NAME_LENGTH, u32)))
			return;
		if (parent == dentry) {
			tail->end = WALK_PSEUDO;
			return;
		}
		dentry = parent;
	}
}

/* The root itself has no component; it is told by a single NUL. */
static __always_inline void mark_root(struct tail *tail, u64 from)
{
	u64 used = tail->used;

	if (used != from)
		return;
	BOUND(used);
	if (used <= BEFORE_ARGS_MAX) {
		tail->bytes[used] = 0;
		tail->used = used + 1;
	}
}

static __always_inline u32 add_path(struct tail *tail, struct lineage_span *to, u64 at, u32 max, struct reads *reads,
				    u64 path, u64 root)
{
	u64 from = tail->used;

	tail->max = max;
	walk(tail, reads, path, root);
	if (tail->end == WALK_ROOT || tail->end == WALK_DETACHED)
		mark_root(tail, from);
	span(tail, to, at, from);
	return tail->end;
}

/* As d_unlinked() has it: off its directory's list, and no root. */
static __always_inline int unlinked(u64 dentry)
{
	return dentry && !word(dentry, LINEAGE_DENTRY_UNHASHED) && word(dentry, LINEAGE_DENTRY_PARENT) != dentry;
}

/* The names of a kernfs_node up to the root of its hierarchy, which has none. Returns flags of the header. */
static __always_inline u32 add_cgroup(struct tail *tail, struct lineage_span *to, u64 at, u64 node)
{
	u64 from = tail->used, parent = 0;

	for (int depth = 0; depth < LINEAGE_CGROUP_DEPTH_MAX; depth++) {
		u64 name = word(node, LINEAGE_KERNFS_NAME), used = tail->used;
		long length;

		parent = word(node, LINEAGE_KERNFS_PARENT);
		BOUND(used);
		if (!parent || used > BEFORE_ARGS_MAX || used + NAME_MAX_BYTES + 1 - from > LINEAGE_PATH_MAX)
			break;
		length = bpf_probe_read_kernel_str(tail->bytes + used, NAME_MAX_BYTES + 1, (void *)name);
		if (length > 0)
			tail->used = used + length;
		node = parent;
	}
	if (parent)
		parent = word(node, LINEAGE_KERNFS_PARENT); /* 0 where the next one up is the root: it has no name */
	mark_root(tail, from);
	span(tail, to, at, from);
	return parent ? LINEAGE_PATH_CUT : 0;
}

/* Supplementary group ids. Returns flags of the header. */
static __always_inline u32 add_groups(struct tail *tail, struct lineage_span *to, u64 at, u64 groups)
{
	u64 from = tail->used, used = from, count = half(groups, LINEAGE_GROUPS_COUNT);
	u32 cut = 0;

	BOUND(count);
	if (count > LINEAGE_GROUPS_MAX) {
		count = LINEAGE_GROUPS_MAX;
		cut = LINEAGE_GROUPS_CUT;
	}
	BOUND(used);
	if (!groups || used > BEFORE_ARGS_MAX)
		return 0;
	if (bpf_probe_read_kernel(tail->bytes + used, 4 * count, (void *)(groups + LINEAGE_GROUPS_GIDS)))
		return 0;
	tail->used = used + 4 * count;
	span(tail, to, at, from);
	return cut;
}

#endif
