// A kernel of a few dozen bytes (Multiboot, 32-bit): says "boot", answers each byte typed on the serial port with the
// next letter of the alphabet ("m": with the low byte of IA32_ARCH_CAPABILITIES), and switches the machine off at "q".
// Runs under every engine.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "kernel/file.h"

asm(R"(
.ifndef proa_tiny_kernel
.pushsection .rodata
.balign 4
proa_tiny_kernel:
  .long 0x1badb002, 0x10000, 0 - 0x1badb002 - 0x10000
  .long 0x100000, 0x100000, 0, 0x102000, 0x100020
.code32
  mov $0x100000 + (9f - proa_tiny_kernel), %esi
  mov $0x3f8, %edx
1: lodsb
  test %al, %al
  jz 2f
  outb %al, %dx
  jmp 1b
2: mov $0x61, %bl
3: mov $0x3fd, %edx
  inb %dx, %al
  test $1, %al
  jz 3b
  mov $0x3f8, %edx
  inb %dx, %al
  cmp $0x71, %al
  je 4f
  cmp $0x6d, %al
  je 6f
  incl 0x101000
  mov %bl, %al
  inc %bl
  outb %al, %dx
  jmp 3b
4: mov $0x600, %edx
  mov $0x34, %al
  outb %al, %dx
5: jmp 5b
6: mov $0x10a, %ecx
  rdmsr
  mov $0x3f8, %edx
  outb %al, %dx
  jmp 3b
9: .asciz "boot\n"
.code64
proa_tiny_kernel_end:
.popsection
.endif
)");
extern "C" const char proa_tiny_kernel[], proa_tiny_kernel_end[];

namespace proa::vmm {

// A folder with the kernel as a file; gone with its owner.
class TinyKernel {
 public:
  TinyKernel() {
    char name[] = "/tmp/proa-vm-XXXXXX";
    folder_ = ::mkdtemp(name);
    const auto size = static_cast<size_t>(proa_tiny_kernel_end - proa_tiny_kernel);
    static_cast<void>(kernel::replace_file(path("kernel"), {proa_tiny_kernel, size}, 0600));
  }
  ~TinyKernel() { static_cast<void>(kernel::remove_tree(folder_)); }
  std::string path(std::string_view name) const { return cat(folder_, "/", name); }

 private:
  std::string folder_;
};

}  // namespace proa::vmm
