#include "vmm/memory/guest_memory.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>

namespace proa::vmm {

namespace {

// Marks are read eight at a time; slots are far below this, so that sums of addresses cannot wrap.
constexpr uint64_t kAddressLimit = 1ULL << 52;
constexpr uint64_t kEightDirty = 0x0101010101010101ULL * kDirty;

class Mapping {
 public:
  Mapping() = default;
  Mapping(void* at, uint64_t size) : at_(at), size_(size) {}
  Mapping(Mapping&& other) noexcept : at_(std::exchange(other.at_, nullptr)), size_(other.size_) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping() {
    if (at_ != nullptr) ::munmap(at_, size_);
  }
  void* get() const { return at_; }

 private:
  void* at_ = nullptr;
  uint64_t size_ = 0;
};

Result<Mapping> map(uint64_t size, int flags, int fd, uint64_t offset) {
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, static_cast<off_t>(offset));
  if (at == MAP_FAILED) return fail_errno(errno, "map ", size >> 20, " MiB of guest memory");
  return Mapping(at, size);
}

Result<Fd> make_memfd(uint64_t size) {
  Fd fd(::memfd_create("guest-memory", MFD_CLOEXEC));
  if (!fd) return fail_errno(errno, "memfd_create");
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    return fail_errno(errno, "size a memfd to ", size >> 20, " MiB");
  return fd;
}

// A page beyond the file's end would be a SIGBUS under the guest's hands.
Result<> check_file(const SlotPlan& plan) {
  struct stat about{};
  if (::fstat(plan.file->get(), &about) != 0) return fail_errno(errno, "memory file");
  if (plan.file_offset % kPageSize != 0) return fail("memory file: offset ", plan.file_offset, " is not page-aligned");
  const auto length = static_cast<uint64_t>(about.st_size);
  if (plan.file_offset > length || plan.size > length - plan.file_offset)
    return fail("memory file: has ", length, " bytes, but ", plan.size, " at ", plan.file_offset, " are expected");
  return {};
}

Result<> check_plans(std::span<const SlotPlan> plans) {
  uint64_t end = 0;
  for (const SlotPlan& plan : plans) {
    if (plan.size == 0 || plan.size % kPageSize != 0 || plan.base % kPageSize != 0)
      return fail("guest memory: a slot of ", plan.size, " bytes at ", plan.base, " is not made of pages");
    if (plan.size > kAddressLimit || plan.base > kAddressLimit - plan.size)
      return fail("guest memory: a slot at ", plan.base, " is beyond the address space");
    if (plan.base < end) return fail("guest memory: slots overlap at ", plan.base);
    end = plan.base + plan.size;
  }
  return {};
}

}  // namespace

struct GuestMemory::Backing {
  Fd fd;
  Mapping pages, marks;
};

Result<std::unique_ptr<GuestMemory>> GuestMemory::create(std::vector<SlotPlan> plans) {
  std::ranges::sort(plans, {}, &SlotPlan::base);
  TRY(check_plans(plans));
  std::unique_ptr<GuestMemory> memory(new GuestMemory);
  for (SlotPlan& plan : plans) {
    Backing backing;
    const bool from_file = plan.file.has_value();
    if (plan.file) {
      TRY(check_file(plan));
      backing.fd = std::move(*plan.file);
    } else {
      backing.fd = TRY(make_memfd(plan.size));
    }
    backing.pages =
        TRY(map(plan.size, plan.file ? MAP_PRIVATE : MAP_SHARED, backing.fd.get(), plan.file ? plan.file_offset : 0));
    ::madvise(backing.pages.get(), plan.size, MADV_DONTDUMP);
    backing.marks = TRY(map((plan.size / kPageSize + 7) & ~7ULL, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    memory->slots_.push_back({.base = plan.base,
                              .size = plan.size,
                              .host = static_cast<std::byte*>(backing.pages.get()),
                              .fd = backing.fd.get(),
                              .fd_offset = plan.file ? plan.file_offset : 0,
                              .read_only = plan.read_only,
                              .is_private = from_file});
    memory->backings_.push_back(std::move(backing));
  }
  return memory;
}

GuestMemory::~GuestMemory() = default;

uint64_t GuestMemory::size() const {
  uint64_t sum = 0;
  for (const Slot& slot : slots_) sum += slot.size;
  return sum;
}

const Slot* GuestMemory::find(GuestAddress address, uint64_t length) const {
  for (const Slot& slot : slots_)
    if (slot.contains(address, length)) return &slot;
  return nullptr;
}

bool GuestMemory::read(GuestAddress address, void* to, uint64_t length) const {
  const std::byte* from = at(address, length);
  if (from == nullptr) return false;
  if (length != 0) std::memcpy(to, from, length);
  return true;
}

bool GuestMemory::write(GuestAddress address, const void* from, uint64_t length) const {
  const Slot* slot = find(address, length);
  if (slot == nullptr || slot->read_only) return false;
  if (length != 0) std::memcpy(slot->host + (address - slot->base), from, length);
  note_write(address, length);
  return true;
}

void GuestMemory::note_write(GuestAddress address, uint64_t length) const {
  const Slot* slot = find(address, length);
  if (slot == nullptr || length == 0) return;
  const bool track = tracks_dirty();
  const uint64_t last = (address - slot->base + length - 1) >> kPageShift;
  for (uint64_t page = (address - slot->base) >> kPageShift; page <= last; ++page) {
    std::atomic<uint8_t>& marks = mark(*slot, page);
    const uint8_t now = marks.load(std::memory_order_acquire);
    if (track && (now & kDirty) == 0) marks.fetch_or(kDirty, std::memory_order_relaxed);
    if ((now & kCode) != 0 && on_code_write) on_code_write(slot->base + (page << kPageShift));
  }
}

std::atomic<uint8_t>& GuestMemory::mark(const Slot& slot, uint64_t page) const {
  const auto index = static_cast<size_t>(&slot - slots_.data());
  return static_cast<std::atomic<uint8_t>*>(backings_[index].marks.get())[page];
}

void GuestMemory::track_dirty(bool on) {
  track_.store(on, std::memory_order_relaxed);
  take_dirty();
}

std::vector<GuestAddress> GuestMemory::take_dirty() {
  std::vector<GuestAddress> pages;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    const auto* eights = static_cast<const std::atomic<uint64_t>*>(backings_[i].marks.get());
    for (uint64_t page = 0; page < slot.size / kPageSize; ++page) {
      if (page % 8 == 0 && (eights[page / 8].load(std::memory_order_relaxed) & kEightDirty) == 0) {
        page += 7;
        continue;
      }
      std::atomic<uint8_t>& marks = mark(slot, page);
      if ((marks.load(std::memory_order_relaxed) & kDirty) == 0) continue;
      marks.fetch_and(static_cast<uint8_t>(~kDirty), std::memory_order_relaxed);
      pages.push_back(slot.base + (page << kPageShift));
    }
  }
  return pages;
}

}  // namespace proa::vmm
