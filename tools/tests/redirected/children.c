/* A program that knows nothing of message passing. Its argument is a directory; it makes children in every way there
 * is and lets them write to its file by the number that they inherit. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#include "check.h"

static int ended_well(pid_t child) {
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static int borrow(void *fd) {
    dup2(*(int *)fd, 1);
    execl("/bin/echo", "echo", "borrowed", NULL);
    _exit(127);
}

int main(int argc, char **argv) {
    char path[4096];
    CHECK(argc == 2);
    snprintf(path, sizeof path, "%s/out", argv[1]);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0);
    CHECK(write(fd, "parent\n", 7) == 7);

    /* fork: the child's table is a copy. */
    pid_t child = fork();
    if (child == 0) {
        dup2(fd, 1);
        close(fd);
        execl("/bin/echo", "echo", "forked", NULL);
        _exit(127);
    }
    CHECK(ended_well(child));

    /* posix_spawn: the C library makes the copy itself, past whoever stands in front of it. */
    posix_spawn_file_actions_t actions;
    CHECK(posix_spawn_file_actions_init(&actions) == 0);
    CHECK(posix_spawn_file_actions_adddup2(&actions, fd, 1) == 0);
    char *spawned[] = {"echo", "spawned", NULL};
    CHECK(posix_spawn(&child, "/bin/echo", &actions, NULL, spawned, environ) == 0);
    CHECK(ended_well(child));
    CHECK(posix_spawn_file_actions_destroy(&actions) == 0);

    /* clone: the child's descriptors are its own, its memory is the parent's. */
    static char stack[1 << 16];
    CHECK(ended_well(clone(borrow, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &fd)));

    /* Nothing of that is the parent's: its standard output is what it was, and so is the file. */
    CHECK(printf("still a terminal, a pipe or whatever\n") > 0);
    CHECK(fflush(stdout) == 0);
    CHECK(write(fd, "parent again\n", 13) == 13);

    /* A file that is closed at exec is closed at exec. */
    CHECK(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
    child = fork();
    if (child == 0) {
        char script[64];
        snprintf(script, sizeof script, "! (echo x >&%d) 2> /dev/null", fd);
        execl("/bin/sh", "sh", "-c", script, NULL);
        _exit(127);
    }
    CHECK(ended_well(child));

    /* A child reads on where its parent stopped, and the parent where the child did. */
    snprintf(path, sizeof path, "%s/in", argv[1]);
    int in = open(path, O_RDONLY | O_CLOEXEC);
    char bytes[16];
    CHECK(in >= 0 && read(in, bytes, 4) == 4 && memcmp(bytes, "one\n", 4) == 0);
    child = vfork();
    if (child == 0) {
        dup2(in, 0);
        execl("/bin/sh", "sh", "-c", "read line && [ \"$line\" = two ]", NULL);
        _exit(127);
    }
    CHECK(ended_well(child));
    CHECK(read(in, bytes, sizeof bytes) == 6 && memcmp(bytes, "three\n", 6) == 0);
    CHECK(read(0, bytes, 0) == 0);
    return 0;
}
