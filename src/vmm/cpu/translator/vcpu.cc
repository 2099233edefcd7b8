#include "vmm/cpu/translator/vcpu.h"

#include <asm/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <utility>

#include "vmm/cpu/translator/engine.h"

namespace proa::vmm::translator {

namespace {

using Activity = CpuState::Pending::Activity;
constexpr size_t kSignalStack = 64 << 10;
thread_local CodeCache* running_code = nullptr;
thread_local Context* running_context = nullptr;
std::array<struct sigaction, 65> previous_actions;

// The GS base of this thread while it runs translated code.
class GsBase {
 public:
  explicit GsBase(void* base) {
    ::syscall(SYS_arch_prctl, ARCH_GET_GS, &old_);
    ::syscall(SYS_arch_prctl, ARCH_SET_GS, base);
  }
  ~GsBase() { ::syscall(SYS_arch_prctl, ARCH_SET_GS, old_); }

 private:
  unsigned long old_ = 0;
};

}  // namespace

namespace {

// What stands in the code behind a call out, at any address.
template <typename T>
T stored(const uint8_t* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

}  // namespace

Result<std::unique_ptr<TranslatorVcpu>> TranslatorVcpu::create(TranslatorEngine& engine, unsigned id,
                                                               const std::vector<CpuidLeaf>& cpuid) {
  std::unique_ptr<TranslatorVcpu> vcpu(new TranslatorVcpu(engine, id));
  TRY(vcpu->build(cpuid));
  return vcpu;
}

Result<> TranslatorVcpu::build(const std::vector<CpuidLeaf>& cpuid) {
  void* memory =
      ::mmap(nullptr, sizeof(Context), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return fail_errno(errno, "memory for a vCPU");
  context_ = static_cast<Context*>(memory);
  context_->owner = this;
  const Handlers handlers = {
      .slow_access = [](void* o, const uint8_t* data,
                        uint64_t rcx) { return self(o).slow_access(stored<Site>(data), rcx); },
      .call_out = [](void* o, const uint8_t* data, uint64_t) { return self(o).call_out(stored<Site>(data)); },
      .link = [](void* o, const uint8_t* data, uint64_t) { return self(o).link(*stored<Edge*>(data)); },
      .indirect = [](void* o, const uint8_t*, uint64_t rcx) { return self(o).indirect(rcx); },
      .safe_point = [](void* o, const uint8_t* data, uint64_t) { return self(o).safe_point(stored<uint64_t>(data)); },
      .need_fpu = [](void* o, const uint8_t* data, uint64_t) { return self(o).need_fpu(stored<Site>(data)); },
      .native_fault = [](void* o, const uint8_t*, uint64_t) { return self(o).native_fault(); },
  };
  cache_ = TRY(CodeCache::create(std::max<size_t>(engine_.options().translation_bytes, 1 << 20), handlers));
  GuestClock& clock = engine_.guest_clock();
  lapic_ = std::make_unique<Lapic>(
      id_, clock.khz(),
      Lapic::Outside{.send = [this](const Message& m) { engine_.send(m, id_); },
                     .end_of_interrupt = [this](uint8_t vector) { engine_.bus().end_of_interrupt(vector); },
                     .wake = [this](uint8_t) { request(kInterrupt); },
                     .tsc = [this] { return engine_.guest_clock().tsc() + context_->tsc_offset; },
                     .arm = [this](uint64_t tsc) { engine_.arm(id_, tsc ? tsc - context_->tsc_offset : 0); }});
  std::vector<CpuidLeaf> leaves = cpuid;
  for (CpuidLeaf& leaf : leaves) {
    if (leaf.leaf == 1) leaf.ebx = (leaf.ebx & 0xffffff) | id_ << 24;
    if (leaf.leaf == 0xb) leaf.edx = id_;
  }
  core_ = std::make_unique<Core>(*context_, *cache_, engine_.memory(), outside(), surroundings(), leaves);
  if (engine_.options().trace_exits) core_->sites = std::make_unique<ExitSites>();
  translations_ = std::make_unique<Translations>(*core_, *cache_, engine_.memory());
  translations_->on_new_page = [this](GuestAddress page) { engine_.code_page_made(*this, page); };
  translations_->on_page_retired = [this](GuestAddress page) { engine_.code_page_retired(id_, page); };
  core_->on_flush = [this](Flush what, uint64_t linear) { translations_->flush(what, linear); };
  signal_stack_ = std::make_unique<uint8_t[]>(kSignalStack);
  install_signal_handlers();
  return {};
}

TranslatorVcpu::~TranslatorVcpu() {
  engine_.gone(id_);
  translations_.reset();
  core_.reset();
  if (context_) ::munmap(context_, sizeof(Context));
}

Mmu::Outside TranslatorVcpu::outside() {
  return {
      .read = [this](GuestAddress address, unsigned size) -> uint64_t {
        if (lapic_->memory_mapped() && (address & ~0xfffULL) == lapic_->base())
          return lapic_->read(address & 0xff0) >> (8 * (address & 3));
        core_->count(ExitCause::kMmioRead);
        return engine_.bus().mmio_read(address, size);
      },
      .write =
          [this](GuestAddress address, unsigned size, uint64_t value) {
            if (lapic_->memory_mapped() && (address & ~0xfffULL) == lapic_->base()) {
              if (address % 16 == 0) lapic_->write(address & 0xff0, static_cast<uint32_t>(value));
              return;
            }
            if (engine_.ring(false, address, size, value)) {
              core_->count(ExitCause::kDoorbell);
              return;
            }
            core_->count(ExitCause::kMmioWrite);
            engine_.bus().mmio_write(address, size, value);
          },
      .code_written = [this](GuestAddress address, uint64_t length) { engine_.code_written(this, address, length); },
      .writable = [this](GuestAddress page) { engine_.writable(id_, page); },
  };
}

Surroundings TranslatorVcpu::surroundings() {
  return {
      .bus = &engine_.bus(),
      .ring = [this](uint16_t port, unsigned size, uint32_t value) { return engine_.ring(true, port, size, value); },
      .read_apic_msr = [this](uint32_t number) { return lapic_->read_msr(number); },
      .write_apic_msr = [this](uint32_t number, uint64_t value) { return lapic_->write_msr(number, value); },
      .tsc = [this] { return engine_.guest_clock().tsc() + context_->tsc_offset; },
      .set_tsc = [this](uint64_t value) { context_->tsc_offset = engine_.guest_clock().set_tsc(value); },
      .clock_msr =
          [this](uint32_t msr, uint64_t value) {
            GuestClock& clock = engine_.guest_clock();
            if ((msr & 1) == (msr == 0x11 ? 1 : 0) && msr != 0x12) {  // wall clock, at the machine's start
              timespec now{};
              clock_gettime(CLOCK_REALTIME, &now);
              const uint64_t start = static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
                                     static_cast<uint64_t>(now.tv_nsec) - clock.nanoseconds();
              const std::array<uint32_t, 3> wall = {2, static_cast<uint32_t>(start / 1'000'000'000),
                                                    static_cast<uint32_t>(start % 1'000'000'000)};
              engine_.memory().store(value, wall);
              return;
            }
            if (value & 1) engine_.memory().store(value & ~1ULL, clock.time_info());
          },
      .set_task_priority = [this](uint8_t value) { lapic_->set_cr8(value); },
      .task_priority = [this] { return lapic_->cr8(); },
  };
}

void TranslatorVcpu::request(uint32_t bits) {
  requests_.fetch_or(bits, std::memory_order_seq_cst);
  if (context_) __atomic_store_n(&context_->run, 0, __ATOMIC_SEQ_CST);
  requests_.notify_one();
}

void TranslatorVcpu::code_written(GuestAddress address, uint64_t length) {
  {
    const std::scoped_lock lock(written_mutex_);
    written_.emplace_back(address, length);
  }
  request(kCodeWritten);
}

void TranslatorVcpu::drop_writes(const std::function<void()>& meanwhile) {
  request(kDropWrites);
  while (running_.load(std::memory_order_seq_cst) && (requests_.load(std::memory_order_seq_cst) & kDropWrites)) {
    meanwhile();
    ::sched_yield();
  }
}
void TranslatorVcpu::serve_drop_writes() {
  if (!(requests_.load(std::memory_order_seq_cst) & kDropWrites)) return;
  core_->mmu().drop_writes();
  requests_.fetch_and(~uint32_t{kDropWrites}, std::memory_order_seq_cst);
}

// --- state

Result<CpuState> TranslatorVcpu::state() {
  core_->save();
  CpuState state = core_->state();
  lapic_->save(state);
  state.pending.activity = activity_;
  state.pending.interrupt_shadow = shadow_;
  state.pending.nmi_pending = requests_ & kNmiRequest;
  return state;
}

Result<> TranslatorVcpu::set_state(const CpuState& state) {
  lapic_->restore(state);
  core_->restore(state);
  if (state.cr8) lapic_->set_cr8(static_cast<uint8_t>(state.cr8));
  activity_ = state.pending.activity;
  shadow_ = state.pending.interrupt_shadow;
  if (state.pending.nmi_pending) request(kNmiRequest);
  if (state.pending.exception)
    raise({.vector = state.pending.vector, .has_error = state.pending.has_error, .error = state.pending.error});
  if (state.pending.interrupt) static_cast<void>(core_->interrupt(state.pending.interrupt_vector));
  core_->state().pending = {};
  core_->state().pending.nmi_blocked = state.pending.nmi_blocked;
  request(kInterrupt | kTimer);
  return {};
}

// --- the loop

Result<Stop> TranslatorVcpu::run() {
  stop_.reset();
  stack_t stack{}, old_stack{};
  stack.ss_sp = signal_stack_.get();
  stack.ss_size = kSignalStack;
  if (::sigaltstack(&stack, &old_stack) != 0) return fail_errno(errno, "signal stack of a vCPU");
  running_context = context_;
  running_code = cache_.get();
  running_.store(true, std::memory_order_seq_cst);
  {
    const GsBase gs(context_);
    while (!stop_) {
      const uint8_t* target = next();
      if (!target) break;
      context_->target = reinterpret_cast<uint64_t>(target);
      cache_->enter();
    }
  }
  running_.store(false, std::memory_order_seq_cst);
  running_context = nullptr;
  running_code = nullptr;
  old_stack.ss_flags &= ~SS_ONSTACK;
  ::sigaltstack(&old_stack, nullptr);
  if (!failure_.empty()) return fail(failure_);
  return *stop_;
}

// Privilege changes: what user code left as predictions must not lead into supervisor code, and the kernel does not
// pay for the FPU's state.
void TranslatorVcpu::forget_predictions() {
  context_->fpu_dead = 1;
  context_->call_rsp = cache_->call_stack_base();
}

void TranslatorVcpu::raise(const Fault& fault) {
  forget_predictions();
  if (activity_ == Activity::kHalted) activity_ = Activity::kRunning;  // a debug trap behind HLT
  if (!core_->deliver(fault)) stop_ = Stop{StopReason::kTripleFault};
}

// After an instruction that the core has run by itself.
void TranslatorVcpu::settle(const Guest<>& done) {
  if (!done) {
    shadow_ = false;
    raise(done.error());
    return;
  }
  shadow_ = core_->shadow;
  if (core_->halted) {
    core_->count(ExitCause::kHalt);
    activity_ = Activity::kHalted;
  }
}

bool TranslatorVcpu::stepping() const {
  return (context_->system & kFlagTf) || (core_->state().dr7 & 0xff) || core_->code_size() != CodeSize::k64;
}

void TranslatorVcpu::step_alone() {
  const bool trap = context_->system & kFlagTf;
  CpuState& state = core_->state();
  if ((state.dr7 & 0xff) && !(context_->system & kFlagRf)) {
    for (unsigned i = 0; i < 4; ++i) {
      const bool on = state.dr7 >> (2 * i) & 3, execute = (state.dr7 >> (16 + 4 * i) & 3) == 0;
      if (on && execute && state.dr[i] == core_->linear_rip()) {
        raise({.vector = kDb, .address = 1ULL << i});
        return;
      }
    }
  }
  // RF holds for one instruction; IRET may set it for the next.
  context_->system &= ~uint64_t{kFlagRf};
  core_->watch_hits = 0;
  const unsigned before = core_->cpl();
  auto done = core_->step();
  if (core_->cpl() != before) forget_predictions();
  settle(done);
  pending_debug_ |= core_->watch_hits;
  if (done && core_->stack_shadow) return;
  const uint64_t reasons = std::exchange(pending_debug_, 0) | (trap ? 1 << 14 : 0);
  if (done && reasons && !stop_) raise({.vector = kDb, .trap = true, .address = reasons});
}

// Whether an interrupt is above the priority, be they enabled or not.
bool TranslatorVcpu::interrupt_waits() const {
  return lapic_->deliverable() || (id_ == 0 && engine_.extint() && lapic_->accepts_extint());
}

void TranslatorVcpu::take_interrupt() {
  std::optional<uint8_t> vector = lapic_->acknowledge();
  if (!vector && id_ == 0 && engine_.extint() && lapic_->accepts_extint()) vector = engine_.bus().acknowledge_extint();
  if (!vector) {
    expect_interrupts(interrupt_waits());
    return;
  }
  forget_predictions();
  if (!core_->interrupt(*vector)) stop_ = Stop{StopReason::kTripleFault};
}

void TranslatorVcpu::expect_interrupts(bool yes) {
  interrupts_ = yes;
  context_->interruptible = yes ? 0 : 1;
}

// What others asked for. False: stop.
bool TranslatorVcpu::service() {
  __atomic_store_n(&context_->run, 1, __ATOMIC_SEQ_CST);
  const uint32_t bits = requests_.exchange(0, std::memory_order_seq_cst);
  if (bits & kDropWrites) core_->mmu().drop_writes();
  if (bits & kCodeWritten) {
    std::deque<std::pair<GuestAddress, uint64_t>> written;
    {
      const std::scoped_lock lock(written_mutex_);
      written.swap(written_);
    }
    for (const auto& [address, length] : written) translations_->written(address, length);
  }
  if (bits & kInit) reset_for_init();
  if ((bits & kStartup) && activity_ == Activity::kWaitForSipi) begin_at(startup_vector_);
  if (bits & kTimer) lapic_->tick();
  if (bits & (kInterrupt | kTimer)) expect_interrupts(interrupt_waits());
  if (bits & kNmiRequest) {
    if (core_->state().pending.nmi_blocked || activity_ == Activity::kWaitForSipi) {
      requests_.fetch_or(kNmiRequest);
    } else {
      activity_ = Activity::kRunning;
      core_->state().pending.nmi_blocked = true;
      forget_predictions();
      if (!core_->interrupt(kNmi)) stop_ = Stop{StopReason::kTripleFault};
    }
  }
  if (bits & kAllHalted) stop_ = Stop{StopReason::kHaltedForEver};
  if (bits & kKick) {
    core_->count(ExitCause::kKick);
    stop_ = Stop{StopReason::kKicked};
  }
  return !stop_;
}

void TranslatorVcpu::wait() {
  const bool for_ever = activity_ == Activity::kWaitForSipi || !(context_->system & kFlagIf);
  if (for_ever) engine_.idle_for_ever(true);
  running_.store(false, std::memory_order_seq_cst);
  while (requests_.load(std::memory_order_seq_cst) == 0) requests_.wait(0);
  running_.store(true, std::memory_order_seq_cst);
  if (for_ever) engine_.idle_for_ever(false);
}

void TranslatorVcpu::reset_for_init() {
  CpuState state;
  const CpuState& old = core_->state();
  core_->save();
  state.tsc = old.tsc;
  state.cr0 = 0x60000010 | (old.cr0 & (kCr0Cd | kCr0Nw));
  state.gpr[kRdx] = 0x600;
  for (unsigned i = 0; i < 6; ++i) state.segments[i] = {.attributes = 0x93, .limit = 0xffff};
  state.segments[kCs] = {.selector = 0xf000, .attributes = 0x9b, .limit = 0xffff, .base = 0xffff0000};
  state.tr = {.attributes = 0x8b, .limit = 0xffff};
  state.ldtr = {.attributes = 0x82, .limit = 0xffff};
  state.gdtr.limit = state.idtr.limit = 0xffff;
  state.fx = context_->fx;
  state.apic_base = old.apic_base;
  state.pat = old.pat, state.tsc_aux = old.tsc_aux;
  state.mtrr_def_type = old.mtrr_def_type, state.mtrr_fixed = old.mtrr_fixed, state.mtrr_variable = old.mtrr_variable;
  core_->restore(state);
  lapic_->reset(true);
  activity_ = id_ == 0 ? Activity::kRunning : Activity::kWaitForSipi;
  shadow_ = false;
}

void TranslatorVcpu::begin_at(uint8_t vector) {
  CpuState& state = core_->state();
  state.segments[kCs] = {.selector = static_cast<uint16_t>(vector << 8),
                         .attributes = 0x9b,
                         .limit = 0xffff,
                         .base = uint64_t{vector} << 12};
  context_->rip = 0;
  activity_ = Activity::kRunning;
}

const uint8_t* TranslatorVcpu::next() {
  while (!stop_) {
    if (!__atomic_load_n(&context_->run, __ATOMIC_RELAXED) || requests_.load(std::memory_order_relaxed) != 0)
      if (!service()) return nullptr;
    const bool enabled = (context_->system & kFlagIf) && !shadow_;
    if (enabled && interrupts_ && activity_ != Activity::kWaitForSipi) {
      if (interrupt_waits()) {
        activity_ = Activity::kRunning;
        take_interrupt();
        continue;
      }
      expect_interrupts(false);
    }
    if (activity_ != Activity::kRunning) {
      wait();
      continue;
    }
    if (shadow_ || stepping()) {
      shadow_ = false;
      step_alone();
      continue;
    }
    context_->system &= ~uint64_t{kFlagRf};
    auto block = translations_->find();
    if (!block) {
      raise(block.error());
      continue;
    }
    if (!*block) {  // not RAM, or not an instruction
      step_alone();
      continue;
    }
    return cache_->exec((*block)->entry);
  }
  return nullptr;
}

// --- passages

const uint8_t* TranslatorVcpu::after_step(const Guest<>& done, const Block& block, unsigned insn, uint64_t resets) {
  settle(done);
  if (!done || shadow_ || activity_ != Activity::kRunning || resets != translations_->counters().resets) return next();
  if (block.dead || !__atomic_load_n(&context_->run, __ATOMIC_RELAXED) || interrupt_due() || stop_) return next();
  if (stepping() || static_cast<bool>(context_->system & kFlagDf) != block.down) return next();
  if (insn + 1U >= block.points || context_->rip != block.pc + translations_->point(block, insn + 1).guest)
    return next();
  if (context_->rip == block.pc + block.length) return next();
  return translations_->host(block, insn + 1);
}

// Bytes that another processor has changed since are decoded anew.
Guest<> TranslatorVcpu::step_in(const Block& block, unsigned number) {
  const Insn insn = translations_->insn(block, number);
  const unsigned length = translations_->point(block, number + 1).guest - translations_->point(block, number).guest;
  return insn.op && insn.length == length ? core_->step(insn) : core_->step();
}

const uint8_t* TranslatorVcpu::slow_access(const Site& at, uint64_t linear) {
  const Site site = at;
  Block& block = translations_->block(site.block);
  context_->rip = block.pc + translations_->point(block, site.insn).guest;
  core_->count(ExitCause::kTlbMiss);
  auto direct = core_->mmu().fill(linear, site.size, site.write, core_->user());
  if (direct && *direct) return translations_->host(block, site.insn);
  // Wide operands may have to be aligned, which comes before page faults: the core knows.
  if (!direct && direct.error().vector == kPfFault && site.size <= 8) {
    raise(direct.error());
    return next();
  }
  const uint64_t resets = translations_->counters().resets;
  return after_step(step_in(block, site.insn), block, site.insn, resets);
}

const uint8_t* TranslatorVcpu::call_out(const Site& at) {
  const Site site = at;
  Block& block = translations_->block(site.block);
  context_->rip = block.pc + translations_->point(block, site.insn).guest;
  const uint64_t resets = translations_->counters().resets;
  const unsigned cpl = core_->cpl();
  auto done = step_in(block, site.insn);
  if (core_->cpl() != cpl) forget_predictions();
  return after_step(done, block, site.insn, resets);
}

const uint8_t* TranslatorVcpu::link(Edge& edge) {
  context_->rip = edge.target;
  if (!__atomic_load_n(&context_->run, __ATOMIC_RELAXED)) return next();
  const uint64_t resets = translations_->counters().resets;
  auto block = translations_->find();
  if (!block || !*block || stepping() || interrupt_due()) return next();
  if (resets == translations_->counters().resets) translations_->link(edge, **block);
  return cache_->exec((*block)->entry);
}

const uint8_t* TranslatorVcpu::indirect(uint64_t target) {
  context_->rip = target;
  if (!__atomic_load_n(&context_->run, __ATOMIC_RELAXED)) return next();
  auto block = translations_->find();
  if (!block || !*block || stepping() || interrupt_due()) return next();
  translations_->land(**block);
  return cache_->exec((*block)->entry);
}

const uint8_t* TranslatorVcpu::safe_point(uint64_t data) {
  context_->rip = data & 1 ? translations_->block(static_cast<uint32_t>(data >> 1)).pc
                           : reinterpret_cast<const Edge*>(data)->target;
  return next();
}

const uint8_t* TranslatorVcpu::need_fpu(const Site& at) {
  const Site site = at;
  Block& block = translations_->block(site.block);
  context_->rip = block.pc + translations_->point(block, site.insn).guest;
  auto insn = core_->fetch(context_->rip);
  Guest<> ready;
  if (!insn)
    ready = std::unexpected(insn.error());
  else
    ready = core_->use_fpu((insn->op->traits & kMandatory) &&
                           (insn->op->reg == RegClass::kXmm || insn->op->rm == RmClass::kXmm));
  if (ready) return translations_->host(block, site.insn);
  raise(ready.error());
  return next();
}

// The host's processor refused an instruction of translated code.
const uint8_t* TranslatorVcpu::native_fault() {
  const uint64_t signal = context_->fault_signal;
  const Translations::Place place = translations_->locate(context_->fault_host_rip);
  if (!place.block) {  // an instruction that is run by itself
    core_->native_signal = signal;
    return nullptr;
  }
  context_->rip = place.block->pc + translations_->point(*place.block, place.insn).guest;
  auto insn = core_->fetch(context_->rip);
  raise(insn ? core_->native_fault(signal, *insn) : insn.error());
  return next();
}

void TranslatorVcpu::on_signal(int signal, void* info_pointer, void* ucontext_pointer) {
  auto* context = static_cast<ucontext_t*>(ucontext_pointer);
  auto* info = static_cast<siginfo_t*>(info_pointer);
  auto& registers = context->uc_mcontext.gregs;
  const auto rip = static_cast<uint64_t>(registers[REG_RIP]);
  if (running_code && running_code->contains(rip)) {
    if (signal == SIGSEGV && running_code->in_stack_guard(reinterpret_cast<uint64_t>(info->si_addr))) {
      // The predictions are full: forget all but the newest and go on.
      constexpr size_t kKept = 64;
      const auto old = reinterpret_cast<const uint8_t*>(registers[REG_RSP]);
      auto* fresh = reinterpret_cast<uint8_t*>(running_code->call_stack_base() - kKept);
      std::memcpy(fresh, old, kKept);
      registers[REG_RSP] = static_cast<greg_t>(reinterpret_cast<uint64_t>(fresh));
      return;
    }
    running_context->fault_host_rip = rip;
    running_context->fault_signal = static_cast<uint64_t>(signal);
    registers[REG_RIP] = static_cast<greg_t>(reinterpret_cast<uint64_t>(running_code->passages().native_fault));
    return;
  }
  // Somebody else's: as it was before us.
  const struct sigaction& old = previous_actions[static_cast<size_t>(signal)];
  if (old.sa_flags & SA_SIGINFO) {
    old.sa_sigaction(signal, info, ucontext_pointer);
  } else if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) {
    old.sa_handler(signal);
  } else {
    ::sigaction(signal, &old, nullptr);  // happens again, and for good
  }
}

void TranslatorVcpu::install_signal_handlers() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (const int signal : {SIGSEGV, SIGFPE, SIGILL, SIGBUS}) {
      struct sigaction action{};
      action.sa_sigaction = [](int number, siginfo_t* info, void* context) { on_signal(number, info, context); };
      action.sa_flags = SA_SIGINFO | SA_ONSTACK;
      ::sigaction(signal, &action, &previous_actions[static_cast<size_t>(signal)]);
    }
  });
}

std::string TranslatorVcpu::report() const {
  const TranslationCounters& t = translations_->counters();
  const MmuCounters& m = core_->mmu().counters();
  std::string out;
  const auto line = [&](const char* name, uint64_t value) { out += cat("vcpu", id_, ".", name, " ", value, "\n"); };
  line("blocks", t.blocks), line("instructions", t.instructions), line("identity", t.identity),
      line("inline", t.inlined);
  line("call-out", t.called_out), line("guest-bytes", t.guest_bytes), line("host-bytes", t.host_bytes);
  line("translation-ns", t.nanoseconds), line("links", t.links), line("checked-links", t.checked_links);
  line("landings", t.landings), line("dropped", t.dropped), line("resets", t.resets);
  line("tlb-fills", m.fills), line("tlb-slow", m.slow), line("tlb-flushes", m.flushes),
      line("tlb-global-flushes", m.global_flushes);
  line("tlb-invalidations", m.invalidations), line("walks", m.walks), line("walk-reads-one-level", m.one_level_reads);
  line("walk-reads-two-level", m.two_level_reads);
  for (size_t i = 0; i < core_->exits.size(); ++i)
    out += cat("vcpu", id_, ".exit-", exit_cause_name(static_cast<ExitCause>(i)), " ", core_->exits[i], "\n");
  // One by one only while nothing changes them.
  const bool still = !running_.load(std::memory_order_seq_cst);
  if (engine_.options().trace_blocks && still) translations_->list(out);
  if (core_->sites && still) core_->sites->list(out);
  return out;
}

}  // namespace proa::vmm::translator
