/* A program that knows nothing of message passing, and makes calls that few programs make. Its argument is a
 * directory. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

static int temporary_names(void) {
    char file[32] = "fXXXXXX.c\0untouched", dir[32] = "dXXXXXX\0untouched";
    int fd = mkstemps(file, 2);
    CHECK(fd >= 0 && close(fd) == 0);
    CHECK(file[0] == 'f' && strcmp(file + 7, ".c") == 0 && strcmp(file + 10, "untouched") == 0);
    CHECK(unlink(file) == 0);
    CHECK(mkdtemp(dir) == dir && dir[0] == 'd' && strlen(dir) == 7);
    CHECK(strcmp(dir + 8, "untouched") == 0 && rmdir(dir) == 0);
    char none[32] = "fX";
    CHECK(mkstemp(none) == -1 && errno == EINVAL);
    return 0;
}

static int patterns(const char *root) {
    char absolute[4096];
    glob_t found;
    CHECK(glob("*.c", 0, NULL, &found) == 0 && found.gl_pathc == 2);
    CHECK(strcmp(found.gl_pathv[0], "a.c") == 0 && strcmp(found.gl_pathv[1], "b.c") == 0);
    CHECK((found.gl_flags & GLOB_ALTDIRFUNC) == 0);
    snprintf(absolute, sizeof absolute, "%s/?.c", root);
    CHECK(glob(absolute, GLOB_APPEND, NULL, &found) == 0 && found.gl_pathc == 4);
    CHECK(glob("/etc/pass*d", GLOB_APPEND, NULL, &found) == 0 && found.gl_pathc > 4);
    globfree(&found);
    CHECK(glob("*.none", 0, NULL, &found) == GLOB_NOMATCH);
    globfree(&found);
    return 0;
}

static int is_source(const struct dirent *entry) {
    /* Whatever else the program does here is done as ever. */
    struct stat found;
    return stat(entry->d_name, &found) == 0 && strchr(entry->d_name, '.') != NULL && entry->d_name[0] != '.';
}

static int backwards(const struct dirent **one, const struct dirent **other) {
    return -alphasort(one, other);
}

static int scans(const char *root) {
    struct dirent **list;
    errno = 7;
    CHECK(scandir(root, &list, is_source, alphasort) == 2 && errno == 7);
    CHECK(strcmp(list[0]->d_name, "a.c") == 0 && strcmp(list[1]->d_name, "b.c") == 0);
    free(list[0]), free(list[1]), free(list);
    CHECK(scandir(".", &list, is_source, backwards) == 2 && strcmp(list[0]->d_name, "b.c") == 0);
    free(list[0]), free(list[1]), free(list);
    int count = scandir(".", &list, NULL, NULL);
    CHECK(count >= 2);
    for (int i = 0; i < count; i++) free(list[i]);
    free(list);
    CHECK(scandir("none", &list, NULL, alphasort) == -1 && errno == ENOENT);
    CHECK(scandir("a.c", &list, NULL, alphasort) == -1 && errno == ENOTDIR);
    return 0;
}

static int directories(void) {
    int seen = 0;
    struct dirent entry, *given;
    DIR *dir = opendir(".");
    CHECK(dir != NULL);
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    while (readdir_r(dir, &entry, &given) == 0 && given != NULL) {
        CHECK(given == &entry);
        seen += strcmp(entry.d_name, "a.c") == 0 || strcmp(entry.d_name, "b.c") == 0;
    }
    CHECK(seen == 2 && given == NULL && closedir(dir) == 0);
    int fd = open("a.c", O_RDONLY);
    CHECK(fd >= 0 && fdopendir(fd) == NULL && errno == ENOTDIR && close(fd) == 0);
    CHECK(open("a.c", O_PATH | O_DIRECTORY) == -1 && errno == ENOTDIR);
    return 0;
}

