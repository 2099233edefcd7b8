// The guest's address translation (SDM 3A, chapter 4): page walks, the soft TLBs that translated code looks in, and
// loads and stores by linear address, which end in RAM, in the local APIC or on the bus.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "vmm/cpu/engine.h"
#include "vmm/cpu/state.h"
#include "vmm/cpu/translator/context.h"
#include "vmm/cpu/translator/fault.h"

namespace proa::vmm::translator {

enum class Use : uint8_t { kRead, kWrite, kFetch };

struct MmuCounters {
  uint64_t fills = 0, slow = 0, walks = 0;
  // Table entries read by the walks; and how many a processor with nested paging would have read, whose every guest
  // physical address is itself walked through four levels.
  uint64_t one_level_reads = 0, two_level_reads = 0;
  uint64_t flushes = 0, global_flushes = 0, invalidations = 0;
};

class Mmu {
 public:
  struct Page {
    uint64_t physical = 0;  // of the 4 KiB page
    bool user = false, large = false;
    bool global = false;  // as its entry says; without CR4.PGE it means nothing, and a load of CR3 flushes all
  };
  // What lies outside RAM: the local APIC's page and the bus.
  struct Outside {
    std::function<uint64_t(GuestAddress, unsigned size)> read;
    std::function<void(GuestAddress, unsigned size, uint64_t value)> write;
    // RAM that holds translated code was written.
    std::function<void(GuestAddress, uint64_t length)> code_written;
    // A page is about to be written through a soft TLB.
    std::function<void(GuestAddress page)> writable;
  };

  Mmu(Context& context, CpuState& cpu, GuestMemory& memory, Outside outside);

  // The page that holds `linear`; sets accessed and dirty bits. `user`: at CPL 3; `implicit`: a supervisor access by
  // the processor itself, to descriptor tables and the like.
  Guest<Page> walk(uint64_t linear, Use use, bool user, bool implicit = false);

  // False: the access has to be made by load() or store(), as it crosses pages, is no RAM or writes over code.
  Guest<bool> fill(uint64_t linear, unsigned size, bool write, bool user);

  Guest<> load(uint64_t linear, void* to, unsigned size, bool user, bool implicit = false);
  Guest<> store(uint64_t linear, const void* from, unsigned size, bool user, bool implicit = false);
  // Fails as a store would.
  Guest<> probe_store(uint64_t linear, unsigned size, bool user);
  template <typename T>
  Guest<T> get(uint64_t linear, bool user, bool implicit = false) {
    T value;
    if (auto done = load(linear, &value, sizeof value, user, implicit); !done) return std::unexpected(done.error());
    return value;
  }
  // The host's address of up to `size` bytes in one page of RAM that may be used so; null when there is none. Shrinks
  // `size` to what the page holds.
  Guest<std::byte*> span(uint64_t linear, uint64_t& size, bool write, bool user);

  void flush(bool global);
  // INVLPG. True: a large page may be meant, and all is gone.
  bool invalidate(uint64_t linear);
  // Drops every entry that allows stores; to one page only, when that is given.
  void drop_writes();
  void drop_writes_to(GuestAddress page);

  bool canonical(uint64_t linear) const {
    return !(cpu_.efer & (1 << 10)) || static_cast<uint64_t>(static_cast<int64_t>(linear << 16) >> 16) == linear;
  }
  const MmuCounters& counters() const { return counters_; }

 private:
  struct Walk;
  Guest<Page> walk_tables(uint64_t linear, Use use, bool user, bool implicit);
  std::unexpected<Fault> page_fault(uint64_t linear, Use use, bool user, bool present, bool reserved);
  bool touch(GuestAddress address, unsigned size, uint64_t& entry, uint64_t bits);
  void install(TlbKind kind, uint64_t linear, std::byte* host, bool global);
  void drop(TlbKind kind, uint32_t slot);
  void drop_listed(TlbKind kind, bool global);
  Guest<> load_page(uint64_t linear, std::byte* to, unsigned size, bool user, bool implicit);
  Guest<> store_page(uint64_t linear, const Page& page, const std::byte* from, unsigned size);
  void read_physical(GuestAddress address, std::byte* to, unsigned size);
  void write_physical(GuestAddress address, const std::byte* from, unsigned size);

  Context& context_;
  CpuState& cpu_;
  GuestMemory& memory_;
  Outside outside_;
  MmuCounters counters_;
  std::array<std::vector<uint32_t>, kTlbKinds> local_, global_;  // slots in use
  std::array<std::vector<uint8_t>, kTlbKinds> listed_;           // by slot: 1 in local_, 2 in global_
  // Regions of 2 MiB that large pages have served, by low bits: INVLPG there drops all.
  std::vector<bool> large_ = std::vector<bool>(65536);
};

}  // namespace proa::vmm::translator
