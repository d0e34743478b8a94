/* Gives birth in the way that the first argument names. Where nothing else is said the child ends with 3, is waited for,
 * and its code is ours too. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ATTEMPTS_MAX 1000 /* to get a number again before somebody else takes it */

static char stack[65536];
extern char **environ;

static int three(void *unused)
{
	(void)unused;
	_exit(3);
}

static int code_of(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, __WALL) != pid)
		exit(100);
	return WEXITSTATUS(status);
}

/* `number`: the pid it shall have; 0: any. */
static pid_t clone3(uint64_t flags, pid_t number)
{
	struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD};

	if (number) {
		args.set_tid = (uintptr_t)&number;
		args.set_tid_size = 1;
	}
	return syscall(SYS_clone3, &args, sizeof(args));
}

static pid_t forked(int code)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(code);
	return pid;
}

static pid_t spawned(void)
{
	char *const argv[] = {"sh", "-c", "exit 3", NULL};
	pid_t pid;

	return posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) ? -1 : pid;
}

/* Two children with one number, one right after the other: they end with 3 and 4. */
static int twice(void)
{
	for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
		pid_t first = clone3(0, 0), second;

		if (first == 0)
			_exit(3);
		code_of(first);
		second = clone3(0, first);
		if (second == 0)
			_exit(4);
		if (second == first)
			return code_of(second);
		if (errno != EEXIST)
			return errno;
	}
	return 100;
}

static void next_is(const char *last)
{
	int file = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);

	if (file < 0 || write(file, last, strlen(last)) < 0)
		_exit(100);
	close(file);
}

/* The same as the init of a pid namespace of its own, where both are called 42. */
static int twice_inside(void)
{
	pid_t init = clone3(CLONE_NEWPID, 0);

	if (init == 0) {
		next_is("41");
		code_of(forked(3));
		next_is("41");
		_exit(code_of(forked(4)));
	}
	return code_of(init);
}

/* A pid namespace in a pid namespace. */
static int nested(void)
{
	pid_t outer = clone3(CLONE_NEWPID, 0);

	if (outer == 0) {
		pid_t inner = clone3(CLONE_NEWPID, 0);

		if (inner == 0)
			_exit(code_of(forked(3)));
		_exit(code_of(inner));
	}
	return code_of(outer);
}

/* Each the child of the one before, `left` of them; the last waits for its standard input to end. */
static int chain(int left)
{
	char byte;
	pid_t pid = left ? fork() : 0;

	if (pid == 0 && left)
		_exit(chain(left - 1));
	if (left)
		return code_of(pid);
	printf("%d\n", getpid());
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 3;
}

int main(int count, char **words)
{
	const char *way = count > 1 ? words[1] : "";
	pid_t pid;

	if (!strcmp(way, "fork"))
		return code_of(forked(3));
	if (!strcmp(way, "vfork")) {
		pid = vfork();
		if (pid == 0)
			_exit(3);
		return code_of(pid);
	}
	if (!strcmp(way, "clone"))
		return code_of(clone(three, stack + sizeof(stack), SIGCHLD, NULL));
	if (!strcmp(way, "clone_vm"))
		return code_of(clone(three, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
	if (!strcmp(way, "clone3")) {
		pid = clone3(0, 0);
		if (pid == 0)
			_exit(3);
		return code_of(pid);
	}
	if (!strcmp(way, "posix_spawn"))
		return code_of(spawned());
	if (!strcmp(way, "system"))
		return WEXITSTATUS(system("exit 3"));
	if (!strcmp(way, "sibling")) /* our parent's child, and so not for us to wait for */
		return clone(three, stack + sizeof(stack), CLONE_PARENT | SIGCHLD, NULL) < 0;
	if (!strcmp(way, "twice"))
		return twice();
	if (!strcmp(way, "twice_inside"))
		return twice_inside();
	if (!strcmp(way, "nested"))
		return nested();
	if (!strcmp(way, "chain") && count > 2)
		return chain(atoi(words[2]));
	if (!strcmp(way, "codes")) {
		for (int code = 0; code < 256; code++)
			if (code_of(forked(code)) != code)
				return 100;
		return 3;
	}
	return 100;
}
