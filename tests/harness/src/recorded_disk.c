// Stands before the C library: records what is written of a database, and what is flushed, in the order of both.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { WRITTEN = 1, CUT_TO = 2, FLUSHING = 3, FLUSHED = 4, REMOVED = 5 };

struct header {
    uint32_t kind;
    uint32_t name_length;
    uint64_t place; // Of what is written; of a flush the thread.
    uint64_t length;
};

// The file's name where it is of the database, its shared memory aside, which no power cut leaves anything of.
static const char *name_of(const char *path) {
    const char *name = strrchr(path, '/');
    if (!name || strncmp(name, "/chat.db", 8) != 0 || strstr(name, "-shm") || strchr(name, ' ')) {
        return NULL;
    }
    return name + 1;
}

static const char *name_of_file(int file, char *path, size_t size) {
    char link[32] = "/proc/self/fd/";
    char digits[12];
    int at = 0;
    int opened = file;
    if (file < 0) {
        return NULL;
    }
    do {
        digits[at++] = (char)('0' + file % 10);
        file /= 10;
    } while (file > 0);
    char *end = link + strlen(link);
    while (at > 0) {
        *end++ = digits[--at];
    }
    *end = 0;
    ssize_t length = readlink(link, path, size - 1);
    if (length <= 0) {
        return NULL;
    }
    path[length] = 0;
    struct stat found;
    if (fstat(opened, &found) == 0 && S_ISDIR(found.st_mode)) {
        return ".";
    }
    return name_of(path);
}

static void record(enum kind kind, const char *name, uint64_t place, const void *bytes, uint64_t length) {
    const char *path = getenv("RECORDED_DISK");
    if (!path || !name) {
        return;
    }
    int file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (file < 0) {
        abort();
    }
    struct header header = {kind, (uint32_t)strlen(name), place, length};
    struct iovec parts[3] = {
        {&header, sizeof header},
        {(void *)name, header.name_length},
        {(void *)bytes, bytes ? length : 0},
    };
    ssize_t all = (ssize_t)(sizeof header + header.name_length + parts[2].iov_len);
    // As one, or not at all: others write beside it.
    if (syscall(SYS_writev, file, parts, 3) != all) {
        abort();
    }
    close(file);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t place) {
    ssize_t written = syscall(SYS_pwrite64, file, bytes, length, place);
    char path[4096];
    if (written > 0) {
        record(WRITTEN, name_of_file(file, path, sizeof path), (uint64_t)place, bytes, (uint64_t)written);
    }
    return written;
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t place) {
    return pwrite64(file, bytes, length, place);
}

ssize_t write(int file, const void *bytes, size_t length) {
    ssize_t written = syscall(SYS_write, file, bytes, length);
    char path[4096];
    const char *name = written > 0 ? name_of_file(file, path, sizeof path) : NULL;
    if (name) {
        uint64_t place = (uint64_t)lseek(file, 0, SEEK_CUR) - (uint64_t)written;
        record(WRITTEN, name, place, bytes, (uint64_t)written);
    }
    return written;
}

int ftruncate64(int file, off64_t length) {
    int failed = (int)syscall(SYS_ftruncate, file, length);
    char path[4096];
    if (!failed) {
        record(CUT_TO, name_of_file(file, path, sizeof path), 0, NULL, (uint64_t)length);
    }
    return failed;
}

int ftruncate(int file, off_t length) {
    return ftruncate64(file, length);
}

static int flush(long call, int file) {
    char path[4096];
    const char *name = name_of_file(file, path, sizeof path);
    uint64_t thread = (uint64_t)syscall(SYS_gettid);
    record(FLUSHING, name, thread, NULL, 0);
    int failed = (int)syscall(call, file);
    if (!failed) {
        record(FLUSHED, name, thread, NULL, 0);
    }
    return failed;
}

int fsync(int file) {
    return flush(SYS_fsync, file);
}

int fdatasync(int file) {
    return flush(SYS_fdatasync, file);
}

int unlink(const char *path) {
    int failed = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (!failed) {
        record(REMOVED, name_of(path), 0, NULL, 0);
    }
    return failed;
}
