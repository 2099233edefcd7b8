#include "vmm/api/service.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "net/server.h"

namespace proa::vmm {

namespace {

namespace document = boost::json;

constexpr std::string_view kVersion = "1.17.0";  // the API's
constexpr size_t kMaxBody = 51200;

ApiAnswer fault(int status, std::string_view message) {
  return {status, json::to_line(document::object{{"fault_message", message}})};
}

ApiAnswer answer(const Result<>& done) {
  if (done) return {};
  std::string text = done.error().message();
  return fault(400, text);
}

ApiAnswer data(const document::value& value) { return {200, json::to_line(value)}; }

ApiAnswer bad_json(const Error& error) {
  return fault(400, cat("An error occurred when deserializing the json body of a request: ", error.message(), "."));
}

// One request on its way through the table.
struct Call {
  MicroVm& vm;
  std::string_view id;  // after the resource's name
  document::value body;
};
using Handler = ApiAnswer (*)(Call&);

// Parses, then acts.
template <typename Parse, typename Act>
ApiAnswer with(Call& call, Parse parse, Act act) {
  auto parsed = parse(call.body);
  if (!parsed) return bad_json(parsed.error());
  return answer(act(call.vm, std::move(*parsed)));
}

bool valid_id(std::string_view id) {
  return std::ranges::all_of(id, [](char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
}

// ... for what has an id in path and body.
template <typename Parse, typename Id, typename Act>
ApiAnswer with_id(Call& call, Parse parse, Id id, Act act) {
  if (call.id.empty()) return fault(400, "The ID cannot be empty.");
  if (!valid_id(call.id))
    return fault(400, "API Resource IDs can only contain alphanumeric characters and underscores.");
  auto parsed = parse(call.body);
  if (!parsed) return bad_json(parsed.error());
  if ((*parsed).*id != call.id) return fault(400, "The id from the path does not match the id from the body!");
  return answer(act(call.vm, std::move(*parsed)));
}

ApiAnswer get_instance(Call& call) {
  return data({{"id", call.vm.options().id},
               {"state", state_name(call.vm.state())},
               {"vmm_version", kVersion},
               {"app_name", "Proa"}});
}

ApiAnswer put_action(Call& call) {
  const auto action = parse_single(call.body, "action_type");
  if (!action) return bad_json(action.error());
  if (*action == "InstanceStart") return answer(call.vm.start());
  if (*action == "SendCtrlAltDel") return answer(call.vm.ctrl_alt_del());
  if (*action == "FlushMetrics") return answer(call.vm.flush_metrics());
  return bad_json(
      Error(cat("unknown variant `", *action, "`, expected one of `FlushMetrics`, `InstanceStart`, `SendCtrlAltDel`")));
}

ApiAnswer patch_vm(Call& call) {
  const auto state = parse_single(call.body, "state");
  if (!state) return bad_json(state.error());
  if (*state == "Paused") return answer(call.vm.pause());
  if (*state == "Resumed") return answer(call.vm.resume());
  return bad_json(Error(cat("unknown variant `", *state, "`, expected `Paused` or `Resumed`")));
}

ApiAnswer patch_machine(Call& call) {
  if (call.body.is_object() && call.body.get_object().empty()) return fault(400, "Empty PATCH request.");
  if (const auto read = patch_machine_config({}, call.body); !read) return bad_json(read.error());
  return answer(call.vm.patch_machine(call.body));
}

ApiAnswer put_snapshot(Call& call) {
  if (call.id.empty()) return fault(400, "Missing snapshot operation type.");
  if (call.id == "create")
    return with(call, parse_snapshot_create, [](MicroVm& vm, const SnapshotCreate& s) { return vm.snapshot(s); });
  if (call.id == "load")
    return with(call, parse_snapshot_load, [](MicroVm& vm, const SnapshotLoad& s) { return vm.load(s); });
  return fault(400, cat("Invalid request method and/or path: PUT /snapshot/", call.id, "."));
}

// 413 where the document would be too large, else 400.
ApiAnswer answer_metadata(Result<> done) {
  if (done) return {};
  if (done.error().code() == EFBIG) return fault(413, cat("MMDS limit exceeded error: ", done.error().message()));
  return fault(400, cat("MMDS error: ", done.error().message()));
}

ApiAnswer put_mmds(Call& call) {
  if (call.id.empty()) return answer_metadata(call.vm.metadata().put(call.body));
  if (call.id != "config") return fault(400, cat("Unrecognized PUT request path `", call.id, "`."));
  return with(call, parse_mmds, [](MicroVm& vm, MmdsConfig m) { return vm.set_mmds(std::move(m)); });
}

struct Route {
  std::string_view method, resource;
  Handler handler;
};
constexpr Route kRoutes[] = {
    {"GET", "", get_instance},
    {"GET", "version", [](Call&) { return data({{"firecracker_version", kVersion}}); }},
    {"GET", "vm", [](Call& c) { return data(to_json(c.vm.config())); }},
    {"GET", "machine-config", [](Call& c) { return data(to_json(c.vm.config().machine)); }},
    {"GET", "metrics", [](Call& c) { return data(c.vm.metrics()); }},  // Proa's own
    {"GET", "mmds", [](Call& c) { return ApiAnswer{200, c.vm.metadata().document()}; }},
    {"PUT", "mmds", put_mmds},
    {"PATCH", "mmds", [](Call& c) { return answer_metadata(c.vm.metadata().patch(c.body)); }},
    {"PUT", "console",  // Proa's own
     [](Call& c) {
       return with(c, parse_console, [](MicroVm& vm, const ConsoleConfig& console) { return vm.set_console(console); });
     }},
    {"PUT", "actions", put_action},
    {"PUT", "boot-source",
     [](Call& c) {
       return with(c, parse_boot_source, [](MicroVm& vm, BootSource s) { return vm.set_boot(std::move(s)); });
     }},
    {"PUT", "machine-config",
     [](Call& c) {
       return with(c, parse_machine_config, [](MicroVm& vm, const MachineConfig& m) { return vm.set_machine(m); });
     }},
    {"PATCH", "machine-config", patch_machine},
    {"PUT", "cpu-config",
     [](Call& c) {
       return with(c, parse_cpu_config, [](MicroVm& vm, CpuTemplate t) { return vm.set_cpu(std::move(t)); });
     }},
    {"PUT", "drives",
     [](Call& c) {
       return with_id(c, parse_drive, &DriveConfig::drive_id,
                      [](MicroVm& vm, DriveConfig d) { return vm.set_drive(std::move(d)); });
     }},
    {"PATCH", "drives",
     [](Call& c) {
       return with_id(c, parse_drive_update, &DriveUpdate::drive_id,
                      [](MicroVm& vm, const DriveUpdate& d) { return vm.update_drive(d); });
     }},
    {"PUT", "network-interfaces",
     [](Call& c) {
       return with_id(c, parse_net, &NetConfig::iface_id,
                      [](MicroVm& vm, NetConfig n) { return vm.set_net(std::move(n)); });
     }},
    {"PATCH", "network-interfaces",
     [](Call& c) {
       return with_id(c, parse_net_update, &NetUpdate::iface_id,
                      [](MicroVm& vm, const NetUpdate& n) { return vm.update_net(n); });
     }},
    {"PUT", "vsock",
     [](Call& c) {
       return with(c, parse_vsock, [](MicroVm& vm, VsockConfig v) { return vm.set_vsock(std::move(v)); });
     }},
    {"PUT", "entropy",
     [](Call& c) {
       return with(c, parse_entropy, [](MicroVm& vm, const EntropyConfig& e) { return vm.set_entropy(e); });
     }},
    {"PUT", "logger",
     [](Call& c) {
       return with(c, parse_logger, [](MicroVm& vm, LoggerConfig l) { return vm.set_logger(std::move(l)); });
     }},
    {"PUT", "metrics",
     [](Call& c) {
       return with(c, parse_metrics, [](MicroVm& vm, MetricsConfig m) { return vm.set_metrics(std::move(m)); });
     }},
    {"PUT", "serial",
     [](Call& c) {
       return with(c, parse_serial, [](MicroVm& vm, SerialConfig s) { return vm.set_serial(std::move(s)); });
     }},
    {"PUT", "snapshot", put_snapshot},
    {"PATCH", "vm", patch_vm},
};

// What Firecracker marks so.
bool is_deprecated(std::string_view method, std::string_view resource, const Call& call) {
  const auto* fields = call.body.if_object();
  if (fields == nullptr) return false;
  const auto has = [&](std::string_view name) { return fields->contains(name); };
  if (resource == "machine-config") return has("cpu_template");
  if (resource == "vsock") return has("vsock_id");
  if (resource == "snapshot") return call.id == "load" && (has("mem_file_path") || has("enable_diff_snapshots"));
  if (resource != "mmds" || method != "PUT" || call.id != "config") return false;
  const auto* version = fields->if_contains("version");
  return version == nullptr || *version == document::value("V1");
}

}  // namespace

ApiAnswer answer_api(MicroVm& vm, std::string_view method, std::string_view path, std::string_view body) {
  std::string_view rest = path.substr(0, path.find('?'));
  while (rest.starts_with('/')) rest.remove_prefix(1);
  const std::string_view resource = cut(rest, '/');
  if (method == "GET" && !body.empty()) return fault(400, "GET request cannot have a body.");
  const auto* route =
      std::ranges::find_if(kRoutes, [&](const Route& r) { return r.method == method && r.resource == resource; });
  if ((method == "PUT" || method == "PATCH") && body.empty()) return fault(400, cat("Empty ", method, " request."));
  const bool takes_config = resource == "vm" && method == "GET";
  if (route == std::end(kRoutes) || (takes_config && rest != "config"))
    return fault(400, cat("Invalid request method and/or path: ", method, " ", resource, "."));
  Call call{.vm = vm, .id = rest, .body = nullptr};
  if (!body.empty()) {
    auto parsed = json::parse(body, {.max_bytes = kMaxBody, .max_depth = 16});
    if (!parsed) return bad_json(parsed.error());
    call.body = std::move(*parsed);
  }
  ApiAnswer done = route->handler(call);
  done.deprecated = is_deprecated(method, resource, call);
  return done;
}

struct ApiServer::State {
  std::unique_ptr<net::Loops> loops;
  std::unique_ptr<net::Server> server;
};

ApiServer::ApiServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

ApiServer::~ApiServer() {
  if (state_->server) state_->server->stop();
}

Result<std::unique_ptr<ApiServer>> ApiServer::listen(MicroVm& vm, const std::string& path) {
  auto state = std::make_unique<State>();
  state->loops = TRY(net::Loops::start({.threads = 1, .blocking_threads = 2}));
  net::Server::Options options;
  options.max_body_bytes = kMaxBody;
  state->server = std::make_unique<net::Server>(
      *state->loops,
      [&vm](net::Request& request, net::Response& response) -> net::Task<Result<>> {
        const std::string body = CO_TRY(co_await request.read_all(kMaxBody));
        // Pausing and saving take time that other connections do not have.
        const ApiAnswer done =
            co_await net::blocking([&] { return answer_api(vm, request.method(), request.target(), body); });
        if (done.deprecated) response.headers.add("Deprecation", "true");
        if (done.body.empty()) {
          response.status = done.status;
          co_return co_await response.send();
        }
        co_return co_await response.send(done.status, "application/json", done.body);
      },
      options);
  net::Endpoint endpoint;
  endpoint.path = path;
  TRY_CTX(state->server->listen(endpoint), "API socket ", path);
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(state)));
}

}  // namespace proa::vmm
