/* A program that knows nothing of message passing, and handles signals in the midst of what it does with files in the
 * directory that is its argument. None of that ends by a signal, as on any disk. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t seen;

static void handle(int signal) {
    (void)signal;
    seen++;
}

int main(int argc, char **argv) {
    char path[4096], other[4096], bytes[8];
    struct stat found;
    CHECK(argc == 2);
    snprintf(path, sizeof path, "%s/file", argv[1]);
    snprintf(other, sizeof other, "%s/other", argv[1]);
    /* Without SA_RESTART: the system does not take what was interrupted up again by itself. */
    struct sigaction action = {.sa_handler = handle};
    struct itimerval often = {{0, 300}, {0, 300}};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
    for (int i = 0; i < 200 || (seen < 50 && i < 100000); i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
        CHECK(fd >= 0);
        CHECK(write(fd, "once", 4) == 4 && write(fd, "more", 4) == 4);
        CHECK(fstat(fd, &found) == 0 && found.st_size == 8);
        CHECK(lseek(fd, 4, SEEK_SET) == 4 && read(fd, bytes, 8) == 4);
        CHECK(close(fd) == 0 && rename(path, other) == 0 && stat(path, &found) == -1 && errno == ENOENT);
        CHECK(unlink(other) == 0);
    }
    CHECK(seen >= 50);
    return 0;
}
