/* A program that knows nothing of message passing. Its argument is a directory; it uses the C library's
 * functions on files in it and says which of them did not do what they do on any other file. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static int failures;

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            printf("line %d: %s (errno: %s)\n", __LINE__, #condition, strerror(errno)); \
            failures++;                                                               \
        }                                                                             \
    } while (0)

static char path[PATH_MAX], other[PATH_MAX], directory[PATH_MAX];

static void names(const char *root) {
    snprintf(path, sizeof path, "%s/file", root);
    snprintf(other, sizeof other, "%s/other", root);
    snprintf(directory, sizeof directory, "%s/directory", root);
}

static void bytes(void) {
    char buffer[64] = {0};
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0640);
    CHECK(fd >= 0);
    CHECK(write(fd, "This is message passing\n", 24) == 24);
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    CHECK(read(fd, buffer, sizeof buffer) == 24);
    CHECK(strcmp(buffer, "This is message passing\n") == 0);
    CHECK(read(fd, buffer, sizeof buffer) == 0);
    CHECK(pread(fd, buffer, 7, 8) == 7 && memcmp(buffer, "message", 7) == 0);
    CHECK(pwrite(fd, "MESSAGE", 7, 8) == 7);
    CHECK(lseek(fd, -8, SEEK_END) == 16);
    struct iovec parts[2] = {{"pas", 3}, {"sed\n", 4}};
    CHECK(writev(fd, parts, 2) == 7);
    struct iovec into[2] = {{buffer, 4}, {buffer + 4, 30}};
    CHECK(lseek(fd, 0, SEEK_SET) == 0 && readv(fd, into, 2) == 24);
    CHECK(memcmp(buffer, "This is MESSAGE passed\n\n", 24) == 0);
    CHECK(ftruncate(fd, 4) == 0 && fsync(fd) == 0 && fdatasync(fd) == 0);
    CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL) == 0);
    CHECK(!isatty(fd));
    CHECK(mmap(NULL, 4, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENODEV);
    CHECK(mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENODEV);
    int reader = open(path, O_RDONLY);
    char *shared = mmap(NULL, 8192, PROT_READ, MAP_SHARED, reader, 0);
    CHECK(shared != MAP_FAILED && memcmp(shared, "This\0\0\0", 8) == 0 && shared[8191] == 0);
    CHECK(mprotect(shared, 8192, PROT_READ | PROT_WRITE) == -1 && errno == EACCES && shared[0] == 'T');
    CHECK(msync(shared, 8192, MS_SYNC) == 0 && munmap(shared, 8192) == 0);
    CHECK(mmap(NULL, 0, PROT_READ, MAP_SHARED, reader, 0) == MAP_FAILED && errno == EINVAL);
    char *own = mmap(NULL, 4, PROT_READ, MAP_PRIVATE, reader, 0);
    CHECK(own != MAP_FAILED && mprotect(own, 4, PROT_READ | PROT_WRITE) == 0 && (own[0] = 't', munmap(own, 4) == 0));
    CHECK(mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, reader, 0) == MAP_FAILED && errno == ENODEV);
    CHECK(close(reader) == 0);
    CHECK(mmap(NULL, 4, PROT_READ, MAP_PRIVATE, fd, 1) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(close(fd) == 0);
    CHECK(close(fd) == -1 && errno == EBADF);
    CHECK(read(fd, buffer, 1) == -1 && errno == EBADF);
    CHECK(open("/no-such-directory/file", O_RDONLY) == -1 && errno == ENOENT);
}

/* What was asked of the system, past the file: some of it about a file of the same path there. */
static void further(const char *root) {
    char buffer[64], text[PATH_MAX], where[PATH_MAX], before[PATH_MAX];
    struct statvfs space;
    struct statfs system;
    struct stat found;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0640);
    struct iovec parts[2] = {{"mess", 4}, {"age", 3}};
    CHECK(pwritev(fd, parts, 2, 3) == 7);
    struct iovec into[2] = {{buffer, 3}, {buffer + 3, 30}};
    CHECK(preadv(fd, into, 2, 3) == 7 && memcmp(buffer, "message", 7) == 0);
    CHECK(lseek(fd, 0, SEEK_CUR) == 0);
    CHECK(preadv2(fd, into, 2, -1, 0) == 10 && lseek(fd, 0, SEEK_CUR) == 10);
    CHECK(preadv2(fd, into, 2, 0, RWF_NOWAIT) == -1 && errno == EOPNOTSUPP);
    CHECK(posix_fallocate(fd, 0, 100) == 0 && fstat(fd, &found) == 0 && found.st_size == 100);
    CHECK(fgetxattr(fd, "user.x", buffer, 4) == -1 && errno == EOPNOTSUPP);
    CHECK(fsetxattr(fd, "user.x", buffer, 4, 0) == -1 && errno == EOPNOTSUPP);
    CHECK(setxattr(path, "user.x", buffer, 4, 0) == -1 && errno == EOPNOTSUPP);
    CHECK(lsetxattr(path, "user.x", buffer, 4, 0) == -1 && errno == EOPNOTSUPP);
    CHECK(removexattr(path, "user.x") == -1 && errno == EOPNOTSUPP);
    CHECK(fremovexattr(fd, "user.x") == -1 && errno == EOPNOTSUPP);
    CHECK(flistxattr(fd, buffer, 4) == -1 && errno == EOPNOTSUPP);
    CHECK(ftruncate(fd, 4) == 0);
    CHECK(fstatvfs(fd, &space) == 0 && space.f_blocks > 0 && space.f_namemax >= 255);
    CHECK(statvfs(other, &space) == -1 && errno == ENOENT);
    CHECK(statvfs(path, &space) == 0 && fstatfs(fd, &system) == 0);
    CHECK(system.f_blocks == space.f_blocks && (unsigned long)system.f_frsize == space.f_frsize);
    CHECK(memcmp(&system.f_fsid, &space.f_fsid, sizeof system.f_fsid) == 0);
    CHECK(statfs(root, &system) == 0 && system.f_blocks == space.f_blocks);
    CHECK(memcmp(&system.f_fsid, &space.f_fsid, sizeof system.f_fsid) == 0);
    CHECK(statfs(other, &system) == -1 && errno == ENOENT);
    CHECK(eaccess(path, R_OK) == 0 && euidaccess(path, W_OK) == 0);
    CHECK(eaccess(other, F_OK) == -1 && errno == ENOENT);
    CHECK(fchdir(fd) == -1 && errno == ENOTDIR);
    CHECK(close(fd) == 0);

    CHECK(getcwd(before, sizeof before) != NULL);
    CHECK(chdir(other) == -1 && errno == ENOENT);
    CHECK(getcwd(where, sizeof where) != NULL && strcmp(where, before) == 0);
    int dir = open(root, O_RDONLY);
    CHECK(read(dir, buffer, sizeof buffer) == -1 && errno == EISDIR);
    CHECK(pread(dir, buffer, sizeof buffer, 0) == -1 && errno == EISDIR);
    CHECK(mkfifo(other, 0600) == -1 && errno == EPERM);
    CHECK(mkfifoat(dir, "other", 0600) == -1 && errno == EPERM);
    CHECK(mknod(other, S_IFIFO | 0600, 0) == -1 && errno == EPERM);
    int watch = inotify_init();
    CHECK(inotify_add_watch(watch, path, IN_MODIFY) == -1 && errno == EOPNOTSUPP);
    CHECK(close(watch) == 0);

    snprintf(text, sizeof text, "%s/tXXXXXX", root);
    CHECK((fd = mkstemp(text)) >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
    CHECK(strstr(text, "XXXXXX") == NULL && stat(text, &found) == 0 && found.st_size == 1);
    CHECK((found.st_mode & 07777) == 0600 && unlink(text) == 0);
    snprintf(text, sizeof text, "%s/tXXXXXX.c", root);
    CHECK((fd = mkostemps(text, 2, O_CLOEXEC)) >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) && close(fd) == 0);
    CHECK(strcmp(text + strlen(text) - 2, ".c") == 0 && unlink(text) == 0);
    snprintf(text, sizeof text, "%s/tXXXXX", root);
    CHECK(mkstemp(text) == -1 && errno == EINVAL);
    snprintf(text, sizeof text, "%s/dXXXXXX", root);
    CHECK(mkdtemp(text) == text && stat(text, &found) == 0 && S_ISDIR(found.st_mode) && rmdir(text) == 0);
    strcpy(text, "/tmp/qnet-testXXXXXX");
    CHECK((fd = mkstemp(text)) >= 0 && close(fd) == 0 && unlink(text) == 0);

    CHECK(symlinkat("file", dir, "other") == 0);
    CHECK(realpath(other, text) == text && strcmp(text, path) == 0);
    snprintf(where, sizeof where, "%s/./directory/../file", root);
    CHECK(realpath(where, NULL) == NULL && errno == ENOENT);
    CHECK(mkdir(directory, 0700) == 0);
    char *found_path = realpath(where, NULL);
    CHECK(found_path != NULL && strcmp(found_path, path) == 0);
    free(found_path);
    CHECK(rmdir(directory) == 0 && realpath("/usr/../tmp", text) != NULL && strcmp(text, "/tmp") == 0);
    struct timeval moments[2] = {{.tv_sec = 5}, {.tv_sec = 1000, .tv_usec = 7}};
    CHECK(lutimes(other, moments) == 0);
    CHECK(lstat(other, &found) == 0 && found.st_mtim.tv_sec == 1000 && found.st_mtim.tv_nsec == 7000);
    CHECK(stat(other, &found) == 0 && found.st_mtim.tv_sec != 1000);
    CHECK(utimes(other, moments) == 0 && stat(path, &found) == 0 && found.st_mtim.tv_sec == 1000);
    CHECK(lchown(other, getuid(), getgid()) == 0 && fchownat(dir, "other", -1, -1, AT_SYMLINK_NOFOLLOW) == 0);
    CHECK(unlink(other) == 0 && linkat(dir, "file", dir, "other", 0) == 0 && unlink(other) == 0);
    CHECK(linkat(AT_FDCWD, "/etc/passwd", dir, "other", 0) == -1 && errno == EXDEV);
    CHECK(close(dir) == 0);
}

