// One vCPU of KVM.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "base/fd.h"
#include "vmm/cpu/engine.h"
#include "vmm/cpu/exit_sites.h"
#include "vmm/cpu/kvm/ioctl.h"

namespace proa::vmm::kvm {

// A mapping that ends with its owner.
class Pages {
 public:
  Pages() = default;
  static Result<Pages> map(int fd, size_t size, size_t offset);
  Pages(Pages&& other) noexcept : at_(std::exchange(other.at_, nullptr)), size_(other.size_) {}
  Pages& operator=(Pages&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Pages() {
    if (at_ != nullptr) ::munmap(at_, size_);
  }
  template <typename T>
  T* as() const {
    return static_cast<T*>(at_);
  }

 private:
  void* at_ = nullptr;
  size_t size_ = 0;
};

// What the engine and its vCPUs share.
struct Shared {
  Fd vm;
  GuestMemory* memory = nullptr;
  Bus* bus = nullptr;
  uint32_t dirty_ring = 0;
  bool trace_exits = false;
  std::mutex dirty_mutex;
  std::vector<kvm_dirty_gfn> dirty;  // taken out of rings and not yet asked for
  std::atomic<bool> extint = false;
};

class KvmVcpu : public Vcpu {
 public:
  static Result<std::unique_ptr<KvmVcpu>> create(const std::shared_ptr<Shared>& shared, size_t run_size, unsigned id,
                                                 const std::vector<CpuidLeaf>& cpuid);
  ~KvmVcpu() override;

  Result<Stop> run() override;
  void kick() override;
  Result<CpuState> state() override;
  Result<> set_state(const CpuState& state) override;
  ExitCounts exits() const override;
  Result<uint64_t> msr(uint32_t index) override;
  Result<> set_msr(uint32_t index, uint64_t value) override;
  void list_exits(std::string& out);

  Result<> set_tsc_khz(uint64_t khz);
  // Makes it look at what it is to do, without a stop.
  void nudge();
  // Takes what its dirty ring holds. With dirty_mutex held.
  void harvest();

 private:
  KvmVcpu() = default;
  Result<bool> handle(Stop& stop);
  void handle_port();
  void handle_mmio();
  Result<> offer_extint();
  void count(ExitCause cause) {
    auto& counter = counts_[static_cast<size_t>(cause)];
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (sites_) trace(cause);
  }

  void trace(ExitCause cause);

  std::shared_ptr<Shared> shared_;
  std::unique_ptr<ExitSites> sites_;  // null: not asked for
  std::mutex sites_mutex_;
  unsigned id_ = 0;
  Fd fd_;
  Pages run_pages_, ring_pages_;
  kvm_run* run_ = nullptr;
  uint32_t ring_next_ = 0;
  std::atomic<bool> kicked_ = false;
  std::atomic<int> thread_ = 0;  // that is in run()
  std::array<std::atomic<uint64_t>, static_cast<size_t>(ExitCause::kCount)> counts_{};
};

}  // namespace proa::vmm::kvm
