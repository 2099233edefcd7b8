#include "vmm/host/monitor.h"

#include <unistd.h>

#include <boost/json.hpp>

#include "base/json.h"
#include "base/log.h"
#include "kernel/file.h"
#include "kernel/memory.h"
#include "net/client.h"
#include "vmm/api/service.h"
#include "vmm/host/console_hub.h"
#include "vmm/host/guest_control.h"

namespace proa::vmm {

namespace {

constexpr uint32_t kGuestCid = 3;

Result<> write_record(const VmStore::Claim& claim, const MicroVm& vm) {
  const VmRecord& record = claim.record;
  boost::json::object machine{{"name", record.name},
                              {"created", format_rfc3339(Clock::system().wall())},
                              {"engine", vm.machine()->engine().name()},
                              {"config", to_json(vm.config())}};
  TRY(kernel::replace_file(record.path("machine.json"), json::to_pretty(machine), 0600));
  const std::string pid = cat(::getpid(), "\n");
  if (::ftruncate(claim.lock.get(), 0) != 0 ||
      ::pwrite(claim.lock.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
    return fail_errno(errno, record.path("lock"));
  return {};
}

Result<> write_end(const VmRecord& record, const End& end) {
  const boost::json::object value{{"reason", end_name(end.kind)},
                                  {"status", end.status},
                                  {"message", end.message},
                                  {"ended", format_rfc3339(Clock::system().wall())}};
  return kernel::replace_file(record.path("end.json"), json::to_pretty(value), 0600);
}

// The workload's status, if the guest told of one.
std::optional<int> finish_guest(std::unique_ptr<GuestControl> control) {
  control->stop();
  return control->status();
}

}  // namespace

Result<End> run_machine(VmStore::Claim claim, MonitorPlan plan, const MonitorHooks& hooks) {
  const VmRecord& record = claim.record;
  std::unique_ptr<ConsoleHub> hub;
  plan.options.id = record.name;
  plan.options.serial_output = [&](std::string_view text) {
    hub->say(text);
    if (hooks.said) hooks.said(text);
  };
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
  if (plan.vsock && !plan.config.vsock)
    plan.config.vsock = VsockConfig{.guest_cid = kGuestCid, .uds_path = record.path("vsock.sock")};
  std::unique_ptr<GuestControl> control;
  if (plan.guest)
    control = TRY(GuestControl::listen(record.path("vsock.sock"), std::move(*plan.guest),
                                       {.up = hooks.guest_up, .failed = hooks.guest_failed}));
  if (plan.load) {
    plan.load->vsock_path = record.path("vsock.sock");
    TRY(vm.load(*plan.load));
  } else {
    TRY(vm.set_config(std::move(plan.config)));
    TRY(vm.start());
  }
  const auto server = TRY(ApiServer::listen(vm, record.path("api.sock")));
  TRY(write_record(claim, vm));
  if (hooks.running) hooks.running(vm);
  kernel::release_program_pages();
  End end = vm.machine()->wait();
  if (hooks.ended) hooks.ended(vm);
  if (control) end.status = finish_guest(std::move(control)).value_or(end.status);
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
