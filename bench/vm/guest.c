/* The guest of bench/vm/run, as its first process: says "userspace"; with the argument "loops" times loops, each line
   "loop NAME NANOSECONDS"; resets the machine. Built statically, for any x86-64. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kBuffer = 16 << 20 };
static uint64_t* buffer;
static volatile uint64_t sink;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void integer(uint64_t rounds) {
  uint64_t a = 1, b = 7;
  for (uint64_t i = 0; i < rounds; ++i) {
    a = a * 6364136223846793005u + 1442695040888963407u;
    b += a >> 33 ^ b << 3;
    if (b & 1) a ^= b / 3;
  }
  sink = a + b;
}
static void memory(uint64_t rounds) {
  uint64_t at = 1, sum = 0;
  for (uint64_t i = 0; i < rounds; ++i) {
    at = at * 6364136223846793005u + 1442695040888963407u;
    sum += buffer[at >> 20 & (kBuffer / 8 - 1)];
  }
  sink = sum;
}
static void copy(uint64_t rounds) {
  for (uint64_t i = 0; i < rounds; ++i)
    memcpy((char*)buffer + (i & 7) * 8192, (char*)buffer + 65536 + (i & 7) * 8192, 4096);
}
static void string(uint64_t rounds) {
  for (uint64_t i = 0; i < rounds; ++i) {
    void *to = (char*)buffer + (i & 7) * 8192, *from = (char*)buffer + 65536;
    size_t size = 4096;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
  }
}
static void real(uint64_t rounds) {
  double a = 1.5, b = 0.5;
  for (uint64_t i = 0; i < rounds; ++i) {
    a = a * 1.0000001 + b;
    b = sqrt(a) - b * 0.25;
  }
  sink = (uint64_t)(a + b);
}
static int compare(const void* a, const void* b) {
  const uint64_t x = *(const uint64_t*)a, y = *(const uint64_t*)b;
  return x < y ? -1 : x > y;
}
static void calls(uint64_t rounds) { /* indirect ones, by qsort */
  for (uint64_t i = 0; i < rounds; ++i) buffer[i] = i * 6364136223846793005u;
  qsort(buffer, rounds, 8, compare);
}
static void system_call(uint64_t rounds) {
  for (uint64_t i = 0; i < rounds; ++i) syscall(SYS_getppid);
}
static void fork_wait(uint64_t rounds) {
  for (uint64_t i = 0; i < rounds; ++i) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
  }
}
static void page_fault(uint64_t rounds) {
  for (uint64_t done = 0; done < rounds; done += 1024) {
    char* pages = mmap(NULL, 1024 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 1024; ++i) pages[i * 4096] = 1;
    munmap(pages, 1024 * 4096);
  }
}

static const struct {
  const char* name;
  void (*run)(uint64_t);
  uint64_t rounds;
} loops[] = {{"integer", integer, 20000000},   {"memory", memory, 5000000},   {"memcpy 4K", copy, 200000},
             {"rep movsb 4K", string, 20000},  {"float", real, 5000000},      {"qsort element", calls, 200000},
             {"syscall", system_call, 500000}, {"fork+wait", fork_wait, 300}, {"page fault", page_fault, 51200}};

int main(int argc, char** argv) {
  puts("userspace");
  fflush(stdout);
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "loops") != 0) continue;
    buffer = mmap(NULL, kBuffer, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    for (size_t loop = 0; loop < sizeof loops / sizeof *loops; ++loop) {
      loops[loop].run(loops[loop].rounds / 100 + 1); /* translated */
      const double start = now();
      loops[loop].run(loops[loop].rounds);
      printf("loop %.2f %s\n", (now() - start) / (double)loops[loop].rounds, loops[loop].name);
      fflush(stdout);
    }
  }
  if (getpid() != 1) return 0;
  reboot(RB_AUTOBOOT);
  return 1;
}