static void large(void) {
    size_t len = 3 * 1024 * 1024 + 17;
    char *out = malloc(len), *in = malloc(len);
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(i * 31 + i / 4096);
    int fd = open(other, O_RDWR | O_CREAT | O_TRUNC, 0600);
    size_t done = 0;
    while (done < len) {
        ssize_t count = write(fd, out + done, len - done);
        CHECK(count > 0);
        if (count <= 0) break;
        done += (size_t)count;
    }
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    done = 0;
    while (done < len) {
        ssize_t count = read(fd, in + done, len - done);
        CHECK(count > 0);
        if (count <= 0) break;
        done += (size_t)count;
    }
    CHECK(memcmp(in, out, len) == 0);
    CHECK(close(fd) == 0 && unlink(other) == 0);
    free(in);
    free(out);
}

static void descriptors(void) {
    char buffer[8];
    int fd = open(path, O_RDONLY);
    int plain = open("/dev/null", O_RDONLY);
    CHECK(plain == fd + 1);
    /* The lowest free number, whatever the library has open itself. */
    CHECK(close(fd) == 0 && open(path, O_RDONLY) == fd);
    int copy = dup(fd);
    CHECK(read(fd, buffer, 2) == 2 && read(copy, buffer, 2) == 2 && memcmp(buffer, "is", 2) == 0);
    CHECK(close(fd) == 0);
    CHECK(lseek(copy, 0, SEEK_CUR) == 4);
    /* Over a descriptor of the system's, and a descriptor of the system's over it. */
    CHECK(dup2(copy, plain) == plain && lseek(plain, 0, SEEK_CUR) == 4);
    int null = open("/dev/null", O_RDONLY);
    CHECK(dup2(null, plain) == plain && read(plain, buffer, 1) == 0);
    CHECK(dup3(copy, plain, O_CLOEXEC) == plain && (fcntl(plain, F_GETFD) & FD_CLOEXEC));
    int high = fcntl(copy, F_DUPFD, 100);
    CHECK(high >= 100 && lseek(high, 0, SEEK_CUR) == 4);
    CHECK((fcntl(high, F_GETFL) & O_ACCMODE) == O_RDONLY);
    CHECK(write(high, "x", 1) == -1 && errno == EBADF);
    CHECK(close_range((unsigned)high, ~0u, 0) == 0);
    CHECK(read(high, buffer, 1) == -1 && errno == EBADF);
    CHECK(close(copy) == 0 && close(plain) == 0 && close(null) == 0);
}

