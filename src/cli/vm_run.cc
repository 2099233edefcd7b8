// `proa vm run` and `restore`: a machine in this process or in one of its own.
#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <csignal>
#include <thread>

#include "base/ids.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/print.h"
#include "cli/vm_commands.h"
#include "cli/vm_guest.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "kernel/tty.h"
#include "vmm/host/monitor.h"

namespace proa::cli {
namespace {

using vmm::End;
using vmm::MicroVm;
using vmm::MonitorPlan;
using vmm::VmStore;

constexpr char kEscape = 0x1d;  // Ctrl-]

vmm::EngineKind engine_kind(const Invocation& in) {
  const std::string name = in.text("engine");
  return name == "kvm"          ? vmm::EngineKind::kKvm
         : name == "translator" ? vmm::EngineKind::kTranslator
                                : vmm::EngineKind::kAuto;
}

// "FILE[,ro][,root][,mount=PATH]"; where it is mounted is the guest's business (vm_guest.cc).
Result<vmm::DriveConfig> parse_disk(const std::string& text, size_t number) {
  const auto parts = split(text, ',');
  if (parts.empty()) return fail("flag --disk: no file in \"", text, "\"");
  vmm::DriveConfig drive{
      .drive_id = cat("disk", number), .partuuid = {}, .path_on_host = std::string(parts[0]), .rate = {}};
  drive.writeback = drive.async = true;
  for (size_t i = 1; i < parts.size(); ++i) {
    if (parts[i] == "ro")
      drive.is_read_only = true;
    else if (parts[i] == "root")
      drive.is_root_device = true;
    else if (!parts[i].starts_with("mount="))
      return fail("flag --disk: \"", parts[i], "\" is not known").hint("FILE[,ro][,root][,mount=PATH]");
  }
  return drive;
}

// "TAP[,mac=MAC][,ip=ADDRESS/PREFIX][,gateway=ADDRESS]"
Result<vmm::NetConfig> parse_interface(const std::string& text, size_t number) {
  const auto parts = split(text, ',');
  if (parts.empty()) return fail("flag --net: no device in \"", text, "\"");
  vmm::NetConfig net{.iface_id = cat("eth", number),
                     .host_dev_name = std::string(parts[0]),
                     .guest_mac = {},
                     .receive = {},
                     .send = {}};
  for (size_t i = 1; i < parts.size(); ++i) {
    if (parts[i].starts_with("ip=") || parts[i].starts_with("gateway=")) continue;  // the guest's business
    if (!parts[i].starts_with("mac="))
      return fail("flag --net: \"", parts[i], "\" is not known")
          .hint("TAP[,mac=MAC][,ip=ADDRESS/PREFIX][,gateway=ADDRESS]");
    net.guest_mac = TRY_CTX(vmm::parse_mac_address(parts[i].substr(4)), "flag --net");
  }
  return net;
}

std::string replaced(std::string text, std::string_view word, std::string_view by) {
  if (const size_t at = text.find(word); at != std::string::npos) text.replace(at, word.size(), by);
  return text;
}

// "FILE[,v1][,address=ADDRESS]": on every interface. The file is read by the caller.
Result<> add_metadata(const Invocation& in, vmm::VmConfig& config) {
  const std::string text = in.text("mmds");
  const auto parts = split(text, ',');
  vmm::MmdsConfig mmds{.version = vmm::Metadata::Version::kV2, .interfaces = {}};
  for (size_t i = 1; i < parts.size(); ++i) {
    if (parts[i] == "v1")
      mmds.version = vmm::Metadata::Version::kV1;
    else if (parts[i].starts_with("address="))
      mmds.address = TRY_CTX(vmm::parse_address(parts[i].substr(8)), "flag --mmds");
    else
      return fail("flag --mmds: \"", parts[i], "\" is not known").hint("FILE[,v1][,address=ADDRESS]");
  }
  for (const vmm::NetConfig& net : config.nets) mmds.interfaces.push_back(net.iface_id);
  if (mmds.interfaces.empty())
    return fail("flag --mmds: the guest reads metadata over a network interface").hint("add --net TAP");
  config.mmds = std::move(mmds);
  return {};
}

Result<vmm::VmConfig> config_of(const Invocation& in) {
  vmm::VmConfig config;
  const bool over_api = in.is_set("api-sock");
  if (in.is_set("config")) {
    const std::string text = TRY(kernel::read_file(in.text("config").c_str()));
    const auto value = TRY_CTX(json::parse(text), in.text("config"));
    config = TRY_CTX(vmm::parse_vm_config(value), in.text("config"));
  } else if (!in.is_set("kernel") && !over_api) {
    return fail("flag --kernel: a machine needs a kernel").hint("proa vm run --kernel FILE, or --config FILE");
  }
  if (in.is_set("kernel"))
    config.boot = vmm::BootSource{
        .kernel_image_path = in.text("kernel"), .initrd_path = in.text("initrd"), .boot_args = in.text("cmdline")};
  const bool defaults = !in.is_set("config") && !over_api;
  if (in.is_set("cpus") || defaults) config.machine.vcpu_count = static_cast<unsigned>(in.whole("cpus").value_or(1));
  if (in.is_set("memory") || defaults)
    config.machine.mem_size_mib = static_cast<uint64_t>(in.bytes("memory").value_or(256 << 20)) >> 20;
  config.machine.track_dirty_pages = config.machine.track_dirty_pages || in.on("track-dirty");
  for (const std::string& disk : in.texts("disk")) config.drives.push_back(TRY(parse_disk(disk, config.drives.size())));
  for (const std::string& net : in.texts("net")) config.nets.push_back(TRY(parse_interface(net, config.nets.size())));
  if (!config.entropy && !over_api) config.entropy = vmm::EntropyConfig{};
  if (in.text("console") == "virtio") config.console = vmm::ConsoleConfig{};
  if (config.console && config.boot && !in.is_set("cmdline") && in.is_set("kernel"))
    *config.boot->boot_args = replaced(*config.boot->boot_args, "console=ttyS0", "console=hvc0");
  if (in.is_set("mmds")) TRY(add_metadata(in, config));
  return config;
}

Result<std::string> name_of(const Invocation& in) {
  if (in.is_set("name")) return in.text("name");
  return TRY(random_hex(6));
}

// Types what comes on standard input, ends the machine on signals and on the escape key, until stop().
class Typist {
 public:
  static Result<std::unique_ptr<Typist>> create(bool input) {
    std::unique_ptr<Typist> typist(new Typist);
    sigset_t ends;
    sigemptyset(&ends);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&ends, signal);
    // Before any thread starts: all of them leave these to us.
    ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
    typist->signals_ = Fd(::signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!typist->signals_) return fail_errno(errno, "signalfd");
    typist->done_ = TRY(vmm::make_eventfd());
    typist->input_ = input;
    return typist;
  }
  ~Typist() { stop(); }
  // Before the machine goes.
  void stop() {
    if (!thread_.joinable()) return;
    vmm::signal_eventfd(done_.get());
    thread_.join();
    raw_.reset();
  }
  void start(MicroVm& vm) {
    if (input_ && ::isatty(STDIN_FILENO) == 1)
      if (auto raw = kernel::RawMode::enter(STDIN_FILENO)) raw_ = std::move(*raw);
    thread_ = std::thread([this, &vm] { work(vm); });
  }

