#include "engine/userns.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>

#include "base/fd.h"
#include "base/text.h"
#include "kernel/file.h"

namespace proa::engine {
namespace {

constexpr int64_t kSize = 65536;

// "proa:2147483648:2147418112"
IdRange pool() {
  const std::string text = kernel::read_file("/etc/subuid").value_or("");
  for (const std::string_view user : {"proa", "containers"}) {
    std::string_view rest = text;
    while (!rest.empty()) {
      std::string_view line = cut(rest, '\n');
      if (cut(line, ':') != user) continue;
      const auto first = parse_number<int64_t>(cut(line, ':')), size = parse_number<int64_t>(line);
      if (first && size && *first > 0 && *size >= kSize) return {*first, *size};
    }
  }
  return {int64_t{1} << 31, (int64_t{1} << 31) - kSize};
}

std::string owner_of(const std::string& path) {
  std::array<char, 256> text;
  const ssize_t size = ::readlink(path.c_str(), text.data(), text.size());
  return size < 0 ? std::string() : std::string(text.data(), static_cast<size_t>(size));
}

}  // namespace

Result<IdRange> take_id_range(const Folders& folders, const std::string& mode, const std::string& id) {
  const IdRange all = pool();
  if (mode == "remap") return IdRange{all.first, kSize};
  if (mode != "auto") return IdRange{};
  const std::string leases = folders.data + "/subids";
  TRY(kernel::make_dirs(leases, 0710));
  const Fd lock = TRY(kernel::open(leases.c_str(), O_RDONLY | O_DIRECTORY));
  if (::flock(lock.get(), LOCK_EX) != 0) return fail_errno(errno, "lock ", leases);
  for (int64_t n = 1; n < all.size / kSize; ++n) {
    const std::string lease = cat(leases, "/", n);
    if (::symlink(id.c_str(), lease.c_str()) != 0) {
      if (errno != EEXIST) return fail_errno(errno, "take a range of ids");
      // A container that is gone has left it, or its maker died.
      if (kernel::path_exists(folders.container(owner_of(lease)).c_str())) continue;
      ::unlink(lease.c_str());
      if (::symlink(id.c_str(), lease.c_str()) != 0) return fail_errno(errno, "take a range of ids");
    }
    return IdRange{all.first + n * kSize, kSize};
  }
  return fail("--userns=auto: all ranges of ids are taken")
      .hint("remove containers, or give \"proa\" a longer range in /etc/subuid");
}

void release_id_range(const Folders& folders, const std::string& id, const IdRange& range) {
  if (range.size == 0) return;
  const std::string lease = cat(folders.data, "/subids/", (range.first - pool().first) / kSize);
  if (owner_of(lease) == id) ::unlink(lease.c_str());
}

}  // namespace proa::engine
