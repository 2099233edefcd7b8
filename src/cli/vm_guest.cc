#include "cli/vm_guest.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>

#include "base/text.h"
#include "cli/vm_commands.h"
#include "vmm/devices/reactor.h"
#include "vmm/host/store.h"

namespace proa::cli {

namespace {

// "FILE,mount=/data,ro" has "/data" for "mount="; "" when there is none.
std::string option(std::string_view text, std::string_view name) {
  for (const std::string_view part : split(text, ','))
    if (part.starts_with(name)) return std::string(part.substr(name.size()));
  return "";
}

// Who asks for a machine by name, and for a path in it.
struct Place {
  std::string machine, path;  // machine "": here
};
// "MACHINE:PATH"; a name has no slash, so "./a:b" is a file here.
Place parse_place(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos || colon == 0 || text.find('/') < colon) return {"", text};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

Result<vmm::GuestLink> connect(const Invocation& in, const std::string& machine) {
  const auto record = TRY(vmm::VmStore(in.text("root")).find_running(machine));
  return TRY_CTX(vmm::connect_guest(record.path("vsock.sock")), "machine ", machine);
}

}  // namespace

Result<Fd> take_signals() {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH}) sigaddset(&wanted, signal);
  ::pthread_sigmask(SIG_BLOCK, &wanted, nullptr);
  Fd signals(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return fail_errno(errno, "signalfd");
  return signals;
}

vmm::GuestProgram guest_program(const Invocation& in, size_t skip) {
  const auto& words = in.arguments();
  vmm::GuestProgram program{.args = {words.begin() + static_cast<long>(skip), words.end()},
                            .env = in.texts("env"),
                            .cwd = in.text("workdir"),
                            .user = in.text("user"),
                            .terminal = in.on("tty"),
                            .input = in.on("interactive")};
  // As for containers: a name alone takes the caller's value.
  for (std::string& variable : program.env)
    if (const char* value = ::getenv(variable.c_str()); !variable.contains('='))
      variable += cat("=", value ? value : "");
  return program;
}

Result<std::string> guest_fields(const Invocation& in, const vmm::VmConfig& config, const std::string& machine) {
  vmm::GuestFields fields;
  const auto disks = in.texts("disk");
  const size_t before = config.drives.size() - disks.size();  // those of --config
  const auto device = [](size_t index) { return cat("/dev/vd", static_cast<char>('a' + index)); };
  // The root disk becomes the first one.
  size_t root = config.drives.size();
  for (size_t i = 0; i < config.drives.size(); ++i)
    if (config.drives[i].is_root_device) root = i;
  if (root < config.drives.size()) fields.add("root", cat(device(0), config.drives[root].is_read_only ? " ro" : " rw"));
  for (size_t i = 0; i < disks.size(); ++i) {
    const std::string at = option(disks[i], "mount=");
    if (at.empty()) continue;
    if (!at.starts_with('/')) return fail("flag --disk: mount=", at, " is no absolute path");
    const size_t index = before + i < root && root < config.drives.size() ? before + i + 1 : before + i;
    fields.add("mount", cat(device(index), " ", at, config.drives[before + i].is_read_only ? " ro" : " rw"));
  }
  if (!config.drives.empty()) fields.add("disks", "1");
  if (!config.nets.empty()) fields.add("nets", "1");
  fields.add("hostname", in.is_set("hostname") ? in.text("hostname") : machine);
  const auto nets = in.texts("net");
  for (size_t i = 0; i < nets.size(); ++i) {
    const std::string address = option(nets[i], "ip="), gateway = option(nets[i], "gateway=");
    if (!address.empty()) fields.add("address", cat("eth", config.nets.size() - nets.size() + i, " ", address));
    if (!gateway.empty()) fields.add("gateway", gateway);
  }
  for (const std::string& server : in.texts("dns")) fields.add("nameserver", server);
  return fields.text();
}

Result<std::unique_ptr<Foreground>> Foreground::create(vmm::GuestProgram program, std::string vsock) {
  std::unique_ptr<Foreground> made(new Foreground);
  made->program_ = std::move(program);
  made->vsock_ = std::move(vsock);
  made->signals_ = TRY(take_signals());
  made->up_ = TRY(vmm::make_eventfd());
  made->done_ = TRY(vmm::make_eventfd());
  return made;
}

void Foreground::start(vmm::MicroVm& vm) {
  thread_ = std::thread([this, &vm] { work(vm); });
}

void Foreground::guest_up() { vmm::signal_eventfd(up_.get()); }

void Foreground::stop() {
  if (!thread_.joinable()) return;
  vmm::signal_eventfd(done_.get());
  thread_.join();
}

void Foreground::work(vmm::MicroVm& vm) {
  for (;;) {
    pollfd events[] = {{done_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}, {up_.get(), POLLIN, 0}};
    if (::poll(events, std::size(events), -1) < 0 && errno != EINTR) return;
    if (events[0].revents != 0) return;
    if (events[2].revents != 0) break;
    signalfd_siginfo info{};
    if (events[1].revents == 0 || ::read(signals_.get(), &info, sizeof info) != sizeof info) continue;
    if (info.ssi_signo != SIGWINCH) vm.machine()->stop();
  }
  was_up_ = true;
  auto ran = [&]() -> Result<int> {
    auto link = TRY(vmm::connect_guest(vsock_));
    return vmm::run_in_guest(link, program_, {.signals = signals_.get(), .stop = done_.get()});
  }();
  if (ran) return;  // the guest switches off by itself
  pollfd ended{done_.get(), POLLIN, 0};
  if (::poll(&ended, 1, 0) == 0) failure_ = ran.error().message();
  vm.machine()->stop();
}

Result<int> vm_exec(const Invocation& in) {
  const vmm::GuestProgram program = guest_program(in, 1);
  if (program.terminal && program.input && ::isatty(STDIN_FILENO) != 1) return fail("the input device is not a TTY");
  auto link = TRY(connect(in, in.argument(0)));
  const Fd signals = TRY(take_signals());
  return vmm::run_in_guest(link, program, {.signals = signals.get()});
}

Result<int> vm_cp(const Invocation& in) {
  const Place from = parse_place(in.argument(0)), to = parse_place(in.argument(1));
  if (from.machine.empty() == to.machine.empty())
    return fail("one of ", in.argument(0), " and ", in.argument(1), " must be MACHINE:PATH, the other a path here");
  const bool out = to.machine.empty();
  auto link = TRY(connect(in, out ? from.machine : to.machine));
  TRY(out ? vmm::copy_from_guest(link, from.path, to.path) : vmm::copy_to_guest(link, from.path, to.path));
  return 0;
}

}  // namespace proa::cli