 private:
  Typist() = default;
  void work(MicroVm& vm) {
    for (;;) {
      pollfd events[] = {
          {done_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}, {input_ ? STDIN_FILENO : -1, POLLIN, 0}};
      if (::poll(events, std::size(events), -1) < 0 && errno != EINTR) return;
      if (events[0].revents != 0) return;
      if (events[1].revents != 0) {
        signalfd_siginfo info{};
        static_cast<void>(!::read(signals_.get(), &info, sizeof info));
        vm.stop();
      }
      if (events[2].revents != 0) type(vm);
    }
  }
  void type(MicroVm& vm) {
    char text[1024];
    const ssize_t got = ::read(STDIN_FILENO, text, sizeof text);
    if (got <= 0) {
      input_ = false;
      return;
    }
    const std::string_view typed(text, static_cast<size_t>(got));
    const size_t escape = raw_ ? typed.find(kEscape) : std::string_view::npos;
    vm.type(typed.substr(0, escape));
    if (escape != std::string_view::npos) vm.stop();
  }

  Fd signals_, done_;
  bool input_ = false;
  std::optional<kernel::RawMode> raw_;
  std::thread thread_;
};

int exit_status(const End& end) { return end.kind == End::Kind::kFailed ? 1 : end.status; }

Result<int> run_here(const Invocation& in, VmStore::Claim claim, MonitorPlan plan, bool attached,
                     const std::function<void()>& started) {
  const std::string name = claim.record.name;
  std::string report, refused;
  const bool has_guest = plan.guest && !plan.load && in.whole("wait").value_or(0) != 0;
  const bool over_api = !plan.api_socket.empty();
  Result<End> end = [&]() -> Result<End> {
    const auto typist = TRY(Typist::create(attached));
    return vmm::run_machine(std::move(claim), std::move(plan),
                            {.waiting =
                                 [&](MicroVm& vm) {
                                   typist->start(vm);
                                   if (started) started();
                                 },
                             .running =
                                 [&](MicroVm& vm) {
                                   if (over_api) return;
                                   typist->start(vm);
                                   if (started && !has_guest) started();
                                 },
                             .guest_up =
                                 [&] {
                                   if (started && has_guest) started();
                                 },
                             .guest_failed = [&](const std::string& why) { refused = why; },
                             .said =
                                 [&](std::string_view text) {
                                   if (attached) static_cast<void>(!::write(STDOUT_FILENO, text.data(), text.size()));
                                 },
                             .ended =
                                 [&](MicroVm& vm, const vmm::StartReport& start) {
                                   typist->stop();
                                   if (vm.machine() != nullptr) report = start.text() + vm.machine()->engine().report();
                                 }});
  }();
  // One that never ran leaves nothing.
  if (!end || in.on("rm")) static_cast<void>(VmStore(in.text("root")).remove(name));
  const End how = TRY(std::move(end));
  if (in.text("trace") != "none") static_cast<void>(!::write(STDERR_FILENO, report.data(), report.size()));
  if (how.kind == End::Kind::kFailed) return fail("machine ", name, ": ", how.message);
  if (!refused.empty()) return fail("machine ", name, ": guest: ", refused);
  return exit_status(how);
}

// The workload on this terminal; of the console only what tells why there was none.
Result<int> run_workload(const Invocation& in, VmStore::Claim claim, MonitorPlan plan) {
  constexpr size_t kTail = 4000;
  const std::string name = claim.record.name;
  vmm::GuestProgram program = guest_program(in, 0);
  program.workload = true;
  std::string console, refused, report;
  const auto foreground = TRY(Foreground::create(std::move(program), claim.record.path("vsock.sock")));
  Result<End> end = vmm::run_machine(std::move(claim), std::move(plan),
                                     {.running = [&](MicroVm& vm) { foreground->start(vm); },
                                      .guest_up = [&] { foreground->guest_up(); },
                                      .guest_failed = [&](const std::string& why) { refused = why; },
                                      .said =
                                          [&](std::string_view text) {
                                            console.append(text);
                                            if (console.size() > 2 * kTail) console.erase(0, kTail);
                                          },
                                      .ended =
                                          [&](MicroVm& vm, const vmm::StartReport& start) {
                                            foreground->stop();
                                            report = start.text() + vm.machine()->engine().report();
                                          }});
  if (!end || in.on("rm")) static_cast<void>(VmStore(in.text("root")).remove(name));
  const End how = TRY(std::move(end));
  if (in.text("trace") != "none") static_cast<void>(!::write(STDERR_FILENO, report.data(), report.size()));
  if (how.kind == End::Kind::kFailed) return fail("machine ", name, ": ", how.message);
  if (!refused.empty()) return fail("machine ", name, ": guest: ", refused);
  if (!foreground->failure().empty()) return fail("machine ", name, ": ", foreground->failure());
  if (foreground->was_up() || how.kind == End::Kind::kStopped) return exit_status(how);
  static_cast<void>(!::write(STDERR_FILENO, console.data(), console.size()));
  return fail("machine ", name, ": its guest was never up").hint("above is the end of its console");
}

// The child of a detached machine tells over a pipe whether it runs, and with our init in the guest whether that is up:
// "ok", or an error, or nothing.
Result<int> run_apart(const Invocation& in, VmStore::Claim claim, MonitorPlan plan) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  Fd from(ends[0]);
  Fd to(ends[1]);
  const std::string name = claim.record.name;
  const std::string log = claim.record.path("monitor.log");
  const auto child = TRY(kernel::clone_process(0));
  if (child.pid == 0) {
    ::setsid();
    ::signal(SIGPIPE, SIG_IGN);  // who waits for our word may be gone
    const Fd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const Fd output(::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    ::dup2(nothing.get(), STDIN_FILENO);
    ::dup2(output.get(), STDOUT_FILENO);
    ::dup2(output.get(), STDERR_FILENO);
    from.reset();
    const auto done = run_here(in, std::move(claim), std::move(plan), false, [&] {
      static_cast<void>(!::write(to.get(), "ok", 2));
      to.reset();
    });
    if (!done) {
      const std::string& text = done.error().message();
      static_cast<void>(!::write(to ? to.get() : STDERR_FILENO, text.data(), text.size()));
    }
    ::_exit(done ? *done : 1);
  }
  to.reset();
  claim.lock.reset();  // the child has it
  const bool waits = plan.guest && !plan.load;
  const auto patience = waits ? static_cast<int>(std::min<uint64_t>(in.whole("wait").value_or(0), 1 << 20)) : 0;
  pollfd told{from.get(), POLLIN, 0};
  if (patience != 0 && ::poll(&told, 1, patience * 1000) == 0)
    return fail("machine ", name, ": its guest is not up after ", patience, " s; the machine goes on running")
        .hint(cat("`proa vm console ", name, "` shows what it says, `proa vm rm -f ", name, "` ends it"));
  const std::string said = TRY(kernel::read_all(from.get()));
  if (said != "ok") return fail(said.empty() ? cat("machine ", name, ": its monitor ended; see ", log) : said);
  TRY(print_text(cat(name, "\n")));
  return 0;
}

// Our init in the guest, and what it is to do.
Result<> add_guest(const Invocation& in, const std::string& name, MonitorPlan& plan) {
  vmm::VmConfig& config = plan.config;
  const bool has_root = std::ranges::any_of(config.drives, &vmm::DriveConfig::is_root_device);
  if (!plan.vsock) return fail("flag --no-vsock: commands in the guest need the socket device");
  if (!config.boot) return fail("flag --kernel: a machine needs a kernel");
  if (!has_root && config.boot->initrd_path.empty())
    return fail("the guest has no files to run a command from").hint("--disk FILE,root, or --initrd FILE");
  plan.modules = in.text("modules");
  if (!in.on("cold")) plan.templates = in.text("cache") + "/machines";
  if (!in.is_set("cmdline") && config.boot->boot_args) *config.boot->boot_args += " quiet";
  plan.guest = TRY(guest_fields(in, config, name));
  vmm::GuestFields more;
  if (in.arguments().empty() && has_root) more.add("init", "/sbin/init");
  if (in.on("detach")) guest_program(in, 0).add_to(more);
  *plan.guest += more.text();
  return {};
}

Result<int> run(const Invocation& in, const std::string& name, MonitorPlan plan) {
  plan.options.engine = engine_kind(in);
  plan.options.engine_options.trace_blocks = in.text("trace") == "blocks";
  plan.options.engine_options.trace_exits = in.text("trace") == "exits";
  auto claim = TRY(VmStore(in.text("root")).claim(name));
  if (in.on("detach")) return run_apart(in, std::move(claim), std::move(plan));
  if (!in.arguments().empty() && plan.guest && !plan.load) return run_workload(in, std::move(claim), std::move(plan));
  return run_here(in, std::move(claim), std::move(plan), true, {});
}

}  // namespace

