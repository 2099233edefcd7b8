#include "vmm/host/template_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/digest.h"
#include "kernel/boot_fact.h"
#include "kernel/file.h"

namespace proa::vmm {

namespace {

constexpr std::string_view kPart = ".part";
constexpr size_t kBootDigits = 8;
constexpr uint64_t kLeastFree = 1ULL << 30;  // of the file system, in bytes

// A folder's lock, if nobody has it and the folder is still there under that name.
Result<Fd> lock_folder(const std::string& path) {
  Fd folder = TRY(kernel::open(path.c_str(), O_RDONLY | O_DIRECTORY));
  if (::flock(folder.get(), LOCK_EX | LOCK_NB) != 0) return fail_errno(EBUSY, path);
  struct stat named{};
  const struct stat held = TRY(kernel::stat_fd(folder.get()));
  if (::stat(path.c_str(), &named) != 0 || named.st_ino != held.st_ino) return fail_errno(EBUSY, path);
  return folder;
}

Result<> check_room(const std::string& folder) {
  struct statvfs room{};
  if (::statvfs(folder.c_str(), &room) != 0) return fail_errno(errno, folder);
  if (static_cast<uint64_t>(room.f_bavail) * room.f_frsize < kLeastFree)
    return fail_errno(ENOSPC, folder, ": less than 1 GiB is free");
  return {};
}

}  // namespace

TemplateStore::TemplateStore(std::string folder, Limits limits)
    : folder_(std::move(folder)), boot_(kernel::boot_id()), limits_(limits) {}

std::string TemplateStore::path_of(std::string_view kind) const {
  const size_t hash = std::hash<std::string_view>()(kind);
  return cat(folder_, "/", boot_.substr(0, kBootDigits), "-",
             to_hex({reinterpret_cast<const char*>(&hash), sizeof hash}));
}

std::optional<TemplateStore::Template> TemplateStore::find(std::string_view kind) const {
  const std::string path = path_of(kind);
  // Both files by one descriptor: of the same template, even while another takes its place.
  const auto folder = kernel::open(path.c_str(), O_PATH | O_DIRECTORY);
  if (!folder) return std::nullopt;
  auto memory = kernel::open_at(folder->get(), "memory", O_RDONLY);
  auto text = kernel::read_file_at(folder->get(), "state");
  if (!memory || !text) return std::nullopt;
  auto saved = parse_state_file(*text, path);
  if (!saved || saved->description != description_of(kind)) return std::nullopt;
  ::utimensat(folder->get(), "state", nullptr, 0);  // when it was used last
  return Template{.state = std::move(saved->state), .memory = std::move(*memory)};
}

Result<> TemplateStore::keep(std::string_view kind, const Save& save) const {
  if (boot_.empty()) return fail("the kernel does not tell its boot's id");
  TRY(kernel::make_dirs(folder_, 0700));
  sweep();
  TRY(check_room(folder_));
  const std::string path = path_of(kind), part = cat(path, kPart);
  TRY(kernel::make_dirs(part, 0700));
  const Fd lock = TRY(lock_folder(part));
  Defer clean([&] { static_cast<void>(kernel::remove_tree(part)); });
  TRY(save(description_of(kind), {.state = part + "/state", .memory = part + "/memory"}));
  // One that is there already was of no use, or another machine's of just now.
  if (::rename(part.c_str(), path.c_str()) != 0) {
    static_cast<void>(kernel::remove_tree(path));
    if (::rename(part.c_str(), path.c_str()) != 0) return fail_errno(errno, path);
  }
  clean.dismiss();
  evict();
  return {};
}

void TemplateStore::drop(std::string_view kind) const { static_cast<void>(kernel::remove_tree(path_of(kind))); }

// What makers left that were killed, and what is of an earlier boot.
void TemplateStore::sweep() const {
  for (const std::string& name : kernel::names_in(folder_).value_or(std::vector<std::string>())) {
    const std::string path = cat(folder_, "/", name);
    if (!name.starts_with(boot_.substr(0, kBootDigits))) static_cast<void>(kernel::remove_tree(path));
    if (!name.ends_with(kPart)) continue;
    if (const auto lock = lock_folder(path)) static_cast<void>(kernel::remove_tree(path));
  }
}

void TemplateStore::evict() const {
  struct Entry {
    std::string path;
    timespec used;
    uint64_t bytes;
  };
  std::vector<Entry> entries;
  for (const std::string& name : kernel::names_in(folder_).value_or(std::vector<std::string>())) {
    const std::string path = cat(folder_, "/", name);
    struct stat state{}, memory{};
    if (name.ends_with(kPart) || ::stat((path + "/state").c_str(), &state) != 0 ||
        ::stat((path + "/memory").c_str(), &memory) != 0)
      continue;
    entries.push_back({path, state.st_mtim, static_cast<uint64_t>(memory.st_blocks) * 512});
  }
  std::ranges::sort(entries, [](const Entry& a, const Entry& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) > std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  uint64_t bytes = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    bytes += entries[i].bytes;
    if (i > 0 && (i >= limits_.count || bytes > limits_.bytes)) {
      bytes -= entries[i].bytes;
      static_cast<void>(kernel::remove_tree(entries[i].path));
    }
  }
}

}  // namespace proa::vmm
