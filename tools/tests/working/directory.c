/* A program that knows nothing of message passing. Its arguments are a directory, to which it goes, and a file of this
 * machine. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static int is_here(const char *path) {
    char where[4096];
    return getcwd(where, sizeof where) == where && strcmp(where, path) == 0;
}

int main(int argc, char **argv) {
    char before[4096], path[4096], bytes[16];
    CHECK(argc == 3);
    const char *root = argv[1], *system = argv[2];
    CHECK(getcwd(before, sizeof before) != NULL);
    int start = open(".", O_RDONLY | O_DIRECTORY);
    CHECK(start >= 0);

    CHECK(chdir(root) == 0 && is_here(root));
    CHECK(getcwd(path, strlen(root)) == NULL && errno == ERANGE);
    CHECK(getcwd(path, 0) == NULL && errno == EINVAL);
    char *name = get_current_dir_name();
    CHECK(name != NULL && strcmp(name, root) == 0);
    free(name);
    name = getcwd(NULL, 0);
    CHECK(name != NULL && strcmp(name, root) == 0);
    free(name);

    /* Relative paths are of that directory; absolute ones are what they were. */
    CHECK(mkdir("below", 0755) == 0 && chdir("below") == 0);
    snprintf(path, sizeof path, "%s/below", root);
    CHECK(is_here(path));
    int fd = open("file", O_RDWR | O_CREAT | O_EXCL, 0644);
    CHECK(fd >= 0 && write(fd, "0123456789", 10) == 10);
    CHECK(openat(AT_FDCWD, "../below/./file", O_RDONLY) == fd + 1 && close(fd + 1) == 0);
    struct stat found;
    CHECK(stat("file", &found) == 0 && found.st_size == 10);
    CHECK(access("nothing", F_OK) == -1 && errno == ENOENT);
    CHECK(access(system, R_OK) == 0);
    CHECK(chdir("file") == -1 && errno == ENOTDIR);
    CHECK(fchdir(fd) == -1 && errno == ENOTDIR);
    CHECK(chdir("nothing") == -1 && errno == ENOENT && is_here(path));
    CHECK(rename("file", "../moved") == 0 && chdir("..") == 0 && is_here(root));

    /* What passes the library by finds nothing here, and makes nothing. */
    CHECK(mknod("direct", S_IFIFO | 0600, 0) == -1);

    /* Private mappings. */
    long page = sysconf(_SC_PAGESIZE);
    CHECK(lseek(fd, page, SEEK_SET) == page && write(fd, "next", 4) == 4);
    char *memory = mmap(NULL, page + 4, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(memory != MAP_FAILED && memcmp(memory, "0123456789", 11) == 0 && memcmp(memory + page, "next", 4) == 0);
    CHECK(munmap(memory, page + 4) == 0);
    memory = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, page);
    CHECK(memory != MAP_FAILED && memcmp(memory, "next", 4) == 0);
    memory[0] = 'N';
    CHECK(pread(fd, bytes, 4, page) == 4 && memcmp(bytes, "next", 4) == 0);
    CHECK(munmap(memory, 4) == 0 && close(fd) == 0);

    /* Children, and what they execute, are there; what they do about it is theirs. */
    pid_t child = fork();
    if (child == 0) {
        if (!is_here(root) || chdir("below") != 0) _exit(1);
        execl("/bin/sh", "sh", "-c", "[ \"$(pwd)\" = \"$0/below\" ] && [ -e ../moved ] && cd / && [ -d etc ]", root, NULL);
        _exit(127);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(is_here(root));
    child = vfork();
    if (child == 0) {
        if (chdir("below") != 0) _exit(1);
        execl("/bin/sh", "sh", "-c", "[ \"$(pwd)\" = \"$0/below\" ]", root, NULL);
        _exit(127);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(is_here(root));

    /* And back, by a descriptor and by a path. */
    int dir = open(".", O_RDONLY | O_DIRECTORY);
    CHECK(dir >= 0 && fchdir(start) == 0 && is_here(before));
    CHECK(fchdir(dir) == 0 && is_here(root));
    CHECK(rmdir("below") == 0 && unlink("moved") == 0);
    CHECK(chdir(before) == 0 && is_here(before) && access("moved", F_OK) == -1);
    CHECK(close(dir) == 0 && close(start) == 0);
    return 0;
}
