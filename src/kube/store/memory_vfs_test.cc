#include "kube/store/memory_vfs_test.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace proa::kube::store {

namespace {
constexpr size_t kSector = 512;
}

struct MemoryDisk::Handle {
  sqlite3_file base;
  MemoryDisk* disk;
  std::shared_ptr<File> file;
};

struct MemoryDisk::Methods {
  static Handle& of(sqlite3_file* file) { return *reinterpret_cast<Handle*>(file); }
  static MemoryDisk& of(sqlite3_vfs* vfs) { return *static_cast<MemoryDisk*>(vfs->pAppData); }

  static int close(sqlite3_file* file) {
    of(file).file.~shared_ptr();
    return SQLITE_OK;
  }
  static int read(sqlite3_file* file, void* to, int size, sqlite3_int64 offset) {
    const std::string& bytes = of(file).file->now;
    const auto at = std::min(static_cast<size_t>(offset), bytes.size());
    const size_t got = std::min(static_cast<size_t>(size), bytes.size() - at);
    std::memcpy(to, bytes.data() + at, got);
    if (got == static_cast<size_t>(size)) return SQLITE_OK;
    std::memset(static_cast<char*>(to) + got, 0, static_cast<size_t>(size) - got);
    return SQLITE_IOERR_SHORT_READ;
  }
  static int write(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
    Handle& handle = of(file);
    if (!handle.disk->spend_power()) return SQLITE_IOERR_WRITE;
    const size_t end = static_cast<size_t>(offset) + static_cast<size_t>(size);
    std::string& bytes = handle.file->now;
    if (end > bytes.size()) {
      if (handle.disk->used() + end - bytes.size() > handle.disk->capacity_) return SQLITE_FULL;
      bytes.resize(end);
    }
    std::memcpy(bytes.data() + offset, from, static_cast<size_t>(size));
    handle.file->pending.push_back(
        {static_cast<size_t>(offset), std::string(static_cast<const char*>(from), static_cast<size_t>(size))});
    return SQLITE_OK;
  }
  static int truncate(sqlite3_file* file, sqlite3_int64 size) {
    Handle& handle = of(file);
    if (!handle.disk->spend_power()) return SQLITE_IOERR_TRUNCATE;
    handle.file->now.resize(static_cast<size_t>(size));
    handle.file->pending.push_back({static_cast<size_t>(size), {}, true});
    return SQLITE_OK;
  }
  static int sync(sqlite3_file* file, int) {
    Handle& handle = of(file);
    if (!handle.disk->spend_power()) return SQLITE_IOERR_FSYNC;
    handle.file->synced = handle.file->now;
    handle.file->pending.clear();
    return SQLITE_OK;
  }
  static int size(sqlite3_file* file, sqlite3_int64* size) {
    *size = static_cast<sqlite3_int64>(of(file).file->now.size());
    return SQLITE_OK;
  }
  static int nothing(sqlite3_file*, int) { return SQLITE_OK; }
  static int no_lock(sqlite3_file*, int* held) {
    *held = 0;
    return SQLITE_OK;
  }
  static int control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
  static int sector(sqlite3_file*) { return kSector; }
  static int traits(sqlite3_file*) { return 0; }
  static int map(sqlite3_file* file, int region, int size, int extend, void volatile** to) {
    auto& shared = of(file).file->shared;
    while (extend && shared.size() <= static_cast<size_t>(region))
      shared.push_back(std::make_unique<char[]>(static_cast<size_t>(size)));
    *to = static_cast<size_t>(region) < shared.size() ? shared[static_cast<size_t>(region)].get() : nullptr;
    return SQLITE_OK;
  }
  static int lock(sqlite3_file*, int, int, int) { return SQLITE_OK; }
  static void barrier(sqlite3_file*) {}
  static int unmap(sqlite3_file* file, int) {
    of(file).file->shared.clear();
    return SQLITE_OK;
  }

  static constexpr sqlite3_io_methods kFile = {2,       close,   read,    write,   truncate, sync,   size,
                                               nothing, nothing, no_lock, control, sector,   traits, map,
                                               lock,    barrier, unmap,   nullptr, nullptr};

  static int open(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags, int* out) {
    MemoryDisk& disk = of(vfs);
    auto& entry = disk.files_[path ? path : ""];
    if (!entry) {
      if (!(flags & SQLITE_OPEN_CREATE)) return SQLITE_CANTOPEN;
      entry = std::make_shared<File>();
    }
    auto* const handle = reinterpret_cast<Handle*>(file);
    new (&handle->file) std::shared_ptr<File>(entry);
    handle->disk = &disk;
    handle->base.pMethods = &kFile;
    if (out) *out = flags;
    return SQLITE_OK;
  }
  static int remove(sqlite3_vfs* vfs, const char* path, int) {
    if (!of(vfs).spend_power()) return SQLITE_IOERR_DELETE;
    of(vfs).files_.erase(path);
    return SQLITE_OK;
  }
  static int access(sqlite3_vfs* vfs, const char* path, int, int* result) {
    const auto found = of(vfs).files_.find(path);
    *result = found != of(vfs).files_.end() && found->second && !found->second->now.empty();
    return SQLITE_OK;
  }
  static int full_path(sqlite3_vfs*, const char* path, int size, char* out) {
    sqlite3_snprintf(size, out, "%s", path);
    return SQLITE_OK;
  }
};

MemoryDisk::MemoryDisk(std::string name) : name_(std::move(name)) {
  vfs_ = *sqlite3_vfs_find(nullptr);
  vfs_.szOsFile = sizeof(Handle);
  vfs_.pNext = nullptr;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = Methods::open;
  vfs_.xDelete = Methods::remove;
  vfs_.xAccess = Methods::access;
  vfs_.xFullPathname = Methods::full_path;
  sqlite3_vfs_register(&vfs_, 0);
}

MemoryDisk::~MemoryDisk() { sqlite3_vfs_unregister(&vfs_); }

size_t MemoryDisk::used() const {
  size_t sum = 0;
  for (const auto& [path, file] : files_)
    if (file) sum += file->now.size();
  return sum;
}

std::string& MemoryDisk::file(const std::string& suffix) {
  for (auto& [path, file] : files_)
    if (path.ends_with(suffix)) return file->synced;
  static std::string none;
  return none;
}

void MemoryDisk::restart(uint32_t seed) {
  std::mt19937 random(seed);
  power_ = -1;
  for (auto& [path, file] : files_) {
    if (!file) continue;
    std::string bytes = file->synced;
    // In order up to some point, or any of them: disks do both.
    const bool in_order = random() % 2 == 0;
    size_t left = file->pending.empty() ? 0 : random() % (file->pending.size() + 1);
    for (const Write& write : file->pending) {
      if (in_order ? left-- == 0 : random() % 2 == 0) {
        if (in_order) break;
        continue;
      }
      if (write.truncates) {
        bytes.resize(write.offset);
        continue;
      }
      const bool torn = random() % 4 == 0;
      for (size_t at = 0; at < write.bytes.size(); at += kSector) {
        if (torn && random() % 2 == 0) continue;
        const size_t size = std::min(kSector, write.bytes.size() - at);
        if (bytes.size() < write.offset + at + size) bytes.resize(write.offset + at + size);
        bytes.replace(write.offset + at, size, write.bytes, at, size);
      }
    }
    // A new file: the old one may still be open in the store that lost power.
    auto after = std::make_shared<File>();
    after->now = after->synced = std::move(bytes);
    file = std::move(after);
  }
}

}  // namespace proa::kube::store