Result<int> vm_run(const Invocation& in) {
  MonitorPlan plan{.config = TRY(config_of(in)), .load = {}, .options = {}, .vsock = !in.on("no-vsock")};
  plan.options.debug_exit = in.on("debug-exit");
  plan.options.kernel_cache = in.text("cache") + "/kernels";
  const std::string name = TRY(name_of(in));
  if (in.is_set("mmds")) {
    const std::string text = in.text("mmds");
    plan.metadata = TRY_CTX(kernel::read_file(text.substr(0, text.find(',')).c_str()), "flag --mmds");
  }
  if (in.is_set("api-sock")) {
    if (!in.arguments().empty() || in.on("agent"))
      return fail(
          "flag --api-sock: the guest is configured over the API; commands and --agent are for machines that start at "
          "once");
    plan.api_socket = in.text("api-sock");
    plan.vsock = false;
  }
  if (!in.arguments().empty() || in.on("agent")) TRY(add_guest(in, name, plan));
  return run(in, name, std::move(plan));
}

Result<int> vm_restore(const Invocation& in) {
  const std::string folder = in.argument(0);
  vmm::SnapshotLoad load{.snapshot_path = cat(folder, "/state"),
                         .mem_file_path = cat(folder, "/memory"),
                         .track_dirty_pages = in.on("track-dirty"),
                         .resume_vm = !in.on("paused"),
                         .network_overrides = {},
                         .vsock_path = {}};
  for (const std::string& text : in.texts("net")) {
    std::string_view tap = text;
    const std::string interface(cut(tap, '='));
    if (tap.empty()) return fail("flag --net: \"", text, "\" is not INTERFACE=TAP");
    load.network_overrides.emplace_back(interface, tap);
  }
  // A guest with our init calls again.
  return run(in, TRY(name_of(in)),
             {.config = {}, .load = std::move(load), .options = {}, .vsock = false, .guest = std::string()});
}

}  // namespace proa::cli
