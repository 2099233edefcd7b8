#include "vmm/cpu/kvm/vcpu.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

namespace proa::vmm::kvm {

namespace {

// Its delivery makes KVM_RUN return; the handler has nothing to do.
int kick_signal() { return SIGRTMIN; }

void install_handler() {
  static const bool once = [] {
    struct sigaction action{};
    action.sa_handler = [](int) {};
    ::sigaction(kick_signal(), &action, nullptr);
    return true;
  }();
  static_cast<void>(once);
}

Result<> set_cpuid(int fd, const std::vector<CpuidLeaf>& leaves) {
  const WithEntries<kvm_cpuid2, kvm_cpuid_entry2> list(leaves.size());
  list->nent = static_cast<uint32_t>(leaves.size());
  for (size_t i = 0; i < leaves.size(); ++i) {
    const CpuidLeaf& leaf = leaves[i];
    list.entries()[i] = {.function = leaf.leaf,
                         .index = leaf.subleaf,
                         .flags = leaf.by_subleaf ? static_cast<uint32_t>(KVM_CPUID_FLAG_SIGNIFCANT_INDEX) : 0,
                         .eax = leaf.eax,
                         .ebx = leaf.ebx,
                         .ecx = leaf.ecx,
                         .edx = leaf.edx,
                         .padding = {}};
  }
  TRY(KVM_CALL(fd, KVM_SET_CPUID2, list.get()));
  return {};
}

uint64_t bits_of(unsigned size) { return ~0ULL >> (64 - 8 * size); }

}  // namespace

Result<Pages> Pages::map(int fd, size_t size, size_t offset) {
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(offset));
  if (at == MAP_FAILED) return fail_errno(errno, "map a vCPU's pages");
  Pages pages;
  pages.at_ = at;
  pages.size_ = size;
  return pages;
}

Result<std::unique_ptr<KvmVcpu>> KvmVcpu::create(const std::shared_ptr<Shared>& shared, size_t run_size, unsigned id,
                                                 const std::vector<CpuidLeaf>& cpuid) {
  install_handler();
  std::unique_ptr<KvmVcpu> vcpu(new KvmVcpu);
  vcpu->shared_ = shared;
  if (shared->trace_exits) vcpu->sites_ = std::make_unique<ExitSites>();
  vcpu->id_ = id;
  vcpu->fd_ = Fd(TRY(KVM_CALL(shared->vm.get(), KVM_CREATE_VCPU, id)));
  vcpu->run_pages_ = TRY(Pages::map(vcpu->fd_.get(), run_size, 0));
  vcpu->run_ = vcpu->run_pages_.as<kvm_run>();
  if (shared->dirty_ring != 0)
    vcpu->ring_pages_ = TRY(
        Pages::map(vcpu->fd_.get(), shared->dirty_ring * sizeof(kvm_dirty_gfn), KVM_DIRTY_LOG_PAGE_OFFSET * kPageSize));
  TRY(set_cpuid(vcpu->fd_.get(), cpuid));
  return vcpu;
}

KvmVcpu::~KvmVcpu() = default;

Result<> KvmVcpu::set_tsc_khz(uint64_t khz) {
  if (static_cast<uint64_t>(TRY(KVM_CALL(fd_.get(), KVM_GET_TSC_KHZ, 0))) == khz) return {};
  TRY_CTX(KVM_CALL(fd_.get(), KVM_SET_TSC_KHZ, khz), "a TSC of ", khz, " kHz");
  return {};
}

void KvmVcpu::kick() {
  kicked_ = true;
  nudge();
}

void KvmVcpu::nudge() {
  // Whoever clears immediate_exit looks at the flags after it, so none is lost.
  std::atomic_ref<uint8_t>(run_->immediate_exit).store(1);
  if (const int thread = thread_; thread != 0) ::syscall(SYS_tgkill, ::getpid(), thread, kick_signal());
}

// The 8259s' interrupt goes in when the guest can take it.
Result<> KvmVcpu::offer_extint() {
  if (id_ != 0) return {};
  run_->request_interrupt_window = 0;
  if (!shared_->extint.load(std::memory_order_acquire)) return {};
  if (run_->ready_for_interrupt_injection == 0) {
    run_->request_interrupt_window = 1;
    return {};
  }
  kvm_interrupt interrupt{.irq = shared_->bus->acknowledge_extint()};
  TRY(KVM_CALL(fd_.get(), KVM_INTERRUPT, &interrupt));
  count(ExitCause::kInterrupt);
  if (shared_->extint.load(std::memory_order_acquire)) run_->request_interrupt_window = 1;
  return {};
}

