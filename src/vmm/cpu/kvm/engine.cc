#include <fcntl.h>

#include <algorithm>
#include <array>
#include <map>

#include "vmm/cpu/kvm/kvm.h"
#include "vmm/cpu/kvm/vcpu.h"

namespace proa::vmm {

namespace {

using kvm::KvmVcpu;
using kvm::Shared;
using kvm::WithEntries;

constexpr unsigned kIoapicPins = 24;
// Processors without "unrestricted guest" need four pages that the guest does not see (KVM API, 4.35, 4.36).
constexpr uint64_t kIdentityMap = 0xfffbc000, kTss = 0xfffbd000;
constexpr uint32_t kMaxCpuidEntries = 256;

class KvmEngine : public Engine {
 public:
  static Result<std::unique_ptr<Engine>> create(GuestMemory& memory, Bus& bus, const EngineOptions& options);

  const char* name() const override { return "kvm"; }
  Result<std::vector<CpuidLeaf>> supported_cpuid() override;
  Result<std::unique_ptr<Vcpu>> create_vcpu(unsigned id, const std::vector<CpuidLeaf>& cpuid) override;
  Result<> signal_msi(const Msi& msi) override;
  Result<> route_irqfd(unsigned line, int eventfd, const Msi& msi) override;
  Result<> remove_irqfd(unsigned line) override;
  Result<> set_extint(bool level) override;
  Result<> signal_nmi(unsigned vcpu) override;
  Result<> add_doorbell(const Doorbell& doorbell) override { return set_doorbell(doorbell, 0); }
  Result<> remove_doorbell(const Doorbell& doorbell) override {
    return set_doorbell(doorbell, KVM_IOEVENTFD_FLAG_DEASSIGN);
  }
  Result<uint64_t> clock() override;
  Result<> set_clock(uint64_t nanoseconds) override;
  Result<> track_dirty(bool on) override;
  Result<std::vector<GuestAddress>> take_dirty() override;
  std::string report() const override;

 private:
  struct Route {
    Msi msi;
    int eventfd = -1;
  };
  // A vCPU that tells the engine when it goes.
  class Owned;

  Result<> set_slots(bool log);
  Result<> write_routes();
  Result<> set_irqfd(unsigned line, int eventfd, uint32_t flags);
  Result<> set_doorbell(const Doorbell& doorbell, uint32_t flags);
  Result<std::vector<GuestAddress>> read_bitmaps();
  Result<std::vector<GuestAddress>> read_rings();

  Fd kvm_;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  size_t run_size_ = 0;
  EngineOptions options_;
  mutable std::mutex mutex_;
  std::map<unsigned, Route> routes_;
  std::vector<KvmVcpu*> vcpus_;
  bool tracks_ = false;
};

class KvmEngine::Owned : public Vcpu {
 public:
  Owned(KvmEngine& engine, std::unique_ptr<KvmVcpu> vcpu) : engine_(engine), vcpu_(std::move(vcpu)) {}
  ~Owned() override {
    const std::lock_guard lock(engine_.mutex_);
    std::ranges::replace(engine_.vcpus_, vcpu_.get(), nullptr);
  }
  Result<Stop> run() override { return vcpu_->run(); }
  void kick() override { vcpu_->kick(); }
  Result<CpuState> state() override { return vcpu_->state(); }
  Result<> set_state(const CpuState& state) override { return vcpu_->set_state(state); }
  ExitCounts exits() const override { return vcpu_->exits(); }
  Result<uint64_t> msr(uint32_t index) override { return vcpu_->msr(index); }
  Result<> set_msr(uint32_t index, uint64_t value) override { return vcpu_->set_msr(index, value); }

