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
struct pointers {
	u64 wide[LINEAGE_VARIABLES_MAX];
};

BPF_PERCPU_ARRAY(pointer_scratch, struct pointers, 1);

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
	u64 at = word(bprm, LINEAGE_BPRM_STACK), before = half(bprm, LINEAGE_BPRM_ARGC) + 2, width = 8;
	struct pointers *pointers;
	u32 zero = 0;

	BOUND(count);
	if (!count)
		return;
	pointers = pointer_scratch.lookup(&zero);
	if (!pointers)
		return;
	if (count > LINEAGE_VARIABLES_MAX) {
		count = LINEAGE_VARIABLES_MAX;
		image->record.header.flags |= LINEAGE_ENVIRONMENT_CUT;
	}
	bpf_probe_read_user(pointers->wide, 8, (void *)(at + before * 8));
	if (pointers->wide[0] != first) { /* a 32-bit program's stack */
		width = 4;
		bpf_probe_read_user(pointers->wide, 4, (void *)(at + before * 4));
		if ((u32)pointers->wide[0] != first) {
			image->record.header.flags |= LINEAGE_ENVIRONMENT_FAULT;
			return;
		}
	}
	if (bpf_probe_read_user(pointers->wide, count * width, (void *)(at + before * width)))
		image->record.header.flags |= LINEAGE_ENVIRONMENT_FAULT;
	for (u64 number = 0; number < LINEAGE_VARIABLES_MAX; number++) {
		u64 variable, beginning = 0;

		if (number >= count)
			break;
		variable = width == 8 ? pointers->wide[number] : ((u32 *)pointers->wide)[number];
		/* never beyond the stack: behind the last variable lie the file's name and 8 zero bytes */
		bpf_probe_read_user(&beginning, sizeof(beginning), (void *)variable);
		if (LINEAGE_ALLOWED_BEGINNING(beginning))
			add_variable(image, from, variable);
	}
	span(&image->tail, &image->record.environment, TAIL_AT, from);
}
#else
static __always_inline void fill_environment(struct image *image, u64 bprm, u64 mm)
{
}
#endif

#endif