static int links(void) {
    struct stat of_file, found;
    CHECK(symlink("a.c", "link") == 0 && chmod("a.c", 0640) == 0);
    CHECK(fchmodat(AT_FDCWD, "link", 0600, AT_SYMLINK_NOFOLLOW) == -1 && errno == EOPNOTSUPP);
    CHECK(stat("a.c", &of_file) == 0 && (of_file.st_mode & 0777) == 0640);
    CHECK(open("link", O_RDONLY | O_DIRECTORY | O_NOFOLLOW) == -1 && errno == ENOTDIR);
    CHECK(linkat(AT_FDCWD, "link", AT_FDCWD, "hard", AT_SYMLINK_FOLLOW) == 0);
    CHECK(lstat("hard", &found) == 0 && found.st_ino == of_file.st_ino);
    CHECK(unlink("hard") == 0 && linkat(AT_FDCWD, "link", AT_FDCWD, "hard", 0) == 0);
    CHECK(lstat("hard", &found) == 0 && S_ISLNK(found.st_mode) && unlink("hard") == 0);
    CHECK(unlink("link") == 0 && symlink("nowhere", "link") == 0);
    CHECK(faccessat(AT_FDCWD, "link", F_OK, 0) == -1 && errno == ENOENT);
    CHECK(faccessat(AT_FDCWD, "link", F_OK, AT_SYMLINK_NOFOLLOW) == 0 && unlink("link") == 0);
    return 0;
}

static int descriptors(void) {
    struct timespec times[2] = {{11, 0}, {22, 0}};
    struct stat found;
    int ends[2], fd = open("a.c", O_RDWR);
    CHECK(fd >= 0 && pipe(ends) == 0);
    CHECK(utimensat(fd, "", times, AT_EMPTY_PATH) == 0);
    CHECK(fstat(fd, &found) == 0 && found.st_mtime == 22);
    /* Nothing, or told to read and write instead. */
    CHECK(splice(fd, NULL, ends[1], NULL, 1, 0) == 0 || errno == EINVAL);
    CHECK(syncfs(fd) == 0 && sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE) == 0);
    struct epoll_event event = {EPOLLIN, {.fd = fd}};
    int many = epoll_create1(0);
    CHECK(epoll_ctl(many, EPOLL_CTL_ADD, fd, &event) == -1 && errno == EPERM);
    CHECK(epoll_ctl(many, EPOLL_CTL_ADD, ends[0], &event) == 0);
    close(many), close(ends[0]), close(ends[1]);
    CHECK(close(fd) == 0);
    return 0;
}

/* Programs that walk a path by themselves, and one that makes a system call by its number. */
static int walked(const char *root) {
    struct stat found;
    struct statx more;
    int top = open("/", O_PATH | O_DIRECTORY);
    CHECK(top >= 0 && fstatat(top, root + 1, &found, 0) == 0 && S_ISDIR(found.st_mode));
    int dir = openat(top, root + 1, O_RDONLY | O_DIRECTORY);
    CHECK(dir >= 0 && faccessat(dir, "a.c", F_OK, 0) == 0 && fstatat(top, "etc", &found, 0) == 0);
    CHECK(fstatat(top, "none", &found, 0) == -1 && errno == ENOENT);
    CHECK(syscall(SYS_statx, AT_FDCWD, "a.c", 0, STATX_SIZE, &more) == 0 && S_ISREG(more.stx_mode));
    CHECK(syscall(SYS_statx, dir, "none", 0, STATX_SIZE, &more) == -1 && errno == ENOENT);
    CHECK(syscall(SYS_renameat2, dir, "b.c", dir, "other", 0) == 0 && access("b.c", F_OK) == -1);
    CHECK(rename("other", "b.c") == 0);
    int file = open("a.c", O_RDWR);
    /* Done, or told to read and write instead. */
    CHECK(file >= 0 && (syscall(SYS_copy_file_range, file, NULL, file, NULL, 0, 0) == 0 || errno == EXDEV));
    /* What is closed is no file any more, whoever has the number next. */
    char bytes[4];
    int ends[2];
    CHECK(syscall(SYS_close, file) == 0 && pipe(ends) == 0 && ends[0] == file);
    CHECK(write(ends[1], "abc", 3) == 3 && read(ends[0], bytes, 4) == 3 && close(ends[0]) == 0 && close(ends[1]) == 0);
    CHECK(syscall(SYS_getpid) == getpid() && close(dir) == 0 && close(top) == 0);
    return 0;
}

