/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a record is put together and handed over, for every program in this folder.
 *
 * Rules:
 *  - kernel memory is read through numbers, never through kernel structs: LINEAGE_* offsets come from the running
 *    kernel's BTF as -D (pipeline/sources/ebpf/offsets.py), so headers of any version serve;
 *  - fields that lie together are fetched by one read, a slab: a call of the helper costs 20 ns, the bytes next to
 *    nothing. That pays for all that version 2 of the wire tells more: 7.3 us for a fork, an exec and an exit, as before;
 *  - each program has scratch of its own: the kernel keeps a program from interrupting itself, not another one;
 *  - what the ring has no room for is counted by kind, and its sequence number is used up; a task of the snapshot that
 *    is told again for want of room uses one up as well;
 *  - the work of every program is bounded: no loop without a constant limit (PATH_DEPTH_MAX of path.h,
 *    WORKS_MAX of script.h, LEAVES_MAX and LEVELS_MAX of loader.h, CHILDREN_MAX of change.bpf.c, the LINEAGE_..._MAX of
 *    events.h), and nothing waits.
 */
#ifndef LINEAGE_RECORD_H
#define LINEAGE_RECORD_H

#include "events.h"

BPF_RINGBUF_OUTPUT(ring, LINEAGE_RING_PAGES);
BPF_F_TABLE("array", u32, u64, lost, LINEAGE_LOSS_KINDS, BPF_F_MMAPABLE);
BPF_PERCPU_ARRAY(sequences, u64, 1);

/* BPF_RB_NO_WAKEUP and BPF_RB_FORCE_WAKEUP of include/uapi/linux/bpf.h */
#define WITHOUT_WAKING 1
#define WAKING 2

/* A number that the compiler shall know nothing of: else it proves a bound away that the verifier has to see. */
#define BOUND(number) asm volatile("" : "+r"(number))

/* Room for a slab, the read that fills it, and one field in it. */
#define SLAB(name) u64 name[LINEAGE_##name##_SLAB_BYTES / 8]
#define FETCH(into, name, base) \
	bpf_probe_read_kernel(into, LINEAGE_##name##_SLAB_BYTES, (void *)((base) + LINEAGE_##name##_SLAB_FROM))
#define AT(slab, name, field, type) (*(type *)((u8 *)(slab) + LINEAGE_##field - LINEAGE_##name##_SLAB_FROM))

static __always_inline u64 word(u64 base, u64 offset)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)(base + offset));
	return value;
}

static __always_inline u32 half(u64 base, u64 offset)
{
	u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)(base + offset));
	return value;
}

static __always_inline void stamp(struct lineage_header *header, u16 kind)
{
	u32 zero = 0;
	u64 *sequence = sequences.lookup(&zero);

	header->kind = kind;
	header->version = LINEAGE_WIRE_VERSION;
	header->flags = 0;
	header->cpu = bpf_get_smp_processor_id();
	header->time_ns = bpf_ktime_get_boot_ns();
	header->sequence = sequence ? ++*sequence : 0;
}

/*
 * The reader looks every few milliseconds anyway, and is woken for each LINEAGE_WAKE_EVERYth record of a processor only
 * (a power of two): to wake it for each costs more than to write most records.
 */
static __always_inline void send(struct lineage_header *header, u64 size)
{
	u32 kind = header->kind;
	u64 *count;

	header->size = size;
	if (!ring.ringbuf_output(header, size, header->sequence & (LINEAGE_WAKE_EVERY - 1) ? WITHOUT_WAKING : WAKING))
		return;
	count = lost.lookup(&kind);
	if (count)
		__sync_fetch_and_add(count, 1);
}

/* 0, or not 0 when the ring is full; nothing is counted, since it is going to be tried again. */
static __always_inline int try_to_send(struct lineage_header *header, u64 size)
{
	header->size = size;
	return ring.ringbuf_output(header, size, WITHOUT_WAKING);
}

#endif