static void attributes(void) {
    struct stat found;
    struct statx extended;
    CHECK(stat(path, &found) == 0 && S_ISREG(found.st_mode) && found.st_size == 4);
    CHECK((found.st_mode & 07777) == 0640);
    CHECK(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &extended) == 0 && extended.stx_size == 4);
    int fd = open(path, O_RDONLY);
    CHECK(fstat(fd, &found) == 0 && found.st_size == 4);
    CHECK(fstatat(fd, "", &found, AT_EMPTY_PATH) == 0 && found.st_size == 4);
    CHECK(fchmod(fd, 0600) == 0 && fstat(fd, &found) == 0 && (found.st_mode & 07777) == 0600);
    CHECK(close(fd) == 0);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000, .tv_nsec = 5}};
    CHECK(utimensat(AT_FDCWD, path, times, 0) == 0);
    CHECK(lstat(path, &found) == 0 && found.st_mtim.tv_sec == 1000000 && found.st_mtim.tv_nsec == 5);
    CHECK(access(path, R_OK | W_OK) == 0);
    CHECK(access(other, F_OK) == -1 && errno == ENOENT);
    CHECK(truncate(path, 100) == 0 && stat(path, &found) == 0 && found.st_size == 100);
    CHECK(stat(other, &found) == -1 && errno == ENOENT);
}

