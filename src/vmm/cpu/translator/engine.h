// What the vCPUs of one translated machine share: memory marks, interrupt messages, time, doorbells.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "base/fd.h"
#include "vmm/cpu/translator/guest_clock.h"
#include "vmm/cpu/translator/vcpu.h"

namespace proa::vmm::translator {

class TranslatorEngine final : public Engine {
 public:
  static Result<std::unique_ptr<TranslatorEngine>> create(GuestMemory& memory, Bus& bus, const EngineOptions& options);
  ~TranslatorEngine() override;

  const char* name() const override { return "translator"; }
  Result<std::vector<CpuidLeaf>> supported_cpuid() override;
  Result<std::unique_ptr<Vcpu>> create_vcpu(unsigned id, const std::vector<CpuidLeaf>& cpuid) override;
  Result<> signal_msi(const Msi& msi) override;
  Result<> route_irqfd(unsigned line, int eventfd, const Msi& msi) override;
  Result<> remove_irqfd(unsigned line) override;
  Result<> set_extint(bool level) override;
  Result<> signal_nmi(unsigned vcpu) override;
  Result<> add_doorbell(const Doorbell& doorbell) override;
  Result<> remove_doorbell(const Doorbell& doorbell) override;
  Result<uint64_t> clock() override { return clock_.nanoseconds(); }
  Result<> set_clock(uint64_t nanoseconds) override;
  Result<> track_dirty(bool on) override;
  Result<std::vector<GuestAddress>> take_dirty() override;
  std::string report() const override;

  // --- for the vCPUs
  GuestMemory& memory() { return memory_; }
  Bus& bus() { return bus_; }
  GuestClock& guest_clock() { return clock_; }
  const EngineOptions& options() const { return options_; }
  void send(const Message& message, unsigned from);
  bool extint() const { return extint_.load(); }
  // True: a doorbell took it.
  bool ring(bool is_port, uint64_t address, unsigned size, uint64_t value);
  // A vCPU is about to write to a page through its TLB; it is made from (all others lose their entries); no longer is.
  void writable(unsigned vcpu, GuestAddress page);
  void code_page_made(TranslatorVcpu& vcpu, GuestAddress page);
  void code_page_retired(unsigned vcpu, GuestAddress page);
  void code_written(TranslatorVcpu* by, GuestAddress address, uint64_t length);
  void arm(unsigned vcpu, uint64_t tsc);
  // One more vCPU, or one less, that only a reset could wake.
  void idle_for_ever(bool more);
  void gone(unsigned vcpu);

 private:
  TranslatorEngine(GuestMemory& memory, Bus& bus, const EngineOptions& options);
  struct Marks {
    std::vector<std::atomic<uint8_t>> writers;  // vCPUs that may have entries to write, by number modulo 8
    std::vector<std::atomic<uint8_t>> makers;   // vCPUs that have code from the page
    explicit Marks(uint64_t pages) : writers(pages), makers(pages) {}
  };
  std::pair<Marks*, uint64_t> marks_of(GuestAddress page);
  void alarms(const std::stop_token& stop);
  void relay_irqfds();
  void drop_all_writes();

  GuestMemory& memory_;
  Bus& bus_;
  EngineOptions options_;
  GuestClock clock_;
  std::vector<std::unique_ptr<Marks>> marks_;
  mutable std::mutex vcpus_mutex_;
  std::vector<TranslatorVcpu*> vcpus_;
  std::atomic<bool> extint_ = false;
  std::atomic<unsigned> idle_ = 0;

  std::mutex doorbells_mutex_;
  std::vector<Doorbell> doorbells_;
  std::atomic<bool> has_doorbells_ = false;

  std::mutex alarms_mutex_;
  std::condition_variable_any alarms_changed_;
  std::vector<uint64_t> alarms_at_;  // TSC by vCPU; 0: none
  uint64_t sleeping_until_ = 0;

  struct Route {
    int eventfd = -1;
    Msi msi;
  };
  std::mutex routes_mutex_;
  std::map<unsigned, Route> routes_;
  Fd epoll_, stop_event_;
  std::jthread alarm_thread_, irqfd_thread_;
};

}  // namespace proa::vmm::translator
