/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What runs already: one process a call, through the same ring. Loaded as a raw tracepoint program and attached to
 * none: the agent runs it with BPF_PROG_TEST_RUN on the descriptor it holds, for which it needs no privilege.
 *
 * The kernel's list of processes is a ring. The walk begins and ends at the caller's own process, which cannot vanish
 * under way. Between two calls the process at the cursor may end, and its memory may even become another process: it
 * has to be the same one still, by its start, and still in the list, else the walk begins again.
 */
#include "image.h"

#define TASK_IS_DEAD 0x10 /* EXIT_DEAD: reaped, only its memory is left */

enum snapshot_answer { /* pipeline/sources/ebpf/snapshot.py has the same */
	SNAPSHOT_MORE,
	SNAPSHOT_END,
	SNAPSHOT_BEGIN_AGAIN, /* the cursor was lost */
	SNAPSHOT_FULL,        /* no room in the ring: drain it and ask for the same again */
};

struct cursor {
	u64 first;
	u64 task;
	u64 start;
};

BPF_ARRAY(cursors, struct cursor, 1);
BPF_PERCPU_ARRAY(snapshot_scratch, struct image, 1);

/* Whoever inherits orphans: an init of a pid namespace, or a subreaper. kthreadd, pid 2, adopts nobody. */
static __always_inline int is_reaper(u64 leader)
{
	u64 signal = word(leader, LINEAGE_TASK_SIGNAL);

	return innermost_nr(leader) == 1 ||
	       (half(signal, LINEAGE_SIGNAL_SUBREAPER) >> LINEAGE_SIGNAL_SUBREAPER_BIT & 1);
}

static __always_inline int tell(u64 task)
{
	u32 zero = 0;
	struct image *image = snapshot_scratch.lookup(&zero);
	u64 living = task, signal = word(task, LINEAGE_TASK_SIGNAL);
	int ended = half(signal, LINEAGE_SIGNAL_LIVE) == 0;

	if (!image)
		return 0;
	begin_image(image, LINEAGE_RUNNING);
	if (!ended && half(task, LINEAGE_TASK_EXIT_STATE)) /* the leader alone has ended: ask the thread after it */
		living = word(task, LINEAGE_TASK_THREAD_NODE) - LINEAGE_TASK_THREAD_NODE;
	fill_image(image, task, living);
	if (ended)
		image->record.header.flags |= LINEAGE_ZOMBIE;
	if (is_reaper(leader_of(word(task, LINEAGE_TASK_REAL_PARENT))))
		image->record.header.flags |= LINEAGE_PARENT_REAPER;
	return send_image(image);
}

/* args[0]: 0 to begin, anything else to go on. Returns enum snapshot_answer. */
int on_snapshot(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	struct cursor *cursor = cursors.lookup(&zero);
	u64 task, node;

	if (!cursor)
		return SNAPSHOT_END;
	if (!ctx->args[0]) {
		task = leader_of(bpf_get_current_task());
		cursor->first = task;
	} else {
		node = cursor->task + LINEAGE_TASK_TASKS;
		if (start_of(cursor->task) != cursor->start || word(word(node, 8), 0) != node)
			return SNAPSHOT_BEGIN_AGAIN;
		task = word(node, 0) - LINEAGE_TASK_TASKS;
		if (task == cursor->first)
			return SNAPSHOT_END;
	}
	/* pid 0 is the idle task, head of the list */
	if (half(task, LINEAGE_TASK_TGID) && half(task, LINEAGE_TASK_EXIT_STATE) != TASK_IS_DEAD && tell(task))
		return SNAPSHOT_FULL;
	cursor->task = task;
	cursor->start = start_of(task);
	return SNAPSHOT_MORE;
}
