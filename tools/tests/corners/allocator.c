/* A program with an allocator of its own that, as jemalloc, reads its options with its own lock held: there is no memory
 * meanwhile. Its argument is a directory. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <unistd.h>

#include "check.h"

void *__libc_malloc(size_t len);

static int locked;

void *malloc(size_t len) {
    if (locked) {
        abort();
    }
    return __libc_malloc(len);
}

int main(int argc, char **argv) {
    char path[4096], leads[8] = "";
    locked = 1;
    ssize_t len = readlink("/etc/malloc.conf", leads, sizeof leads);
    locked = 0;
    CHECK(len == -1 && errno == ENOENT);
    CHECK(argc == 2);
    snprintf(path, sizeof path, "%s/link", argv[1]);
    CHECK(symlink("there", path) == 0 && readlink(path, leads, sizeof leads) == 5 && strcmp(leads, "there") == 0);
    return 0;
}
