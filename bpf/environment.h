/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The environment, by an explicit list of names: nothing else of it leaves the process.
 *
 * LINEAGE_ALLOWED_BEGINNING(word) and LINEAGE_ALLOWED(words) come from the configuration, compiled in
 * (pipeline/sources/ebpf/filters.py): the first 8 bytes of a variable decide nearly always, and only what they let pass
 * is read whole and compared up to its `=`. The kernel has put the pointers to the variables on the new stack, behind
 * argc, argv and a NULL: no string has to be searched for its end.
 */
#ifndef LINEAGE_ENVIRONMENT_H
#define LINEAGE_ENVIRONMENT_H

#include "image.h"

#if LINEAGE_ALLOWED_NAMES
/* 1 where they are equal, else 0, by arithmetic: a branch would be one more way through the loop for the verifier. */
#define SAME(value, wanted) is_zero((value) ^ (wanted))

static __always_inline u64 is_zero(u64 value)
{
	u64 negative = -value;

	BOUND(negative); /* else the compiler makes the branch again */
	return ((value | negative) >> 63) ^ 1;
}

#define BLOCK_BYTES 4096 /* of the strings that are fetched by one read; one for each variable would cost 60 ns each */

#define FOUND_MAX 20 /* more than the names that the configuration takes: some may stand there twice */

struct variables {
	u64 width; /* of a pointer, bytes: in memory for the same reason as `used` of a tail */
	u64 used; /* of `found`; likewise */
	u64 found[FOUND_MAX + 1];
	u64 pointers[LINEAGE_VARIABLES_MAX];
	u8 block[BLOCK_BYTES + 8];
};

BPF_PERCPU_ARRAY(variable_scratch, struct variables, 1);

/* Reads one variable and keeps it if it is allowed. */
static __always_inline void add_variable(struct image *image, u64 from, u64 at)
{
	u64 used = image->tail.used, words[4] = {};
	long length;

	BOUND(used);
	if (used > BEFORE_ARGS_MAX || used - from > LINEAGE_ENVIRONMENT_MAX - LINEAGE_VARIABLE_MAX) {
		image->record.header.flags |= LINEAGE_ENVIRONMENT_CUT;
		return;
	}
	length = bpf_probe_read_user_str(image->tail.bytes + used, LINEAGE_VARIABLE_MAX, (void *)at);
	bpf_probe_read_kernel(words, sizeof(words), image->tail.bytes + used);
	if (length <= 0 || !(LINEAGE_ALLOWED(words)))
		return;
	image->tail.used = used + length;
	if (length == LINEAGE_VARIABLE_MAX) { /* whole, if what the NUL was put over is one */
		u8 last = 0;

		bpf_probe_read_user(&last, 1, (void *)(at + LINEAGE_VARIABLE_MAX - 1));
		if (last)
			image->record.header.flags |= LINEAGE_ENVIRONMENT_CUT;
	}
}

static __always_inline void fill_environment(struct image *image, u64 bprm, u64 mm)
{
	u64 count = half(bprm, LINEAGE_BPRM_ENVC), from = image->tail.used, first = word(mm, LINEAGE_MM_ENV_START);
	u64 at = word(bprm, LINEAGE_BPRM_STACK), before = half(bprm, LINEAGE_BPRM_ARGC) + 2;
	u64 length = word(mm, LINEAGE_MM_ENV_END) - first, bytes;
	struct variables *scratch;
	u32 zero = 0;

	BOUND(count);
	BOUND(length);
	if (!count)
		return;
	scratch = variable_scratch.lookup(&zero);
	if (!scratch)
		return;
	if (length > BLOCK_BYTES)
		length = BLOCK_BYTES;
	if (bpf_probe_read_user(scratch->block, length, (void *)first))
		image->record.header.flags |= LINEAGE_ENVIRONMENT_FAULT;
	if (count > LINEAGE_VARIABLES_MAX) {
		count = LINEAGE_VARIABLES_MAX;
		image->record.header.flags |= LINEAGE_ENVIRONMENT_CUT;
	}
	scratch->width = 8;
	bpf_probe_read_user(scratch->pointers, 8, (void *)(at + before * 8));
	if (scratch->pointers[0] != first) { /* a 32-bit program's stack */
		scratch->width = 4;
		bpf_probe_read_user(scratch->pointers, 4, (void *)(at + before * 4));
		if ((u32)scratch->pointers[0] != first) {
			image->record.header.flags |= LINEAGE_ENVIRONMENT_FAULT;
			return;
		}
	}
	bytes = count * scratch->width;
	BOUND(bytes);
	if (bytes > sizeof(scratch->pointers))
		return;
	if (bpf_probe_read_user(scratch->pointers, bytes, (void *)(at + before * scratch->width)))
		image->record.header.flags |= LINEAGE_ENVIRONMENT_FAULT;
	scratch->used = 0;
	for (u64 number = 0; number < LINEAGE_VARIABLES_MAX; number++) {
		u64 variable, beginning = 0, place, used = scratch->used;

		BOUND(used);
		if (number >= count || used >= FOUND_MAX)
			break;
		variable = scratch->width == 8 ? scratch->pointers[number] : ((u32 *)scratch->pointers)[number];
		place = variable - first;
		BOUND(place);
		if (place <= BLOCK_BYTES - 8)
			beginning = *(u64 *)(scratch->block + place);
		else /* never beyond the stack: behind the last variable lie the file's name and 8 zero bytes */
			bpf_probe_read_user(&beginning, sizeof(beginning), (void *)variable);
		scratch->found[used] = variable; /* kept where `used` goes on, which needs no branch */
		scratch->used = used + LINEAGE_ALLOWED_BEGINNING(beginning);
	}
	if (scratch->used >= FOUND_MAX)
		image->record.header.flags |= LINEAGE_ENVIRONMENT_CUT;
	for (u64 number = 0; number < FOUND_MAX; number++) {
		if (number >= scratch->used)
			break;
		add_variable(image, from, scratch->found[number]);
	}
	span(&image->tail, &image->record.environment, TAIL_AT, from);
}
#else
static __always_inline void fill_environment(struct image *image, u64 bprm, u64 mm)
{
}
#endif

#endif
