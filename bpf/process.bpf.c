/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Births, execs and ends, from three raw tracepoints.
 *
 * Rules:
 *  - the birth parent is the first argument of sched_process_fork, the caller of fork or clone. It is taken nowhere
 *    else: posix_spawn and vfork let the parent go before sched_process_exec, and by then it may be gone;
 *  - which arguments a tracepoint has is read from BTF, not from a version (sched_process_exit got a second one).
 */
#include "image.h"

BPF_PERCPU_ARRAY(exec_scratch, struct image, 1);

static __always_inline void thread_record(u16 kind, u64 task, u64 birth)
{
	struct lineage_thread record = {};

	stamp(&record.header, kind);
	record.pid = half(task, LINEAGE_TASK_TGID);
	record.tid = half(task, LINEAGE_TASK_PID);
	record.start_ns = start_of(leader_of(task));
	record.thread_start_ns = start_of(task);
	record.ns_tid = innermost_nr(task);
	record.birth_tid = birth ? half(birth, LINEAGE_TASK_PID) : 0;
	bpf_probe_read_kernel(record.comm, sizeof(record.comm), (void *)(task + LINEAGE_TASK_COMM));
	if (send(&record.header, sizeof(record)))
		count_lost(kind);
}

/* TP_PROTO(struct task_struct *parent, struct task_struct *child) */
int on_fork(struct bpf_raw_tracepoint_args *ctx)
{
	u64 birth = ctx->args[0], child = ctx->args[1];
	struct lineage_fork record = {};

	if (half(child, LINEAGE_TASK_PID) != half(child, LINEAGE_TASK_TGID)) {
		thread_record(LINEAGE_THREAD_START, child, birth);
		return 0;
	}
	stamp(&record.header, LINEAGE_FORK);
	fill_task(&record.child, child, child);
	record.birth_pid = half(birth, LINEAGE_TASK_TGID);
	record.birth_tid = half(birth, LINEAGE_TASK_PID);
	record.birth_start_ns = start_of(leader_of(birth));
	if (half(child, LINEAGE_TASK_FLAGS) & TASK_IS_KERNEL_THREAD)
		record.header.flags |= LINEAGE_KERNEL_THREAD;
	if (send(&record.header, sizeof(record)))
		count_lost(LINEAGE_FORK);
	return 0;
}

static __always_inline void fill_filename(struct image *image, u64 bprm)
{
	u64 filename = word(bprm, LINEAGE_BPRM_FILENAME);
	long length = bpf_probe_read_kernel_str(image->tail, LINEAGE_PATH_MAX, (void *)filename);

	if (length <= 1)
		return;
	image->used = length - 1; /* without its NUL */
	span(image, &image->record.filename, 0);
	if (length == LINEAGE_PATH_MAX && (half(filename, LINEAGE_PATH_MAX - 1) & 0xff))
		image->record.header.flags |= LINEAGE_FILENAME_CUT;
}

static __always_inline void fill_args(struct image *image, u64 mm)
{
	struct lineage_exec *to = &image->record;
	u64 start = word(mm, LINEAGE_MM_ARG_START), from = image->used, used = from;
	u64 length = word(mm, LINEAGE_MM_ARG_END) - start;

	to->args_total = length;
	BOUND(length);
	if (length > LINEAGE_ARGS_MAX) {
		length = LINEAGE_ARGS_MAX;
		to->header.flags |= LINEAGE_ARGS_CUT;
	}
	BOUND(used);
	if (used > BEFORE_ARGS_MAX)
		return;
	if (bpf_probe_read_user(image->tail + used, length, (void *)start)) {
		to->header.flags |= LINEAGE_ARGS_FAULT;
		return;
	}
	image->used = used + length;
	span(image, &to->args, from);
}

/* TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm) */
int on_exec(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = ctx->args[0], bprm = ctx->args[2];
	u32 zero = 0;
	struct image *image = exec_scratch.lookup(&zero);

	if (!image)
		return 0;
	begin_image(image, LINEAGE_EXEC);
	image->record.old_tid = ctx->args[1];
	fill_filename(image, bprm);
	fill_image(image, task, task);
	fill_args(image, word(task, LINEAGE_TASK_MM));
	if (send_image(image))
		count_lost(LINEAGE_EXEC);
	return 0;
}

#if LINEAGE_EXIT_ARGUMENTS < 2
/*
 * Of threads that end at once each finds that nobody is left. The one that gets its process in here first is the last;
 * old entries make room by themselves.
 */
struct ended {
	u64 pid, start_ns;
};
BPF_TABLE("lru_hash", struct ended, u8, ended_processes, 1024);
#define ALREADY_THERE (-17) /* -EEXIST */

static __always_inline int is_last_thread(u64 task, u64 signal)
{
	struct ended ended = {};
	u8 value = 1;

	if (half(signal, LINEAGE_SIGNAL_LIVE))
		return 0;
	ended.pid = half(task, LINEAGE_TASK_TGID);
	ended.start_ns = start_of(leader_of(task));
	return ended_processes.insert(&ended, &value) != ALREADY_THERE;
}
#endif

/* TP_PROTO(struct task_struct *p, bool group_dead), the second since 6.16 only */
int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = ctx->args[0], signal = word(task, LINEAGE_TASK_SIGNAL);
#if LINEAGE_EXIT_ARGUMENTS > 1
	int group_dead = (u8)ctx->args[1];
#else
	int group_dead = is_last_thread(task, signal);
#endif
	struct lineage_exit record = {};
	u32 status;

	if (!group_dead) {
		thread_record(LINEAGE_THREAD_END, task, 0);
		return 0;
	}
	stamp(&record.header, LINEAGE_EXIT);
	fill_task(&record.task, task, task);
	if (half(signal, LINEAGE_SIGNAL_FLAGS) & SIGNAL_IS_GROUP_EXIT)
		status = half(signal, LINEAGE_SIGNAL_EXIT_CODE);
	else
		status = half(leader_of(task), LINEAGE_TASK_EXIT_CODE);
	record.status = status & ~0x80;
	if (status & 0x80)
		record.header.flags |= LINEAGE_CORE_DUMPED;
	if (half(task, LINEAGE_TASK_FLAGS) & TASK_IS_KERNEL_THREAD)
		record.header.flags |= LINEAGE_KERNEL_THREAD;
	if (send(&record.header, sizeof(record)))
		count_lost(LINEAGE_EXIT);
	return 0;
}
