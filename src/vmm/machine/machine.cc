#include "vmm/machine/machine.h"

#include <pthread.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "vmm/machine/vcpu_state.h"

namespace proa::vmm {

namespace {

constexpr uint16_t kSerialPort = 0x3f8;
constexpr unsigned kTimerLine = 0, kKeyboardLine = 1, kSerialLine = 4, kEventLine = 23;
constexpr GuestAddress kGeneration = kAcpi + 0x8000;
constexpr size_t kGenerationBytes = 16;
constexpr unsigned kVirtioLines[] = {5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22, 3};
static_assert(std::size(kVirtioLines) == Machine::kMaxVirtio);
constexpr uint64_t kLeastMemory = 4 << 20;

std::string hex_text(uint64_t value) {
  char digits[17];
  return {digits, std::to_chars(digits, std::end(digits), value, 16).ptr};
}

}  // namespace

const char* end_name(End::Kind kind) {
  static constexpr const char* kNames[] = {"off", "reset", "exit", "stopped", "failed"};
  return kNames[static_cast<size_t>(kind)];
}

class Machine::BusOfMachine : public Bus {
 public:
  explicit BusOfMachine(Machine& machine) : machine_(machine) {}
  uint32_t port_in(uint16_t port, unsigned size) override { return machine_.space_.port_in(port, size); }
  void port_out(uint16_t port, unsigned size, uint32_t value) override { machine_.space_.port_out(port, size, value); }
  uint64_t mmio_read(GuestAddress address, unsigned size) override { return machine_.space_.mmio_read(address, size); }
  void mmio_write(GuestAddress address, unsigned size, uint64_t value) override {
    machine_.space_.mmio_write(address, size, value);
  }
  void end_of_interrupt(uint8_t vector) override { machine_.interrupts_->end_of_interrupt(vector); }
  uint8_t acknowledge_extint() override { return machine_.interrupts_->acknowledge_extint(); }

 private:
  Machine& machine_;
};

class Machine::SinkOfMachine : public InterruptSink {
 public:
  explicit SinkOfMachine(Machine& machine) : machine_(machine) {}
  void deliver(const Msi& msi) override { report(machine_.engine_->signal_msi(msi)); }
  void set_extint(bool level) override {
    if (machine_.engine_) report(machine_.engine_->set_extint(level));
  }
  // Of edges the engine need not know: nobody asks for their end.
  void routed(unsigned line, const Msi* msi) override {
    constexpr uint32_t kLevelTriggered = 1u << 15;
    if (msi != nullptr && (msi->data & kLevelTriggered) != 0)
      report(machine_.engine_->route_irqfd(line, -1, *msi));
    else
      report(machine_.engine_->remove_irqfd(line));
  }

