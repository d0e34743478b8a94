/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The loader of a program, which the kernel maps beside it and starts in its place (PT_INTERP; mostly ld-linux.so).
 *
 * No probe sees it opened, and no field of a task names it, but it lies in the memory of the process:
 *  - right after an exec nothing is mapped there but the executable and its loader. So whichever other file is found is
 *    it, whatever the headers of the two files say: AT_BASE is 0 for a loader with addresses of its own (ET_EXEC);
 *  - a process that was found running has mapped much since. Its loader lies where the kernel had put it, and told the
 *    process so (AT_BASE of the auxiliary vector); both the process may have changed;
 *  - the memory of another task changes while it is read. What was found counts only if it lies there still afterwards.
 */
#ifndef LINEAGE_LOADER_H
#define LINEAGE_LOADER_H

#include "image.h"

#define IS_KERNEL(address) ((address) >> 63)
#define AT_END 0
#define AT_LOADER 7 /* AT_BASE, include/uapi/linux/auxvec.h */

/*
 * What is mapped of a file on an overlay is the copy of it in a layer; that one's struct file, since 6.7, has the path
 * that was asked for behind itself. Behind any other file lies what is no path: a mount and a dentry of one superblock.
 */
static __always_inline u64 path_of(struct reads *reads, u64 file)
{
#ifdef LINEAGE_BACKING_PATH
	u64 path = file + LINEAGE_BACKING_PATH, mnt, super;

	FETCH(reads->PATH, PATH, path);
	mnt = AT(reads->PATH, PATH, PATH_MNT, u64);
	super = IS_KERNEL(mnt) ? word(mnt, LINEAGE_VFSMOUNT_SB) : 0;
	if (super && super == word(AT(reads->PATH, PATH, PATH_DENTRY, u64), LINEAGE_DENTRY_SB))
		return path;
#endif
	return file + LINEAGE_FILE_PATH;
}

/* struct file of a vm_area_struct, left in `reads`. 0: it has none, or is none of this memory. */
static __always_inline u64 file_of(struct reads *reads, u64 mm, u64 area)
{
	if (!IS_KERNEL(area))
		return 0;
	FETCH(reads->VMA, VMA, area);
	return AT(reads->VMA, VMA, VMA_MM, u64) == mm ? AT(reads->VMA, VMA, VMA_FILE, u64) : 0;
}

/* Whether the vm_area_struct that was read last has this address. */
static __always_inline int is_there(struct reads *reads, u64 address)
{
	return AT(reads->VMA, VMA, VMA_START, u64) <= address && address < AT(reads->VMA, VMA, VMA_END, u64);
}

#ifdef LINEAGE_MM_MAPLE /* since 6.1; Documentation/core-api/maple_tree.rst */
#define LEVELS_MAX 12 /* of a tree of a million areas, each node half full, 9 */
#define LEAVES_MAX 8  /* of at least 8 areas and gaps each */
#define LEAF_PIVOTS ((LINEAGE_LEAF_SLOTS - LINEAGE_LEAF_PIVOTS) / 8)
#define INNER_PIVOTS ((LINEAGE_INNER_SLOTS - LINEAGE_INNER_PIVOTS) / 8)
#define INNER_BYTES (LINEAGE_INNER_SLOTS + 8 * (INNER_PIVOTS + 1))
#define HIGHEST (~0ULL >> 1)
#define NODE_TYPE(entry) ((entry) >> 3 & 0xf)
#define NODE_ADDRESS(entry) ((entry) & ~0xffULL)
#define LEAF 1  /* enum maple_type: maple_leaf_64 */
#define INNER 3 /* maple_arange_64: a memory's tree knows its gaps */

_Static_assert(LINEAGE_LEAF_SLOTS + 8 * (LEAF_PIVOTS + 1) == NODE_BYTES, "struct maple_range_64");

