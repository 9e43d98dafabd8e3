/* A program that knows nothing of message passing: it opens, writes and closes a file. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
    int fd = open("/net/wintermute/home/rk/filename", O_WRONLY);
    if (fd == -1) {
        perror("open");
        return EXIT_FAILURE;
    }
    ssize_t written = write(fd, "This is message passing\n", 24);
    if (written != 24) {
        perror("write");
        return EXIT_FAILURE;
    }
    if (close(fd) == -1) {
        perror("close");
        return EXIT_FAILURE;
    }
    printf("open: %d, write: %zd, close: 0\n", fd, written);
    return EXIT_SUCCESS;
}
