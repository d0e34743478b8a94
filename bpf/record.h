/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a record is put together and handed over, for every program in this folder.
 *
 * Rules:
 *  - kernel memory is read through numbers, never through kernel structs: LINEAGE_* offsets come from the running
 *    kernel's BTF as -D (pipeline/sources/ebpf/offsets.py), so headers of any version serve;
 *  - each program has scratch of its own: the kernel keeps a program from interrupting itself, not another one;
 *  - what the ring has no room for is counted by kind, and its sequence number is used up.
 */
#ifndef LINEAGE_RECORD_H
#define LINEAGE_RECORD_H

#include "events.h"

BPF_RINGBUF_OUTPUT(ring, LINEAGE_RING_PAGES);
BPF_F_TABLE("array", u32, u64, lost, LINEAGE_LOSS_KINDS, BPF_F_MMAPABLE);
BPF_PERCPU_ARRAY(sequences, u64, 1);

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

/* 0, or not 0 when the ring is full. */
static __always_inline int send(struct lineage_header *header, u64 size)
{
	header->size = size;
	return ring.ringbuf_output(header, size, 0);
}

static __always_inline void count_lost(u32 kind)
{
	u64 *count = lost.lookup(&kind);

	if (count)
		__sync_fetch_and_add(count, 1);
}

#endif