 private:
  KvmEngine& engine_;
  std::unique_ptr<KvmVcpu> vcpu_;
};

Result<Fd> open_kvm() {
  Fd fd(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "open /dev/kvm").hint("`proa doctor` says what is missing; or use the translator");
  if (TRY(KVM_CALL(fd.get(), KVM_GET_API_VERSION, 0)) != KVM_API_VERSION) return fail("/dev/kvm: not KVM's stable API");
  return fd;
}

Result<Fd> make_vm(int kvm) {
  Fd vm(TRY(KVM_CALL(kvm, KVM_CREATE_VM, 0)));
  uint64_t identity = kIdentityMap;
  TRY(KVM_CALL(vm.get(), KVM_SET_IDENTITY_MAP_ADDR, &identity));
  TRY(KVM_CALL(vm.get(), KVM_SET_TSS_ADDR, kTss));
  return vm;
}

Result<> enable(int vm, uint32_t capability, uint64_t argument, std::string_view name) {
  kvm_enable_cap cap{};
  cap.cap = capability;
  cap.args[0] = argument;
  TRY_CTX(KVM_CALL(vm, KVM_ENABLE_CAP, &cap), name);
  return {};
}

Result<std::unique_ptr<Engine>> KvmEngine::create(GuestMemory& memory, Bus& bus, const EngineOptions& options) {
  auto engine = std::make_unique<KvmEngine>();
  engine->options_ = options;
  engine->kvm_ = TRY(open_kvm());
  Shared& shared = *engine->shared_;
  shared.vm = TRY(make_vm(engine->kvm_.get()));
  shared.memory = &memory;
  shared.bus = &bus;
  TRY(enable(shared.vm.get(), KVM_CAP_SPLIT_IRQCHIP, kIoapicPins, "split irqchip"));
  shared.trace_exits = options.trace_exits;
  if (options.dirty_ring != 0) {
    TRY(enable(shared.vm.get(), KVM_CAP_DIRTY_LOG_RING_ACQ_REL, options.dirty_ring * sizeof(kvm_dirty_gfn),
               "dirty ring"));
    shared.dirty_ring = options.dirty_ring;
  }
  engine->run_size_ = static_cast<size_t>(TRY(KVM_CALL(engine->kvm_.get(), KVM_GET_VCPU_MMAP_SIZE, 0)));
  TRY(engine->set_slots(false));
  return engine;
}

Result<> KvmEngine::set_slots(bool log) {
  const auto slots = shared_->memory->slots();
  for (size_t i = 0; i < slots.size(); ++i) {
    kvm_userspace_memory_region region{};
    region.slot = static_cast<uint32_t>(i);
    region.flags = (log ? KVM_MEM_LOG_DIRTY_PAGES : 0u) | (slots[i].read_only ? KVM_MEM_READONLY : 0u);
    region.guest_phys_addr = slots[i].base;
    region.memory_size = slots[i].size;
    region.userspace_addr = reinterpret_cast<uint64_t>(slots[i].host);
    TRY_CTX(KVM_CALL(shared_->vm.get(), KVM_SET_USER_MEMORY_REGION, &region), "guest memory at ", slots[i].base);
  }
  return {};
}

Result<std::vector<CpuidLeaf>> KvmEngine::supported_cpuid() {
  const WithEntries<kvm_cpuid2, kvm_cpuid_entry2> list(kMaxCpuidEntries);
  list->nent = kMaxCpuidEntries;
  TRY(KVM_CALL(kvm_.get(), KVM_GET_SUPPORTED_CPUID, list.get()));
  std::vector<CpuidLeaf> leaves;
  for (uint32_t i = 0; i < list->nent; ++i) {
    const kvm_cpuid_entry2& entry = list.entries()[i];
    leaves.push_back({.leaf = entry.function,
                      .subleaf = entry.index,
                      .by_subleaf = (entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0,
                      .eax = entry.eax,
                      .ebx = entry.ebx,
                      .ecx = entry.ecx,
                      .edx = entry.edx});
  }
  return leaves;
}

Result<std::unique_ptr<Vcpu>> KvmEngine::create_vcpu(unsigned id, const std::vector<CpuidLeaf>& cpuid) {
  auto vcpu = TRY_CTX(KvmVcpu::create(shared_, run_size_, id, cpuid), "vCPU ", id);
  if (options_.tsc_khz != 0) TRY(vcpu->set_tsc_khz(options_.tsc_khz));
  const std::lock_guard lock(mutex_);
  if (vcpus_.size() <= id) vcpus_.resize(id + 1);
  vcpus_[id] = vcpu.get();
  return std::make_unique<Owned>(*this, std::move(vcpu));
}

Result<> KvmEngine::signal_msi(const Msi& msi) {
  kvm_msi message{};
  message.address_lo = static_cast<uint32_t>(msi.address);
  message.address_hi = static_cast<uint32_t>(msi.address >> 32);
  message.data = msi.data;
  TRY(KVM_CALL(shared_->vm.get(), KVM_SIGNAL_MSI, &message));
  return {};
}

Result<> KvmEngine::write_routes() {
  const WithEntries<kvm_irq_routing, kvm_irq_routing_entry> table(routes_.size());
  for (const auto& [line, route] : routes_) {
    kvm_irq_routing_entry& entry = table.entries()[table->nr++];
    entry.gsi = line;
    entry.type = KVM_IRQ_ROUTING_MSI;
    entry.u.msi.address_lo = static_cast<uint32_t>(route.msi.address);
    entry.u.msi.address_hi = static_cast<uint32_t>(route.msi.address >> 32);
    entry.u.msi.data = route.msi.data;
  }
  TRY(KVM_CALL(shared_->vm.get(), KVM_SET_GSI_ROUTING, table.get()));
  return {};
}

Result<> KvmEngine::set_irqfd(unsigned line, int eventfd, uint32_t flags) {
  if (eventfd < 0) return {};
  kvm_irqfd irqfd{};
  irqfd.fd = static_cast<uint32_t>(eventfd);
  irqfd.gsi = line;
  irqfd.flags = flags;
  TRY(KVM_CALL(shared_->vm.get(), KVM_IRQFD, &irqfd));
  return {};
}

Result<> KvmEngine::route_irqfd(unsigned line, int eventfd, const Msi& msi) {
  const std::lock_guard lock(mutex_);
  Route& route = routes_[line];
  const int before = std::exchange(route.eventfd, eventfd);
  route.msi = msi;
  TRY(write_routes());
  if (before == eventfd) return {};
  TRY(set_irqfd(line, before, KVM_IRQFD_FLAG_DEASSIGN));
  return set_irqfd(line, eventfd, 0);
}

Result<> KvmEngine::remove_irqfd(unsigned line) {
  const std::lock_guard lock(mutex_);
  const auto at = routes_.find(line);
  if (at == routes_.end()) return {};
  TRY(set_irqfd(line, at->second.eventfd, KVM_IRQFD_FLAG_DEASSIGN));
  routes_.erase(at);
  return write_routes();
}

Result<> KvmEngine::set_extint(bool level) {
  shared_->extint.store(level, std::memory_order_release);
  const std::lock_guard lock(mutex_);
  if (level && !vcpus_.empty() && vcpus_[0] != nullptr) vcpus_[0]->nudge();
  return {};
}

// An MSI in delivery mode NMI: KVM_NMI would wait until the vCPU comes out.
Result<> KvmEngine::signal_nmi(unsigned vcpu) {
  return signal_msi({.address = 0xfee00000ULL | static_cast<uint64_t>(vcpu) << 12, .data = 4u << 8 | 1u << 14});
}

Result<> KvmEngine::set_doorbell(const Doorbell& doorbell, uint32_t flags) {
  kvm_ioeventfd event{};
  event.addr = doorbell.address;
  event.len = doorbell.size;
  event.fd = doorbell.eventfd;
  event.datamatch = doorbell.value;
  event.flags = flags | (doorbell.is_port ? static_cast<uint32_t>(KVM_IOEVENTFD_FLAG_PIO) : 0) |
                (doorbell.match ? static_cast<uint32_t>(KVM_IOEVENTFD_FLAG_DATAMATCH) : 0);
  TRY_CTX(KVM_CALL(shared_->vm.get(), KVM_IOEVENTFD, &event), "doorbell at ", doorbell.address);
  return {};
}

Result<uint64_t> KvmEngine::clock() {
  kvm_clock_data data{};
  TRY(KVM_CALL(shared_->vm.get(), KVM_GET_CLOCK, &data));
  return data.clock;
}

Result<> KvmEngine::set_clock(uint64_t nanoseconds) {
  kvm_clock_data data{};
  data.clock = nanoseconds;
  TRY(KVM_CALL(shared_->vm.get(), KVM_SET_CLOCK, &data));
  return {};
}

Result<> KvmEngine::track_dirty(bool on) {
  const std::lock_guard lock(mutex_);
  if (tracks_ && on) {
    TRY(shared_->dirty_ring != 0 ? read_rings() : read_bitmaps());
    return {};
  }
  TRY(set_slots(on));
  tracks_ = on;
  return {};
}

Result<std::vector<GuestAddress>> KvmEngine::take_dirty() {
  const std::lock_guard lock(mutex_);
  if (!tracks_) return std::vector<GuestAddress>();
  return shared_->dirty_ring != 0 ? read_rings() : read_bitmaps();
}

Result<std::vector<GuestAddress>> KvmEngine::read_bitmaps() {
  std::vector<GuestAddress> pages;
  const auto slots = shared_->memory->slots();
  for (size_t i = 0; i < slots.size(); ++i) {
    std::vector<uint64_t> bits((slots[i].size / kPageSize + 63) / 64);
    kvm_dirty_log log{};
    log.slot = static_cast<uint32_t>(i);
    log.dirty_bitmap = bits.data();
    TRY(KVM_CALL(shared_->vm.get(), KVM_GET_DIRTY_LOG, &log));
    for (size_t word = 0; word < bits.size(); ++word)
      for (uint64_t left = bits[word]; left != 0; left &= left - 1)
        pages.push_back(slots[i].base + (word * 64 + static_cast<unsigned>(__builtin_ctzll(left))) * kPageSize);
  }
  return pages;
}

Result<std::vector<GuestAddress>> KvmEngine::read_rings() {
  const std::lock_guard lock(shared_->dirty_mutex);
  for (KvmVcpu* vcpu : vcpus_)
    if (vcpu != nullptr) vcpu->harvest();
  TRY(KVM_CALL(shared_->vm.get(), KVM_RESET_DIRTY_RINGS, 0));
  std::vector<GuestAddress> pages;
  const auto slots = shared_->memory->slots();
  for (const kvm_dirty_gfn& entry : std::exchange(shared_->dirty, {}))
    if (entry.slot < slots.size() && entry.offset < slots[entry.slot].size / kPageSize)
      pages.push_back(slots[entry.slot].base + entry.offset * kPageSize);
  std::ranges::sort(pages);
  pages.erase(std::ranges::unique(pages).begin(), pages.end());
  return pages;
}

std::string KvmEngine::report() const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    if (vcpus_[i] == nullptr) continue;
    const ExitCounts counts = vcpus_[i]->exits();
    for (size_t cause = 0; cause < counts.size(); ++cause)
      if (counts[cause] != 0)
        text += cat("vcpu", i, ".", exit_cause_name(static_cast<ExitCause>(cause)), " ", counts[cause], "\n");
    vcpus_[i]->list_exits(text);
  }
  return text;
}

}  // namespace

Result<std::unique_ptr<Engine>> make_kvm_engine(GuestMemory& memory, Bus& bus, const EngineOptions& options) {
  return KvmEngine::create(memory, bus, options);
}

}  // namespace proa::vmm
