// Execs: more programs in running containers, each held by a shim of its own.
//
//   RUN/ID/exec/EXEC/   config.json, process.json, shim/ once it is started
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/ids.h"
#include "base/json.h"
#include "base/text.h"
#include "engine/attach.h"
#include "engine/codec.h"
#include "engine/engine.h"
#include "engine/shim_client.h"
#include "engine/spec_builder.h"
#include "engine/users.h"
#include "kernel/capability.h"
#include "kernel/file.h"

namespace proa::engine {
namespace {

namespace bj = boost::json;

constexpr std::chrono::minutes kRemembered{5};

// The "process" object for one exec.
Result<std::string> process_document(const Container& c, const ExecConfig& request, int root) {
  const ResolvedUser user =
      TRY(resolve_user(root, request.user.empty() ? c.resolved.user : request.user, c.config.group_add));
  ContainerConfig config = c.config;
  if (request.privileged) config.privileged = true;
  bj::array caps, args, env, groups;
  for (const std::string& name : kernel::capability_names_of(TRY(capabilities_of(config)))) caps.emplace_back(name);
  for (const std::string& word : request.args) args.emplace_back(word);
  Strings all = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=" + c.config.hostname};
  if (request.tty) all.emplace_back("TERM=xterm");
  all.insert(all.end(), c.resolved.env.begin(), c.resolved.env.end());
  all.insert(all.end(), request.env.begin(), request.env.end());
  bool home = false;
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string name = all[i].substr(0, all[i].find('='));
    const bool later = std::any_of(all.begin() + static_cast<long>(i) + 1, all.end(),
                                   [&](const std::string& e) { return e.substr(0, e.find('=')) == name; });
    home |= name == "HOME";
    if (!later && all[i].find('=') != std::string::npos) env.emplace_back(all[i]);
  }
  if (!home) env.emplace_back("HOME=" + user.home);
  for (const uint32_t gid : user.groups) groups.push_back(gid);
  std::string cwd = request.working_dir.empty() ? c.resolved.working_dir : request.working_dir;
  if (cwd.empty()) cwd = "/";
  bj::object out = {{"terminal", request.tty},
                    {"user", {{"uid", user.uid}, {"gid", user.gid}, {"additionalGids", std::move(groups)}}},
                    {"args", std::move(args)},
                    {"env", std::move(env)},
                    {"cwd", cwd},
                    {"capabilities", {{"bounding", caps}, {"effective", caps}, {"permitted", caps}}}};
  for (const std::string& option : c.config.security_opt)
    if (option.starts_with("no-new-privileges")) out["noNewPrivileges"] = !option.ends_with("false");
  return json::to_line(out);
}

std::string words(const Strings& args) {
  std::string out;
  for (const std::string& word : args) out += cat(out.empty() ? "" : " ", word);
  return out;
}

Failure no_exec(const std::string& exec) { return Failure(Error(cat("No such exec instance: ", exec), ENOENT)); }

bool is_exec_id(const std::string& id) {
  return id.size() == 64 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Ended so long ago that nobody asks.
bool forgotten(const std::string& folder) {
  struct stat info{};
  if (::stat((folder + "/shim/exit").c_str(), &info) != 0) return false;
  return Clock::system().wall() - WallTime(std::chrono::seconds(info.st_mtim.tv_sec)) > kRemembered;
}

}  // namespace

Result<Fd> Engine::open_root(const Container& container) {
  const Status status = status_of(container.state);
  if ((status == Status::kRunning || status == Status::kPaused) && container.state.pid != 0)
    if (auto root = kernel::open(cat("/proc/", container.state.pid, "/root").c_str(), O_PATH | O_DIRECTORY))
      return root;
  if (container.resolved.snapshot.empty()) return kernel::open(container.config.rootfs.c_str(), O_RDONLY | O_DIRECTORY);
  return images_.mount(container.resolved.snapshot);
}

Result<Fd> Engine::open_own_files(const Container& container) {
  const Status status = status_of(container.state);
  if ((status == Status::kRunning || status == Status::kPaused) && container.state.pid != 0)
    return mount_of_process(static_cast<pid_t>(container.state.pid), "/");
  return open_root(container);
}

Result<std::string> Engine::exec_document(const Container& container, const ExecConfig& config) {
  if (status_of(container.state) == Status::kPaused)
    return fail("Container ", container.id, " is paused, unpause the container before exec");
  if (status_of(container.state) != Status::kRunning) return fail("container ", container.id, " is not running");
  const Fd root = TRY(open_root(container));
  return process_document(container, config, root.get());
}

Result<std::string> Engine::exec_create(const std::string& reference, const ExecConfig& config) {
  const Container container = TRY(inspect(reference));
  if (config.args.empty()) return fail("No exec command specified");
  const std::string document = TRY(exec_document(container, config));
  const std::string all = folders_.execs(container.id);
  std::string id = TRY(random_id());
  for (const std::string& old : kernel::names_in(all).value_or(Strings{}))
    if (forgotten(cat(all, "/", old))) (void)kernel::remove_tree(cat(all, "/", old));
  const std::string folder = cat(all, "/", id);
  TRY(kernel::make_dirs(folder, 0711));
  TRY(kernel::replace_file(folder + "/process.json", document, 0600));
  TRY(kernel::replace_file(folder + "/config.json", emit_exec(config), 0600));
  tell(container, "exec_create: " + words(config.args), {{"execID", id}});
  return id;
}

// An exec's id says nothing of its container: those that run are looked through.
Result<std::string> Engine::exec_home(const std::string& exec) const {
  if (!is_exec_id(exec)) return no_exec(exec);
  for (std::string& id : TRY(kernel::names_in(folders_.run)))
    if (kernel::path_exists(cat(folders_.execs(id), "/", exec, "/config.json").c_str())) return std::move(id);
  return no_exec(exec);
}

Result<std::string> Engine::exec_shim(const std::string& exec) const {
  const std::string home = TRY(exec_home(exec));
  return cat(folders_.execs(home), "/", exec, "/shim");
}

Result<Fd> Engine::exec_start(const std::string& exec, bool detach) {
  const std::string home = TRY(exec_home(exec));
  const Container container = TRY(inspect(home));
  const std::string folder = cat(folders_.execs(container.id), "/", exec), shim = folder + "/shim";
  const std::string text = TRY(kernel::read_file((folder + "/config.json").c_str()));
  const ExecConfig config = TRY(parse_exec(text));
  if (status_of(container.state) != Status::kRunning) return fail("container ", container.id, " is not running");
  // Whoever makes the shim's folder starts it; nobody does so twice.
  if (::mkdir(shim.c_str(), 0700) != 0) {
    if (errno == EEXIST) return fail("exec ", exec, " has already been started");
    return fail_errno(errno, "exec ", exec);
  }
  Fd ours, theirs;
  if (!detach) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno(errno, "socketpair");
    ours = Fd(ends[0]), theirs = Fd(ends[1]);
    TRY(kernel::write_all(ours.get(), attach_line(config.stdin, true, !config.tty) + "\n"));
  }
  tell(container, "exec_start: " + words(config.args), {{"execID", exec}});
  auto made = start_shim({.id = container.id,
                          .state = shim,
                          .runtime_root = folders_.runtime(),
                          .exec = folder + "/process.json",
                          .first_client = theirs.get(),
                          .terminal = config.tty,
                          .in = config.stdin && !detach,
                          .in_once = config.stdin,
                          .exit_command = {TRY(own_program()), "__exited", container.id, exec}});
  if (!made) {
    (void)kernel::remove_tree(folder);
    return std::unexpected(program_error(std::move(made).error()));
  }
  theirs.reset();
  if (!detach) TRY(await_greeting(ours.get()));
  return ours;
}

