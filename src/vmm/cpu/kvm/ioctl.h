// What the KVM engine's files share: one ioctl wrapper, and KVM's structs with room at their end.
#pragma once

#include <linux/stddef.h>
#include <sys/ioctl.h>
// In C++ the kernel's macro adds an empty member of one byte, which moves what follows and changes ioctl numbers.
#undef __DECLARE_FLEX_ARRAY
#define __DECLARE_FLEX_ARRAY(type, name) type name[]
#include <linux/kvm.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <string_view>

#include "base/error.h"

namespace proa::vmm::kvm {

template <typename Argument>
Result<int> ioctl(int fd, unsigned long request, Argument argument, std::string_view name) {
  int answer = 0;
  do answer = ::ioctl(fd, request, argument);
  while (answer < 0 && errno == EINTR);
  if (answer < 0) return fail_errno(errno, name);
  return answer;
}

// A struct of KVM's that ends in an array without size.
template <typename Head, typename Entry>
class WithEntries {
 public:
  explicit WithEntries(size_t count) : bytes_(new std::byte[sizeof(Head) + count * sizeof(Entry)]()) {}
  Head* operator->() const { return get(); }
  Head* get() const { return reinterpret_cast<Head*>(bytes_.get()); }
  static_assert(sizeof(Head) == 8);
  Entry* entries() const { return reinterpret_cast<Entry*>(bytes_.get() + sizeof(Head)); }

 private:
  std::unique_ptr<std::byte[]> bytes_;
};

}  // namespace proa::vmm::kvm

#define KVM_CALL(fd, request, argument) ::proa::vmm::kvm::ioctl(fd, request, argument, #request)
