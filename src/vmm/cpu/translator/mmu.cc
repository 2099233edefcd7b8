#include "vmm/cpu/translator/mmu.h"

#include <algorithm>

#include "vmm/cpu/translator/control_bits.h"

namespace proa::vmm::translator {

namespace {

enum Pte : uint64_t { kP = 1, kRw = 2, kUs = 4, kA = 32, kD = 64, kPs = 128, kG = 256, kNx = 1ULL << 63 };
constexpr uint64_t kAddressMask = 0x000ffffffffff000;
constexpr uint64_t kPhysicalBits = 46;
constexpr uint64_t kBeyond = kAddressMask & ~((1ULL << kPhysicalBits) - 1);

uint64_t page_of(uint64_t address) { return address & ~(kPageSize - 1); }

}  // namespace

Mmu::Mmu(Context& context, CpuState& cpu, GuestMemory& memory, Outside outside)
    : context_(context), cpu_(cpu), memory_(memory), outside_(std::move(outside)) {
  for (auto& tlb : context_.tlb) tlb.negated[0] = SoftTlb::kEmptySlot0;
  for (auto& listed : listed_) listed.resize(kTlbEntries);
}

std::unexpected<Fault> Mmu::page_fault(uint64_t linear, Use use, bool user, bool present, bool reserved) {
  const bool fetch = use == Use::kFetch && ((cpu_.efer & kEferNxe) || (cpu_.cr4 & kCr4Smep)) && (cpu_.cr4 & kCr4Pae);
  const uint32_t error = (present ? 1U : 0U) | (use == Use::kWrite ? 2U : 0U) | (user ? 4U : 0U) |
                         (reserved ? 9U : 0U) | (fetch ? 16U : 0U);
  return std::unexpected(Fault{.vector = kPfFault, .has_error = true, .error = error, .address = linear});
}

// Sets bits in a table entry that another processor may be changing; false: it has changed, walk again.
bool Mmu::touch(GuestAddress address, unsigned size, uint64_t& entry, uint64_t bits) {
  if ((entry & bits) == bits) return true;
  std::byte* host = memory_.at(address, size);
  if (!host) return true;
  bool same = false;
  if (size == 8) {
    same = __atomic_compare_exchange_n(reinterpret_cast<uint64_t*>(host), &entry, entry | bits, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
  } else {
    auto narrow = static_cast<uint32_t>(entry);
    same = __atomic_compare_exchange_n(reinterpret_cast<uint32_t*>(host), &narrow, narrow | static_cast<uint32_t>(bits),
                                       false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  }
  if (!same) return false;
  entry |= bits;
  memory_.note_write(address, size);
  return true;
}

Guest<Mmu::Page> Mmu::walk(uint64_t linear, Use use, bool user, bool implicit) {
  if (!(cpu_.cr0 & kCr0Pg)) return Page{.physical = page_of(linear) & 0xffffffff, .user = true};
  if (!canonical(linear)) return raise(kGp, 0);
  ++counters_.walks;
  return walk_tables(linear, use, user, implicit);
}

Guest<Mmu::Page> Mmu::walk_tables(uint64_t linear, Use use, bool user, bool implicit) {
  const bool is_long = cpu_.efer & kEferLma, pae = cpu_.cr4 & kCr4Pae;
  const bool nxe = (cpu_.efer & kEferNxe) && pae;
  const unsigned size = pae ? 8 : 4, bits = pae ? 9 : 10;
  const int top = is_long ? 3 : pae ? 2 : 1;
  for (;;) {
    uint64_t table = is_long ? cpu_.cr3 & kAddressMask : pae ? cpu_.cr3 & 0xffffffe0 : cpu_.cr3 & 0xfffff000;
    bool may_write = true, may_user = true, may_run = true, retry = false;
    counters_.two_level_reads += 4;  // of the table's own address
    for (int level = top;; --level) {
      const unsigned shift = 12 + bits * static_cast<unsigned>(level);
      const bool pdpt = pae && !is_long && level == 2;
      const uint64_t mask = pdpt ? 3 : (1ULL << bits) - 1;
      const GuestAddress at = table + (linear >> shift & mask) * size;
      uint64_t entry = 0;
      const std::byte* host = memory_.at(at, size);
      if (!host) return page_fault(linear, use, user, false, false);
      ++counters_.one_level_reads;
      counters_.two_level_reads += 5;
      entry = size == 8 ? __atomic_load_n(reinterpret_cast<const uint64_t*>(host), __ATOMIC_RELAXED)
                        : __atomic_load_n(reinterpret_cast<const uint32_t*>(host), __ATOMIC_RELAXED);
      if (!(entry & kP)) return page_fault(linear, use, user, false, false);
      const bool large = level > 0 && level < 3 && (entry & kPs) && !pdpt && (pae || (cpu_.cr4 & kCr4Pse));
      uint64_t reserved = 0;
      if (pae) {
        reserved = kBeyond | (nxe || pdpt ? 0 : kNx);
        if (pdpt) reserved |= kNx | 0x1e6;
        if (large) reserved |= ((1ULL << shift) - 1) & kAddressMask & ~0x1000ULL;
        if (level == 3) reserved |= kPs;
      } else if (large) {
        reserved = 1 << 21;
      }
      if (entry & reserved) return page_fault(linear, use, user, true, true);
      if (!pdpt) {
        may_write = may_write && (entry & kRw);
        may_user = may_user && (entry & kUs);
        may_run = may_run && !(nxe && (entry & kNx));
      }
      if (level > 0 && !large) {
        if (!pdpt && !touch(at, size, entry, kA)) {
          retry = true;
          break;
        }
        table = entry & (pae ? kAddressMask : 0xfffff000);
        continue;
      }
      bool allowed = !user || may_user;
      if (use == Use::kFetch) allowed = allowed && may_run && (user || !may_user || !(cpu_.cr4 & kCr4Smep));
      if (use == Use::kWrite) allowed = allowed && (may_write || (!user && !(cpu_.cr0 & kCr0Wp)));
      if (use != Use::kFetch && !user && may_user && (cpu_.cr4 & kCr4Smap) &&
          (implicit || !(context_.system & kFlagAc)))
        allowed = false;
      if (!allowed) return page_fault(linear, use, user, true, false);
      if (!touch(at, size, entry, use == Use::kWrite ? kA | kD : kA)) {
        retry = true;
        break;
      }
      uint64_t physical = 0;
      const uint64_t within = (1ULL << shift) - 1;
      if (pae)
        physical = entry & kAddressMask & ~within;
      else
        physical = large ? (entry & 0xffc00000) | (entry & 0x1fe000) << 19 : entry & 0xfffff000;
      physical |= page_of(linear & within);
      return Page{.physical = physical, .user = may_user, .large = large, .global = (entry & kG) != 0};
    }
    if (!retry) return page_fault(linear, use, user, false, false);
  }
}

void Mmu::install(TlbKind kind, uint64_t linear, std::byte* host, bool global) {
  const uint64_t page = page_of(linear);
  const auto slot = static_cast<uint32_t>(page >> kPageShift & (kTlbEntries - 1));
  SoftTlb& tlb = context_.tlb[kind];
  tlb.negated[slot] = -page;
  tlb.host[slot] = reinterpret_cast<uint64_t>(host);
  tlb.addend[slot] = reinterpret_cast<uint64_t>(host) - page;
  // A slot stands in each list once; what a list names may have been replaced, which costs a walk.
  uint8_t& listed = listed_[kind][slot];
  const uint8_t bit = global ? 2 : 1;
  if (!(listed & bit)) (global ? global_ : local_)[kind].push_back(slot);
  listed |= bit;
}

void Mmu::drop(TlbKind kind, uint32_t slot) { context_.tlb[kind].negated[slot] = slot == 0 ? SoftTlb::kEmptySlot0 : 0; }

Guest<bool> Mmu::fill(uint64_t linear, unsigned size, bool write, bool user) {
  const uint64_t offset = linear & (kPageSize - 1);
  if (offset + size > kPageSize) {
    ++counters_.slow;
    return false;
  }
  auto page = walk(linear, write ? Use::kWrite : Use::kRead, user);
  if (!page) return std::unexpected(page.error());
  const Slot* slot = memory_.find(page->physical, kPageSize);
  const bool smap = !user && page->user && (cpu_.cr4 & kCr4Smap);
  if (!slot || smap || (write && slot->read_only)) {
    ++counters_.slow;
    return false;
  }
  const uint64_t index = (page->physical - slot->base) >> kPageShift;
  if (write) {
    auto& mark = memory_.mark(*slot, index);
    outside_.writable(page->physical);
    if (mark.load(std::memory_order_seq_cst) & kCode) {
      ++counters_.slow;
      return false;
    }
    if (memory_.tracks_dirty()) mark.fetch_or(kDirty);
  }
  ++counters_.fills;
  if (page->large) large_[linear >> 21 & 0xffff] = true;
  install(static_cast<TlbKind>((user ? kTlbUserRead : kTlbKernelRead) + (write ? 1 : 0)), linear,
          slot->host + (page->physical - slot->base), page->global);
  return true;
}

void Mmu::read_physical(GuestAddress address, std::byte* to, unsigned size) {
  if (memory_.read(address, to, size)) return;
  while (size > 0) {
    unsigned part = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
    while (address % part) part /= 2;
    const uint64_t value = outside_.read(address, part);
    std::memcpy(to, &value, part);
    address += part, to += part, size -= part;
  }
}
void Mmu::write_physical(GuestAddress address, const std::byte* from, unsigned size) {
  if (const Slot* slot = memory_.find(address, size)) {
    if (slot->read_only) return;
    std::byte* to = slot->host + (address - slot->base);
    // Aligned words in one piece, as other processors see them.
    if (size == 8 && address % 8 == 0)
      __atomic_store_n(reinterpret_cast<uint64_t*>(to), *reinterpret_cast<const uint64_t*>(from), __ATOMIC_RELAXED);
    else if (size == 4 && address % 4 == 0)
      __atomic_store_n(reinterpret_cast<uint32_t*>(to), *reinterpret_cast<const uint32_t*>(from), __ATOMIC_RELAXED);
    else
      std::memcpy(to, from, size);
    auto& mark = memory_.mark(*slot, (address - slot->base) >> kPageShift);
    if (memory_.tracks_dirty()) mark.fetch_or(kDirty);
    if (mark.load(std::memory_order_seq_cst) & kCode) outside_.code_written(address, size);
    return;
  }
  while (size > 0) {
    unsigned part = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
    while (address % part) part /= 2;
    uint64_t value = 0;
    std::memcpy(&value, from, part);
    outside_.write(address, part, value);
    address += part, from += part, size -= part;
  }
}

Guest<> Mmu::load_page(uint64_t linear, std::byte* to, unsigned size, bool user, bool implicit) {
  const uint64_t offset = linear & (kPageSize - 1);
  const SoftTlb& tlb = context_.tlb[user ? kTlbUserRead : kTlbKernelRead];
  const auto slot = linear >> kPageShift & (kTlbEntries - 1);
  if (tlb.negated[slot] + linear == offset) {
    std::memcpy(to, reinterpret_cast<const std::byte*>(tlb.host[slot]) + offset, size);
    return {};
  }
  auto page = walk(linear, Use::kRead, user, implicit);
  if (!page) return std::unexpected(page.error());
  read_physical(page->physical | offset, to, size);
  return {};
}

Guest<> Mmu::load(uint64_t linear, void* to, unsigned size, bool user, bool implicit) {
  auto* bytes = static_cast<std::byte*>(to);
  while (size > 0) {
    const auto part = static_cast<unsigned>(std::min<uint64_t>(size, kPageSize - (linear & (kPageSize - 1))));
    if (auto done = load_page(linear, bytes, part, user, implicit); !done) return done;
    linear += part, bytes += part, size -= part;
    if (!(cpu_.efer & kEferLma)) linear &= 0xffffffff;
  }
  return {};
}

Guest<> Mmu::store(uint64_t linear, const void* from, unsigned size, bool user, bool implicit) {
  const auto* bytes = static_cast<const std::byte*>(from);
  const uint64_t offset = linear & (kPageSize - 1);
  const auto first = static_cast<unsigned>(std::min<uint64_t>(size, kPageSize - offset));
  if (first == size) {
    const SoftTlb& tlb = context_.tlb[user ? kTlbUserWrite : kTlbKernelWrite];
    const auto slot = linear >> kPageShift & (kTlbEntries - 1);
    if (tlb.negated[slot] + linear == offset) {
      std::memcpy(reinterpret_cast<std::byte*>(tlb.host[slot]) + offset, from, size);
      return {};
    }
  }
  auto page = walk(linear, Use::kWrite, user, implicit);
  if (!page) return std::unexpected(page.error());
  if (first < size) {
    uint64_t rest = linear + first;
    if (!(cpu_.efer & kEferLma)) rest &= 0xffffffff;
    auto second = walk(rest, Use::kWrite, user, implicit);
    if (!second) return std::unexpected(second.error());
    write_physical(second->physical | (rest & (kPageSize - 1)), bytes + first, size - first);
  }
  write_physical(page->physical | offset, bytes, first);
  return {};
}

Guest<> Mmu::probe_store(uint64_t linear, unsigned size, bool user) {
  if (auto page = walk(linear, Use::kWrite, user); !page) return std::unexpected(page.error());
  if ((linear & (kPageSize - 1)) + size <= kPageSize) return {};
  uint64_t rest = page_of(linear + size - 1);
  if (!(cpu_.efer & kEferLma)) rest &= 0xffffffff;
  if (auto page = walk(rest, Use::kWrite, user); !page) return std::unexpected(page.error());
  return {};
}

Guest<std::byte*> Mmu::span(uint64_t linear, uint64_t& size, bool write, bool user) {
  const uint64_t offset = linear & (kPageSize - 1);
  size = std::min(size, kPageSize - offset);
  const TlbKind kind = static_cast<TlbKind>((user ? kTlbUserRead : kTlbKernelRead) + (write ? 1 : 0));
  const SoftTlb& tlb = context_.tlb[kind];
  const auto slot = linear >> kPageShift & (kTlbEntries - 1);
  if (tlb.negated[slot] + linear != offset) {
    auto direct = fill(linear, 1, write, user);
    if (!direct) return std::unexpected(direct.error());
    if (!*direct) return nullptr;
  }
  return reinterpret_cast<std::byte*>(tlb.host[slot]) + offset;
}

void Mmu::drop_listed(TlbKind kind, bool global) {
  auto& list = (global ? global_ : local_)[kind];
  for (const uint32_t slot : list) {
    drop(kind, slot);
    listed_[kind][slot] &= global ? 1 : 2;
  }
  list.clear();
}

void Mmu::flush(bool global) {
  ++(global ? counters_.global_flushes : counters_.flushes);
  for (unsigned i = 0; i < kTlbKinds; ++i) {
    drop_listed(static_cast<TlbKind>(i), false);
    if (global) drop_listed(static_cast<TlbKind>(i), true);
  }
}

bool Mmu::invalidate(uint64_t linear) {
  ++counters_.invalidations;
  if (large_[linear >> 21 & 0xffff]) {
    flush(true);
    return true;
  }
  const auto slot = static_cast<uint32_t>(linear >> kPageShift & (kTlbEntries - 1));
  for (unsigned i = 0; i < kTlbKinds; ++i)
    if (context_.tlb[i].negated[slot] == -page_of(linear)) drop(static_cast<TlbKind>(i), slot);
  return false;
}

void Mmu::drop_writes() {
  for (const TlbKind kind : {kTlbKernelWrite, kTlbUserWrite}) {
    drop_listed(kind, false);
    drop_listed(kind, true);
  }
}

void Mmu::drop_writes_to(GuestAddress page) {
  const auto host = reinterpret_cast<uint64_t>(memory_.at(page, kPageSize));
  for (const TlbKind kind : {kTlbKernelWrite, kTlbUserWrite})
    for (auto* list : {&local_[kind], &global_[kind]})
      for (const uint32_t slot : *list)
        if (context_.tlb[kind].host[slot] == host) drop(kind, slot);
}

}  // namespace proa::vmm::translator