 private:
  static void report(const Result<>& done) {
    if (!done) log::error("interrupt: ", done.error().message());
  }
  Machine& machine_;
};

Machine::Machine(MachinePlan plan) : plan_(std::move(plan)) {}

Result<std::unique_ptr<Machine>> Machine::create(MachinePlan plan) {
  if (plan.vcpus == 0 || plan.vcpus > kMaxVcpus) return fail("vCPUs: 1 to ", kMaxVcpus, " are possible");
  if (plan.memory_bytes < kLeastMemory || plan.memory_bytes % kPageSize != 0)
    return fail("memory: at least 4 MiB, in whole pages");
  std::unique_ptr<Machine> machine(new Machine(std::move(plan)));
  TRY(machine->make_memory());
  machine->reactor_ = TRY(Reactor::create());
  TRY(machine->make_board());
  machine->engine_ =
      TRY(make_engine(machine->plan_.engine, *machine->memory_, *machine->bus_, machine->plan_.engine_options));
  TRY(machine->make_vcpus());
  return machine;
}

Result<> Machine::make_memory() {
  std::vector<SlotPlan> plans = memory_plan(plan_.memory_bytes);
  uint64_t offset = 0;
  for (SlotPlan& plan : plans) {
    if (!plan_.memory_file) break;
    plan.file = Fd(::dup(plan_.memory_file->get()));
    plan.file_offset = std::exchange(offset, offset + plan.size);
  }
  memory_ = TRY(GuestMemory::create(std::move(plans)));
  return {};
}

Result<> Machine::make_board() {
  bus_ = std::make_unique<BusOfMachine>(*this);
  sink_ = std::make_unique<SinkOfMachine>(*this);
  interrupts_ = std::make_unique<Interrupts>(*sink_);
  TRY(interrupts_->attach(space_));
  const PowerHandler power = [this](PowerEvent event) {
    end({.kind = event == PowerEvent::kOff ? End::Kind::kOff : End::Kind::kReset, .message = {}});
  };
  serial_ = std::make_unique<Serial>(
      kSerialPort, Line{interrupts_.get(), kSerialLine}, plan_.serial_output ? plan_.serial_output : [](char) {});
  TRY(space_.add_ports(kSerialPort, Serial::kPorts, *serial_));
  pit_ = TRY(Pit::create(*reactor_, {interrupts_.get(), kTimerLine}, Clock::system()));
  TRY(pit_->attach(space_));
  const uint64_t below = std::min<uint64_t>(plan_.memory_bytes, kGap);
  cmos_ = std::make_unique<Cmos>(Clock::system(), below, plan_.memory_bytes - below);
  TRY(cmos_->attach(space_));
  keyboard_ = std::make_unique<KeyboardController>(Line{interrupts_.get(), kKeyboardLine}, power);
  TRY(keyboard_->attach(space_));
  power_ = std::make_unique<PowerPorts>(power);
  std::function<void(int)> debug_exit;
  if (plan_.debug_exit)
    debug_exit = [this](int status) { end({.kind = End::Kind::kDebugExit, .status = status, .message = {}}); };
  return power_->attach(space_, std::move(debug_exit));
}

Result<> Machine::make_vcpus() {
  const std::vector<CpuidLeaf> supported = TRY(engine_->supported_cpuid());
  for (unsigned i = 0; i < plan_.vcpus; ++i) {
    const auto cpuid = guest_cpuid(supported, i, plan_.vcpus, plan_.cpu.cpuid);
    vcpus_.push_back(TRY(engine_->create_vcpu(i, cpuid)));
  }
  return modify_msrs();
}

Result<> Machine::modify_msrs() {
  for (const auto& vcpu : vcpus_) {
    for (const MsrModifier& modifier : plan_.cpu.msrs) {
      const auto now = vcpu->msr(modifier.index);
      if (!now)
        return fail("Template changes an MSR entry not supported by ", engine_->name(), ": Register Address: 0x",
                    hex_text(modifier.index));
      TRY_CTX(vcpu->set_msr(modifier.index, modifier.apply(*now)), "CPU template");
    }
  }
  return {};
}

// Of one vCPU: the registers that the template names, whose guest may have changed them since.
void Machine::transfer_msrs(StateStream& s, std::vector<uint64_t>& values) const {
  values.resize(plan_.cpu.msrs.size());
  for (uint64_t& value : values) s.value(value);
}

Result<> Machine::enter(const CpuState& state) {
  TRY(vcpus_[0]->set_state(state));
  return modify_msrs();
}

Result<> Machine::add(std::unique_ptr<virtio::Device> device) {
  const size_t index = devices_.size();
  if (index >= kMaxVirtio) return fail("devices: ", kMaxVirtio, " are possible at most");
  const unsigned line = kVirtioLines[index];
  Attached attached{.device = std::move(device),
                    .transport = nullptr,
                    .place = {kVirtioMmio + index * virtio::Transport::kSize, virtio::Transport::kSize, line}};
  attached.transport =
      std::make_unique<virtio::Transport>(*attached.device, *memory_, *reactor_, Line{interrupts_.get(), line});
  TRY(space_.add_mmio(attached.place.base, attached.place.size, *attached.transport));
  TRY(attached.transport->make_doorbells());
  for (unsigned queue = 0; queue < attached.transport->queue_count(); ++queue)
    TRY(engine_->add_doorbell({.address = attached.place.base + virtio::Transport::kNotifyOffset,
                               .size = 4,
                               .match = true,
                               .value = queue,
                               .eventfd = attached.transport->doorbell(queue)}));
  devices_.push_back(std::move(attached));
  return {};
}

Result<> Machine::write_generation() {
  std::byte id[kGenerationBytes];
  if (::getrandom(id, sizeof id, 0) != sizeof id) return fail_errno(errno, "getrandom");
  memory_->write(kGeneration, id, sizeof id);
  return {};
}

Result<> Machine::boot(const BootPlan& plan) {
  AcpiPlan acpi{.vcpus = plan_.vcpus, .virtio = {}, .generation = kGeneration, .event_line = kEventLine};
  for (const Attached& attached : devices_) acpi.virtio.push_back(attached.place);
  const Booted booted = TRY(vmm::boot(plan, acpi, *memory_));
  TRY(write_generation());
  return enter(booted.state);
}

Result<> Machine::start() {
  reactor_->start("devices");
  const std::lock_guard lock(mutex_);
  running_ = plan_.vcpus;
  for (unsigned i = 0; i < plan_.vcpus; ++i) {
    threads_.emplace_back([this, i] { run_vcpu(i); });
    ::pthread_setname_np(threads_.back().native_handle(), cat("vcpu", i).c_str());
  }
  return {};
}

void Machine::run_vcpu(unsigned index) {
  while (rest()) {
    const Result<Stop> stop = vcpus_[index]->run();
    if (!stop)
      end({.kind = End::Kind::kFailed, .message = stop.error().message()});
    else if (stop->reason == StopReason::kTripleFault)
      end({.kind = End::Kind::kReset, .message = "triple fault"});
    else if (stop->reason == StopReason::kHaltedForEver)
      end({.kind = End::Kind::kOff, .message = "halted with interrupts off"});
  }
  const std::lock_guard lock(mutex_);
  --running_;
  changed_.notify_all();
}

bool Machine::rest() {
  std::unique_lock lock(mutex_);
  ++resting_;
  changed_.notify_all();
  changed_.wait(lock, [this] { return ending_ || !paused_; });
  --resting_;
  return !ending_;
}

void Machine::kick_all() {
  for (const auto& vcpu : vcpus_) vcpu->kick();
}

void Machine::end(End reason) {
  std::function<void()> call;
  {
    const std::lock_guard lock(mutex_);
    if (ending_) return;
    ending_ = true;
    end_ = std::move(reason);
    call = std::move(on_end_);
    changed_.notify_all();
  }
  kick_all();
  if (call) call();
}

void Machine::stop() { end({.kind = End::Kind::kStopped, .message = {}}); }

End Machine::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ending_ && running_ == 0; });
  return *end_;
}

