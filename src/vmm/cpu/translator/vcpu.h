// A vCPU of the translator: the loop around translated code, and what interrupts it.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>

#include "vmm/cpu/engine.h"
#include "vmm/cpu/translator/lapic.h"
#include "vmm/cpu/translator/translations.h"

namespace proa::vmm::translator {

class TranslatorEngine;

class TranslatorVcpu final : public Vcpu {
 public:
  static Result<std::unique_ptr<TranslatorVcpu>> create(TranslatorEngine& engine, unsigned id,
                                                        const std::vector<CpuidLeaf>& cpuid);
  ~TranslatorVcpu() override;

  Result<Stop> run() override;
  void kick() override { request(kKick); }
  Result<CpuState> state() override;
  Result<> set_state(const CpuState& state) override;
  ExitCounts exits() const override { return core_->exits; }
  Result<uint64_t> msr(uint32_t index) override;
  Result<> set_msr(uint32_t index, uint64_t value) override;

  // From any thread.
  enum Request : uint32_t {
    kKick = 1,
    kInterrupt = 2,
    kNmiRequest = 4,
    kInit = 8,
    kStartup = 16,
    kCodeWritten = 32,
    kDropWrites = 64,
    kTimer = 128,
    kAllHalted = 256
  };
  void request(uint32_t bits);
  void start_up(uint8_t vector) { startup_vector_ = vector, request(kStartup); }
  void code_written(GuestAddress address, uint64_t length);
  // Returns when this vCPU has no soft TLB entry left that allows stores; `meanwhile` is called while it waits.
  void drop_writes(const std::function<void()>& meanwhile);
  void serve_drop_writes();
  unsigned id() const { return id_; }
  Lapic& lapic() { return *lapic_; }
  Core& core() { return *core_; }
  Translations& translations() { return *translations_; }
  std::string report() const;

 private:
  TranslatorVcpu(TranslatorEngine& engine, unsigned id) : engine_(engine), id_(id) {}
  Result<> build(const std::vector<CpuidLeaf>& cpuid);
  Surroundings surroundings();
  Mmu::Outside outside();

  // Passages from translated code: vcpu_passages.cc.
  static TranslatorVcpu& self(void* owner) { return *static_cast<TranslatorVcpu*>(owner); }
  const uint8_t* slow_access(const Site& site, uint64_t linear);
  const uint8_t* call_out(const Site& site);
  const uint8_t* link(Edge& edge);
  const uint8_t* indirect(uint64_t target);
  const uint8_t* safe_point(uint64_t data);
  const uint8_t* need_fpu(const Site& site);
  const uint8_t* native_fault();

  // Where to go on; null: stop.
  const uint8_t* next();
  const uint8_t* after_step(const Guest<>& done, const Block& block, unsigned insn, uint64_t resets);
  void forget_predictions();
  void settle(const Guest<>& done);
  void raise(const Fault& fault);
  bool service();
  void expect_interrupts(bool yes);
  bool interrupt_waits() const;
  bool interrupt_due() const { return interrupts_ && (context_->system & kFlagIf); }
  void take_interrupt();
  Guest<> step_in(const Block& block, unsigned number);
  void wait();
  void step_alone();
  void reset_for_init();
  void begin_at(uint8_t vector);
  bool stepping() const;

  TranslatorEngine& engine_;
  unsigned id_;
  Context* context_ = nullptr;
  std::unique_ptr<CodeCache> cache_;
  std::unique_ptr<Core> core_;
  std::unique_ptr<Translations> translations_;
  std::unique_ptr<Lapic> lapic_;
  std::unique_ptr<uint8_t[]> signal_stack_;

  std::atomic<uint32_t> requests_ = 0;
  std::atomic<bool> running_ = false;
  std::atomic<uint8_t> startup_vector_ = 0;
  bool interrupts_ = false;  // something may be deliverable
  std::mutex written_mutex_;
  std::deque<std::pair<GuestAddress, uint64_t>> written_;
  CpuState::Pending::Activity activity_ = CpuState::Pending::Activity::kRunning;
  bool shadow_ = false;
  uint64_t pending_debug_ = 0;  // data breakpoints met by a load of SS, as bits of DR6
  std::optional<Stop> stop_;
  std::string failure_;
};

}  // namespace proa::vmm::translator
