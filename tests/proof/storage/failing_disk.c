/*
 * A disk that fails when it is told to. Preloaded into a server, it lets the calls that SQLite makes for the files of
 * one database fail while an order lies there:
 *
 *     FAILING_DISK_FILES   how the paths of these files begin
 *     FAILING_DISK_ORDER   a file with a line for each call that fails: CALL ERROR
 *                          CALL   pwrite, pread or sync
 *                          ERROR  EIO or ENOSPC; for pwrite also TORN: the half is written, and then EIO; for sync also
 *                                 KEEP: it does not fail, and PATH.synced is what a power loss would leave of the file
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum fault { NONE, IO_ERROR, NO_SPACE, TORN, KEEP };

typedef ssize_t (*pwrite_call)(int, const void *, size_t, off64_t);
typedef ssize_t (*pread_call)(int, void *, size_t, off64_t);
typedef int (*sync_call)(int);

static int find_path(int fd, char path[4096]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 4095);
    path[length < 0 ? 0 : length] = 0;
    return length > 0;
}

static int is_ours(int fd) {
    const char *files = getenv("FAILING_DISK_FILES");
    char path[4096];
    return files != NULL && find_path(fd, path) && strncmp(path, files, strlen(files)) == 0;
}

/* Reads by the descriptor that is there: closing another one of the file would drop SQLite's locks. */
static void keep(int fd) {
    pread_call read_some = (pread_call)dlsym(RTLD_NEXT, "pread64");
    char path[4096], draft[4120], kept[4120], page[65536];
    off64_t at = 0;
    if (!find_path(fd, path)) return;
    snprintf(draft, sizeof draft, "%s.draft", path);
    snprintf(kept, sizeof kept, "%s.synced", path);
    int copy = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (ssize_t size; (size = read_some(fd, page, sizeof page, at)) > 0; at += size)
        if (write(copy, page, size) != size) abort();
    close(copy);
    if (rename(draft, kept) != 0) abort();
}

static enum fault ordered(int fd, const char *call) {
    const char *order = getenv("FAILING_DISK_ORDER");
    int before = errno;
    enum fault found = NONE;
    char name[16], error[16];
    FILE *file = order != NULL && access(order, F_OK) == 0 && is_ours(fd) ? fopen(order, "re") : NULL;
    while (file != NULL && fscanf(file, "%15s %15s", name, error) == 2) {
        if (strcmp(name, call) != 0) continue;
        found = strcmp(error, "KEEP") == 0     ? KEEP
                : strcmp(error, "TORN") == 0   ? TORN
                : strcmp(error, "ENOSPC") == 0 ? NO_SPACE
                                               : IO_ERROR;
    }
    if (file != NULL) fclose(file);
    errno = before;
    return found;
}

static ssize_t failed(enum fault fault) {
    errno = fault == NO_SPACE ? ENOSPC : EIO;
    return -1;
}

static ssize_t write_at(const char *name, int fd, const void *data, size_t size, off64_t offset) {
    pwrite_call real = (pwrite_call)dlsym(RTLD_NEXT, name);
    enum fault fault = ordered(fd, "pwrite");
    if (fault == NONE) return real(fd, data, size, offset);
    if (fault == TORN) real(fd, data, size / 2, offset);
    return failed(fault);
}

static ssize_t read_at(const char *name, int fd, void *data, size_t size, off64_t offset) {
    enum fault fault = ordered(fd, "pread");
    return fault == NONE ? ((pread_call)dlsym(RTLD_NEXT, name))(fd, data, size, offset) : failed(fault);
}

static int synced(const char *name, int fd) {
    enum fault fault = ordered(fd, "sync");
    if (fault != NONE && fault != KEEP) return (int)failed(fault);
    int done = ((sync_call)dlsym(RTLD_NEXT, name))(fd);
    if (fault == KEEP && done == 0) keep(fd);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return write_at("pwrite", fd, data, size, offset); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    return write_at("pwrite64", fd, data, size, offset);
}
ssize_t pread(int fd, void *data, size_t size, off_t offset) { return read_at("pread", fd, data, size, offset); }
ssize_t pread64(int fd, void *data, size_t size, off64_t offset) { return read_at("pread64", fd, data, size, offset); }
int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
