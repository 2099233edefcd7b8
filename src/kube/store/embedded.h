// The embedded store: one machine, one process, a SQLite database in a folder.
//
// One writer thread takes all transactions that wait, applies them in order, commits them together with one fsync,
// and only then lets readers and watchers see them.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "kube/store/store.h"

namespace proa::kube::store {

struct EmbeddedOptions {
  std::string folder;                 // made with mode 0700; empty: nothing is kept on disk
  std::chrono::seconds history{300};  // what is older is compacted; 0: never by age
  size_t history_bytes = 32 << 20;    // of superseded versions in memory, the oldest are compacted first
  size_t watch_buffer = 4096;         // events a watch may lie behind
  bool threads = true;                // without, every call does its work before it returns, and tick() the rest
  const Clock* clock = nullptr;       // the machine's; must outlive the store
  std::function<uint64_t()> random;   // for lease ids; the kernel's
  std::string vfs;                    // SQLite's own
};

class EmbeddedStore : public Store {
 public:
  // What time brings: leases that end, old history that goes. With threads it is called by itself, but a clock that
  // is not the machine's moves unseen.
  virtual void tick() = 0;

 protected:
  using Store::Store;
};

// The name of the database in its folder.
inline constexpr std::string_view kDatabaseFile = "store.db";

// Loads everything into memory. Errors name the file; a folder another process writes to is EBUSY.
Result<std::unique_ptr<EmbeddedStore>> open_embedded(EmbeddedOptions options);

}  // namespace proa::kube::store