Result<Exec> Engine::exec_inspect(const std::string& exec) {
  Exec out{.id = exec, .container = TRY(exec_home(exec)), .config = {}};
  const std::string folder = cat(folders_.execs(out.container), "/", exec), shim = folder + "/shim";
  const std::string text = TRY(kernel::read_file((folder + "/config.json").c_str()));
  out.config = TRY(parse_exec(text));
  const ShimPhase phase = shim_phase(shim);
  out.started = kernel::path_exists(shim.c_str());
  if (phase == ShimPhase::kHeld) {  // the pid is told when the program is there
    const std::string pid = kernel::read_file((shim + "/pid").c_str()).value_or("");
    out.pid = parse_number<int64_t>(pid.substr(0, pid.find('\n'))).value_or(0);
    out.running = out.pid != 0;
  } else if (phase == ShimPhase::kEnded) {
    out.exit_code = TRY(read_exit(shim)).exit_code;
  } else if (phase == ShimPhase::kKilled) {
    out.exit_code = 137;
  }
  return out;
}

Result<> Engine::exec_resize(const std::string& exec, unsigned rows, unsigned columns) {
  const std::string shim = TRY(exec_shim(exec));
  if (shim_phase(shim) != ShimPhase::kHeld) return fail("exec ", exec, " is not running");
  TRY(shim_command(shim, cat("resize ", rows, " ", columns)));
  return {};
}

std::vector<std::string> Engine::exec_ids(const std::string& container_id) const {
  const std::string all = folders_.execs(container_id);
  Strings out = kernel::names_in(all).value_or(Strings{});
  std::erase_if(out, [&](const std::string& id) {
    const ShimPhase phase = shim_phase(cat(all, "/", id, "/shim"));
    return phase == ShimPhase::kEnded || phase == ShimPhase::kKilled;
  });
  return out;
}

Result<> Engine::exec_exited(const std::string& container_id, const std::string& exec) {
  const std::string folder = cat(folders_.execs(container_id), "/", exec);
  const auto text = kernel::read_file((folder + "/config.json").c_str());
  if (!text) return {};  // its container has ended, too
  const ExecConfig config = TRY(parse_exec(*text));
  const ExitRecord end = TRY(read_exit(folder + "/shim"));
  const Container container = TRY(records_.load(container_id));
  tell(container, "exec_die", {{"execID", exec}, {"exitCode", std::to_string(end.exit_code)}});
  return config.forget ? kernel::remove_tree(folder) : Result<>();
}

}  // namespace proa::engine
