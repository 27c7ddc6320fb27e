// Stands before the C library: while one file exists, a flush waits, and says so with another.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wait_while_told(void) {
    const char *told = getenv("HANGING_DISK_TOLD");
    const char *waits = getenv("HANGING_DISK_WAITS");
    while (told && waits && access(told, F_OK) == 0) {
        int file = open(waits, O_CREAT | O_WRONLY, 0600);
        if (file >= 0) {
            close(file);
        }
        usleep(5000);
    }
}

int fsync(int file) {
    wait_while_told();
    return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    wait_while_told();
    return (int)syscall(SYS_fdatasync, file);
}