static void changing_names(void) {
    char text[64] = {0};
    CHECK(mkdir(directory, 0755) == 0);
    CHECK(mkdir(directory, 0755) == -1 && errno == EEXIST);
    CHECK(rename(path, other) == 0 && access(path, F_OK) == -1);
    CHECK(link(other, path) == 0 && unlink(other) == 0);
    CHECK(symlink("file", other) == 0 && readlink(other, text, sizeof text) == 4 && strcmp(text, "file") == 0);
    CHECK(access(other, R_OK) == 0);
    CHECK(rename(other, "/tmp/elsewhere") == -1 && errno == EXDEV);
    CHECK(remove(other) == 0 && rmdir(directory) == 0);
    CHECK(rmdir(directory) == -1 && errno == ENOENT);
}

static void directories(const char *root) {
    char name[64];
    int count = 0, sum = 0;
    CHECK(mkdir(directory, 0755) == 0);
    int dir = open(directory, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "%d", i);
        int fd = openat(dir, name, O_WRONLY | O_CREAT, 0600);
        CHECK(fd >= 0 && close(fd) == 0);
    }
    DIR *stream = opendir(directory);
    CHECK(stream != NULL);
    struct dirent *entry;
    long middle = 0;
    errno = 0;
    while ((entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] == '.') continue;
        CHECK(entry->d_type == DT_REG);
        sum += atoi(entry->d_name);
        if (++count == 25) middle = telldir(stream);
    }
    CHECK(errno == 0 && count == 50 && sum == 49 * 50 / 2);
    seekdir(stream, middle);
    for (count = 0; readdir(stream) != NULL;) count++;
    CHECK(count >= 25 && count <= 27);
    rewinddir(stream);
    for (count = 0; readdir(stream) != NULL;) count++;
    CHECK(count == 52);
    CHECK(dirfd(stream) > dir && closedir(stream) == 0);
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "%d", i);
        CHECK(unlinkat(dir, name, 0) == 0);
    }
    CHECK((stream = fdopendir(dir)) != NULL && closedir(stream) == 0);
    CHECK(rmdir(directory) == 0);
    CHECK((stream = opendir("/")) != NULL && readdir(stream) != NULL && closedir(stream) == 0);
    CHECK(opendir(path) == NULL && errno == ENOTDIR);
    CHECK(opendir(root) != NULL);
}

