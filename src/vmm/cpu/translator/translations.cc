#include "vmm/cpu/translator/translations.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "vmm/cpu/translator/block_builder.h"

namespace proa::vmm::translator {

namespace {

uint64_t page_base(uint64_t address) { return address & ~(kPageSize - 1); }
uint32_t slot_of(uint64_t linear) { return linear >> kPageShift & (kCodeTlbEntries - 1); }

void erase_one(auto& map, uint64_t key, const CodePage* page) {
  const auto [first, last] = map.equal_range(key);
  const auto at = std::find_if(first, last, [page](const auto& one) { return one.second == page; });
  if (at != last) map.erase(at);
}

}  // namespace

Translations::Translations(Core& core, CodeCache& cache, GuestMemory& memory)
    : core_(core), cache_(cache), memory_(memory), context_(core.context()) {
  for (auto& table : context_.jump) table.fill(reinterpret_cast<uint64_t>(cache_.passages().indirect));
}

Guest<CodePage*> Translations::page_of(uint64_t linear) {
  const uint32_t slot = slot_of(linear);
  const uint64_t page = page_base(linear);
  const bool user = core_.user();
  if (CodePage* known = mapped_[slot]; known && known->page == page && known->user == user) return known;
  const Mmu::Page found = TRY(core_.mmu().walk(linear, Use::kFetch, user));
  CodePage* made = make_page(page, found, user);
  if (!made) return nullptr;
  mapped_[slot] = made;
  context_.code_tlb[slot] = made->id;
  (made->global ? global_slots_ : local_slots_).push_back(slot);
  return made;
}

// Null: not RAM.
CodePage* Translations::make_page(uint64_t page, const Mmu::Page& mapped, bool user) {
  const uint64_t key = page_key(page, mapped.physical, user, mapped.global);
  const auto [first, last] = by_key_.equal_range(key);
  for (auto it = first; it != last; ++it)
    if (it->second->page == page && it->second->physical == mapped.physical && it->second->user == user &&
        it->second->global == mapped.global)
      return it->second;
  const Slot* slot = memory_.find(mapped.physical, kPageSize);
  if (!slot) return nullptr;
  memory_.mark(*slot, (mapped.physical - slot->base) >> kPageShift).fetch_or(kCode, std::memory_order_seq_cst);
  on_new_page(mapped.physical);
  CodePage& made = pages_.emplace_back();
  made.page = page;
  made.physical = mapped.physical;
  made.host = slot->host + (mapped.physical - slot->base);
  made.id = next_id_++;
  made.user = user;
  made.global = mapped.global;
  by_key_.emplace(key, &made);
  by_physical_.emplace(mapped.physical, &made);
  by_page_.emplace(page, &made);
  return &made;
}

Guest<Block*> Translations::find() {
  CodePage* page = TRY(page_of(context_.rip));
  if (!page) return nullptr;
  const bool down = context_.system & kFlagDf;
  const auto found = blocks_.find(block_key(*page, context_.rip, down));
  if (found != blocks_.end()) {
    Block* block = found->second;
    // Its end may lie in a page that is mapped otherwise by now.
    if (!block->second || TRY(page_of(block->second->page)) == block->second) return block;
    drop(*block);
  }
  return translate(*page);
}

Guest<Block*> Translations::translate(CodePage& page) {
  timespec begin{}, end{};
  clock_gettime(CLOCK_MONOTONIC, &begin);
  CodePage* here = &page;
  if (cache_.nearly_full()) {
    reset();
    here = TRY(page_of(context_.rip));
  }
  CodePage* second = nullptr;
  const uint64_t last = context_.rip | (kPageSize - 1);
  if (context_.rip + 15 > last) {
    // The first instruction may go on in the next page; it is looked at only when it does.
    const uint64_t have = last + 1 - context_.rip;
    Insn insn;
    const auto* bytes = reinterpret_cast<const uint8_t*>(here->host) + (context_.rip & (kPageSize - 1));
    if (decode({bytes, have}, CodeSize::k64, insn) == Decoded::kTruncated) {
      second = TRY(page_of(last + 1));
      if (!second) return nullptr;
    }
  }
  auto owned = std::make_unique<Block>();
  Block& block = *owned;
  block.pc = context_.rip;
  block.page = here;
  block.second = second;
  block.index = static_cast<uint32_t>(all_.size());
  block.first_point = static_cast<uint32_t>(points_.size());
  block.down = context_.system & kFlagDf;
  if (!BlockBuilder(*this, block).run()) return nullptr;
  here->blocks.push_back(&block);
  if (second) second->blocks.push_back(&block);
  blocks_[block_key(*here, block.pc, block.down)] = &block;
  all_.push_back(std::move(owned));
  clock_gettime(CLOCK_MONOTONIC, &end);
  counters_.nanoseconds +=
      static_cast<uint64_t>((end.tv_sec - begin.tv_sec) * 1'000'000'000 + end.tv_nsec - begin.tv_nsec);
  ++counters_.blocks;
  return &block;
}

void Translations::link(Edge& edge, Block& to) {
  if (edge.to || edge.from->dead || to.dead) return;
  const bool near = edge.from->page == to.page && !to.second;
  if (!near && edge.from->page->global) {
    watch(*to.page);
    if (to.second) watch(*to.second);
  } else if (!near) {
    if (!edge.check || to.second) return;
    const auto expected = -static_cast<int32_t>(to.page->id);
    std::memcpy(edge.check - 4, &expected, 4);
    ++counters_.checked_links;
  } else if (edge.check) {
    return;  // its check is for another page
  }
  Emitter::set_relative(edge.jump, to.entry);
  edge.to = &to;
  to.incoming.push_back(&edge);
  ++counters_.links;
}

// Has flushes make sure that the page is mapped as before.
void Translations::watch(CodePage& page) {
  if (page.far_linked) return;
  page.far_linked = true;
  (page.global ? far_global_ : far_local_).push_back(&page);
}

void Translations::unlink(Edge& edge) {
  Emitter::set_relative(edge.jump, edge.stub - (cache_.exec(edge.jump) - edge.jump));
  edge.to = nullptr;
}

void Translations::land(Block& block) {
  const auto slot = static_cast<uint32_t>(block.pc & (kJumpEntries - 1));
  const bool user = block.page->user;
  if (block.second) return;
  if (!block.landing) BlockBuilder::make_landing(*this, block);
  uint64_t& entry = context_.jump[user][slot];
  if (entry == reinterpret_cast<uint64_t>(cache_.passages().indirect))
    jumps_.push_back({slot, user, block.page->global});
  else if (!block.page->global)
    jumps_.push_back({slot, user, false});
  entry = reinterpret_cast<uint64_t>(cache_.exec(block.landing));
}

void Translations::clear_jumps(bool global) {
  std::erase_if(jumps_, [&](const Jump& jump) {
    if (jump.global && !global) return false;
    context_.jump[jump.user][jump.slot] = reinterpret_cast<uint64_t>(cache_.passages().indirect);
    return true;
  });
}

void Translations::forget(uint32_t slot) {
  mapped_[slot] = nullptr;
  context_.code_tlb[slot] = 0;
}

// A page that others jump to unchecked has to be mapped as before.
void Translations::check_mapping(CodePage& page) {
  if (!page.far_linked || page.retired) return;
  auto found = core_.mmu().walk(page.page, Use::kFetch, page.user);
  if (!found || found->physical != page.physical || found->global != page.global) drop_page(page);
}

// A page that was dropped and linked again stands there twice for a while, which does no harm.
void Translations::check_mappings(std::vector<CodePage*>& pages) {
  for (CodePage* page : pages) check_mapping(*page);
  std::erase_if(pages, [](const CodePage* page) { return !page->far_linked; });
}

void Translations::flush_page(uint64_t linear) {
  const auto [first, last] = by_page_.equal_range(page_base(linear));
  if (first == last) return;  // no code
  const uint32_t slot = slot_of(linear);
  if (mapped_[slot] && mapped_[slot]->page == page_base(linear)) forget(slot);
  clear_jumps(true);
  reset_calls();
  for (auto it = first; it != last; ++it) check_mapping(*it->second);
}

void Translations::flush(Flush what, uint64_t linear) {
  if (what == Flush::kPage) {
    flush_page(linear);
    return;
  }
  reset_calls();
  for (const uint32_t slot : local_slots_) forget(slot);
  local_slots_.clear();
  clear_jumps(what == Flush::kGlobal);
  check_mappings(far_local_);
  if (what == Flush::kLocal) return;
  for (const uint32_t slot : global_slots_) forget(slot);
  global_slots_.clear();
  check_mappings(far_global_);
}

void Translations::drop(Block& block) {
  if (block.dead) return;
  block.dead = true;
  ++counters_.dropped;
  for (Edge* edge : block.incoming) unlink(*edge);
  block.incoming.clear();
  for (Edge* edge : block.outgoing)
    if (edge->to) std::erase(edge->to->incoming, edge);
  if (block.landing) {
    // Its first instruction becomes a jump to the look-up.
    Emitter out(block.landing, block.landing + 64, cache_.exec(block.landing) - block.landing);
    out.jmp(cache_.passages().indirect);
  }
  std::erase(block.page->blocks, &block);
  if (block.second) std::erase(block.second->blocks, &block);
  blocks_.erase(block_key(*block.page, block.pc, block.down));
  reset_calls();
}

void Translations::drop_page(CodePage& page) {
  page.far_linked = false;
  while (!page.blocks.empty()) drop(*page.blocks.back());
}

// Gives a physical page back to data: stores to it are fast again.
void Translations::retire(GuestAddress physical) {
  const auto [first, last] = by_physical_.equal_range(physical);
  for (auto it = first; it != last; ++it) {
    CodePage& page = *it->second;
    drop_page(page);
    page.retired = true;
    const uint32_t slot = slot_of(page.page);
    if (mapped_[slot] == &page) forget(slot);
    erase_one(by_key_, page_key(page.page, page.physical, page.user, page.global), &page);
    erase_one(by_page_, page.page, &page);
  }
  by_physical_.erase(physical);
  on_page_retired(physical);
}

void Translations::written(GuestAddress address, uint64_t length) {
  constexpr uint8_t kMostStrays = 8;
  for (uint64_t page = page_base(address); page < address + length; page += kPageSize) {
    const auto [first, last] = by_physical_.equal_range(page);
    if (first == last) continue;
    bool left = false, stray = false;
    for (auto it = first; it != last; ++it) {
      CodePage& code = *it->second;
      const size_t before = code.blocks.size();
      // By offsets in this page; a block that began in the page before covers the page's first bytes.
      const uint64_t from = std::max(address, page) - page, to = std::min(address + length, page + kPageSize) - page;
      for (size_t i = code.blocks.size(); i-- > 0;) {
        Block& block = *code.blocks[i];
        const bool tail = block.page != &code;
        const uint64_t begin = tail ? 0 : block.pc & (kPageSize - 1);
        const uint64_t end = tail ? 15 : begin + block.length;
        if (begin < to && from < end) drop(block);
      }
      left = left || !code.blocks.empty();
      stray = stray || (code.blocks.size() == before && ++code.strays >= kMostStrays);
    }
    if (!left || stray) retire(page);
  }
}

void Translations::reset() {
  ++counters_.resets;
  cache_.clear();
  blocks_.clear();
  all_.clear();
  points_.clear();
  edges_.clear();
  pages_.remove_if([](const CodePage& page) { return page.retired; });
  for (CodePage& page : pages_) page.blocks.clear(), page.far_linked = false;
  far_local_.clear();
  far_global_.clear();
  clear_jumps(true);
  reset_calls();
}

void Translations::list(std::string& out) const {
  for (const auto& block : all_) {
    if (block->dead) continue;
    std::array<char, 128> line;
    const unsigned last = block->points - 1U;
    const int length =
        std::snprintf(line.data(), line.size(), "block %016llx ring%c guest %u host %u instructions %u\n",
                      static_cast<unsigned long long>(block->pc), block->page->user ? '3' : '0', block->length,
                      point(*block, last).host, last);
    out.append(line.data(), static_cast<size_t>(length));
  }
}

Insn Translations::insn(const Block& block, unsigned number) const {
  const unsigned from = point(block, number).guest;
  const uint64_t offset = (block.pc & (kPageSize - 1)) + from;
  std::array<uint8_t, 15> bytes{};
  const auto here = static_cast<size_t>(std::min<uint64_t>(bytes.size(), kPageSize - offset));
  std::memcpy(bytes.data(), block.page->host + offset, here);
  if (block.second) std::memcpy(bytes.data() + here, block.second->host, bytes.size() - here);
  Insn insn;
  static_cast<void>(decode(bytes, CodeSize::k64, insn));
  return insn;
}

Translations::Place Translations::locate(uint64_t host_rip) {
  const auto at = reinterpret_cast<const uint8_t*>(host_rip);
  const auto after = std::upper_bound(
      all_.begin(), all_.end(), at,
      [&](const uint8_t* address, const std::unique_ptr<Block>& block) { return address < cache_.exec(block->entry); });
  if (after == all_.begin()) return {};
  Block& found = **std::prev(after);
  const auto offset = static_cast<size_t>(at - cache_.exec(found.entry));
  for (unsigned i = found.points; i-- > 0;)
    if (point(found, i).host <= offset) return {&found, i};
  return {};
}

}  // namespace proa::vmm::translator
