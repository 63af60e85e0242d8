/* A disk that fails, or a death, at the n-th change of a file below one folder.

   Preloaded (LD_PRELOAD), it stands before the functions of the C library that change files, so that it sees
   what Python, Rust and C++ write alike. torture_arm() says where, when and what; nothing happens before. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, FAIL_ONCE, FAIL_ON, KILL };

static struct {
    char below[PATH_MAX], told[PATH_MAX];
    size_t length;
    long at, seen;
    int action, rest; /* rest: the other half of a write that was cut is still to come, and fails */
} armed;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* What a call is told to do. */
typedef enum { GO_ON, FAIL, CUT, DIE } verdict;

void torture_arm(const char *below, long at, int action, const char *told) {
    snprintf(armed.below, sizeof armed.below, "%s", below);
    snprintf(armed.told, sizeof armed.told, "%s", told);
    armed.length = strlen(below);
    armed.at = at, armed.seen = 0, armed.rest = 0, armed.action = action;
}

long torture_seen(void) { return armed.seen; }

static int is_below(const char *path) {
    return armed.length && !strncmp(path, armed.below, armed.length) &&
           (path[armed.length] == '/' || path[armed.length] == 0);
}

/* The absolute path of what a call names; the name itself is not resolved, its folder need not be. */
static void absolute(int folder, const char *name, char *path) {
    char link[64];
    ssize_t n = 0;
    if (name[0] != '/') {
        if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        n = readlink(link, path, PATH_MAX / 2);
        if (n < 0) n = 0;
        path[n++] = '/';
    }
    snprintf(path + n, PATH_MAX - n, "%s", name);
}

/* A line about it in a file of the caller's, by the kernel itself: it must not count. */
static void tell(const char *what, const char *path) {
    char line[PATH_MAX + 64];
    int n = snprintf(line, sizeof line, "%ld %s %s\n", armed.seen, what, path + armed.length);
    int fd = syscall(SYS_openat, AT_FDCWD, armed.told, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) syscall(SYS_write, fd, line, n), syscall(SYS_close, fd);
}

static verdict judge(const char *path, const char *what) {
    verdict found = GO_ON;
    if (!armed.at || !is_below(path)) return found;
    pthread_mutex_lock(&mutex);
    int saved = errno, writes = !strcmp(what, "write");
    if (armed.rest && writes) armed.rest = 0, found = FAIL;
    else if (++armed.seen == armed.at || (armed.action == FAIL_ON && armed.seen > armed.at)) {
        if (armed.action != COUNT && armed.seen == armed.at) tell(what, path);
        if (armed.action == KILL) found = DIE;
        else if (armed.action != COUNT) found = writes && armed.seen == armed.at ? CUT : FAIL;
        if (found == CUT) armed.rest = armed.action == FAIL_ONCE;
    }
    errno = saved;
    pthread_mutex_unlock(&mutex);
    return found;
}

static verdict judge_at(int folder, const char *name, const char *what) {
    char path[PATH_MAX];
    if (!armed.at) return GO_ON;
    absolute(folder, name, path);
    return judge(path, what);
}

