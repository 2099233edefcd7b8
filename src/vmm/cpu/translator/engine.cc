#include "vmm/cpu/translator/engine.h"

#include <cpuid.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "vmm/cpu/translator/translator.h"

namespace proa::vmm::translator {

std::string unavailable() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  __cpuid(1, a, b, c, d);
  if (!(c & bit_SSE4_2) || !(c & bit_POPCNT)) return "the processor lacks SSE4.2";
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_BMI2)) return "the processor lacks BMI2";
  return {};
}

Result<std::unique_ptr<Engine>> make_engine(GuestMemory& memory, Bus& bus, const EngineOptions& options) {
  return TRY(TranslatorEngine::create(memory, bus, options));
}

TranslatorEngine::TranslatorEngine(GuestMemory& memory, Bus& bus, const EngineOptions& options)
    : memory_(memory), bus_(bus), options_(options), clock_(options.tsc_khz) {
  for (const Slot& slot : memory.slots()) marks_.push_back(std::make_unique<Marks>(slot.size >> kPageShift));
}

Result<std::unique_ptr<TranslatorEngine>> TranslatorEngine::create(GuestMemory& memory, Bus& bus,
                                                                   const EngineOptions& options) {
  if (const std::string why = unavailable(); !why.empty())
    return fail("the translator cannot run here: ", why).hint("use a processor of x86-64-v3 (2013 or later)");
  std::unique_ptr<TranslatorEngine> engine(new TranslatorEngine(memory, bus, options));
  engine->epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  engine->stop_event_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!engine->epoll_ || !engine->stop_event_) return fail_errno(errno, "wait for interrupts");
  epoll_event event{.events = EPOLLIN, .data = {.u64 = ~0ULL}};
  if (::epoll_ctl(engine->epoll_.get(), EPOLL_CTL_ADD, engine->stop_event_.get(), &event) != 0)
    return fail_errno(errno, "wait for interrupts");
  auto* e = engine.get();
  memory.on_code_write = [e](GuestAddress page) { e->code_written(nullptr, page, kPageSize); };
  engine->alarm_thread_ = std::jthread([e](const std::stop_token& stop) { e->alarms(stop); });
  engine->irqfd_thread_ = std::jthread([e] { e->relay_irqfds(); });
  return engine;
}

TranslatorEngine::~TranslatorEngine() {
  const uint64_t one = 1;
  if (stop_event_) static_cast<void>(!::write(stop_event_.get(), &one, sizeof one));
  if (alarm_thread_.joinable()) {
    alarm_thread_.request_stop();
    alarms_changed_.notify_all();
    alarm_thread_.join();
  }
  if (irqfd_thread_.joinable()) irqfd_thread_.join();
  memory_.on_code_write = nullptr;
}

Result<std::unique_ptr<Vcpu>> TranslatorEngine::create_vcpu(unsigned id, const std::vector<CpuidLeaf>& cpuid) {
  {
    const std::scoped_lock lock(vcpus_mutex_, alarms_mutex_);
    if (vcpus_.size() <= id) vcpus_.resize(id + 1);
    if (alarms_at_.size() <= id) alarms_at_.resize(id + 1);
    if (vcpus_[id]) return fail("vCPU ", id, ": exists already");
  }
  auto vcpu = TRY_CTX(TranslatorVcpu::create(*this, id, cpuid), "vCPU ", id);
  if (id != 0) {
    CpuState state;
    state.pending.activity = CpuState::Pending::Activity::kWaitForSipi;
    TRY(vcpu->set_state(state));
  }
  const std::scoped_lock lock(vcpus_mutex_);
  vcpus_[id] = vcpu.get();
  return vcpu;
}

void TranslatorEngine::gone(unsigned vcpu) {
  const std::scoped_lock lock(vcpus_mutex_, alarms_mutex_);
  if (vcpu < vcpus_.size()) vcpus_[vcpu] = nullptr;
  if (vcpu < alarms_at_.size()) alarms_at_[vcpu] = 0;
}

