/* Uses 50 ms of processor and 32 MiB of memory, tells how much processor, and ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BYTES (32 << 20)

int main(void)
{
	struct timespec now;
	char *memory = malloc(BYTES);
	long long used;

	memset(memory, 1, BYTES);
	free(memory);
	do {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
		used = now.tv_sec * 1000000000LL + now.tv_nsec;
	} while (used < 50000000);
	printf("%lld\n", used);
	fflush(stdout);
	_exit(0);
}
