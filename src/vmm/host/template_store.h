// Machines that have booted up to our init, kept on disk so that the next of their kind goes on from there.
//
//   BOOT-KIND/state, memory  a snapshot; its description tells the host's boot and the kind, the name has parts of them
//   BOOT-KIND.part           one that is being made; whoever makes it holds a lock on the folder
//
// Each is good for one boot of the host. So nothing need be durable, and no other processor can come across it.
// Threads and processes: any number at once.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "vmm/machine/snapshot.h"

namespace proa::vmm {

class TemplateStore {
 public:
  struct Limits {
    size_t count = 16;
    uint64_t bytes = 4ULL << 30;  // on disk, of all together
  };
  explicit TemplateStore(std::string folder) : TemplateStore(std::move(folder), Limits{}) {}
  TemplateStore(std::string folder, Limits limits);

  // What goes on being good when the template is evicted meanwhile. Nothing when there is none, or a damaged one.
  struct Template {
    std::string state;
    Fd memory;
  };
  std::optional<Template> find(std::string_view kind) const;
  // Writes both files, with that description.
  using Save = std::function<Result<>(const std::string& description, const SnapshotFiles& files)>;
  // Evicts what was not used for longest. EBUSY: somebody else makes this one right now.
  Result<> keep(std::string_view kind, const Save& save) const;
  // One that turned out to be of no use.
  void drop(std::string_view kind) const;

 private:
  std::string path_of(std::string_view kind) const;
  std::string description_of(std::string_view kind) const { return cat("boot ", boot_, "\n", kind); }
  void sweep() const;
  void evict() const;

  const std::string folder_, boot_;
  const Limits limits_;
};

}  // namespace proa::vmm