Result<std::vector<CpuidLeaf>> TranslatorEngine::supported_cpuid() {
  std::vector<CpuidLeaf> leaves;
  const auto add = [&](uint32_t leaf, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    leaves.push_back({.leaf = leaf, .eax = a, .ebx = b, .ecx = c, .edx = d});
  };
  unsigned a = 0, b = 0, c = 0, d = 0;
  __cpuid(0, a, b, c, d);
  add(0, 0x16, b, c, d);
  __cpuid(1, a, b, c, d);
  // SSE3 SSSE3 CX16 SSE4.1 SSE4.2 x2APIC POPCNT TSC-deadline RDRAND, and that there is a hypervisor.
  const uint32_t ecx = (1U << 0 | 1U << 9 | 1U << 13 | 1U << 19 | 1U << 20 | 1U << 23 | 1U << 30) & c;
  // FPU DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2
  add(1, 0x00000f61, 8 << 8 | 1 << 16, ecx | 1U << 21 | 1U << 24 | 1U << 31, 0x0783fbfd);
  add(2, 0x01, 0, 0, 0);
  add(6, 4, 0, 0, 0);  // the APIC timer always runs
  unsigned feature_ebx = 0;
  if (__get_cpuid_count(7, 0, &a, &feature_ebx, &c, &d)) feature_ebx &= 1U << 9 | 1U << 18;  // ERMS RDSEED
  leaves.push_back({.leaf = 7,
                    .subleaf = 0,
                    .by_subleaf = true,
                    .ebx = feature_ebx | 1U << 7,
                    .ecx = 1U << 2,
                    .edx = 1U << 4 | 1U << 29});
  leaves.push_back({.leaf = 0xb, .subleaf = 0, .by_subleaf = true, .eax = 0, .ebx = 1, .ecx = 0x100});
  leaves.push_back({.leaf = 0xb, .subleaf = 1, .by_subleaf = true, .eax = 8, .ebx = 1, .ecx = 0x201});
  add(0x15, 1, 1, static_cast<uint32_t>(clock_.khz() * 1000), 0);
  add(0x16, static_cast<uint32_t>(clock_.khz() / 1000), static_cast<uint32_t>(clock_.khz() / 1000), 100, 0);
  add(0x40000000, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
  add(0x40000001, 1U << 0 | 1U << 1 | 1U << 3 | 1U << 24, 0, 0, 0);
  add(0x80000000, 0x80000008, 0, 0, 0);
  add(0x80000001, 0, 0, 1, 1U << 11 | 1U << 20 | 1U << 26 | 1U << 27 | 1U << 29);
  const std::array<uint32_t, 12> name = {0x616f7250, 0x61727420, 0x616c736e, 0x00726f74, 0, 0, 0, 0, 0, 0, 0, 0};
  for (uint32_t i = 0; i < 3; ++i) add(0x80000002 + i, name[4 * i], name[4 * i + 1], name[4 * i + 2], name[4 * i + 3]);
  add(0x80000007, 0, 0, 0, 1U << 8);
  add(0x80000008, 46 | 48 << 8, 0, 0, 0);
  return leaves;
}

// --- interrupts

void TranslatorEngine::send(const Message& message, unsigned from) {
  const std::scoped_lock lock(vcpus_mutex_);
  TranslatorVcpu* lowest = nullptr;
  for (TranslatorVcpu* vcpu : vcpus_) {
    if (!vcpu) continue;
    const bool itself = vcpu->id() == from;
    const bool meant = message.shorthand == 2 || (message.shorthand == 3 && !itself) ||
                       (message.shorthand == 0 && vcpu->lapic().matches(message));
    if (!meant) continue;
    switch (message.delivery) {
      case Delivery::kFixed: vcpu->lapic().accept(message.vector, message.level); break;
      case Delivery::kLowest:
        if (vcpu->lapic().enabled() && (!lowest || vcpu->lapic().priority() < lowest->lapic().priority()))
          lowest = vcpu;
        break;
      case Delivery::kNmi: vcpu->request(TranslatorVcpu::kNmiRequest); break;
      case Delivery::kInit: vcpu->request(TranslatorVcpu::kInit); break;
      case Delivery::kStartup: vcpu->start_up(message.vector); break;
      default: break;
    }
  }
  if (lowest) lowest->lapic().accept(message.vector, message.level);
}

Result<> TranslatorEngine::signal_msi(const Msi& msi) {
  Message m;
  m.destination =
      static_cast<uint32_t>(msi.address >> 12 & 0xff) | static_cast<uint32_t>(msi.address >> 32 & 0xffffff00);
  m.logical = msi.address >> 2 & 1;
  m.vector = static_cast<uint8_t>(msi.data);
  m.delivery = static_cast<Delivery>(msi.data >> 8 & 7);
  m.level = msi.data >> 15 & 1;
  send(m, ~0U);
  return {};
}

Result<> TranslatorEngine::set_extint(bool level) {
  extint_ = level;
  const std::scoped_lock lock(vcpus_mutex_);
  if (level && !vcpus_.empty() && vcpus_[0]) vcpus_[0]->request(TranslatorVcpu::kInterrupt);
  return {};
}

Result<> TranslatorEngine::signal_nmi(unsigned vcpu) {
  const std::scoped_lock lock(vcpus_mutex_);
  if (vcpu >= vcpus_.size() || !vcpus_[vcpu]) return fail("vCPU ", vcpu, ": there is none");
  vcpus_[vcpu]->request(TranslatorVcpu::kNmiRequest);
  return {};
}

Result<> TranslatorEngine::route_irqfd(unsigned line, int eventfd, const Msi& msi) {
  const std::scoped_lock lock(routes_mutex_);
  Route& route = routes_[line];
  if (route.eventfd >= 0 && route.eventfd != eventfd) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, route.eventfd, nullptr);
  if (eventfd >= 0 && route.eventfd != eventfd) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = line}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, eventfd, &event) != 0)
      return fail_errno(errno, "interrupt line ", line);
  }
  route = {.eventfd = eventfd, .msi = msi};
  return {};
}

