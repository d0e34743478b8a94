/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Births, execs and ends, of processes and of threads, from three raw tracepoints.
 *
 * Rules:
 *  - the birth parent is the first argument of sched_process_fork, the caller of fork or clone. It is taken nowhere
 *    else: posix_spawn and vfork let the parent go before sched_process_exec, and by then it may be gone;
 *  - nobody tells of an adoption. The end of a process tells who adopts its children, found as the kernel finds it right
 *    after (find_new_reaper in kernel/exit.c);
 *  - a birth and an exec tell namespaces and cgroup too where they are not those that are known: the parent's, and
 *    those from before. Most often they are, and to find that out costs a read or two of a birth and one of an exec;
 *  - which arguments a tracepoint has is read from BTF, not from a version (sched_process_exit got a second one).
 */
#include "environment.h"
#include "loader.h"
#include "others.h"
#include "script.h"

BPF_PERCPU_ARRAY(fork_reads, struct reads, 1);
BPF_PERCPU_ARRAY(exec_reads, struct reads, 1);
BPF_PERCPU_ARRAY(exit_reads, struct reads, 1);
BPF_PERCPU_ARRAY(exec_scratch, struct image, 1);
BPF_PERCPU_ARRAY(fork_cgroup_scratch, struct cgroup_record, 1);
BPF_PERCPU_ARRAY(fork_namespaces, struct lineage_change, 1);
BPF_PERCPU_ARRAY(exec_namespaces, struct lineage_change, 1);

static __always_inline void send_thread(u16 kind, u64 task, u64 birth)
{
	struct lineage_thread record = {};

	if (is_filtered(task))
		return;
	stamp(&record.header, kind);
	fill_thread(&record, task);
	record.birth_tid = birth ? half(birth, LINEAGE_TASK_PID) : 0;
	send(&record.header, sizeof(record));
}

/* CLONE_INTO_CGROUP: the one way into a cgroup that sched_process_fork alone tells of. */
static __always_inline void tell_other_cgroup(u64 birth, u64 child)
{
	u64 cgroups = word(child, LINEAGE_TASK_CGROUPS);
	u32 zero = 0;
	struct cgroup_record *scratch;

	if (cgroups == word(birth, LINEAGE_TASK_CGROUPS))
		return;
	scratch = fork_cgroup_scratch.lookup(&zero);
	if (scratch)
		send_cgroup(scratch, child, word(cgroups, LINEAGE_CSS_SET_CGROUP));
}

/*
 * Namespaces made with the child (CLONE_NEW...), a time namespace that waited for it, and those of a thread that went
 * its own way: what is known of the parent are its leader's. `reads` are those of the child.
 */
static __always_inline void tell_other_namespaces(struct lineage_task *child, struct reads *reads, u64 leader)
{
	u32 zero = 0;
	struct lineage_change *scratch;

	if (AT(reads->TASK, TASK, TASK_NSPROXY, u64) == word(leader, LINEAGE_TASK_NSPROXY))
		return;
	scratch = fork_namespaces.lookup(&zero);
	if (!scratch)
		return;
	scratch->task = *child;
	send_namespaces(scratch, reads);
}

/* TP_PROTO(struct task_struct *parent, struct task_struct *child) */
int on_fork(struct bpf_raw_tracepoint_args *ctx)
{
	u64 birth = ctx->args[0], child = ctx->args[1];
	struct lineage_fork record = {};
	u32 zero = 0;
	struct reads *reads = fork_reads.lookup(&zero);

	if (half(child, LINEAGE_TASK_PID) != half(child, LINEAGE_TASK_TGID)) {
		send_thread(LINEAGE_THREAD_START, child, birth);
		return 0;
	}
	if (!reads)
		return 0;
	stamp(&record.header, LINEAGE_FORK);
	fill_task(&record.child, reads, child, child);
	record.birth_pid = half(birth, LINEAGE_TASK_TGID);
	record.birth_tid = half(birth, LINEAGE_TASK_PID);
	record.birth_start_ns = record.birth_pid == record.child.parent_pid ? record.child.parent_start_ns
									    : start_of(leader_of(birth));
	if (half(child, LINEAGE_TASK_FLAGS) & TASK_IS_KERNEL_THREAD)
		record.header.flags |= LINEAGE_KERNEL_THREAD;
	if (is_filtered(child))
		record.header.flags |= LINEAGE_FILTERED;
	send(&record.header, sizeof(record));
	tell_other_namespaces(&record.child, reads, record.birth_tid == record.birth_pid ? birth : leader_of(birth));
	tell_other_cgroup(birth, child);
	return 0;
}

