/* What threads of one process do, by the first argument. "next" waits for a line on the standard input. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 32

static pthread_barrier_t together;

static void next(void)
{
	char byte;

	while (read(0, &byte, 1) == 1 && byte != '\n')
		;
}

static void tell(long number)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%ld\n", number);

	if (write(1, text, length) != length)
		_exit(100);
}

static void end_alone(int code)
{
	syscall(SYS_exit, code);
}

static void until_alone(void) /* the leader has ended: it is a zombie among its threads */
{
	char path[64], text[256] = "", *state;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	do {
		FILE *file = fopen(path, "r");

		if (!file || !fgets(text, sizeof(text), file))
			_exit(100);
		fclose(file);
		state = strrchr(text, ')');
	} while (state && state[2] != 'Z');
}

static void become_true(void)
{
	execl("/bin/true", "true", "later", (char *)NULL);
	_exit(100);
}

static long long cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void burn(long long ns)
{
	long long until = cpu_ns() + ns;

	while (cpu_ns() < until)
		;
}

static void *waiting(void *unused)
{
	tell(gettid());
	next();
	return unused;
}

static void *executing(void *unused)
{
	tell(gettid());
	become_true();
	return unused;
}

static void *executing_alone(void *unused)
{
	until_alone();
	tell(gettid());
	become_true();
	return unused;
}

static void *ending_all(void *unused)
{
	tell(gettid());
	next();
	_exit(5);
	return unused;
}

static void *ending_all_alone(void *unused)
{
	until_alone();
	tell(gettid());
	next();
	_exit(6);
	return unused;
}

static void *burning_alone(void *unused)
{
	until_alone();
	burn(20000000);
	tell(cpu_ns());
	_exit(0);
	return unused;
}

static void *bearing(void *unused)
{
	pid_t pid = fork();

	if (pid == 0) {
		next();
		_exit(3);
	}
	tell(gettid());
	tell(pid);
	return unused;
}

static void *together_with_all(void *unused)
{
	pthread_barrier_wait(&together);
	end_alone(7);
	return unused;
}

static pthread_t begin(void *(*work)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, work, NULL))
		exit(100);
	return thread;
}

int main(int count, char **words)
{
	const char *what = count > 1 ? words[1] : "";

	if (!strcmp(what, "one")) { /* begins, ends, and the process after it */
		pthread_join(begin(waiting), NULL);
		next();
		return 3;
	}
	if (!strcmp(what, "bear")) { /* a thread forks and ends; its child waits for a line, then we for the child */
		pthread_join(begin(bearing), NULL);
		tell(0);
		wait(NULL);
		return 3;
	}
	if (!strcmp(what, "end_at_once")) {
		pthread_barrier_init(&together, NULL, THREADS + 1);
		for (int number = 0; number < THREADS; number++)
			begin(together_with_all);
		pthread_barrier_wait(&together);
		end_alone(7);
	}
	if (!strcmp(what, "exec"))
		begin(executing);
	if (!strcmp(what, "end_all"))
		begin(ending_all);
	if (!strcmp(what, "exec") || !strcmp(what, "end_all"))
		for (;;)
			pause();
	if (!strcmp(what, "exec_alone"))
		begin(executing_alone);
	if (!strcmp(what, "end_all_alone"))
		begin(ending_all_alone);
	if (!strcmp(what, "burn_alone")) {
		burn(50000000);
		begin(burning_alone);
	}
	end_alone(4);
	return 100;
}