Result<Stop> KvmVcpu::run() {
  thread_ = static_cast<int>(::syscall(SYS_gettid));
  const Defer leave([this] { thread_ = 0; });
  for (;;) {
    TRY(offer_extint());
    if (::ioctl(fd_.get(), KVM_RUN, 0) != 0) {
      if (errno == EAGAIN) continue;
      if (errno != EINTR) return fail_errno(errno, "vCPU ", id_, ": KVM_RUN");
      std::atomic_ref<uint8_t>(run_->immediate_exit).store(0);
      if (!kicked_.exchange(false)) continue;
      count(ExitCause::kKick);
      return Stop{StopReason::kKicked};
    }
    Stop stop;
    if (TRY(handle(stop))) return stop;
  }
}

Result<bool> KvmVcpu::handle(Stop& stop) {
  switch (run_->exit_reason) {
    case KVM_EXIT_IO: handle_port(); return false;
    case KVM_EXIT_MMIO: handle_mmio(); return false;
    case KVM_EXIT_IOAPIC_EOI:
      count(ExitCause::kInterrupt);
      shared_->bus->end_of_interrupt(run_->eoi.vector);
      return false;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_INTR: count(ExitCause::kOther); return false;
    case KVM_EXIT_HLT: count(ExitCause::kHalt); return false;
    case KVM_EXIT_DIRTY_RING_FULL: {
      count(ExitCause::kOther);
      const std::lock_guard lock(shared_->dirty_mutex);
      harvest();
      TRY(KVM_CALL(shared_->vm.get(), KVM_RESET_DIRTY_RINGS, 0));
      return false;
    }
    case KVM_EXIT_SHUTDOWN: stop.reason = StopReason::kTripleFault; return true;
    case KVM_EXIT_FAIL_ENTRY:
      return fail("vCPU ", id_, ": the processor refused its state, reason ",
                  run_->fail_entry.hardware_entry_failure_reason);
    case KVM_EXIT_INTERNAL_ERROR: {
      kvm_regs regs{};
      TRY(KVM_CALL(fd_.get(), KVM_GET_REGS, &regs));
      return fail("vCPU ", id_, ": KVM gave up at rip ", regs.rip, ", internal error ", run_->internal.suberror);
    }
    default: return fail("vCPU ", id_, ": KVM exited for the unknown reason ", run_->exit_reason);
  }
}

void KvmVcpu::handle_port() {
  const auto& io = run_->io;
  auto* data = reinterpret_cast<uint8_t*>(run_) + io.data_offset;
  const bool in = io.direction == KVM_EXIT_IO_IN;
  count(in ? ExitCause::kPortIn : ExitCause::kPortOut);
  for (uint32_t i = 0; i < io.count; ++i, data += io.size) {
    uint32_t value = 0;
    if (in) {
      value = shared_->bus->port_in(io.port, io.size);
      std::memcpy(data, &value, io.size);
    } else {
      std::memcpy(&value, data, io.size);
      shared_->bus->port_out(io.port, io.size, value);
    }
  }
}

void KvmVcpu::handle_mmio() {
  auto& mmio = run_->mmio;
  count(mmio.is_write != 0 ? ExitCause::kMmioWrite : ExitCause::kMmioRead);
  // KVM cuts what the guest did into pieces of up to 8 bytes, of any length: the bus knows powers of two.
  for (unsigned done = 0; done < mmio.len;) {
    unsigned size = 8;
    while (size > mmio.len - done) size /= 2;
    uint64_t value = 0;
    if (mmio.is_write != 0) {
      std::memcpy(&value, mmio.data + done, size);
      shared_->bus->mmio_write(mmio.phys_addr + done, size, value & bits_of(size));
    } else {
      value = shared_->bus->mmio_read(mmio.phys_addr + done, size);
      std::memcpy(mmio.data + done, &value, size);
    }
    done += size;
  }
}

// By asking for the registers: tracing may be slow.
void KvmVcpu::trace(ExitCause cause) {
  kvm_regs registers{};
  if (::ioctl(fd_.get(), KVM_GET_REGS, &registers) != 0) return;
  const std::lock_guard lock(sites_mutex_);
  sites_->add(cause, registers.rip);
}

void KvmVcpu::list_exits(std::string& out) {
  const std::lock_guard lock(sites_mutex_);
  if (sites_) sites_->list(out);
}

ExitCounts KvmVcpu::exits() const {
  ExitCounts counts{};
  for (size_t i = 0; i < counts.size(); ++i) counts[i] = counts_[i].load(std::memory_order_relaxed);
  return counts;
}

void KvmVcpu::harvest() {
  auto* ring = ring_pages_.as<kvm_dirty_gfn>();
  if (ring == nullptr) return;
  for (;;) {
    kvm_dirty_gfn& entry = ring[ring_next_ % shared_->dirty_ring];
    const std::atomic_ref<uint32_t> flags(entry.flags);
    if ((flags.load(std::memory_order_acquire) & KVM_DIRTY_GFN_F_DIRTY) == 0) return;
    shared_->dirty.push_back(entry);
    flags.store(KVM_DIRTY_GFN_F_RESET, std::memory_order_release);
    ++ring_next_;
  }
}

}  // namespace proa::vmm::kvm
