// `proa vm` besides starting machines: what is asked of the store and of running machines' APIs.
#include "cli/vm_commands.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <csignal>

#include "base/json.h"
#include "cli/print.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "kernel/tty.h"
#include "net/socket.h"
#include "vmm/host/monitor.h"

namespace proa::cli {
namespace {

namespace document = boost::json;
using vmm::VmRecord;
using vmm::VmStore;

constexpr char kEscape = 0x1d;  // Ctrl-]

VmStore store_of(const Invocation& in) { return VmStore(in.text("root")); }

document::object object_in(const std::string& text) {
  const auto value = json::parse(text);
  return value && value->is_object() ? value->get_object() : document::object();
}

std::string text_of(const document::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(std::string_view(value->get_string())) : "";
}

// "running", "paused", "waiting" (for its start over the API), "off", "failed", ...; what left no word was killed.
std::string status_of(const VmRecord& record) {
  if (record.pid == 0) {
    const std::string reason = text_of(object_in(record.end), "reason");
    return reason.empty() ? "killed" : reason;
  }
  const auto info = vmm::ask_machine(record, "GET", "/");
  if (!info) return "starting";
  const std::string state = text_of(object_in(*info), "state");
  return state == "Paused" ? "paused" : state == "Not started" ? "waiting" : "running";
}

document::value summary(const VmRecord& record) {
  const document::object machine = object_in(record.machine);
  document::object out{{"name", record.name},
                       {"status", status_of(record)},
                       {"engine", text_of(machine, "engine")},
                       {"created", text_of(machine, "created")}};
  out["pid"] = record.pid == 0 ? document::value() : document::value(record.pid);
  const auto* config = machine.if_contains("config");
  const auto* size =
      config != nullptr && config->is_object() ? config->get_object().if_contains("machine-config") : nullptr;
  if (size != nullptr && size->is_object()) {
    out["vcpus"] = size->get_object().contains("vcpu_count") ? size->at("vcpu_count") : document::value();
    out["memory_mib"] = size->get_object().contains("mem_size_mib") ? size->at("mem_size_mib") : document::value();
  }
  return out;
}

std::string cell(const document::value& row, std::string_view key) {
  const auto* value = row.get_object().if_contains(key);
  if (value == nullptr || value->is_null()) return "";
  return value->is_string() ? std::string(std::string_view(value->get_string())) : json::to_line(*value);
}

template <typename Act>
Result<int> each_running(const Invocation& in, Act act) {
  for (const std::string& name : in.arguments()) {
    const VmRecord record = TRY(store_of(in).find_running(name));
    TRY(act(record));
    TRY(print_text(cat(name, "\n")));
  }
  return 0;
}

Result<> set_state(const VmRecord& record, std::string_view state) {
  TRY(vmm::ask_machine(record, "PATCH", "/vm", cat(R"({"state":")", state, "\"}")));
  return {};
}

// Ctrl-Alt-Del, time, SIGTERM, time, SIGKILL.
Result<> stop(const VmRecord& record, uint64_t seconds) {
  const Fd process = TRY(kernel::pidfd_open(record.pid));
  if (seconds > 0) {
    static_cast<void>(vmm::ask_machine(record, "PUT", "/actions", R"({"action_type":"SendCtrlAltDel"})"));
    if (TRY(kernel::wait_gone(process.get(), static_cast<int>(std::min<uint64_t>(seconds, 1 << 20) * 1000)))) return {};
  }
  TRY(kernel::send_signal(process.get(), SIGTERM));
  if (TRY(kernel::wait_gone(process.get(), 5000))) return {};
  TRY(kernel::send_signal(process.get(), SIGKILL));
  TRY(kernel::wait_gone(process.get(), -1));
  return {};
}

// Copies what came to `to`; false at the end.
bool copy_some(int from, int to, bool escape) {
  char text[4096];
  const ssize_t got = ::read(from, text, sizeof text);
  if (got < 0 && errno == EAGAIN) return true;
  if (got <= 0) return false;
  std::string_view part(text, static_cast<size_t>(got));
  const size_t at = escape ? part.find(kEscape) : std::string_view::npos;
  part = part.substr(0, at);
  return kernel::write_all(to, part) && at == std::string_view::npos;
}

}  // namespace

