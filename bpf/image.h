/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a process runs: struct lineage_exec and its tail, for an exec and for the snapshot.
 *
 * Rules that the verifier sets:
 *  - `used` lives in the map value, not in a register: as an unknown number the states of a loop merge, as a known one
 *    each length of each component is a path of its own, and a million instructions are not enough;
 *  - a bound is checked behind BOUND, else the compiler proves it away and the verifier cannot see it.
 */
#ifndef LINEAGE_IMAGE_H
#define LINEAGE_IMAGE_H

#include "path.h"

#define SOCKET_MODE 0xC000
#define FORMAT_MASK 0xF000
#define OVERLAY_MAGIC 0x794c7630
#define TMPFS_MAGIC 0x01021994
#define HUGETLBFS_MAGIC 0x958458f6
#define NANOSECONDS 1000000000ULL

struct image {
	struct lineage_exec record;
	struct tail tail;
};

/* Where the tail lies in the record that is sent. */
#define TAIL_AT sizeof(struct lineage_exec)

/* The highest bits of the nanoseconds are the kernel's own: whether somebody has asked for the time since (6.13). */
static __always_inline s64 instant(u64 seconds, u32 nanoseconds)
{
	return seconds * NANOSECONDS + (nanoseconds & 0x3fffffff);
}

/* Written inside the container, not part of its image: the inode of an overlay knows its copy in the upper layer. */
static __always_inline int is_upper(u64 inode)
{
	u64 upper = word(inode, LINEAGE_INODE_SIZE); /* struct ovl_inode: the VFS's inode, then __upperdentry */

	return upper && word(upper, LINEAGE_DENTRY_INODE);
}

/* What the kernel keeps files without a name in. */
static __always_inline int is_memory(u32 magic)
{
	return magic == TMPFS_MAGIC || magic == HUGETLBFS_MAGIC;
}

/*
 * What a file is, and its path. What is to be said of that, LINEAGE_EXECUTABLE_..., is put down in `to` at once: kept in
 * a register, each flag would double the ways through the walk of the path for the verifier.
 */
static __always_inline void fill_file(struct image *image, struct reads *reads, struct lineage_file *to,
				      struct lineage_span *name, u32 max, u64 path, u64 root)
{
	u64 dentry = word(path, LINEAGE_PATH_DENTRY), inode = word(dentry, LINEAGE_DENTRY_INODE), super;
	u32 end;

	FETCH(reads->INODE, INODE, inode);
	to->inode = AT(reads->INODE, INODE, INODE_NUMBER, u64);
	to->mode = AT(reads->INODE, INODE, INODE_MODE, u16);
	to->links = AT(reads->INODE, INODE, INODE_LINKS, u32);
	to->modified_ns = instant(AT(reads->INODE, INODE, INODE_MODIFIED, u64), AT(reads->INODE, INODE, INODE_MODIFIED_NS, u32));
	to->changed_ns = instant(AT(reads->INODE, INODE, INODE_CHANGED, u64), AT(reads->INODE, INODE, INODE_CHANGED_NS, u32));
	super = AT(reads->INODE, INODE, INODE_SB, u64);
	FETCH(reads->SB, SB, super);
	to->device = AT(reads->SB, SB, SB_DEV, u32);
	to->flags = AT(reads->SB, SB, SB_MAGIC, u32) == OVERLAY_MAGIC && is_upper(inode) ? LINEAGE_EXECUTABLE_UPPER : 0;
	if (unlinked(dentry))
		to->flags |= LINEAGE_EXECUTABLE_DELETED;
	end = add_path(&image->tail, name, TAIL_AT, max, reads, path, root);
	if (end == WALK_CUT)
		to->flags |= LINEAGE_EXECUTABLE_CUT;
	else if (end == WALK_DETACHED)
		to->flags |= LINEAGE_EXECUTABLE_DETACHED;
	else if (end == WALK_PSEUDO)
		to->flags |= LINEAGE_EXECUTABLE_PSEUDO | (is_memory(AT(reads->SB, SB, SB_MAGIC, u32)) ? LINEAGE_EXECUTABLE_MEMFD : 0);
}