std::optional<End> Machine::ended() const {
  const std::lock_guard lock(mutex_);
  return end_;
}

void Machine::on_end(std::function<void()> call) {
  const std::lock_guard lock(mutex_);
  on_end_ = std::move(call);
}

Machine::~Machine() {
  stop();
  for (std::thread& thread : threads_) thread.join();
  if (reactor_) reactor_->stop();  // its thread ends before what it calls
  for (Attached& attached : devices_) attached.transport.reset();
  vcpus_.clear();
  engine_.reset();
}

bool Machine::paused() const {
  const std::lock_guard lock(mutex_);
  return paused_;
}

Result<> Machine::pause() {
  {
    std::unique_lock lock(mutex_);
    if (paused_) return {};
    paused_ = true;
    lock.unlock();
    kick_all();
    lock.lock();
    changed_.wait(lock, [this] { return ending_ || resting_ == running_; });
    if (ending_) return fail("the machine has ended");
  }
  for (Attached& attached : devices_) attached.transport->pause();
  pit_->pause();
  return {};
}

Result<> Machine::resume() {
  if (!paused()) return {};
  pit_->resume();
  for (Attached& attached : devices_) attached.transport->resume();
  const std::lock_guard lock(mutex_);
  paused_ = false;
  changed_.notify_all();
  return {};
}