static void streams(void) {
    char line[64];
    FILE *stream = fopen(path, "w+");
    CHECK(stream != NULL);
    CHECK(fprintf(stream, "%d lines\nand more\n", 2) > 0);
    rewind(stream);
    CHECK(fgets(line, sizeof line, stream) && strcmp(line, "2 lines\n") == 0);
    CHECK(fseek(stream, -5, SEEK_END) == 0 && ftell(stream) == 12);
    CHECK(fgets(line, sizeof line, stream) && strcmp(line, "more\n") == 0);
    CHECK(fgetc(stream) == EOF && feof(stream) && !ferror(stream));
    CHECK(fileno(stream) > 2 && lseek(fileno(stream), 0, SEEK_CUR) == 17);
    CHECK(fclose(stream) == 0);
    stream = fopen(path, "a");
    CHECK(fputs("end", stream) >= 0 && fclose(stream) == 0);
    stream = fdopen(open(path, O_RDONLY), "r");
    CHECK(fread(line, 1, sizeof line, stream) == 20 && memcmp(line + 17, "end", 3) == 0);
    CHECK(fclose(stream) == 0);
    CHECK(fopen(other, "r") == NULL && errno == ENOENT);
    CHECK(fopen(path, "wx") == NULL && errno == EEXIST);
}

static void children(void) {
    char buffer[4];
    int fd = open(path, O_RDWR);
    CHECK(read(fd, buffer, 2) == 2);
    pid_t child = fork();
    if (child == 0) {
        /* One offset for both; the child's close is the child's business alone. */
        int status = read(fd, buffer, 1) == 1 && lseek(fd, 0, SEEK_CUR) == 3 ? 0 : 1;
        int copy = dup(fd);
        if (close(fd) != 0 || lseek(copy, 0, SEEK_CUR) != 3 || close(copy) != 0) status |= 2;
        int own = open(path, O_RDONLY);
        if (own < 0 || read(own, buffer, 1) != 1 || close(own) != 0) status |= 4;
        _exit(status);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(lseek(fd, 0, SEEK_CUR) == 3 && read(fd, buffer, 1) == 1);
    /* A grandchild, whose parent has not touched the file. */
    child = fork();
    if (child == 0) {
        child = fork();
        if (child == 0) _exit(read(fd, buffer, 1) == 1 ? 0 : 1);
        waitpid(child, &status, 0);
        _exit(WEXITSTATUS(status));
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(lseek(fd, 0, SEEK_CUR) == 5);
    child = vfork();
    if (child == 0) {
        close(fd);
        execl("/bin/true", "true", (char *)NULL);
        _exit(9);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(read(fd, buffer, 1) == 1 && close(fd) == 0);
}

static void *one_thread(void *argument) {
    char own[PATH_MAX + 32], buffer[32];
    snprintf(own, sizeof own, "%s-%ld", path, (long)argument);
    for (int i = 0; i < 50; i++) {
        int fd = open(own, O_RDWR | O_CREAT | O_TRUNC, 0600);
        if (fd < 0 || write(fd, own, 10) != 10 || pread(fd, buffer, 32, 0) != 10 || close(fd) != 0)
            return "a thread failed";
    }
    return unlink(own) == 0 ? NULL : "an unlink failed";
}

static void threads(void) {
    pthread_t all[4];
    void *fault;
    for (long i = 0; i < 4; i++) CHECK(pthread_create(&all[i], NULL, one_thread, (void *)i) == 0);
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(all[i], &fault) == 0);
        CHECK(fault == NULL);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    umask(022);
    names(argv[1]);
    bytes();
    large();
    descriptors();
    attributes();
    changing_names();
    directories(argv[1]);
    streams();
    children();
    threads();
    further(argv[1]);
    CHECK(unlink(path) == 0);
    if (failures == 0) puts("all as on any other file");
    return failures != 0;
}
