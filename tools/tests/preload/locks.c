/* A program that knows nothing of message passing. Its argument is a file; it locks parts of it against itself, by
 * descriptors that were opened independently, and against a child. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static struct flock range(short type, off_t start, off_t len) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    return lock;
}

static void nothing(int signal) {
    (void)signal;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    int one = open(argv[1], O_RDWR | O_CREAT, 0644), two = open(argv[1], O_RDWR), reader = open(argv[1], O_RDONLY);
    CHECK(one >= 0 && two >= 0 && reader >= 0);

    /* Whole files. */
    CHECK(flock(one, LOCK_SH) == 0 && flock(reader, LOCK_SH | LOCK_NB) == 0);
    CHECK(flock(one, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
    CHECK(flock(reader, LOCK_UN) == 0 && flock(one, LOCK_EX | LOCK_NB) == 0);
    CHECK(flock(two, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK);
    CHECK(flock(one, 64) == -1 && errno == EINVAL);
    int copy = dup(one);
    CHECK(copy >= 0 && flock(copy, LOCK_EX) == 0 && flock(copy, LOCK_UN) == 0 && close(copy) == 0);
    CHECK(flock(two, LOCK_EX | LOCK_NB) == 0 && flock(two, LOCK_UN) == 0);

    /* Ranges. */
    struct flock lock = range(F_WRLCK, 10, 5);
    CHECK(fcntl(one, F_OFD_SETLK, &lock) == 0);
    lock = range(F_RDLCK, 14, 1);
    CHECK(fcntl(two, F_SETLK, &lock) == -1 && (errno == EAGAIN || errno == EACCES));
    CHECK(fcntl(two, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK);
    lock = range(F_RDLCK, 15, 0);
    CHECK(fcntl(two, F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK);
    lock = range(F_RDLCK, 20, -5);
    CHECK(fcntl(two, F_SETLK, &lock) == 0);
    lock = range(F_WRLCK, 0, 1);
    CHECK(fcntl(reader, F_SETLK, &lock) == -1 && errno == EBADF);
    CHECK(lseek(one, 12, SEEK_SET) == 12 && lockf(one, F_TEST, 3) == 0);
    CHECK(lockf(two, F_TEST, 10) == 0 && lseek(two, 12, SEEK_SET) == 12);
    CHECK(lockf(two, F_TEST, 1) == -1 && (errno == EAGAIN || errno == EACCES));
    lock = range(F_UNLCK, 0, 0);
    CHECK(fcntl(one, F_SETLK, &lock) == 0 && fcntl(two, F_SETLK, &lock) == 0);

    /* Who waits gets it, when a child that has it ends. */
    int ready[2];
    CHECK(pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        int own = open(argv[1], O_RDWR);
        if (own < 0 || flock(own, LOCK_EX) != 0 || write(ready[1], "x", 1) != 1) _exit(1);
        usleep(100000);
        _exit(write(own, "child", 5) != 5);
    }
    char bytes[8];
    CHECK(read(ready[0], bytes, 1) == 1);
    lock = range(F_WRLCK, 0, 0);
    CHECK(fcntl(one, F_SETLKW, &lock) == 0);
    CHECK(pread(one, bytes, 5, 0) == 5 && memcmp(bytes, "child", 5) == 0);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);

    /* A signal ends the wait. */
    struct sigaction action = {.sa_handler = nothing};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    ualarm(50000, 50000);
    CHECK(flock(two, LOCK_EX) == -1 && errno == EINTR);
    ualarm(0, 0);
    CHECK(close(one) == 0 && flock(two, LOCK_EX | LOCK_NB) == 0);
    return close(two) != 0 || close(reader) != 0;
}
