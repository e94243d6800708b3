/* SPDX-License-Identifier: MIT */
#include "admin/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

double usage_cpu_seconds(void)
{
    struct rusage r;
    if (getrusage(RUSAGE_SELF, &r) < 0)
        return 0;
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static bool read_statm(unsigned long long *ret_pages, unsigned long long *ret_resident)
{
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    char text[128];
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    return sscanf(text, "%llu %llu", ret_pages, ret_resident) == 2;
}

static bool count_files(uint64_t *ret_value)
{
    struct stat st;
    /* Since Linux 6.2 the size of the directory is the answer. */
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0) {
        *ret_value = (uint64_t)st.st_size;
        return true;
    }
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return false;
    uint64_t n = 0;
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    *ret_value = n - 1; /* the one being read */
    return true;
}

bool usage_get(enum usage what, uint64_t *ret_value)
{
    unsigned long long pages, resident;
    struct rlimit limit;
    switch (what) {
    case USAGE_RESIDENT_BYTES:
    case USAGE_VIRTUAL_BYTES:
        if (!read_statm(&pages, &resident))
            return false;
        *ret_value =
            (what == USAGE_RESIDENT_BYTES ? resident : pages) * (uint64_t)sysconf(_SC_PAGESIZE);
        return true;
    case USAGE_FILES: return count_files(ret_value);
    case USAGE_FILES_MAX:
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
            return false;
        *ret_value = limit.rlim_cur;
        return true;
    }
    return false;
}
