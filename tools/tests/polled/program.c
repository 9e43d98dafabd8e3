/* A program that knows nothing of message passing, and waits until the device that is its argument is ready. Whoever asks
 * that device gets a signal before its answer, which says that it is ready to be written to and for nothing else. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/select.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t seen;

static void handle(int signal) {
    (void)signal;
    seen++;
}

static int signals(int device) {
    struct pollfd one = {device, POLLIN, 0};
    fd_set set;
    sigset_t held, none;
    CHECK(poll(&one, 1, -1) == -1 && errno == EINTR && seen == 1);
    CHECK(poll(&one, 1, 0) == -1 && errno == EINTR && seen == 2);
    FD_ZERO(&set);
    FD_SET(device, &set);
    CHECK(select(device + 1, &set, NULL, NULL, NULL) == -1 && errno == EINTR && seen == 3);
    /* What is ready goes before a signal, which the program has seen all the same when it comes back. */
    one.events = POLLIN | POLLOUT;
    CHECK(poll(&one, 1, -1) == 1 && one.revents == POLLOUT && seen == 4);
    one.events = POLLIN;
    /* Who holds it back waits on, but for the time in which it says otherwise. */
    sigemptyset(&none);
    sigemptyset(&held);
    sigaddset(&held, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &held, NULL) == 0);
    CHECK(poll(&one, 1, 5) == 0 && seen == 4);
    CHECK(ppoll(&one, 1, NULL, &none) == -1 && errno == EINTR && seen == 5);
    CHECK(pselect(device + 1, &set, NULL, NULL, NULL, &none) == -1 && errno == EINTR && seen == 6);
    sigset_t now;
    CHECK(sigprocmask(SIG_SETMASK, &none, &now) == 0 && sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
    return 0;
}

static int times(int device) {
    struct pollfd one = {device, POLLOUT, 0};
    struct timespec none[] = {{0, 1000000000}, {0, -1}, {-1, 0}};
    struct timeval long_fraction = {0, 60000000}, negative = {0, -1};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(device, &set);
    for (int i = 0; i < 3; i++) {
        CHECK(ppoll(&one, 1, &none[i], NULL) == -1 && errno == EINVAL);
        CHECK(pselect(device + 1, NULL, &set, NULL, &none[i], NULL) == -1 && errno == EINVAL);
    }
    CHECK(select(device + 1, NULL, &set, NULL, &negative) == -1 && errno == EINVAL);
    CHECK(select(device + 1, NULL, &set, NULL, &long_fraction) == 1);
    return 0;
}

int main(int argc, char **argv) {
    /* Without SA_RESTART, though waiting is not begun again with it either. */
    struct sigaction action = {.sa_handler = handle};
    CHECK(argc == 2 && sigaction(SIGUSR1, &action, NULL) == 0);
    /* Who waits for what it has missed waits for ever. */
    alarm(120);
    int device = open(argv[1], O_RDWR);
    CHECK(device >= 0);
    return signals(device) || times(device);
}
