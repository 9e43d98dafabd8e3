/* A program that knows nothing of message passing. It executes another, and what that has not inherited it has not. Its
 * argument is a directory. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

/* Opens, locks, and lets neither descriptor go through an exec, each in another way. */
static int child(const char *path, int told) {
    int fd = open(path, O_RDWR | O_CREAT, 0644), second = dup(fd);
    CHECK(fd >= 0 && second >= 0 && flock(fd, LOCK_EX) == 0);
    CHECK(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && close(second) == 0);
    CHECK(fcntl(told, F_SETFD, FD_CLOEXEC) == 0);
    execl("/bin/sleep", "sleep", "1000", (char *)NULL);
    return 1;
}

int main(int argc, char **argv) {
    char path[4096], byte;
    int ends[2], free_again = 0;
    CHECK(argc == 2 && pipe(ends) == 0);
    snprintf(path, sizeof path, "%s/locked", argv[1]);
    pid_t pid = fork();
    if (pid == 0) _exit(child(path, ends[1]));
    /* The end of the pipe is the exec. */
    CHECK(pid > 0 && close(ends[1]) == 0 && read(ends[0], &byte, 1) == 0);
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0 && waitpid(pid, NULL, WNOHANG) == 0);
    for (int i = 0; i < 6000 && !free_again; i++) {
        struct timespec pause = {0, 10 * 1000 * 1000};
        free_again = flock(fd, LOCK_EX | LOCK_NB) == 0;
        nanosleep(&pause, NULL);
    }
    int status;
    kill(pid, SIGKILL);
    /* It slept until now, in its new program. */
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    CHECK(free_again);
    return 0;
}
