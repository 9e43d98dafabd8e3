/* A program that knows nothing of message passing, whose streams get other files, and have wide characters. Its
 * argument is a directory. */
#define _GNU_SOURCE
#include <locale.h>
#include <stdlib.h>
#include <unistd.h>
#include <wchar.h>

#include "check.h"

static char first[4096], second[4096];
static char text[64];

/* What a file holds. */
static const char *holds(const char *path) {
    memset(text, 0, sizeof text);
    FILE *file = fopen(path, "r");
    if (!file || fread(text, 1, sizeof text - 1, file) == 0) {
        text[0] = 0;
    }
    if (file) {
        fclose(file);
    }
    return text;
}

static int other_files(void) {
    char line[16] = "";
    FILE *file = fopen(first, "w");
    CHECK(file && fputs("one\n", file) >= 0);
    /* What was written goes to the file before, and the stream stays the same one. */
    CHECK(freopen(second, "w", file) == file && fputs("two\n", file) >= 0);
    CHECK(strcmp(holds(first), "one\n") == 0);
    int number = fileno(file);
    CHECK(freopen(first, "r", file) == file && fileno(file) == number);
    CHECK(strcmp(holds(second), "two\n") == 0);
    CHECK(fgets(line, sizeof line, file) && strcmp(line, "one\n") == 0 && fputs("x", file) == EOF);
    clearerr(file);
    CHECK(fgetc(file) == EOF && feof(file));
    CHECK(freopen(second, "a+", file) == file && !feof(file) && fputs("three\n", file) >= 0);
    CHECK(fflush(file) == 0 && strcmp(holds(second), "two\nthree\n") == 0);
    /* Another mode of the same file, and a file of this machine. */
    CHECK(freopen(NULL, "r", file) == file && fgets(line, sizeof line, file) && strcmp(line, "two\n") == 0);
    CHECK(freopen("/dev/null", "r", file) == file && fgetc(file) == EOF);
    CHECK(freopen(first, "r+", file) == file && fgetc(file) == 'o');
    CHECK(fclose(file) == 0);
    CHECK((file = fopen(first, "r")) && freopen("/nobody/serves/this", "r", file) == NULL && errno == ENOENT);
    return 0;
}

static int standard_streams(void) {
    char line[16] = "";
    int kept = dup(STDOUT_FILENO);
    printf("%s", "");
    CHECK(kept >= 0 && freopen(first, "w", stdout) != NULL && fileno(stdout) == STDOUT_FILENO);
    CHECK(printf("printed\n") == 8 && puts("put") >= 0 && putchar('x') == 'x' && fflush(stdout) == 0);
    CHECK(system("echo shell") == 0);
    CHECK(strcmp(holds(first), "printed\nput\nxshell\n") == 0);
    CHECK(freopen(second, "a", stdout) != NULL && printf("four\n") == 5);
    CHECK(freopen("/dev/null", "w", stdout) != NULL && printf("lost\n") == 5 && fflush(stdout) == 0);
    CHECK(strcmp(holds(second), "two\nthree\nfour\n") == 0);
    CHECK(dup2(kept, STDOUT_FILENO) == STDOUT_FILENO && close(kept) == 0);
    CHECK(freopen(first, "r", stdin) != NULL);
    CHECK(scanf("%15s", line) == 1 && strcmp(line, "printed") == 0 && getchar() == '\n' && getchar() == 'p');
    CHECK(freopen(second, "r", stdin) != NULL && getchar() == 't');
    CHECK(freopen(second, "a", stderr) != NULL && fputs("five\n", stderr) >= 0 && fflush(stderr) == 0);
    CHECK(strcmp(holds(second), "two\nthree\nfour\nfive\n") == 0);
    return 0;
}

static int wide_characters(void) {
    wchar_t line[16];
    CHECK(setlocale(LC_ALL, "C.UTF-8") != NULL);
    FILE *file = fopen(first, "w");
    CHECK(file && fputwc(L'ä', file) == L'ä' && fputws(L"€uro\n", file) >= 0 && fputws(L"end", file) >= 0);
    CHECK(fclose(file) == 0 && strcmp(holds(first), "ä€uro\nend") == 0);
    CHECK((file = fopen(first, "r")) && fgetwc(file) == L'ä' && fgetwc(file) == L'€');
    CHECK(ungetwc(L'€', file) == L'€' && fgetws(line, 16, file) && wcscmp(line, L"€uro\n") == 0);
    CHECK(fgetws(line, 3, file) && wcscmp(line, L"en") == 0);
    CHECK(fgetws(line, 16, file) && wcscmp(line, L"d") == 0);
    CHECK(fgetws(line, 16, file) == NULL && feof(file) && fgetwc(file) == WEOF && fclose(file) == 0);
    CHECK((file = fopen(first, "w")) && fputs("a\xff", file) >= 0 && fclose(file) == 0);
    CHECK((file = fopen(first, "r")) && fgetwc(file) == L'a');
    CHECK((errno = 0, fgetwc(file)) == WEOF && errno == EILSEQ && fclose(file) == 0);
    return 0;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    snprintf(first, sizeof first, "%s/first", argv[1]);
    snprintf(second, sizeof second, "%s/second", argv[1]);
    int failed = other_files() || wide_characters();
    CHECK(failed == 0);
    FILE *file = fopen(second, "w");
    CHECK(file && fputs("two\nthree\n", file) >= 0 && fclose(file) == 0);
    return standard_streams();
}