/*
 * Which slot has this address: as many as have a last address (pivot) below it; 0 ends the list early. By arithmetic,
 * the borrow of a subtraction: each branch would be one more way through all levels for the verifier.
 */
static __always_inline u64 slot_of(const u64 *pivots, int count, u64 address)
{
	u64 slot = 0;

#pragma unroll
	for (int number = 0; number < count; number++)
		slot += (~(pivots[number] - 1) & (pivots[number] - address)) >> 63;
	return slot;
}

/* Leaves the leaf that has this address in `reads`, and its first address. 0, or not 0 where the tree is none now. */
static __always_inline int find_leaf(struct reads *reads, u64 mm, u64 address)
{
	u64 entry = word(mm, LINEAGE_MM_MAPLE), *pivots = reads->node + LINEAGE_INNER_PIVOTS / 8, slot;

	reads->first = 0;
	for (int level = 0; level < LEVELS_MAX; level++) {
		if (NODE_TYPE(entry) == LEAF)
			return bpf_probe_read_kernel(reads->node, NODE_BYTES, (void *)NODE_ADDRESS(entry)) != 0;
		if (NODE_TYPE(entry) != INNER || bpf_probe_read_kernel(reads->node, INNER_BYTES, (void *)NODE_ADDRESS(entry)))
			return 1;
		slot = slot_of(pivots, INNER_PIVOTS, address);
		BOUND(slot);
		if (slot > INNER_PIVOTS)
			return 1;
		if (slot)
			reads->first = pivots[slot - 1] + 1;
		entry = reads->node[LINEAGE_INNER_SLOTS / 8 + slot];
	}
	return 1;
}

/* struct path of what is mapped beside the executable; LINEAGE_EXECUTABLE_CUT where there is more than is looked at. */
static __always_inline u64 mapped_beside(struct reads *reads, u64 mm, u64 executable, u32 *flags)
{
	u64 own = word(executable, LINEAGE_FILE_PATH + LINEAGE_PATH_DENTRY), same = executable;
	u64 address = HIGHEST; /* from the end: a loader is mostly the last file */

	for (int leaf = 0; leaf < LEAVES_MAX; leaf++) {
		if (find_leaf(reads, mm, address))
			break;
		for (int slot = LEAF_PIVOTS; slot >= 0; slot--) {
			u64 area = reads->node[LINEAGE_LEAF_SLOTS / 8 + slot], file, path;

			file = IS_KERNEL(area) ? word(area, LINEAGE_VMA_FILE) : 0;
			if (!file || file == same)
				continue;
			path = path_of(reads, file);
			if (word(path, LINEAGE_PATH_DENTRY) == own)
				same = file; /* what is mapped of it, on an overlay */
			else if (file_of(reads, mm, area) == file)
				return path;
		}
		if (!reads->first)
			return 0;
		address = reads->first - 1;
	}
	*flags = LINEAGE_EXECUTABLE_CUT;
	return 0;
}

/* vm_area_struct that may have this address, or anything. */
static __always_inline u64 area_at(struct reads *reads, u64 mm, u64 address)
{
	u64 slot;

	if (find_leaf(reads, mm, address))
		return 0;
	slot = slot_of(reads->node + LINEAGE_LEAF_PIVOTS / 8, LEAF_PIVOTS, address);
	BOUND(slot);
	return slot > LEAF_PIVOTS ? 0 : reads->node[LINEAGE_LEAF_SLOTS / 8 + slot];
}
#else
#define LEVELS_MAX 40 /* of a red-black tree of a million areas */
#define AREAS_MAX 64

