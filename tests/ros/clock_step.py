"""A system clock that a test can set for one process: the machine's own stays as it is."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

# Adds what stands in a shared file to the system clock; the monotonic clocks pass unchanged. A wait until a
# moment of the system clock is cut into short ones by that clock, which callers take for spurious wake-ups.
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile int64_t *seconds;
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void start(void) {
  real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  const char *path = getenv("CLOCK_STEP_FILE");
  int file = path ? open(path, O_RDONLY) : -1;
  void *shared = file < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, file, 0);
  if (shared != MAP_FAILED) seconds = shared;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, now);
  if (seconds && result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += *seconds;
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec precise;
  if (clock_gettime(CLOCK_REALTIME, &precise)) return -1;
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return 0;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline) {
  static int (*wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  if (!wait) wait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  if (!wait) wait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  int is_monotonic = condition->__data.__wrefs & 2;
  if (!seconds || is_monotonic) return wait(condition, mutex, deadline);
  struct timespec now, soon;
  real(CLOCK_REALTIME, &soon);
  int64_t left = (deadline->tv_sec - soon.tv_sec - *seconds) * 1000000000 + deadline->tv_nsec - soon.tv_nsec;
  int64_t then = soon.tv_nsec + (left < 0 ? 0 : left > 50000000 ? 50000000 : left);
  soon.tv_sec += then / 1000000000;
  soon.tv_nsec = then % 1000000000;
  int result = wait(condition, mutex, &soon);
  clock_gettime(CLOCK_REALTIME, &now);
  int is_over = now.tv_sec > deadline->tv_sec ||
                (now.tv_sec == deadline->tv_sec && now.tv_nsec >= deadline->tv_nsec);
  return result == ETIMEDOUT && !is_over ? 0 : result;
}

time_t time(time_t *where) {
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  if (where) *where = precise.tv_sec;
  return precise.tv_sec;
}
"""


def obstacle() -> str:
    """Why a process's clock cannot be set here; empty when it can."""
    if os.uname().sysname != "Linux" or shutil.which("cc") is None:
        return "it takes a C compiler and Linux"
    return ""


class SystemClock:
    """The system clock of the processes that start in `environment`.

    Args:
        folder: For its two files.

    Attributes:
        environment: Variables of these processes.
    """

    def __init__(self, folder: Path) -> None:
        source, library, shared = folder / "step.c", folder / "step.so", folder / "seconds"
        source.write_text(SOURCE)
        subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(library), "-ldl"], check=True)
        shared.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_STEP_FILE": str(shared)}
        with shared.open("r+b") as file:
            self._seconds = mmap.mmap(file.fileno(), 8)

    def set(self, seconds: int) -> None:
        """Let it be so far ahead of the machine's."""
        self._seconds[:] = struct.pack("q", seconds)