/* What is to be said of the executable that its file does not show. */
static __always_inline void mark_executable(struct image *image, u32 flag)
{
	image->record.header.flags |= flag;
	image->record.executable_file.flags |= flag;
}

static __always_inline void fill_filename(struct image *image, u64 filename)
{
	long length = bpf_probe_read_kernel_str(image->tail.bytes, LINEAGE_PATH_MAX, (void *)filename);

	if (length <= 1)
		return;
	image->tail.used = length - 1; /* without its NUL */
	span(&image->tail, &image->record.filename, TAIL_AT, 0);
	if (length == LINEAGE_PATH_MAX && (half(filename, LINEAGE_PATH_MAX - 1) & 0xff))
		image->record.header.flags |= LINEAGE_FILENAME_CUT;
}

/* Of `#!` the kernel keeps the interpreter's name; of several, the last. */
static __always_inline void fill_interpreter(struct image *image, u64 interpreter)
{
	u64 from = image->tail.used, used = from;
	long length;

	BOUND(used);
	if (used > BEFORE_ARGS_MAX)
		return;
	length = bpf_probe_read_kernel_str(image->tail.bytes + used, LINEAGE_INTERPRETER_MAX, (void *)interpreter);
	if (length <= 1)
		return;
	image->tail.used = used + length - 1;
	span(&image->tail, &image->record.interpreter, TAIL_AT, from);
	mark_executable(image, LINEAGE_SCRIPT);
	if (length == LINEAGE_INTERPRETER_MAX && (half(interpreter, LINEAGE_INTERPRETER_MAX - 1) & 0xff))
		image->record.header.flags |= LINEAGE_INTERPRETER_CUT;
}

static __always_inline void fill_args(struct image *image, u64 mm)
{
	struct lineage_exec *to = &image->record;
	u64 start = word(mm, LINEAGE_MM_ARG_START), from = image->tail.used, used = from;
	u64 length = word(mm, LINEAGE_MM_ARG_END) - start, max = LINEAGE_ARGS_MAX;

	to->args_total = length;
	BOUND(length);
	BOUND(used);
	if (used > BEFORE_ARGS_MAX)
		return;
	if (used > TAIL_BYTES - LINEAGE_ARGS_MAX)
		max = LINEAGE_ARGS_MAX - LINEAGE_LOADER_MAX;
	if (length > max) {
		length = max;
		to->header.flags |= LINEAGE_ARGS_CUT;
	}
	if (bpf_probe_read_user(image->tail.bytes + used, length, (void *)start)) {
		to->header.flags |= LINEAGE_ARGS_FAULT;
		return;
	}
	image->tail.used = used + length;
	span(&image->tail, &to->args, TAIL_AT, from);
}

#define FIRST_TIME_NS 0xEFFFFFFAU /* PROC_TIME_INIT_INO, include/linux/proc_ns.h */

/*
 * A thread other than the leader brings its own. And an exec enters the time namespace that was made for the next
 * child: whoever is in another than the host's may have come there just now.
 */
static __always_inline void tell_new_namespaces(struct image *image, struct reads *reads)
{
	u64 time = AT(reads->NSPROXY, NSPROXY, NSPROXY_TIME, u64);
	u32 zero = 0;
	struct lineage_change *scratch;

	if (image->record.old_tid == image->record.task.pid &&
	    (!time || half(time, LINEAGE_TIME_NS_INUM) == FIRST_TIME_NS))
		return;
	scratch = exec_namespaces.lookup(&zero);
	if (!scratch)
		return;
	scratch->task = image->record.task;
	send_namespaces(scratch, reads);
}

/* TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm) */
int on_exec(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = ctx->args[0], bprm = ctx->args[2], filename, interpreter;
	u32 zero = 0;
	struct image *image = exec_scratch.lookup(&zero);
	struct reads *reads = exec_reads.lookup(&zero);

	if (!image || !reads)
		return 0;
	begin_image(image, LINEAGE_EXEC);
	image->record.old_tid = ctx->args[1];
	filename = word(bprm, LINEAGE_BPRM_FILENAME);
	interpreter = word(bprm, LINEAGE_BPRM_INTERP);
	fill_filename(image, filename);
	if (!is_filtered(task)) /* before the paths: their many ways to end would each be verified through the whole loop */
		fill_environment(image, bprm, word(task, LINEAGE_TASK_MM));
	fill_image(image, reads, task, task);
	if (from_file(&image->record.task))
		mark_executable(image, LINEAGE_FILE_CAPABILITIES);
	if (!(image->record.header.flags & LINEAGE_FILTERED)) {
		fill_loader(image, reads, task);
		if (interpreter != filename) {
			fill_interpreter(image, interpreter);
			fill_script(image, reads, task);
		}
		fill_args(image, word(task, LINEAGE_TASK_MM));
	}
	send(&image->record.header, image_size(image));
	tell_new_namespaces(image, reads);
	return 0;
}

/*
 * Who adopts the children of a process: the nearest ancestor that asked for orphans and has a thread left, in the same
 * pid namespace; else the init of that namespace. Nobody where that is the process itself: then they all end with it.
 */
static __always_inline u64 reaper_of(u64 leader, u64 signal, u32 *flags)
{
	u64 pid = word(leader, LINEAGE_TASK_THREAD_PID), number[2] = {}, init;
	u32 level = half(pid, LINEAGE_PID_LEVEL);

	innermost(number, pid);
	init = leader_of(word(number[1], LINEAGE_PID_NS_REAPER));
	if (init == leader)
		return 0;
	if (half(signal, LINEAGE_SIGNAL_BELOW_SUBREAPER) >> LINEAGE_SIGNAL_BELOW_SUBREAPER_BIT & 1) {
		u64 above = leader_of(word(leader, LINEAGE_TASK_REAL_PARENT));

		for (int step = 0; step < LINEAGE_REAPER_STEPS_MAX; step++) {
			u64 its = word(above, LINEAGE_TASK_SIGNAL);

			if (!half(above, LINEAGE_TASK_TGID) ||
			    half(word(above, LINEAGE_TASK_THREAD_PID), LINEAGE_PID_LEVEL) != level)
				return init;
			if (half(its, LINEAGE_SIGNAL_SUBREAPER) >> LINEAGE_SIGNAL_SUBREAPER_BIT & 1 &&
			    half(its, LINEAGE_SIGNAL_LIVE))
				return above;
			above = leader_of(word(above, LINEAGE_TASK_REAL_PARENT));
		}
		*flags |= LINEAGE_REAPER_UNKNOWN;
		return 0;
	}
	return init;
}

static __always_inline void fill_end(struct lineage_exit *to, struct reads *reads, u64 task, u64 signal)
{
	u64 leader = AT(reads->TASK, TASK, TASK_LEADER, u64), reaper;
	u32 status;

	if (half(signal, LINEAGE_SIGNAL_FLAGS) & SIGNAL_IS_GROUP_EXIT)
		status = half(signal, LINEAGE_SIGNAL_EXIT_CODE);
	else
		status = half(leader, LINEAGE_TASK_EXIT_CODE);
	to->status = status & ~0x80;
	if (status & 0x80)
		to->header.flags |= LINEAGE_CORE_DUMPED;
	reaper = reaper_of(leader, signal, &to->header.flags);
	if (reaper) {
		to->reaper_pid = half(reaper, LINEAGE_TASK_TGID);
		to->reaper_start_ns = start_of(reaper);
	}
	to->cpu_ns = word(signal, LINEAGE_SIGNAL_CPU) + word(task, LINEAGE_TASK_CPU);
	if (leader != task) /* it ended first: it waits for its parent with what it has used, which is not in the sum yet */
		to->cpu_ns += word(leader, LINEAGE_TASK_CPU);
	to->memory_peak = word(signal, LINEAGE_SIGNAL_MEMORY) * LINEAGE_PAGE_BYTES;
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
	u32 zero = 0;
	struct reads *reads = exit_reads.lookup(&zero);

	if (!group_dead) {
		send_thread(LINEAGE_THREAD_END, task, 0);
		return 0;
	}
	if (!reads)
		return 0;
	stamp(&record.header, LINEAGE_EXIT);
	fill_task(&record.task, reads, task, task);
	fill_end(&record, reads, task, signal);
	if (half(task, LINEAGE_TASK_FLAGS) & TASK_IS_KERNEL_THREAD)
		record.header.flags |= LINEAGE_KERNEL_THREAD;
	if (is_filtered(task))
		record.header.flags |= LINEAGE_FILTERED;
	send(&record.header, sizeof(record));
	return 0;
}