Result<> TranslatorEngine::remove_irqfd(unsigned line) {
  const std::scoped_lock lock(routes_mutex_);
  const auto found = routes_.find(line);
  if (found == routes_.end()) return {};
  if (found->second.eventfd >= 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.eventfd, nullptr);
  routes_.erase(found);
  return {};
}

void TranslatorEngine::relay_irqfds() {
  std::array<epoll_event, 16> events;
  for (;;) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);
    if (count < 0 && errno != EINTR) return;
    for (int i = 0; i < count; ++i) {
      const uint64_t line = events[static_cast<size_t>(i)].data.u64;
      if (line == ~0ULL) return;
      Msi msi;
      {
        const std::scoped_lock lock(routes_mutex_);
        const auto found = routes_.find(static_cast<unsigned>(line));
        if (found == routes_.end() || found->second.eventfd < 0) continue;
        uint64_t value = 0;
        if (::read(found->second.eventfd, &value, sizeof value) != sizeof value) continue;
        msi = found->second.msi;
      }
      static_cast<void>(signal_msi(msi));
    }
  }
}

// --- doorbells

Result<> TranslatorEngine::add_doorbell(const Doorbell& doorbell) {
  const std::scoped_lock lock(doorbells_mutex_);
  doorbells_.push_back(doorbell);
  has_doorbells_ = true;
  return {};
}
Result<> TranslatorEngine::remove_doorbell(const Doorbell& doorbell) {
  const std::scoped_lock lock(doorbells_mutex_);
  std::erase_if(doorbells_, [&](const Doorbell& known) {
    return known.is_port == doorbell.is_port && known.address == doorbell.address &&
           known.eventfd == doorbell.eventfd && known.value == doorbell.value;
  });
  has_doorbells_ = !doorbells_.empty();
  return {};
}
bool TranslatorEngine::ring(bool is_port, uint64_t address, unsigned size, uint64_t value) {
  if (!has_doorbells_.load(std::memory_order_relaxed)) return false;
  const std::scoped_lock lock(doorbells_mutex_);
  for (const Doorbell& bell : doorbells_) {
    if (bell.is_port != is_port || bell.address != address || (bell.size && bell.size != size)) continue;
    if (bell.match && bell.value != value) continue;
    const uint64_t one = 1;
    static_cast<void>(!::write(bell.eventfd, &one, sizeof one));
    return true;
  }
  return false;
}

// --- marks of pages

std::pair<TranslatorEngine::Marks*, uint64_t> TranslatorEngine::marks_of(GuestAddress page) {
  const auto slots = memory_.slots();
  for (size_t i = 0; i < slots.size(); ++i)
    if (slots[i].contains(page, 1)) return {marks_[i].get(), (page - slots[i].base) >> kPageShift};
  return {nullptr, 0};
}

void TranslatorEngine::writable(unsigned vcpu, GuestAddress page) {
  const auto [marks, index] = marks_of(page);
  const auto bit = static_cast<uint8_t>(1U << (vcpu & 7));
  if (marks && !(marks->writers[index].load(std::memory_order_relaxed) & bit))
    marks->writers[index].fetch_or(bit, std::memory_order_seq_cst);
}

void TranslatorEngine::code_page_made(TranslatorVcpu& vcpu, GuestAddress page) {
  const auto [marks, index] = marks_of(page);
  if (!marks) return;
  marks->makers[index].fetch_or(static_cast<uint8_t>(1U << (vcpu.id() & 7)), std::memory_order_seq_cst);
  const uint8_t writers = marks->writers[index].exchange(0, std::memory_order_seq_cst);
  if (writers == 0) return;
  if (writers >> (vcpu.id() & 7) & 1) vcpu.core().mmu().drop_writes_to(page);
  std::vector<TranslatorVcpu*> others;
  {
    const std::scoped_lock lock(vcpus_mutex_);
    for (TranslatorVcpu* other : vcpus_)
      if (other && other != &vcpu && (writers >> (other->id() & 7) & 1)) others.push_back(other);
  }
  for (TranslatorVcpu* other : others) other->drop_writes([&] { vcpu.serve_drop_writes(); });
}