Result<int> vm_ls(const Invocation& in) {
  document::array rows;
  Table table{{"NAME", "STATUS", "ENGINE", "CPUS", "MEMORY", "PID", "CREATED"}, {}};
  std::string names;
  for (const VmRecord& record : TRY(store_of(in).list())) {
    if (record.pid == 0 && !in.on("all")) continue;
    names += cat(record.name, "\n");
    const document::value row = summary(record);
    const std::string memory = cell(row, "memory_mib");
    table.rows.push_back({record.name, cell(row, "status"), cell(row, "engine"), cell(row, "vcpus"),
                          memory.empty() ? "" : cat(memory, " MiB"), cell(row, "pid"), cell(row, "created")});
    rows.push_back(row);
  }
  TRY(in.on("quiet") ? print_text(names) : print_document(in.text("output"), rows, table));
  return 0;
}

Result<int> vm_inspect(const Invocation& in) {
  document::array all;
  for (const std::string& name : in.arguments()) {
    const VmRecord record = TRY(store_of(in).find(name));
    document::object value = summary(record).as_object();
    const document::object machine = object_in(record.machine);
    if (const auto* config = machine.if_contains("config"); config != nullptr) value["config"] = *config;
    value["api_socket"] = record.path("api.sock");
    value["vsock"] = record.path("vsock.sock");
    value["console_log"] = record.path("console.log");
    if (!record.end.empty()) value["end"] = object_in(record.end);
    all.push_back(std::move(value));
  }
  TRY(print_text(json::to_pretty(all)));
  return 0;
}

Result<int> vm_console(const Invocation& in) {
  const VmRecord record = TRY(store_of(in).find_running(in.argument(0)));
  const Fd socket = TRY_CTX(net::connect_unix_stream(record.path("console.sock")), "console of ", record.name);
  std::optional<kernel::RawMode> raw;
  if (::isatty(STDIN_FILENO) == 1) raw = TRY(kernel::RawMode::enter(STDIN_FILENO));
  bool input = true;
  for (;;) {
    pollfd events[] = {{socket.get(), POLLIN, 0}, {input ? STDIN_FILENO : -1, POLLIN, 0}};
    if (::poll(events, std::size(events), -1) < 0 && errno != EINTR) return fail_errno(errno, "poll");
    if (events[0].revents != 0 && !copy_some(socket.get(), STDOUT_FILENO, false)) return 0;
    if (events[1].revents == 0 || copy_some(STDIN_FILENO, socket.get(), raw.has_value())) continue;
    if (raw) return 0;
    input = false;  // the end of a file: stay for the output
  }
}

Result<int> vm_stop(const Invocation& in) {
  const uint64_t seconds = in.whole("time").value_or(10);
  return each_running(in, [&](const VmRecord& record) { return stop(record, seconds); });
}

Result<int> vm_rm(const Invocation& in) {
  for (const std::string& name : in.arguments()) {
    const VmRecord record = TRY(store_of(in).find(name));
    if (record.pid != 0 && in.on("force")) TRY(stop(record, 0));
    TRY(store_of(in).remove(name));
    TRY(print_text(cat(name, "\n")));
  }
  return 0;
}

Result<int> vm_pause(const Invocation& in) {
  return each_running(in, [](const VmRecord& record) { return set_state(record, "Paused"); });
}

Result<int> vm_resume(const Invocation& in) {
  return each_running(in, [](const VmRecord& record) { return set_state(record, "Resumed"); });
}

Result<int> vm_snapshot(const Invocation& in) {
  const VmRecord record = TRY(store_of(in).find_running(in.argument(0)));
  const std::string folder = in.argument(1);
  TRY(kernel::make_dirs(folder, 0700));
  const bool was_running = status_of(record) == "running";
  if (was_running) TRY(set_state(record, "Paused"));
  const document::object request{{"snapshot_type", in.on("diff") ? "Diff" : "Full"},
                                 {"snapshot_path", cat(folder, "/state")},
                                 {"mem_file_path", cat(folder, "/memory")}};
  const auto done = vmm::ask_machine(record, "PUT", "/snapshot/create", json::to_line(request));
  if (was_running) TRY(set_state(record, "Resumed"));
  if (!done) return std::unexpected(done.error());
  return 0;
}

Result<int> vm_stats(const Invocation& in) {
  const VmRecord record = TRY(store_of(in).find_running(in.argument(0)));
  const document::object metrics = object_in(TRY(vmm::ask_machine(record, "GET", "/metrics")));
  Table table{{"COUNTER", "VALUE"}, {}};
  for (const auto& part : metrics) {
    if (!part.value().is_object()) continue;
    for (const auto& counter : part.value().get_object())
      table.rows.push_back(
          {cat(std::string_view(part.key()), ".", std::string_view(counter.key())), json::to_line(counter.value())});
  }
  TRY(print_document(in.text("output"), metrics, table));
  return 0;
}

}  // namespace proa::cli
