/* A program that knows nothing of message passing, and forks in a signal's handler, in the midst of asking for what is
 * behind its streams. Its argument is a directory. */
#define _GNU_SOURCE
#include <dirent.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t forks, failed;

static void handle(int signal) {
    (void)signal;
    int status = 0, before = errno;
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) failed = 1;
    forks++;
    errno = before;
}

int main(int argc, char **argv) {
    char path[4096];
    CHECK(argc == 2);
    snprintf(path, sizeof path, "%s/file", argv[1]);
    FILE *file = fopen(path, "w");
    DIR *dir = opendir(argv[1]);
    CHECK(file != NULL && dir != NULL);
    int of_file = fileno(file), of_dir = dirfd(dir);
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 1000}, {0, 1000}};
    CHECK(sigaction(SIGPROF, &action, NULL) == 0 && setitimer(ITIMER_PROF, &often, NULL) == 0);
    /* Who waits for itself waits for ever. */
    alarm(120);
    while (forks < 100 && !failed) CHECK(fileno(file) == of_file && dirfd(dir) == of_dir);
    struct itimerval never = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_PROF, &never, NULL) == 0);
    CHECK(!failed && fclose(file) == 0 && closedir(dir) == 0);
    return 0;
}
