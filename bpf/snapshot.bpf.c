/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What runs already: one process or thread a call, through the same ring. Attached to nothing: the agent runs it with
 * BPF_PROG_TEST_RUN on the descriptor it holds, for which it needs no privilege since Linux 5.19. For older kernels the
 * same body hangs on a system call that fails, and listens to the agent alone.
 *
 * The kernel's list of processes is a ring. The walk begins and ends at the caller's own process, which cannot vanish
 * under way. Between two calls the task at the cursor may end, and its memory may even become another one: it has to be
 * the same one still, by its start, and still in the list, else the walk begins again.
 */
#include "loader.h"
#include "others.h"

#define TASK_IS_DEAD 0x10 /* EXIT_DEAD: reaped, only its memory is left */

enum snapshot_answer { /* pipeline/sources/ebpf/snapshot.py has the same */
	SNAPSHOT_MORE,
	SNAPSHOT_END,
	SNAPSHOT_BEGIN_AGAIN, /* the cursor was lost */
	SNAPSHOT_FULL,        /* no room in the ring: drain it and ask for the same again */
};

struct cursor {
	u64 first;
	u64 leader;
	u64 leader_start;
	u64 thread; /* the last that was told, the leader to begin with; 0: no more of this process */
	u64 thread_start;
	u64 beginnings; /* how often the walk over the threads of this process has begun */
};

#define THREAD_BEGINNINGS_MAX 16 /* beyond it what is left of them stays untold */

BPF_ARRAY(cursors, struct cursor, 1);
BPF_F_TABLE("array", u32, u64, answers, 2, BPF_F_MMAPABLE); /* the last answer, and how many there were */
BPF_PERCPU_ARRAY(snapshot_reads, struct reads, 1);
BPF_PERCPU_ARRAY(snapshot_scratch, struct image, 1);

/* Whoever inherits orphans: an init of a pid namespace, or a subreaper. kthreadd, pid 2, adopts nobody. */
static __always_inline int is_reaper(u64 leader)
{
	u64 signal = word(leader, LINEAGE_TASK_SIGNAL);

	return innermost_nr(leader) == 1 ||
	       (half(signal, LINEAGE_SIGNAL_SUBREAPER) >> LINEAGE_SIGNAL_SUBREAPER_BIT & 1);
}

static __always_inline int tell_process(u64 task)
{
	u32 zero = 0;
	struct image *image = snapshot_scratch.lookup(&zero);
	struct reads *reads = snapshot_reads.lookup(&zero);
	u64 living = task, signal = word(task, LINEAGE_TASK_SIGNAL), next = word(task, LINEAGE_TASK_THREAD_NODE);
	int ended = half(signal, LINEAGE_SIGNAL_LIVE) == 0;
	int leader_ends = half(task, LINEAGE_TASK_EXIT_STATE) || half(task, LINEAGE_TASK_FLAGS) & TASK_IS_EXITING;

	if (!image || !reads)
		return 0;
	begin_image(image, LINEAGE_RUNNING);
	/* The leader alone has ended, or is about to and has given up its memory: ask the thread after it, if there is one. */
	if (!ended && leader_ends && next != signal + LINEAGE_SIGNAL_THREADS)
		living = next - LINEAGE_TASK_THREAD_NODE;
	fill_image(image, reads, task, living);
	if (!(image->record.header.flags & LINEAGE_FILTERED))
		fill_running_loader(image, reads, living);
	if (ended)
		image->record.header.flags |= half(task, LINEAGE_TASK_EXIT_STATE) ? LINEAGE_ZOMBIE : LINEAGE_ENDING;
	if (is_reaper(leader_of(word(task, LINEAGE_TASK_REAL_PARENT))))
		image->record.header.flags |= LINEAGE_PARENT_REAPER;
	return try_to_send(&image->record.header, image_size(image));
}

static __always_inline int tell_thread(u64 task)
{
	struct lineage_thread record = {};

	if (half(task, LINEAGE_TASK_EXIT_STATE) || is_filtered(task))
		return 0;
	stamp(&record.header, LINEAGE_THREAD_RUNNING);
	fill_thread(&record, task);
	return try_to_send(&record.header, sizeof(record));
}

/* Whether a task is still the one it was, and still in the list that `link` is its place in. */
static __always_inline int is_still(u64 task, u64 start, u64 link)
{
	return start_of(task) == start && word(word(link, 8), 0) == link;
}

/* The next thread of the process at the cursor, if there is one, else 0. */
static __always_inline u64 next_thread(struct cursor *cursor)
{
	u64 head = word(cursor->leader, LINEAGE_TASK_SIGNAL) + LINEAGE_SIGNAL_THREADS, from = cursor->thread, next;

	if (!from)
		return 0;
	if (!is_still(from, cursor->thread_start, from + LINEAGE_TASK_THREAD_NODE)) {
		if (cursor->beginnings > THREAD_BEGINNINGS_MAX)
			return 0;
		cursor->beginnings++;
		from = cursor->leader; /* a thread told twice is one thread */
	}
	next = word(from, LINEAGE_TASK_THREAD_NODE);
	return next == head ? 0 : next - LINEAGE_TASK_THREAD_NODE;
}

static __always_inline enum snapshot_answer step(u64 begin)
{
	u32 zero = 0;
	struct cursor *cursor = cursors.lookup(&zero);
	u64 task, thread, node;

	if (!cursor)
		return SNAPSHOT_END;
	if (begin) {
		task = leader_of(bpf_get_current_task());
		cursor->first = task;
	} else {
		node = cursor->leader + LINEAGE_TASK_TASKS;
		if (!is_still(cursor->leader, cursor->leader_start, node))
			return SNAPSHOT_BEGIN_AGAIN;
		thread = next_thread(cursor);
		if (thread) {
			if (thread != cursor->leader && tell_thread(thread))
				return SNAPSHOT_FULL;
			cursor->thread = thread;
			cursor->thread_start = start_of(thread);
			return SNAPSHOT_MORE;
		}
		task = word(node, 0) - LINEAGE_TASK_TASKS;
		if (task == cursor->first)
			return SNAPSHOT_END;
	}
	/* pid 0 is the idle task, head of the list */
	if (half(task, LINEAGE_TASK_TGID) && half(task, LINEAGE_TASK_EXIT_STATE) != TASK_IS_DEAD && tell_process(task))
		return SNAPSHOT_FULL;
	cursor->leader = task;
	cursor->leader_start = start_of(task);
	cursor->thread = half(task, LINEAGE_TASK_TGID) ? task : 0;
	cursor->thread_start = cursor->leader_start;
	cursor->beginnings = 0;
	return SNAPSHOT_MORE;
}

/* args[0]: 0 to begin, anything else to go on. Returns enum snapshot_answer. */
int on_snapshot(struct bpf_raw_tracepoint_args *ctx)
{
	return step(!ctx->args[0]);
}

/* getpriority(LINEAGE_SNAPSHOT_CALL, 0 or 1), which no kernel understands, from the agent alone. */
int on_snapshot_call(struct call_begin *ctx)
{
	u32 zero = 0, one = 1;
	u64 *answer = answers.lookup(&zero), *count = answers.lookup(&one);

	if (bpf_get_current_pid_tgid() >> 32 != LINEAGE_AGENT_PID || ctx->arguments[0] != LINEAGE_SNAPSHOT_CALL || !answer || !count)
		return 0;
	*answer = step(!ctx->arguments[1]);
	++*count;
	return 0;
}
