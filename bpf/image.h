/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a process runs: struct lineage_exec and its tail, for an exec and for the snapshot.
 *
 * Rules that the verifier sets:
 *  - `used` lives in the map value, not in a register: as an unknown number the states of a loop merge, as a known one
 *    each length of each component is a path of its own, and a million instructions are not enough;
 *  - a bound is checked behind an empty asm statement, else the compiler proves it away and the verifier cannot see it.
 */
#ifndef LINEAGE_IMAGE_H
#define LINEAGE_IMAGE_H

#include "task.h"

#define PATH_DEPTH_MAX 128 /* components and mount points on the way to the root */
#define NAME_MAX_BYTES 255
#define BEFORE_ARGS_MAX (3 * LINEAGE_PATH_MAX + 4 * LINEAGE_GROUPS_MAX)
#define SOCKET_MODE 0xC000
#define FORMAT_MASK 0xF000

struct image {
	struct lineage_exec record;
	u8 tail[BEFORE_ARGS_MAX + LINEAGE_ARGS_MAX + NAME_MAX_BYTES + 1];
	u64 used; /* bytes of the tail */
};

#define BOUND(number) asm volatile("" : "+r"(number))

enum walk_end {
	WALK_ROOT,     /* the root of the process */
	WALK_CUT,      /* deeper or longer than fits */
	WALK_DETACHED, /* the root of a mount that the process's root is not above of */
	WALK_PSEUDO,   /* a name without a file system */
	WALK_NOTHING,
};

static __always_inline void span(struct image *image, struct lineage_span *span, u64 from)
{
	span->offset = sizeof(struct lineage_exec) + from;
	span->length = image->used - from;
}

/* Appends the components of a struct path leaf first, as events.h says, and tells how the walk ended. */
static __always_inline enum walk_end walk(struct image *image, u64 path, u64 root)
{
	u64 mnt = word(path, LINEAGE_PATH_MNT), dentry = word(path, LINEAGE_PATH_DENTRY);
	u64 root_mnt = word(root, LINEAGE_PATH_MNT), root_dentry = word(root, LINEAGE_PATH_DENTRY);
	u64 mnt_root = word(mnt, LINEAGE_VFSMOUNT_ROOT);
	u64 from = image->used;

	if (!dentry)
		return WALK_NOTHING;
	for (int depth = 0; depth < PATH_DEPTH_MAX; depth++) {
		u64 used, length, parent;

		if (dentry == root_dentry && mnt == root_mnt)
			return WALK_ROOT;
		if (dentry == mnt_root) {
			u64 mount = mnt - LINEAGE_MOUNT_MNT;

			parent = word(mount, LINEAGE_MOUNT_PARENT);
			if (parent == mount || !parent)
				return WALK_DETACHED;
			dentry = word(mount, LINEAGE_MOUNT_POINT);
			mnt = parent + LINEAGE_MOUNT_MNT;
			mnt_root = word(mnt, LINEAGE_VFSMOUNT_ROOT);
			continue;
		}
		parent = word(dentry, LINEAGE_DENTRY_PARENT);
		length = half(dentry, LINEAGE_DENTRY_NAME_LENGTH);
		used = image->used;
		BOUND(length);
		BOUND(used);
		if (length > NAME_MAX_BYTES || used > BEFORE_ARGS_MAX || used + length + 1 - from > LINEAGE_PATH_MAX)
			return WALK_CUT;
		bpf_probe_read_kernel(image->tail + used, length, (void *)word(dentry, LINEAGE_DENTRY_NAME));
		image->tail[used + length] = 0;
		image->used = used + length + 1;
		if (parent == dentry)
			return WALK_PSEUDO;
		dentry = parent;
	}
	return WALK_CUT;
}

/* The root itself has no component; it is told by a single NUL. */
static __always_inline void mark_root(struct image *image, u64 from, enum walk_end end)
{
	u64 used = image->used;

	BOUND(used);
	if (used == from && (end == WALK_ROOT || end == WALK_DETACHED) && used <= BEFORE_ARGS_MAX) {
		image->tail[used] = 0;
		image->used = used + 1;
	}
}

/* As d_unlinked() has it: off its directory's list, and no root. */
static __always_inline int unlinked(u64 path)
{
	u64 dentry = word(path, LINEAGE_PATH_DENTRY);

	return dentry && !word(dentry, LINEAGE_DENTRY_UNHASHED) && word(dentry, LINEAGE_DENTRY_PARENT) != dentry;
}

