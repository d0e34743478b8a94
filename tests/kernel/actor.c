/*
 * Plays a part in a chain of processes: does what its arguments say, one after the other, under whatever name it has.
 *
 *   fork       a child goes on with the rest; this one waits for it and ends
 *   stay       a child goes on with the rest; this one waits for the end of its standard input
 *   leave      a child goes on with the rest; this one ends at once
 *   outlive    the same, and the child waits until somebody has reaped it
 *   setsid     begins a session
 *   setpgid    begins a process group
 *   tty:PATH   opens a terminal, which becomes the session's
 *   exec:NAME  becomes the file of that name, which goes on with the rest
 *   pause      tells its pid, and waits for the end of its standard input
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS_MAX 10000

static int until_the_end(void)
{
	char byte;

	while (read(0, &byte, 1) > 0)
		;
	return 0;
}

int main(int count, char **arguments)
{
	for (int at = 1; at < count; at++) {
		const char *step = arguments[at];

		if (!strcmp(step, "fork")) {
			pid_t child = fork();
			int status = 0;

			if (child > 0) {
				waitpid(child, &status, 0);
				return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
			}
		} else if (!strcmp(step, "stay")) {
			if (fork() > 0)
				return until_the_end();
		} else if (!strcmp(step, "leave") || !strcmp(step, "outlive")) {
			int reaped = *step == 'o';
			pid_t parent = getpid();

			if (fork() > 0)
				return 0;
			for (int tries = 0; (getppid() == parent || (reaped && !kill(parent, 0))) && tries < STEPS_MAX; tries++)
				usleep(1000);
		} else if (!strcmp(step, "setsid")) {
			if (setsid() < 0)
				return 2;
		} else if (!strcmp(step, "setpgid")) {
			if (setpgid(0, 0))
				return 6;
		} else if (!strncmp(step, "tty:", 4)) {
			if (open(step + 4, O_RDWR | O_NONBLOCK) < 0)
				return 3;
		} else if (!strncmp(step, "exec:", 5)) {
			execv(step + 5, arguments + at);
			return 4;
		} else if (!strcmp(step, "pause")) {
			dprintf(1, "%d\n", getpid());
			return until_the_end();
		} else {
			return 5;
		}
	}
	return 0;
}