/* Whoever may open a file locks others out of it, if only to read. */
static int locks(void) {
    int first = open("a.c", O_RDONLY), second = open("a.c", O_RDONLY);
    CHECK(first >= 0 && second >= 0 && flock(first, LOCK_SH) == 0 && flock(second, LOCK_SH) == 0);
    CHECK(flock(first, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
    CHECK(flock(second, LOCK_UN) == 0 && flock(first, LOCK_EX | LOCK_NB) == 0);
    CHECK(flock(second, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK);
    CHECK(flock(second, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
    CHECK(flock(first, LOCK_SH) == 0 && flock(second, LOCK_SH | LOCK_NB) == 0);
    CHECK(flock(first, LOCK_UN) == 0 && flock(second, LOCK_EX | LOCK_NB) == 0);
    CHECK(close(second) == 0 && flock(first, LOCK_EX | LOCK_NB) == 0 && close(first) == 0);
    return 0;
}

/* A file is always ready, beside what is not. */
static int readiness(void) {
    char byte;
    int ends[2], file = open("a.c", O_RDWR);
    struct pollfd all[] = {{-1, POLLIN, 0}, {-1, POLLIN | POLLOUT | POLLPRI, 0}, {-1, POLLIN, 0}};
    CHECK(file >= 0 && pipe(ends) == 0);
    all[0].fd = ends[0], all[1].fd = file;
    CHECK(poll(all, 3, 60000) == 1 && all[0].revents == 0 && all[1].revents == (POLLIN | POLLOUT));
    CHECK(all[0].fd == ends[0] && all[1].fd == file && all[2].revents == 0);
    CHECK(write(ends[1], "x", 1) == 1);
    CHECK(ppoll(all, 3, NULL, NULL) == 2 && all[0].revents == POLLIN);
    all[1].events = POLLPRI;
    CHECK(poll(all, 2, -1) == 1 && all[0].revents == POLLIN && all[1].revents == 0);
    CHECK(read(ends[0], &byte, 1) == 1 && poll(all, 2, 20) == 0 && poll(all, 2, 0) == 0);

    fd_set read_set, write_set;
    struct timeval long_time = {60, 0}, no_time = {0, 0};
    FD_ZERO(&read_set);
    FD_ZERO(&write_set);
    FD_SET(ends[0], &read_set);
    FD_SET(file, &read_set);
    FD_SET(file, &write_set);
    CHECK(select(file + 3, &read_set, &write_set, NULL, &long_time) == 2);
    CHECK(!FD_ISSET(ends[0], &read_set) && FD_ISSET(file, &read_set) && FD_ISSET(file, &write_set));
    FD_ZERO(&read_set);
    FD_SET(file, &read_set);
    CHECK(pselect(file + 1, NULL, NULL, &read_set, &(struct timespec){0, 1000}, NULL) == 0);
    CHECK(!FD_ISSET(file, &read_set));
    CHECK(close(file) == 0);
    FD_SET(file, &read_set);
    CHECK(select(file + 1, &read_set, NULL, NULL, &no_time) == -1 && errno == EBADF);
    close(ends[0]), close(ends[1]);
    return 0;
}

int main(int argc, char **argv) {
    CHECK(argc == 2 && chdir(argv[1]) == 0);
    CHECK(close(creat("a.c", 0644)) == 0 && close(creat("b.c", 0644)) == 0);
    int failed = temporary_names() || patterns(argv[1]) || scans(argv[1]) || directories() || links() || descriptors() ||
                 walked(argv[1]) || locks() || readiness();
    CHECK(failed == 0);
    return 0;
}
