// A disk for SQLite that tests can pull the plug of: files in memory that remember what was synced. After a crash
// each write since then is there, not there, or there in part, by sectors. It can also be full.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace proa::kube::store {

class MemoryDisk {
 public:
  // Registered with SQLite under this name for as long as it lives.
  explicit MemoryDisk(std::string name);
  ~MemoryDisk();
  MemoryDisk(const MemoryDisk&) = delete;
  MemoryDisk& operator=(const MemoryDisk&) = delete;

  const std::string& name() const { return name_; }
  // After so many further writes and syncs everything fails; -1: never.
  void lose_power_after(int64_t operations) { power_ = operations; }
  bool has_power() const { return power_ != 0; }
  // Power is back; what was not synced is as the seed decides.
  void restart(uint32_t seed);
  void set_capacity(size_t bytes) { capacity_ = bytes; }
  // The synced bytes of the file whose name ends so.
  std::string& file(const std::string& suffix);

 private:
  struct Write {
    size_t offset;
    std::string bytes;
    bool truncates = false;
  };
  struct File {
    std::string now;
    std::string synced;
    std::vector<Write> pending;
    std::vector<std::unique_ptr<char[]>> shared;
  };
  struct Handle;
  struct Methods;
  bool spend_power() {
    if (power_ == 0) return false;
    if (power_ > 0) --power_;
    return true;
  }
  size_t used() const;

  std::string name_;
  sqlite3_vfs vfs_{};
  std::map<std::string, std::shared_ptr<File>> files_;
  int64_t power_ = -1;
  size_t capacity_ = SIZE_MAX;
};

}  // namespace proa::kube::store