void TranslatorEngine::code_page_retired(unsigned vcpu, GuestAddress page) {
  const auto [marks, index] = marks_of(page);
  if (!marks) return;
  const auto bit = static_cast<uint8_t>(1U << (vcpu & 7));
  const auto before = marks->makers[index].fetch_and(static_cast<uint8_t>(~bit), std::memory_order_seq_cst);
  if (before & ~bit) return;
  const Slot* slot = memory_.find(page);
  memory_.mark(*slot, index).fetch_and(static_cast<uint8_t>(~kCode), std::memory_order_seq_cst);
  // Another vCPU may have begun to use it in between.
  if (marks->makers[index].load(std::memory_order_seq_cst))
    memory_.mark(*slot, index).fetch_or(kCode, std::memory_order_seq_cst);
}

void TranslatorEngine::code_written(TranslatorVcpu* by, GuestAddress address, uint64_t length) {
  if (by) by->translations().written(address, length);
  const auto [marks, index] = marks_of(address);
  if (!marks) return;
  const uint8_t makers = marks->makers[index].load(std::memory_order_seq_cst);
  const std::scoped_lock lock(vcpus_mutex_);
  for (TranslatorVcpu* vcpu : vcpus_)
    if (vcpu && vcpu != by && (makers >> (vcpu->id() & 7) & 1)) vcpu->code_written(address, length);
}

// Without the lock: a vCPU may want it before it answers.
void TranslatorEngine::drop_all_writes() {
  std::vector<TranslatorVcpu*> vcpus;
  {
    const std::scoped_lock lock(vcpus_mutex_);
    vcpus = vcpus_;
  }
  for (TranslatorVcpu* vcpu : vcpus)
    if (vcpu) vcpu->drop_writes([] {});
}

Result<> TranslatorEngine::track_dirty(bool on) {
  memory_.track_dirty(on);
  drop_all_writes();
  return {};
}

// Stores are marked as their pages enter a soft TLB. What is stored between taking the marks and dropping the entries
// is to pages that are in the answer, and are read after it.
Result<std::vector<GuestAddress>> TranslatorEngine::take_dirty() {
  auto pages = memory_.take_dirty();
  drop_all_writes();
  return pages;
}

// --- time

Result<> TranslatorEngine::set_clock(uint64_t nanoseconds) {
  clock_.set_nanoseconds(nanoseconds);
  return {};
}

void TranslatorEngine::arm(unsigned vcpu, uint64_t tsc) {
  const std::scoped_lock lock(alarms_mutex_);
  alarms_at_[vcpu] = tsc;
  if (tsc != 0 && (sleeping_until_ == 0 || tsc < sleeping_until_)) alarms_changed_.notify_one();
}

void TranslatorEngine::alarms(const std::stop_token& stop) {
  std::unique_lock lock(alarms_mutex_);
  while (!stop.stop_requested()) {
    uint64_t next = 0;
    for (const uint64_t at : alarms_at_)
      if (at != 0 && (next == 0 || at < next)) next = at;
    sleeping_until_ = next;
    if (next == 0) {
      alarms_changed_.wait(lock);
      continue;
    }
    const uint64_t now = clock_.tsc();
    if (next > now) {
      const uint64_t nanoseconds = std::min<uint64_t>(clock_.to_nanoseconds(next - now), 1'000'000'000);
      alarms_changed_.wait_for(lock, std::chrono::nanoseconds(nanoseconds));
      continue;
    }
    std::vector<unsigned> due;
    for (unsigned i = 0; i < alarms_at_.size(); ++i) {
      if (alarms_at_[i] == 0 || alarms_at_[i] > now) continue;
      alarms_at_[i] = 0;
      due.push_back(i);
    }
    lock.unlock();
    {
      const std::scoped_lock vcpus(vcpus_mutex_);
      for (const unsigned i : due)
        if (vcpus_[i]) vcpus_[i]->request(TranslatorVcpu::kTimer);
    }
    lock.lock();
  }
}

void TranslatorEngine::idle_for_ever(bool more) {
  if (!more) {
    --idle_;
    return;
  }
  const unsigned idle = ++idle_;
  const std::scoped_lock lock(vcpus_mutex_);
  const auto all = static_cast<unsigned>(std::ranges::count_if(vcpus_, [](auto* vcpu) { return vcpu != nullptr; }));
  if (idle < all) return;
  for (TranslatorVcpu* vcpu : vcpus_)
    if (vcpu) vcpu->request(TranslatorVcpu::kAllHalted);
}

std::string TranslatorEngine::report() const {
  std::string out = cat("engine ", name(), "\ntsc-khz ", clock_.khz(), "\n");
  const std::scoped_lock lock(vcpus_mutex_);
  for (const TranslatorVcpu* vcpu : vcpus_)
    if (vcpu) out += vcpu->report();
  return out;
}

}  // namespace proa::vmm::translator