static __always_inline void fill_executable(struct image *image, struct reads *reads, u64 mm, u64 root)
{
	struct lineage_exec *to = &image->record;
	u64 file = word(mm, LINEAGE_MM_EXE_FILE);

	if (!mm || !file)
		return;
	fill_file(image, reads, &to->executable_file, &to->executable, LINEAGE_PATH_MAX, file + LINEAGE_FILE_PATH, root);
	to->header.flags |= to->executable_file.flags;
}

static __always_inline u32 directory_flags(u32 end, u64 path)
{
	return (end == WALK_CUT ? LINEAGE_DIRECTORY_CUT : 0) |
	       (end == WALK_DETACHED || end == WALK_PSEUDO ? LINEAGE_DIRECTORY_DETACHED : 0) |
	       (unlinked(word(path, LINEAGE_PATH_DENTRY)) ? LINEAGE_DIRECTORY_DELETED : 0);
}

static __always_inline void fill_directory(struct image *image, struct reads *reads, u64 fs)
{
	struct lineage_exec *to = &image->record;
	u64 path = fs + LINEAGE_FS_PWD;

	if (fs)
		to->header.flags |= directory_flags(
			add_path(&image->tail, &to->working_directory, TAIL_AT, LINEAGE_PATH_MAX, reads, path, fs + LINEAGE_FS_ROOT), path);
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

#define FIRST_USER_NS 0xEFFFFFFDU /* PROC_USER_INIT_INO, include/linux/proc_ns.h */

/*
 * Root gets its capabilities for being root; anybody else who has more than the ambient ones has them from the file.
 * Who is root in another user namespace is not asked.
 */
static __always_inline int from_file(struct lineage_task *task)
{
	struct lineage_credentials *who = &task->who;

	return who->user_ns == FIRST_USER_NS && who->uid && who->euid && who->cap_permitted & ~who->cap_ambient;
}

/*
 * Everything but filename, argv and environment. `living` is the task itself or, when that one has exited, a thread
 * that lives on. With a filter of the configuration (see filter.h) only what lineages need: ids and executable.
 */
static __always_inline void fill_image(struct image *image, struct reads *reads, u64 task, u64 living)
{
	struct lineage_exec *to = &image->record;
	u64 fs = word(living, LINEAGE_TASK_FS), flags = half(task, LINEAGE_TASK_FLAGS);

	fill_task(&to->task, reads, task, living);
	if (flags & TASK_IS_KERNEL_THREAD)
		to->header.flags |= LINEAGE_KERNEL_THREAD;
	if (is_filtered(task))
		to->header.flags |= LINEAGE_FILTERED;
	if (flags & TASK_IS_KERNEL_THREAD)
		return;
	fill_executable(image, reads, word(living, LINEAGE_TASK_MM), fs + LINEAGE_FS_ROOT);
	if (to->header.flags & LINEAGE_FILTERED)
		return;
	fill_directory(image, reads, fs);
	fill_sockets(image, word(living, LINEAGE_TASK_FILES));
	to->header.flags |= add_groups(&image->tail, &to->groups, TAIL_AT, AT(reads->CRED, CRED, CRED_GROUPS, u64));
}

/* Scratch holds the record before: what is not filled every time is emptied. */
static __always_inline void begin_image(struct image *image, u16 kind)
{
	struct lineage_exec *to = &image->record;

	stamp(&to->header, kind);
	__builtin_memset(&to->old_tid, 0, sizeof(*to) - offsetof(struct lineage_exec, old_tid));
	image->tail.used = 0;
}

/* Bytes of the whole record. */
static __always_inline u64 image_size(struct image *image)
{
	u64 size = TAIL_AT + image->tail.used;

	BOUND(size);
	return size > TAIL_AT + sizeof(image->tail.bytes) ? TAIL_AT : size;
}

#endif