static verdict judge_fd(int fd, const char *what) {
    char link[64], path[PATH_MAX];
    if (!armed.at) return GO_ON;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return GO_ON;
    path[n] = 0;
    return judge(path, what);
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

#define REAL(name) ({ static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name); real; })
#define UNLESS(judged, code) \
    do { verdict v = (judged); if (v == DIE) die(); if (v != GO_ON) { errno = (code); return -1; } } while (0)

/* Writes: the n-th is cut in half, what follows of it finds no space. */

ssize_t write(int fd, const void *data, size_t n) {
    verdict v = judge_fd(fd, "write");
    if (v == CUT && n < 2) v = FAIL;
    if (v == DIE) { REAL(write)(fd, data, n / 2); die(); }
    if (v == FAIL) { errno = ENOSPC; return -1; }
    return REAL(write)(fd, data, v == CUT ? n / 2 : n);
}

ssize_t writev(int fd, const struct iovec *parts, int n) {
    verdict v = judge_fd(fd, "write");
    if (v == DIE) { REAL(write)(fd, parts[0].iov_base, parts[0].iov_len / 2); die(); }
    if (v == CUT && n > 0 && parts[0].iov_len > 1)
        return REAL(write)(fd, parts[0].iov_base, parts[0].iov_len / 2);
    if (v != GO_ON) { errno = ENOSPC; return -1; }
    return REAL(writev)(fd, parts, n);
}

#define PWRITE(name, offset_type) \
    ssize_t name(int fd, const void *data, size_t n, offset_type offset) { \
        verdict v = judge_fd(fd, "write"); \
        if (v == CUT && n < 2) v = FAIL; \
        if (v == DIE) { REAL(name)(fd, data, n / 2, offset); die(); } \
        if (v == FAIL) { errno = ENOSPC; return -1; } \
        return REAL(name)(fd, data, v == CUT ? n / 2 : n, offset); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define SENDFILE(name, offset_type) \
    ssize_t name(int to, int from, offset_type *offset, size_t n) { \
        verdict v = judge_fd(to, "write"); \
        if (v == DIE) die(); \
        if (v != GO_ON) { errno = ENOSPC; return -1; } \
        return REAL(name)(to, from, offset, n); \
    }
SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)

ssize_t copy_file_range(int from, off64_t *start, int to, off64_t *place, size_t n, unsigned flags) {
    UNLESS(judge_fd(to, "write"), ENOSPC);
    return REAL(copy_file_range)(from, start, to, place, n, flags);
}

/* Opening to write. */

#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND))
#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        MODE(flags) \
        if (WRITES(flags)) UNLESS(judge_at(AT_FDCWD, path, "open"), EACCES); \
        return REAL(name)(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        MODE(flags) \
        if (WRITES(flags)) UNLESS(judge_at(folder, path, "open"), EACCES); \
        return REAL(name)(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name) \
    FILE *name(const char *path, const char *mode) { \
        if (strpbrk(mode, "wa+")) { \
            verdict v = judge_at(AT_FDCWD, path, "open"); \
            if (v == DIE) die(); \
            if (v != GO_ON) { errno = EACCES; return NULL; } \
        } \
        return REAL(name)(path, mode); \
    }
FOPEN(fopen)
FOPEN(fopen64)

/* The rest: an I/O error, or no permission. */

int fsync(int fd) { UNLESS(judge_fd(fd, "fsync"), EIO); return REAL(fsync)(fd); }
int fdatasync(int fd) { UNLESS(judge_fd(fd, "fsync"), EIO); return REAL(fdatasync)(fd); }
int ftruncate(int fd, off_t n) { UNLESS(judge_fd(fd, "truncate"), EIO); return REAL(ftruncate)(fd, n); }
int ftruncate64(int fd, off64_t n) { UNLESS(judge_fd(fd, "truncate"), EIO); return REAL(ftruncate64)(fd, n); }

int truncate(const char *path, off_t n) {
    UNLESS(judge_at(AT_FDCWD, path, "truncate"), EIO);
    return REAL(truncate)(path, n);
}

int truncate64(const char *path, off64_t n) {
    UNLESS(judge_at(AT_FDCWD, path, "truncate"), EIO);
    return REAL(truncate64)(path, n);
}

int rename(const char *from, const char *to) {
    UNLESS(judge_at(AT_FDCWD, to, "rename"), EIO);
    return REAL(rename)(from, to);
}

int renameat(int there, const char *from, int folder, const char *to) {
    UNLESS(judge_at(folder, to, "rename"), EIO);
    return REAL(renameat)(there, from, folder, to);
}

int unlink(const char *path) { UNLESS(judge_at(AT_FDCWD, path, "unlink"), EACCES); return REAL(unlink)(path); }

int unlinkat(int folder, const char *path, int flags) {
    UNLESS(judge_at(folder, path, "unlink"), EACCES);
    return REAL(unlinkat)(folder, path, flags);
}

int rmdir(const char *path) { UNLESS(judge_at(AT_FDCWD, path, "rmdir"), EACCES); return REAL(rmdir)(path); }

int mkdir(const char *path, mode_t mode) {
    UNLESS(judge_at(AT_FDCWD, path, "mkdir"), EACCES);
    return REAL(mkdir)(path, mode);
}