static __always_inline void fill_executable(struct image *image, u64 mm, u64 root)
{
	struct lineage_exec *to = &image->record;
	u64 file = word(mm, LINEAGE_MM_EXE_FILE), from = image->used, inode;
	enum walk_end end;

	if (!mm || !file)
		return;
	inode = word(file, LINEAGE_FILE_INODE);
	to->inode = word(inode, LINEAGE_INODE_NUMBER);
	to->mode = half(inode, LINEAGE_INODE_MODE) & 0xffff; /* umode_t is 16 bits wide */
	to->device = half(word(inode, LINEAGE_INODE_SB), LINEAGE_SB_DEV);
	end = walk(image, file + LINEAGE_FILE_PATH, root);
	mark_root(image, from, end);
	span(image, &to->executable, from);
	if (end == WALK_CUT)
		to->header.flags |= LINEAGE_EXECUTABLE_CUT;
	else if (end == WALK_PSEUDO)
		to->header.flags |= LINEAGE_EXECUTABLE_PSEUDO;
	else if (end == WALK_DETACHED)
		to->header.flags |= LINEAGE_EXECUTABLE_DETACHED;
	if (unlinked(file + LINEAGE_FILE_PATH))
		to->header.flags |= LINEAGE_EXECUTABLE_DELETED;
}

static __always_inline void fill_directory(struct image *image, u64 fs)
{
	struct lineage_exec *to = &image->record;
	u64 from = image->used;
	enum walk_end end;

	if (!fs)
		return;
	end = walk(image, fs + LINEAGE_FS_PWD, fs + LINEAGE_FS_ROOT);
	mark_root(image, from, end);
	span(image, &to->working_directory, from);
	if (end == WALK_CUT)
		to->header.flags |= LINEAGE_DIRECTORY_CUT;
	else if (end == WALK_DETACHED || end == WALK_PSEUDO)
		to->header.flags |= LINEAGE_DIRECTORY_DETACHED;
	if (unlinked(fs + LINEAGE_FS_PWD))
		to->header.flags |= LINEAGE_DIRECTORY_DELETED;
}

static __always_inline void fill_groups(struct image *image, u64 cred)
{
	u64 groups = word(cred, LINEAGE_CRED_GROUPS), from = image->used, used = from;
	u64 count = half(groups, LINEAGE_GROUPS_COUNT);

	BOUND(count);
	if (count > LINEAGE_GROUPS_MAX) {
		count = LINEAGE_GROUPS_MAX;
		image->record.header.flags |= LINEAGE_GROUPS_CUT;
	}
	BOUND(used);
	if (!groups || used > BEFORE_ARGS_MAX)
		return;
	if (bpf_probe_read_kernel(image->tail + used, 4 * count, (void *)(groups + LINEAGE_GROUPS_GIDS)))
		return;
	image->used = used + 4 * count;
	span(image, &image->record.groups, from);
}

static __always_inline void fill_sockets(struct image *image, u64 files)
{
	u64 table = word(files, LINEAGE_FILES_TABLE), file[3] = {};

	if (!files || half(table, LINEAGE_FDTABLE_MAX) < 3)
		return;
	bpf_probe_read_kernel(file, sizeof(file), (void *)word(table, LINEAGE_FDTABLE_FD));
#pragma unroll
	for (int number = 0; number < 3; number++) {
		u32 mode = file[number] ? half(word(file[number], LINEAGE_FILE_INODE), LINEAGE_INODE_MODE) : 0;

		if ((mode & FORMAT_MASK) == SOCKET_MODE)
			image->record.header.flags |= LINEAGE_STDIN_SOCKET << number;
	}
}

/* Everything but filename and argv. `living` is the task itself or, when that one has exited, a thread that lives on. */
static __always_inline void fill_image(struct image *image, u64 task, u64 living)
{
	struct lineage_exec *to = &image->record;
	u64 fs = word(living, LINEAGE_TASK_FS), cred = word(task, LINEAGE_TASK_CRED);

	fill_task(&to->task, task, living);
	if (half(task, LINEAGE_TASK_FLAGS) & TASK_IS_KERNEL_THREAD) {
		to->header.flags |= LINEAGE_KERNEL_THREAD;
	} else {
		fill_executable(image, word(living, LINEAGE_TASK_MM), fs + LINEAGE_FS_ROOT);
		fill_directory(image, fs);
		fill_sockets(image, word(living, LINEAGE_TASK_FILES));
	}
	fill_groups(image, cred);
}

/* Scratch holds the record before: what is not filled every time is emptied. */
static __always_inline void begin_image(struct image *image, u16 kind)
{
	struct lineage_exec *to = &image->record;

	stamp(&to->header, kind);
	to->old_tid = to->pad = to->device = to->mode = 0;
	to->args_total = to->inode = 0;
	__builtin_memset(&to->filename, 0, 5 * sizeof(struct lineage_span));
	image->used = 0;
}

/* 0, or not 0 when the ring is full. */
static __always_inline int send_image(struct image *image)
{
	u64 size = sizeof(struct lineage_exec) + image->used;

	BOUND(size);
	if (size > sizeof(struct lineage_exec) + sizeof(image->tail))
		size = sizeof(struct lineage_exec);
	return send(&image->record.header, size);
}

#endif