bool Machine::disks_and_nets_untouched() const {
  const auto held = reactor_->lock();
  return std::ranges::none_of(devices_, [](const Attached& attached) {
    const virtio::Type type = attached.device->type();
    return (type == virtio::Type::kBlock || type == virtio::Type::kNet) && attached.transport->taken();
  });
}

void Machine::transfer_board(StateStream& s) {
  interrupts_->transfer(s);
  serial_->transfer(s);
  pit_->transfer(s);
  cmos_->transfer(s);
  keyboard_->transfer(s);
  for (Attached& attached : devices_) {
    auto type = static_cast<uint32_t>(attached.device->type());
    s.section("device", 1);
    s.value(type);
    s.check(type == static_cast<uint32_t>(attached.device->type()), "type");
    attached.transport->transfer(s);
  }
}

Result<std::string> Machine::save() {
  if (!paused()) return fail("the machine is not paused");
  StateStream s;
  s.section("machine", 1);
  s.value(plan_.vcpus);
  s.value(plan_.memory_bytes);
  uint64_t clock = TRY(engine_->clock());
  s.value(clock);
  for (const auto& vcpu : vcpus_) {
    CpuState state = TRY(vcpu->state());
    transfer_vcpu(s, state);
    std::vector<uint64_t> msrs;
    for (const MsrModifier& modifier : plan_.cpu.msrs) msrs.push_back(TRY(vcpu->msr(modifier.index)));
    transfer_msrs(s, msrs);
  }
  transfer_board(s);
  return s.finish();
}

Result<> Machine::restore(std::string_view saved) {
  {
    const std::lock_guard lock(mutex_);
    paused_ = true;
  }
  StateStream s(saved);
  s.section("machine", 1);
  unsigned vcpus = 0;
  uint64_t bytes = 0;
  uint64_t clock = 0;
  s.value(vcpus);
  s.value(bytes);
  s.value(clock);
  s.check(vcpus == plan_.vcpus && bytes == plan_.memory_bytes, "size");
  std::vector<CpuState> states(plan_.vcpus);
  std::vector<std::vector<uint64_t>> msrs(plan_.vcpus);
  for (size_t i = 0; i < states.size(); ++i) {
    transfer_vcpu(s, states[i]);
    transfer_msrs(s, msrs[i]);
  }
  for (Attached& attached : devices_) attached.transport->pause();
  pit_->pause();
  transfer_board(s);
  TRY(s.finish());
  for (size_t i = 0; i < states.size(); ++i) {
    TRY(vcpus_[i]->set_state(states[i]));
    for (size_t m = 0; m < msrs[i].size(); ++m) TRY(vcpus_[i]->set_msr(plan_.cpu.msrs[m].index, msrs[i][m]));
  }
  TRY(engine_->set_clock(clock));
  TRY(write_generation());
  interrupts_->announce();
  interrupts_->pulse(kEventLine);
  return {};
}

Result<> Machine::track_dirty(bool on) {
  memory_->track_dirty(on);
  return engine_->track_dirty(on);
}

Result<std::vector<GuestAddress>> Machine::take_dirty() {
  std::vector<GuestAddress> pages = memory_->take_dirty();
  const std::vector<GuestAddress> by_cpu = TRY(engine_->take_dirty());
  pages.insert(pages.end(), by_cpu.begin(), by_cpu.end());
  std::ranges::sort(pages);
  pages.erase(std::ranges::unique(pages).begin(), pages.end());
  return pages;
}

ExitCounts Machine::exits() const {
  ExitCounts sum{};
  for (const auto& vcpu : vcpus_) {
    const ExitCounts counts = vcpu->exits();
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += counts[i];
  }
  return sum;
}

}  // namespace proa::vmm
