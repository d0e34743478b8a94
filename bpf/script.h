/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A script's own file, which an exec has opened and put away again before it is told.
 *
 * What a task puts away (fput) is closed when it goes back to user space, and until then hangs in its list of work. The
 * exec is told before that. In that list the script is the oldest file that was opened to be executed: a script that
 * is interpreted by another one was put away before it, and files that close on exec were opened otherwise. A work that
 * is no file cannot be mistaken for one: what would be its inode is no regular file then.
 */
#ifndef LINEAGE_SCRIPT_H
#define LINEAGE_SCRIPT_H

#include "image.h"

#define WORKS_MAX 128
#define OPENED_TO_EXECUTE 0x20 /* __FMODE_EXEC, include/linux/fs.h; in f_flags */
#define REGULAR_MODE 0x8000

/* struct file of the script; 0: not found, and LINEAGE_SCRIPT_CUT where there was more than is looked at. */
static __always_inline u64 script_of(u64 task, u32 *flags)
{
	u64 work = word(task, LINEAGE_TASK_WORKS), script = 0;

	for (int step = 0; step < WORKS_MAX && work; step++) {
		u64 file = work - LINEAGE_FILE_WORK;

		if (half(file, LINEAGE_FILE_FLAGS) & OPENED_TO_EXECUTE &&
		    (half(word(file, LINEAGE_FILE_INODE), LINEAGE_INODE_MODE) & FORMAT_MASK) == REGULAR_MODE)
			script = file;
		work = word(work, 0); /* struct callback_head: next, func */
	}
	if (work) { /* an older one may be it: none is guessed */
		*flags |= LINEAGE_SCRIPT_CUT;
		return 0;
	}
	return script;
}

static __always_inline void fill_script(struct image *image, struct reads *reads, u64 task)
{
	struct lineage_exec *to = &image->record;
	u64 file = script_of(task, &to->header.flags);

	if (!file)
		return;
	fill_file(image, reads, &to->script_file, &to->script, LINEAGE_SCRIPT_MAX, file + LINEAGE_FILE_PATH,
		  word(task, LINEAGE_TASK_FS) + LINEAGE_FS_ROOT);
	if (to->script_file.flags & LINEAGE_EXECUTABLE_CUT)
		to->header.flags |= LINEAGE_SCRIPT_CUT;
}

#endif
