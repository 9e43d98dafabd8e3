/* A program that knows nothing of message passing, and executes what is in a directory: its argument. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

extern char **environ;

static char root[4096];
static enum { EXECV, EXECVE, EXECVP, SPAWN, SPAWNP, WAYS } way;

/* How the program ended: its exit code, or how it could not be begun, as a negative number. */
static int end_of(const char *path, const char *argument) {
    char *argv[] = {"a name", (char *)argument, NULL};
    int status, failed = 0;
    pid_t child;
    if (way == SPAWN || way == SPAWNP) {
        failed = way == SPAWN ? posix_spawn(&child, path, NULL, NULL, argv, environ)
                              : posix_spawnp(&child, path, NULL, NULL, argv, environ);
        if (failed) {
            return -failed;
        }
    } else {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) {
            return -1000;
        }
        child = way == EXECV ? vfork() : fork();
        if (child == 0) {
            if (way == EXECV) {
                execv(path, argv);
            } else if (way == EXECVE) {
                execve(path, argv, environ);
            } else {
                execvp(path, argv);
            }
            _exit(write(ends[1], &errno, sizeof errno) < 0);
        }
        close(ends[1]);
        if (read(ends[0], &failed, sizeof failed) == 0) {
            failed = 0;
        }
        close(ends[0]);
    }
    waitpid(child, &status, 0);
    return failed ? -failed : WIFEXITED(status) ? WEXITSTATUS(status) : -2000;
}

static int make(const char *name, const char *text, mode_t mode) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, mode);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0;
}

static int copy_of_this_program(const char *name) {
    char bytes[1 << 16];
    ssize_t count;
    int from = open("/proc/self/exe", O_RDONLY), to = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    while ((count = read(from, bytes, sizeof bytes)) > 0 && write(to, bytes, count) == count) {
    }
    return count == 0 && close(from) == 0 && close(to) == 0;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    if (strcmp(argv[0], "a name") == 0) {
        return strcmp(argv[1], "an argument") == 0 ? 7 : 8;
    }
    snprintf(root, sizeof root, "%s", argv[1]);
    CHECK(chdir(root) == 0 && copy_of_this_program("binary"));
    CHECK(make("script", "#! /bin/sh -e \n[ \"$0 $1\" = \"./script an argument\" ]\nexit 5\n", 0755));
    CHECK(make("plain", "exit 6\n", 0755) && make("closed", "#!/bin/sh\n", 0644));
    CHECK(make("lost", "#!/none/such\n", 0755) && mkdir("directory", 0755) == 0);
    char absolute[4200];
    snprintf(absolute, sizeof absolute, "%s/binary", root);
    for (way = 0; way < WAYS; way++) {
        CHECK(end_of("./binary", "an argument") == 7 && end_of(absolute, "another") == 8);
        CHECK(end_of("./script", "an argument") == 5 && end_of("./script", "another") == 1);
        CHECK(end_of("./plain", "x") == (way == EXECVP ? 6 : -ENOEXEC));
        CHECK(end_of("./closed", "x") == -EACCES && end_of("./directory", "x") == -EACCES);
        CHECK(end_of("./none", "x") == -ENOENT && end_of("./lost", "x") == -ENOENT);
        CHECK(end_of("/bin/true", "x") == 0 && end_of("./binary/x", "x") == -ENOTDIR);
    }
    return 0;
}
