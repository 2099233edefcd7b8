// trace NM PROGRAM ARG...: runs the program step by step and prints the names of its functions in the order in
// which they are first entered, those of processes that it forks included, up to what they execute.
// NM is the output of `nm --defined-only --numeric-sort` of the program, a static position-independent one.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

struct function {
  unsigned long address;
  char* name;
  int seen;
};
static struct function* functions;
static size_t count;

static void read_names(const char* file) {
  FILE* in = fopen(file, "r");
  char name[4096], type;
  unsigned long address;
  size_t room = 0;
  if (in == NULL) exit((perror(file), 1));
  while (fscanf(in, "%lx %c %4095s", &address, &type, name) == 3) {
    if (strchr("tTwWi", type) == NULL) continue;
    if (count == room) functions = realloc(functions, (room = room * 2 + 1024) * sizeof *functions);
    functions[count++] = (struct function){address, strdup(name), 0};
  }
  fclose(in);
}

static void note(unsigned long offset) {
  size_t low = 0, high = count;
  while (high - low > 1) {
    const size_t middle = (low + high) / 2;
    if (functions[middle].address <= offset)
      low = middle;
    else
      high = middle;
  }
  if (count == 0 || functions[low].address > offset || functions[low].seen) return;
  functions[low].seen = 1;
  puts(functions[low].name);
}

static unsigned long base_of(pid_t pid) {
  char path[64];
  unsigned long base = 0;
  snprintf(path, sizeof path, "/proc/%d/maps", pid);
  FILE* maps = fopen(path, "r");
  if (maps == NULL || fscanf(maps, "%lx", &base) != 1) base = 0;
  if (maps != NULL) fclose(maps);
  return base;
}

int main(int argc, char** argv) {
  if (argc < 3) return fputs("usage: trace NM PROGRAM ARG...\n", stderr), 2;
  read_names(argv[1]);
  const pid_t first = fork();
  if (first == 0) {
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    execv(argv[2], argv + 2);
    _exit(127);
  }
  int status = 0;
  waitpid(first, &status, 0);
  ptrace(PTRACE_SETOPTIONS, first, NULL,
         PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC);
  ptrace(PTRACE_CONT, first, NULL, NULL);
  unsigned long base = 0, last = 0;
  for (;;) {
    const pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0) return 0;
    if (!WIFSTOPPED(status)) continue;
    const int signal = WSTOPSIG(status), event = status >> 16;
    if (event == PTRACE_EVENT_EXEC) {
      if (base != 0) {  // another program: it is left alone
        ptrace(PTRACE_DETACH, pid, NULL, NULL);
        continue;
      }
      base = base_of(pid);
    }
    struct user_regs_struct registers;
    if (base != 0 && ptrace(PTRACE_GETREGS, pid, NULL, &registers) == 0 && registers.rip >= base &&
        registers.rip != last) {
      last = registers.rip;
      note(registers.rip - base);
    }
    const int pass = signal == SIGTRAP || signal == SIGSTOP ? 0 : signal;
    ptrace(PTRACE_SINGLESTEP, pid, NULL, (long)pass);
  }
}
