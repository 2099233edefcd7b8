#include "vmm/host/monitor.h"

#include <unistd.h>

#include <atomic>
#include <boost/json.hpp>

#include "base/json.h"
#include "base/log.h"
#include "kernel/file.h"
#include "kernel/memory.h"
#include "net/client.h"
#include "vmm/api/service.h"
#include "vmm/host/console_hub.h"
#include "vmm/host/guest_control.h"
#include "vmm/host/guest_disk.h"
#include "vmm/host/template_kind.h"
#include "vmm/host/template_store.h"

namespace proa::vmm {

namespace {

constexpr uint32_t kGuestCid = 3;

std::string_view way_name(StartReport::Way way) {
  return way == StartReport::Way::kRestored        ? "restored"
         : way == StartReport::Way::kBootedAndKept ? "booted and kept"
                                                   : "booted";
}

Result<> write_record(const VmRecord& record, const MicroVm& vm, bool restored) {
  boost::json::object machine{{"name", record.name},
                              {"created", format_rfc3339(Clock::system().wall())},
                              {"engine", vm.machine()->engine().name()},
                              {"start", restored ? "restored" : "booted"},
                              {"config", to_json(vm.config())}};
  return kernel::replace_file(record.path("machine.json"), json::to_pretty(machine), 0600);
}

Result<> write_pid(const VmStore::Claim& claim) {
  const std::string pid = cat(::getpid(), "\n");
  if (::ftruncate(claim.lock.get(), 0) != 0 ||
      ::pwrite(claim.lock.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
    return fail_errno(errno, claim.record.path("lock"));
  return {};
}

Result<> write_end(const VmRecord& record, const End& end) {
  const boost::json::object value{{"reason", end_name(end.kind)},
                                  {"status", end.status},
                                  {"message", end.message},
                                  {"ended", format_rfc3339(Clock::system().wall())}};
  return kernel::replace_file(record.path("end.json"), json::to_pretty(value), 0600);
}

// A new machine with our init goes on from a template where there is one, and else becomes one.
class Start {
 public:
  Start(MonitorPlan& plan, MicroVm& vm) : plan_(plan), vm_(vm), store_(plan.templates) {}

  Result<> run() {
    if (plan_.load) {
      report_.way = StartReport::Way::kRestored;
      restored_ = true;
      return vm_.load(*plan_.load);
    }
    // Metadata and its open connections are this machine's alone.
    const bool may_keep = plan_.guest && !plan_.templates.empty() && !plan_.config.mmds;
    TRY(vm_.set_config(plan_.config));
    if (may_keep) kind_ = TRY(template_kind(vm_.config(), vm_.options(), plan_.modules));
    if (auto found = may_keep ? store_.find(kind_) : std::nullopt) {
      report_.way = StartReport::Way::kRestored;
      const auto done = vm_.start(MicroVm::Image{.memory = std::move(found->memory), .state = std::move(found->state)});
      restored_ = done.has_value();
      if (done) return {};
      log::warning("a kept machine cannot go on: ", done.error().message());
      store_.drop(kind_);
      report_.way = StartReport::Way::kBooted;
    }
    keep_ = may_keep;  // before anything runs
    return vm_.start();
  }

  // On the thread of the guest's conversation, as the next.
  void guest_ready() {
    if (!keep_) return;
    const auto kept = store_.keep(kind_, [this](const std::string& description, const SnapshotFiles& files) {
      return vm_.save_image(description, files);
    });
    if (kept) report_.way = StartReport::Way::kBootedAndKept;
    if (!kept) report_.why = kept.error().message();
  }
  void guest_up() {
    report_.up = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin_);
  }

  // After run().
  bool restored() const { return restored_; }
  // Once that thread has ended.
  const StartReport& report() const { return report_; }

 private:
  MonitorPlan& plan_;
  MicroVm& vm_;
  const TemplateStore store_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::string kind_;
  bool restored_ = false;
  std::atomic<bool> keep_ = false;
  StartReport report_;
};

GuestControl::Hooks guest_hooks(Start& start, const MonitorHooks& hooks) {
  return {.ready = [&start] { start.guest_ready(); },
          .up =
              [&start, up = hooks.guest_up] {
                start.guest_up();
                if (up) up();
              },
          .failed = hooks.guest_failed};
}

Result<End> never_started(MicroVm& vm, const MonitorHooks& hooks, const VmRecord& record) {
  if (hooks.ended) hooks.ended(vm, {});
  const End end{.kind = End::Kind::kStopped};
  TRY(write_end(record, end));
  return end;
}

}  // namespace

std::string StartReport::text() const {
  std::string out = cat("start ", way_name(way), "\n");
  if (!why.empty()) out += cat("not-kept ", why, "\n");
  if (up) out += cat("guest-up-us ", up->count(), "\n");
  return out;
}

Result<End> run_machine(VmStore::Claim claim, MonitorPlan plan, const MonitorHooks& hooks) {
  const VmRecord& record = claim.record;
  std::unique_ptr<ConsoleHub> hub;
  plan.options.id = record.name;
  plan.options.engine = choose_engine(plan.options.engine);
  plan.options.serial_output = [&](std::string_view text) {
    hub->say(text);
    if (hooks.said) hooks.said(text);
  };
  if (plan.guest && !plan.load)
    plan.options.initrd_extra = [&plan] {
      return make_guest_disk(plan.config.boot->kernel_image_path, plan.modules, plan.config.console.has_value());
    };
  if (plan.vsock && !plan.config.vsock)
    plan.config.vsock = VsockConfig{.guest_cid = kGuestCid, .uds_path = record.path("vsock.sock")};
  if (plan.load) plan.load->vsock_path = record.path("vsock.sock");
  MicroVm vm(plan.options);
  // The vCPUs stop speaking before the hub goes, and the hub stops typing before the machine does.
  const Defer quiet([&] {
    if (vm.machine() != nullptr) {
      vm.machine()->stop();
      vm.machine()->wait();
    }
    hub.reset();
  });
  hub = TRY(ConsoleHub::listen(record.path("console.sock"), record.path("console.log"), [&vm](std::string_view text) {
    if (vm.machine() != nullptr) vm.type(text);
  }));
  Start start(plan, vm);
  std::unique_ptr<GuestControl> control;
  if (plan.guest)
    control = TRY(GuestControl::listen(record.path("vsock.sock"), *plan.guest, guest_hooks(start, hooks)));
  if (!plan.metadata.empty()) {
    const auto document = TRY_CTX(json::parse(plan.metadata), "metadata");
    TRY_CTX(vm.metadata().put(document), "metadata");
  }
  std::vector<std::unique_ptr<ApiServer>> servers;
  if (!plan.api_socket.empty()) {
    TRY(vm.set_config(std::move(plan.config)));
    for (const std::string& path : {record.path("api.sock"), plan.api_socket})
      servers.push_back(TRY(ApiServer::listen(vm, path)));
    TRY(write_pid(claim));
    if (hooks.waiting) hooks.waiting(vm);
    if (!vm.wait_for_start()) return never_started(vm, hooks, record);
  } else {
    TRY(start.run());
    servers.push_back(TRY(ApiServer::listen(vm, record.path("api.sock"))));
  }
  TRY(write_record(record, vm, start.restored()));
  TRY(write_pid(claim));
  if (hooks.running) hooks.running(vm);
  kernel::release_program_pages();
  End end = vm.machine()->wait();
  if (control) control->stop();
  if (hooks.ended) hooks.ended(vm, start.report());
  if (control) end.status = control->status().value_or(end.status);
  TRY(write_end(record, end));
  return end;
}

Result<std::string> ask_machine(const VmRecord& record, std::string_view method, std::string_view path,
                                std::string_view body) {
  const auto loops = TRY(net::Loops::start({.threads = 1, .blocking_threads = 1}));
  net::Client client(*loops, {.proxy_from_environment = false});
  net::ClientRequest request;
  request.method = method;
  request.url = TRY(net::Url::parse(cat("unix://", record.path("api.sock"))));
  request.target = path;
  request.body = body;
  net::BlockingClient blocking(client);
  auto response = TRY_CTX(blocking.send(std::move(request)), "machine ", record.name);
  std::string text = TRY_CTX(response.read_all(), "machine ", record.name);
  if (response.status() < 300) return text;
  const auto fault = json::parse(text);
  const boost::json::value* message =
      fault && fault->is_object() ? fault->get_object().if_contains("fault_message") : nullptr;
  if (message == nullptr || !message->is_string())
    return fail("machine ", record.name, ": status ", response.status(), " of its API");
  return fail("machine ", record.name, ": ", std::string_view(message->get_string()));
}

}  // namespace proa::vmm