static __always_inline u64 mapped_beside(struct reads *reads, u64 mm, u64 executable, u32 *flags)
{
	u64 own = word(executable, LINEAGE_FILE_PATH + LINEAGE_PATH_DENTRY), same = executable;
	u64 area = word(mm, LINEAGE_MM_AREAS), file, path;

	for (int step = 0; step < AREAS_MAX && area; step++) {
		file = file_of(reads, mm, area);
		if (file && file != same) {
			path = path_of(reads, file);
			if (word(path, LINEAGE_PATH_DENTRY) != own)
				return path;
			same = file;
		}
		area = AT(reads->VMA, VMA, VMA_NEXT, u64);
	}
	if (area)
		*flags = LINEAGE_EXECUTABLE_CUT;
	return 0;
}

static __always_inline u64 area_at(struct reads *reads, u64 mm, u64 address)
{
	u64 node = word(mm, LINEAGE_MM_TREE);

	for (int level = 0; level < LEVELS_MAX && node; level++) {
		u64 area = node - LINEAGE_VMA_NODE;

		FETCH(reads->VMA, VMA, area);
		if (is_there(reads, address))
			return area;
		node = address < AT(reads->VMA, VMA, VMA_START, u64) ? word(node, LINEAGE_RB_LEFT) : word(node, LINEAGE_RB_RIGHT);
	}
	return 0;
}
#endif

static __always_inline void tell_loader(struct image *image, struct reads *reads, u64 path, u64 fs)
{
	struct lineage_exec *to = &image->record;

	fill_file(image, reads, &to->loader_file, &to->loader, LINEAGE_LOADER_MAX, path, fs + LINEAGE_FS_ROOT);
}

/* Of a task that has executed something just now, and done nothing since. */
static __always_inline void fill_loader(struct image *image, struct reads *reads, u64 task)
{
	u64 mm = word(task, LINEAGE_TASK_MM), executable = word(mm, LINEAGE_MM_EXE_FILE);
	u64 path = mapped_beside(reads, mm, executable, &image->record.loader_file.flags);

	if (path)
		tell_loader(image, reads, path, word(task, LINEAGE_TASK_FS));
}

/* AT_BASE, 0 without a loader. The vector of a 32-bit program has numbers of 32 bits. */
static __always_inline u64 loader_address(struct reads *reads, u64 mm)
{
	bpf_probe_read_kernel(reads->node, NODE_BYTES, (void *)(mm + LINEAGE_MM_AUXV));
	if (reads->node[0] >> 32) {
		for (int pair = 0; pair < NODE_BYTES / 8; pair++) {
			u32 key = reads->node[pair];

			if (key == AT_END)
				return 0;
			if (key == AT_LOADER)
				return reads->node[pair] >> 32;
		}
		return 0;
	}
	for (int pair = 0; pair < NODE_BYTES / 16; pair++) {
		if (reads->node[2 * pair] == AT_END)
			return 0;
		if (reads->node[2 * pair] == AT_LOADER)
			return reads->node[2 * pair + 1];
	}
	return 0;
}

/* Of a task that was found running. */
static __always_inline void fill_running_loader(struct image *image, struct reads *reads, u64 task)
{
	struct lineage_exec *to = &image->record;
	u64 mm = word(task, LINEAGE_TASK_MM), address = loader_address(reads, mm), area, file, path;
	u64 executable = word(mm, LINEAGE_MM_EXE_FILE), used = image->tail.used;

	if (!mm || !address)
		return;
	area = area_at(reads, mm, address);
	file = file_of(reads, mm, area);
	if (file && is_there(reads, address)) {
		path = path_of(reads, file);
		if (word(path, LINEAGE_PATH_DENTRY) == word(executable, LINEAGE_FILE_PATH + LINEAGE_PATH_DENTRY))
			return;
		tell_loader(image, reads, path, word(task, LINEAGE_TASK_FS));
		if (file_of(reads, mm, area) == file && is_there(reads, address) && word(task, LINEAGE_TASK_MM) == mm)
			return;
	}
	__builtin_memset(&to->loader_file, 0, sizeof(to->loader_file));
	to->loader_file.flags = LINEAGE_EXECUTABLE_CUT;
	to->loader.length = 0;
	image->tail.used = used;
}

#endif
