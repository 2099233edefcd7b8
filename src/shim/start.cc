// The program's entry and the few functions that compilers call on their own, in place of a libc.
// Part of the program only: the unit tests run the same modules on a libc.
#include <elf.h>
#include <emmintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>

#include "shim/sys.h"

// Here addresses come as numbers, from the kernel and the linker, and names are the compiler's choice.
// NOLINTBEGIN(performance-no-int-to-ptr, bugprone-reserved-identifier, clang-analyzer-core.NullDereference)

extern "C" {

int main(int argc, char** argv, char** env);

// Set by the linker, hidden: their addresses are taken relative to the program counter.
extern const Elf64_Ehdr __ehdr_start __attribute__((visibility("hidden")));
extern const Elf64_Dyn _DYNAMIC[] __attribute__((visibility("hidden")));

void* memcpy(void* to, const void* from, size_t size) {
  auto* target = static_cast<char*>(to);
  const auto* source = static_cast<const char*>(from);
  if (size >= 16 && size < 1024) {  // log records are put together from such pieces
    const auto copy = [&](size_t at) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(target + at),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + at)));
    };
    for (size_t at = 0; at + 16 < size; at += 16) copy(at);
    copy(size - 16);
  } else if (size >= 1024) {
    asm volatile("rep movsb" : "+D"(target), "+S"(source), "+c"(size) : : "memory");
  } else {
    for (size_t at = 0; at < size; ++at) target[at] = source[at];
  }
  return to;
}

void* memmove(void* to, const void* from, size_t size) {
  auto* target = static_cast<char*>(to);
  const auto* source = static_cast<const char*>(from);
  if (target + size <= source || target >= source + size) return memcpy(to, from, size);
  if (target < source) {
    for (size_t at = 0; at < size; ++at) target[at] = source[at];
  } else {
    while (size-- != 0) target[size] = source[size];
  }
  return to;
}

void* memset(void* to, int value, size_t size) {
  void* const start = to;
  asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
  return start;
}

int memcmp(const void* left, const void* right, size_t size) {
  const auto *a = static_cast<const unsigned char*>(left), *b = static_cast<const unsigned char*>(right);
  for (; size != 0; --size, ++a, ++b)
    if (*a != *b) return *a - *b;
  return 0;
}

int bcmp(const void* left, const void* right, size_t size) { return memcmp(left, right, size); }

size_t strlen(const char* text) {
  size_t length = 0;
  while (text[length] != 0) ++length;
  return length;
}

void* memchr(const void* in, int value, size_t size) {
  const auto* at = static_cast<const char*>(in);
  const __m128i wanted = _mm_set1_epi8(static_cast<char>(value));
  for (; size >= 16; size -= 16, at += 16) {
    const __m128i equal = _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)), wanted);
    const int mask = _mm_movemask_epi8(equal);
    if (mask != 0) return const_cast<char*>(at) + __builtin_ctz(static_cast<unsigned>(mask));
  }
  for (; size != 0; --size, ++at)
    if (*at == static_cast<char>(value)) return const_cast<char*>(at);
  return nullptr;
}

void abort() noexcept {
  asm volatile("ud2");
  __builtin_unreachable();
}

void __stack_chk_fail() { abort(); }
void __cxa_pure_virtual() { abort(); }

// What the thread pointer points to. The compiler takes the stack's canary from its offset 0x28.
static uintptr_t thread_block[8];

// The program is position-independent, and nobody else relocates it: every entry is R_X86_64_RELATIVE.
__attribute__((no_stack_protector)) static void relocate() {
  const auto base = reinterpret_cast<uintptr_t>(&__ehdr_start);
  uintptr_t rela = 0, rela_size = 0, relr = 0, relr_size = 0;
  for (const Elf64_Dyn* entry = _DYNAMIC; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_RELA)
      rela = base + entry->d_un.d_ptr;
    else if (entry->d_tag == DT_RELASZ)
      rela_size = entry->d_un.d_val;
    else if (entry->d_tag == 36 /* DT_RELR */)
      relr = base + entry->d_un.d_ptr;
    else if (entry->d_tag == 35 /* DT_RELRSZ */)
      relr_size = entry->d_un.d_val;
  }
  for (uintptr_t at = rela; at < rela + rela_size; at += sizeof(Elf64_Rela)) {
    const auto* entry = reinterpret_cast<const Elf64_Rela*>(at);
    *reinterpret_cast<uintptr_t*>(base + entry->r_offset) = base + static_cast<uintptr_t>(entry->r_addend);
  }
  uintptr_t* where = nullptr;
  for (uintptr_t at = relr; at < relr + relr_size; at += sizeof(uintptr_t)) {
    uintptr_t bits = *reinterpret_cast<const uintptr_t*>(at);
    if ((bits & 1) == 0) {  // an address; then bitmaps of the 63 words after it
      where = reinterpret_cast<uintptr_t*>(base + bits);
      *where++ += base;
      continue;
    }
    for (uintptr_t* word = where; (bits >>= 1) != 0; ++word)
      if ((bits & 1) != 0) *word += base;
    where += 63;
  }
}

__attribute__((no_stack_protector)) static void set_canary(const Elf64_auxv_t* auxiliary) {
  constexpr long kArchPrctl = 158, kSetFs = 0x1002;
  for (; auxiliary->a_type != AT_NULL; ++auxiliary)
    if (auxiliary->a_type == AT_RANDOM) thread_block[5] = *reinterpret_cast<const uintptr_t*>(auxiliary->a_un.a_val);
  thread_block[5] &= ~uintptr_t{0xff};  // a NUL in front stops string functions
  proa::shim::sys::call(kArchPrctl, kSetFs, reinterpret_cast<long>(thread_block));
}

__attribute__((no_stack_protector, used)) void start(uintptr_t* stack) {
  relocate();
  const auto argc = static_cast<int>(*stack);
  auto** argv = reinterpret_cast<char**>(stack + 1);
  char** env = argv + argc + 1;
  char** after = env;
  while (*after != nullptr) ++after;
  set_canary(reinterpret_cast<const Elf64_auxv_t*>(after + 1));
  proa::shim::sys::quit(main(argc, argv, env));
}

}  // extern "C"

// NOLINTEND(performance-no-int-to-ptr, bugprone-reserved-identifier, clang-analyzer-core.NullDereference)

asm(R"(
  .globl _start
  .type _start, @function
_start:
  xor %ebp, %ebp
  mov %rsp, %rdi
  and $-16, %rsp
  call start
)");
