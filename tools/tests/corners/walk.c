/* A program that knows nothing of message passing, and walks trees of files. Its argument is a directory. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static char seen[64][64];
static int count, answer_at_a, relative_is_there = 1;
static size_t root_len;

static int order(const void *one, const void *other) {
    return strcmp(one, other);
}

static void note(const char *path, int kind, int level) {
    snprintf(seen[count++], sizeof seen[0], "%s %d %d", path + root_len, kind, level);
}

static int visit(const char *path, const struct stat *found, int kind, struct FTW *place) {
    struct stat here;
    note(path, kind, place->level);
    relative_is_there &= lstat(path + place->base, &here) == 0 && here.st_ino == found->st_ino;
    return strcmp(path + root_len, "/a") == 0 ? answer_at_a : 0;
}

static int visit_simply(const char *path, const struct stat *found, int kind) {
    (void)found;
    note(path, kind, 0);
    return 0;
}

/* What was seen, in an order that is the same on all file systems. */
static const char *all(void) {
    static char text[1024];
    qsort(seen, count, sizeof seen[0], order);
    text[0] = 0;
    for (int at = 0; at < count; at++) {
        strcat(strcat(text, seen[at]), ",");
    }
    count = 0;
    return text;
}

int main(int argc, char **argv) {
    char root[PATH_MAX], before[PATH_MAX], after[PATH_MAX];
    CHECK(argc == 2 && chdir(argv[1]) == 0);
    CHECK(mkdir("tree", 0755) == 0 && mkdir("tree/a", 0755) == 0 && mkdir("tree/a/b", 0755) == 0);
    CHECK(close(creat("tree/a/b/file", 0644)) == 0 && close(creat("tree/z", 0644)) == 0);
    CHECK(symlink("none", "tree/dangling") == 0 && symlink("..", "tree/a/up") == 0);
    snprintf(root, sizeof root, "%s/tree", argv[1]);
    root_len = strlen(root);

    CHECK(nftw(root, visit, 4, FTW_PHYS) == 0);
    CHECK(strcmp(all(), " 1 0,/a 1 1,/a/b 1 2,/a/b/file 0 3,/a/up 4 2,/dangling 4 1,/z 0 1,") == 0);
    CHECK(nftw(root, visit, 4, FTW_PHYS | FTW_DEPTH | FTW_MOUNT) == 0);
    CHECK(strcmp(seen[count - 1], " 5 0") == 0);
    CHECK(strcmp(all(), " 5 0,/a 5 1,/a/b 5 2,/a/b/file 0 3,/a/up 4 2,/dangling 4 1,/z 0 1,") == 0);
    /* Links followed: no directory twice. */
    CHECK(nftw(root, visit, 4, 0) == 0);
    CHECK(strcmp(all(), " 1 0,/a 1 1,/a/b 1 2,/a/b/file 0 3,/dangling 6 1,/z 0 1,") == 0);

    answer_at_a = 7;
    CHECK(nftw(root, visit, 4, FTW_PHYS) == 7);
    count = 0;
    answer_at_a = FTW_SKIP_SUBTREE;
    CHECK(nftw(root, visit, 4, FTW_PHYS | FTW_ACTIONRETVAL) == 0);
    CHECK(strcmp(all(), " 1 0,/a 1 1,/dangling 4 1,/z 0 1,") == 0);
    answer_at_a = 0;

    CHECK(ftw(root, visit_simply, 4) == 0);
    CHECK(strcmp(all(), " 1 0,/a 1 0,/a/b 1 0,/a/b/file 0 0,/dangling 3 0,/z 0 0,") == 0);

    CHECK(getcwd(before, sizeof before) != NULL);
    relative_is_there = 1;
    CHECK(nftw(root, visit, 4, FTW_PHYS | FTW_CHDIR) == 0 && relative_is_there);
    CHECK(strcmp(all(), " 1 0,/a 1 1,/a/b 1 2,/a/b/file 0 3,/a/up 4 2,/dangling 4 1,/z 0 1,") == 0);
    root_len = 4;
    CHECK(nftw("tree/", visit, 4, FTW_PHYS | FTW_CHDIR) == 0 && relative_is_there && count == 7);
    CHECK(getcwd(after, sizeof after) != NULL && strcmp(before, after) == 0);
    CHECK(nftw("none", visit, 4, 0) == -1 && errno == ENOENT);
    count = 0;
    CHECK(nftw("tree/z", visit, 4, 0) == 0 && count == 1);
    return 0;
}
