// Runs commands and tells on descriptor FD, in one line, what they took: wall nanoseconds, the peak
// resident set in KiB of the largest process among them and those they waited for, and how many failed.
//   launcher FD seq CMD... [:: CMD...]...   one after the other
//   launcher FD par N CMD...                N at once; "{}" in an argument becomes the number
// Small and static, for a child's peak starts with its parent's pages (a forking interpreter would be
// measured instead). Adopts and reaps what the commands leave running for a moment.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long peak;
static int failures;

static pid_t start(char** argv) {
  const pid_t child = vfork();
  if (child == 0) {
    execv(argv[0], argv);
    _exit(127);
  }
  return child;
}

// Waits for `child` and takes its figures; others that end meanwhile were adopted and do not count.
static void finish(pid_t child) {
  int status = 0;
  struct rusage usage;
  if (wait4(child, &status, 0, &usage) != child || status != 0) failures++;
  if (usage.ru_maxrss > peak) peak = usage.ru_maxrss;
}

static void sequence(char** argv) {
  while (*argv != NULL) {
    char** end = argv;
    while (*end != NULL && strcmp(*end, "::") != 0) end++;
    const int more = *end != NULL;
    *end = NULL;
    finish(start(argv));
    argv = end + more;
  }
}

static char* numbered(const char* word, int number) {
  const char* place = strstr(word, "{}");
  char* made = NULL;
  if (place == NULL) return strdup(word);
  return asprintf(&made, "%.*s%d%s", (int)(place - word), word, number, place + 2) < 0 ? NULL : made;
}

static void at_once(int count, int words, char** argv) {
  char** all = calloc((size_t)count * (size_t)(words + 1), sizeof *all);
  pid_t* children = calloc((size_t)count, sizeof *children);
  for (int i = 0; i < count; i++)
    for (int w = 0; w < words; w++) all[i * (words + 1) + w] = numbered(argv[w], i);
  for (int i = 0; i < count; i++) children[i] = start(all + i * (words + 1));
  for (int i = 0; i < count; i++) finish(children[i]);
}

int main(int argc, char** argv) {
  const int parallel = argc > 4 && strcmp(argv[2], "par") == 0;
  if (argc < 4 || (!parallel && strcmp(argv[2], "seq") != 0)) return 2;
  const int report = atoi(argv[1]);
  fcntl(report, F_SETFD, FD_CLOEXEC);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  const long long from = now();
  if (parallel)
    at_once(atoi(argv[3]), argc - 4, argv + 4);
  else
    sequence(argv + 3);
  dprintf(report, "%lld %ld %d\n", now() - from, peak, failures);
  // A program that was started for good (in the background) stays; one about to end is waited for.
  for (int i = 0; i < 100 && waitpid(-1, NULL, WNOHANG) == 0; i++) usleep(1000);
  while (waitpid(-1, NULL, WNOHANG) > 0) {
  }
  return 0;
}
