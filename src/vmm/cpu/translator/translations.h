// The translated blocks of one vCPU: found by address, chained to each other, dropped when their code changes.
//
// A block belongs to a code page: a virtual page as one kind of code (user or supervisor) maps it to a physical one.
// Jumps within a page are chained for good. Jumps from pages that are mapped globally are chained too, and checked
// again when the guest flushes the target's mapping; all others go through a check that the target's page is still
// mapped as it was (Context::code_tlb). Indirect jumps look in Context::jump, whose landings compare the target. Calls
// leave a host return address; the landing behind the call compares what the guest returns to.
#pragma once

#include <deque>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "vmm/cpu/translator/code_cache.h"
#include "vmm/cpu/translator/core.h"

namespace proa::vmm::translator {

struct Block;

struct CodePage {
  uint64_t page = 0, physical = 0;
  const std::byte* host = nullptr;
  uint32_t id = 0;
  bool user = false, global = false;
  bool far_linked = false;  // chained to from other pages without a check
  bool retired = false;     // no longer watched for writes
  uint8_t strays = 0;       // writes beside the code since the page was made
  std::vector<Block*> blocks;
};

// A jump from a block to an address that is known.
struct Edge {
  uint64_t target = 0;
  Block* from = nullptr;
  Block* to = nullptr;
  uint8_t* jump = nullptr;        // behind the displacement to change
  uint8_t* check = nullptr;       // behind the number of the expected code page; null: none is needed
  const uint8_t* stub = nullptr;  // where the jump leads while it is not chained
};

struct Block {
  uint64_t pc = 0;
  CodePage* page = nullptr;
  CodePage* second = nullptr;  // where the last instruction ends, when that is another page
  uint8_t* entry = nullptr;
  uint8_t* landing = nullptr;  // of indirect jumps
  uint32_t index = 0, first_point = 0;
  uint16_t points = 0, length = 0;
  bool dead = false, down = false;  // `down`: for DF set
  std::vector<Edge*> incoming, outgoing;
};

// Where an instruction of a block begins, from the starts of both.
struct Point {
  uint16_t host = 0, guest = 0;
};

// What stands behind a call from translated code.
struct Site {
  uint32_t block;
  uint16_t insn;
  uint8_t size;
  uint8_t write;
};
static_assert(sizeof(Site) == 8);

struct TranslationCounters {
  uint64_t blocks = 0, instructions = 0, identity = 0, inlined = 0, called_out = 0, host_bytes = 0, guest_bytes = 0;
  uint64_t links = 0, checked_links = 0, landings = 0, dropped = 0, resets = 0, indirect_misses = 0;
  uint64_t nanoseconds = 0;
};

class Translations {
 public:
  Translations(Core& core, CodeCache& cache, GuestMemory& memory);

  // The block at RIP, translated if need be.
  Guest<Block*> find();
  // Changes the code at an edge so that it leads to `to`; not always possible.
  void link(Edge& edge, Block& to);
  // Has indirect jumps to the block's address find it.
  void land(Block& block);

  void flush(Flush what, uint64_t linear);
  // Drops what was made from these bytes.
  void written(GuestAddress address, uint64_t length);
  bool has_code(GuestAddress page) const { return by_physical_.contains(page & ~(kPageSize - 1)); }
  void reset();  // drops all

  Block& block(uint32_t index) { return *all_[index]; }
  const Point& point(const Block& block, unsigned insn) const { return points_[block.first_point + insn]; }
  const uint8_t* host(const Block& block, unsigned insn) const {
    return cache_.exec(block.entry + point(block, insn).host);
  }
  // An instruction of a block, as it was translated.
  Insn insn(const Block& block, unsigned insn) const;
  // The block and instruction whose code holds a host address.
  struct Place {
    Block* block = nullptr;
    unsigned insn = 0;
  };
  Place locate(uint64_t host_rip);

  const TranslationCounters& counters() const { return counters_; }
  // A line for each block that is alive: address, ring, bytes of the guest's and of the host's code, instructions.
  void list(std::string& out) const;
  // Told before a page's code is first read: no processor may go on writing there unseen.
  std::function<void(GuestAddress)> on_new_page = [](GuestAddress) {};
  // Told when nothing made from a physical page is left.
  std::function<void(GuestAddress)> on_page_retired = [](GuestAddress) {};
  bool exact_flags = false;  // status flags are right even at faults where the code sets them again before use

 private:
  friend class BlockBuilder;
  Guest<CodePage*> page_of(uint64_t linear);
  CodePage* make_page(uint64_t page, const Mmu::Page& mapped, bool user);
  Guest<Block*> translate(CodePage& page);
  void watch(CodePage& page);
  void unlink(Edge& edge);
  void drop(Block& block);
  void drop_page(CodePage& page);
  void retire(GuestAddress physical);
  void forget(uint32_t slot);
  void flush_page(uint64_t linear);
  void check_mapping(CodePage& page);
  void check_mappings(std::vector<CodePage*>& pages);
  void clear_jumps(bool global);
  void reset_calls() { context_.call_rsp = cache_.call_stack_base(); }
  static uint64_t block_key(const CodePage& page, uint64_t pc, bool down) {
    return static_cast<uint64_t>(page.id) << 13 | (pc & (kPageSize - 1)) << 1 | (down ? 1 : 0);
  }
  static uint64_t page_key(uint64_t page, uint64_t physical, bool user, bool global) {
    return page ^ physical << 20 ^ physical >> 12 ^ (user ? 1 : 0) ^ (global ? 2 : 0);
  }

  Core& core_;
  CodeCache& cache_;
  GuestMemory& memory_;
  Context& context_;
  std::list<CodePage> pages_;  // retired ones too: code that runs may be theirs until reset()
  std::unordered_multimap<uint64_t, CodePage*> by_key_;
  std::unordered_multimap<uint64_t, CodePage*> by_physical_, by_page_;
  std::unordered_map<uint64_t, Block*> blocks_;
  std::vector<std::unique_ptr<Block>> all_;
  std::vector<Point> points_;
  std::deque<Edge> edges_;
  std::array<CodePage*, kCodeTlbEntries> mapped_{};
  std::vector<CodePage*> far_local_, far_global_;  // far-linked; by how they are mapped
  std::vector<uint32_t> local_slots_, global_slots_;
  struct Jump {
    uint32_t slot;
    bool user, global;
  };
  std::vector<Jump> jumps_;
  uint32_t next_id_ = 1;
  TranslationCounters counters_;
};

}  // namespace proa::vmm::translator
