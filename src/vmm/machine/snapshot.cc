#include "vmm/machine/snapshot.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "kernel/file.h"

namespace proa::vmm {

namespace {

constexpr char kMagic[8] = {'P', 'R', 'O', 'A', 'V', 'M', 'S', '1'};
constexpr size_t kMaxState = 64 << 20;

struct FileHead {
  char magic[8];
  uint32_t description, state, checksum, reserved;
};

uint32_t checksum(std::string_view text) {
  return static_cast<uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size())));
}

bool is_zero(const std::byte* at, size_t size) {
  return at[0] == std::byte{0} && std::memcmp(at, at + 1, size - 1) == 0;
}

Result<> write_at(int fd, const std::byte* from, uint64_t size, uint64_t offset) {
  while (size > 0) {
    const ssize_t put = ::pwrite(fd, from, size, static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno(errno, "write guest memory");
    from += put;
    offset += static_cast<uint64_t>(put);
    size -= static_cast<uint64_t>(put);
  }
  return {};
}

// Runs of pages that hold anything, in one write each; of the pages from `page` to `pages`.
Result<> write_pages(int fd, const Slot& slot, uint64_t offset, uint64_t page, uint64_t pages) {
  const auto empty = [&](uint64_t at) { return is_zero(slot.host + at * kPageSize, kPageSize); };
  while (page < pages) {
    if (empty(page)) {
      ++page;
      continue;
    }
    uint64_t end = page + 1;
    while (end < pages && !empty(end)) ++end;
    TRY(write_at(fd, slot.host + page * kPageSize, (end - page) * kPageSize, offset + page * kPageSize));
    page = end;
  }
  return {};
}

// Pages of a memfd that were never touched are not looked at: that would make the kernel provide them.
Result<> write_slot(int fd, const Slot& slot, uint64_t offset) {
  const uint64_t pages = slot.size / kPageSize;
  if (slot.is_private) return write_pages(fd, slot, offset, 0, pages);
  for (uint64_t at = 0; at < slot.size;) {
    const off_t data = ::lseek(slot.fd, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return {};
    const off_t hole = data < 0 ? data : ::lseek(slot.fd, data, SEEK_HOLE);
    if (hole < 0) return fail_errno(errno, "find guest memory in use");
    at = static_cast<uint64_t>(hole);
    TRY(write_pages(fd, slot, offset, static_cast<uint64_t>(data) / kPageSize, (at + kPageSize - 1) / kPageSize));
  }
  return {};
}

Result<> write_full(GuestMemory& memory, int fd) {
  if (::ftruncate(fd, 0) != 0 || ::ftruncate(fd, static_cast<off_t>(memory.size())) != 0)
    return fail_errno(errno, "size the memory file");
  uint64_t offset = 0;
  for (const Slot& slot : memory.slots()) {
    TRY(write_slot(fd, slot, offset));
    offset += slot.size;
  }
  return {};
}

Result<> write_diff(GuestMemory& memory, std::span<const GuestAddress> pages, int fd) {
  if (TRY(kernel::stat_fd(fd)).st_size < static_cast<off_t>(memory.size()) &&
      ::ftruncate(fd, static_cast<off_t>(memory.size())) != 0)
    return fail_errno(errno, "size the memory file");
  for (const GuestAddress page : pages) {
    uint64_t offset = 0;
    for (const Slot& slot : memory.slots()) {
      if (slot.contains(page, kPageSize))
        TRY(write_at(fd, slot.host + (page - slot.base), kPageSize, offset + (page - slot.base)));
      offset += slot.size;
    }
  }
  return {};
}

}  // namespace

std::string make_state_file(std::string_view description, std::string_view state) {
  FileHead head{};
  std::memcpy(head.magic, kMagic, sizeof kMagic);
  head.description = static_cast<uint32_t>(description.size());
  head.state = static_cast<uint32_t>(state.size());
  const std::string body = cat(description, state);
  head.checksum = checksum(body);
  return std::string(reinterpret_cast<const char*>(&head), sizeof head) + body;
}

Result<> write_snapshot(Machine& machine, SnapshotKind kind, std::string_view description, const SnapshotFiles& files,
                        bool track) {
  const std::string state = TRY(machine.save());
  const Fd memory = TRY_CTX(kernel::open(files.memory.c_str(), O_RDWR | O_CREAT, 0600), "memory file");
  if (kind == SnapshotKind::kFull) {
    TRY_CTX(write_full(machine.memory(), memory.get()), files.memory);
    if (track) TRY(machine.track_dirty(true));
  } else {
    const auto pages = TRY(machine.take_dirty());
    TRY_CTX(write_diff(machine.memory(), pages, memory.get()), files.memory);
  }
  TRY_CTX(kernel::replace_file(files.state, make_state_file(description, state), 0600), "state file");
  return {};
}

Result<SavedMachine> read_state_file(const std::string& path) {
  return parse_state_file(TRY_CTX(kernel::read_file(path.c_str(), kMaxState), "state file"), path);
}

Result<SavedMachine> parse_state_file(std::string_view text, std::string_view path) {
  FileHead head{};
  if (text.size() < sizeof head) return fail("state file ", path, ": is too short");
  std::memcpy(&head, text.data(), sizeof head);
  if (std::memcmp(head.magic, kMagic, sizeof kMagic) != 0)
    return fail("state file ", path, ": is no snapshot of this version");
  const std::string_view body = text.substr(sizeof head);
  if (body.size() != static_cast<uint64_t>(head.description) + head.state || checksum(body) != head.checksum)
    return fail("state file ", path, ": is damaged");
  return SavedMachine{.description = std::string(body.substr(0, head.description)),
                      .state = std::string(body.substr(head.description))};
}

}  // namespace proa::vmm
