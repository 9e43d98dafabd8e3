/* A program that knows nothing of message passing. It forks while its threads open and close, and each child opens and
 * closes, too. Its argument is a directory. */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static char root[4096], file[4200];
static atomic_int over;

static int once(void) {
    DIR *dir = opendir(root);
    FILE *stream = fopen(file, "r");
    CHECK(dir != NULL && stream != NULL && readdir(dir) != NULL);
    CHECK(fclose(stream) == 0 && closedir(dir) == 0);
    return 0;
}

static void *again_and_again(void *failed) {
    while (!over && !*(int *)failed) *(int *)failed = once();
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[3];
    int failed[3] = {0}, status;
    CHECK(argc == 2);
    snprintf(root, sizeof root, "%s", argv[1]);
    snprintf(file, sizeof file, "%s/file", root);
    FILE *made = fopen(file, "w");
    CHECK(made != NULL && fclose(made) == 0);
    for (int i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, again_and_again, &failed[i]) == 0);
    for (int i = 0; i < 200; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            /* One that waits for a thread that it has not would wait for ever. */
            alarm(120);
            _exit(once());
        }
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    }
    over = 1;
    for (int i = 0; i < 3; i++) CHECK(pthread_join(threads[i], NULL) == 0 && failed[i] == 0);
    return 0;
}
