// run, create, start, attach, exec: what puts a program into a container and one's terminal before it.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>

#include "base/ids.h"
#include "cli/container_commands.h"
#include "cli/container_flags.h"
#include "cli/foreign_flags.h"
#include "cli/image_remote.h"
#include "cli/print.h"
#include "engine/attach.h"
#include "engine/engine.h"
#include "kernel/file.h"
#include "logs/files.h"

namespace proa::cli {
namespace {

using engine::AttachEnd;
using engine::AttachOptions;
using engine::AttachSession;
using engine::ContainerConfig;
using engine::Engine;

constexpr int kNotExecutable = 126, kNotFound = 127, kFailed = 125;

void complain(std::string_view text) {
  [[maybe_unused]] const ssize_t wrote = ::write(STDERR_FILENO, text.data(), text.size());
}

Result<> write_cidfile(const std::string& path, const std::string& id) {
  Fd file = TRY_CTX(kernel::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644), "--cidfile");
  return kernel::write_all(file.get(), id);
}

Result<> check_cidfile(const std::string& path) {
  if (!path.empty() && kernel::path_exists(path.c_str()))
    return fail("container ID file found, make sure the other container isn't running or delete ", path);
  return {};
}

bool lacks_image(const Error& error, const ContainerConfig& config) {
  if (config.image.empty()) return false;
  // Other things may be missing, too; and it may be here for other platforms only.
  return error.message().find("was found but its platform") != std::string::npos ||
         error.message().find("no such image") != std::string::npos ||
         error.message().find("has no image for") != std::string::npos;
}

Error no_image(const ContainerConfig& config) {
  return Error(cat("Unable to find image '", config.image, "' locally"), ENOENT);
}

// By --pull: before anything else, when the image is not here, or never. The engine forks later: no thread of the pull
// is left then.
Result<engine::Created> create(Engine& engine, const Invocation& in, const ContainerConfig& config) {
  const std::string when = in.text("pull");
  const auto pull = [&] {
    return pull_for_run(config.image, config.platform, engine.folders().images(), in.on("quiet"));
  };
  if (when == "always" && !config.image.empty()) TRY(pull());
  auto made = engine.create(config, in.text("name"));
  if (made || !lacks_image(made.error(), config)) return made;
  if (when != "missing")
    return std::unexpected(
        no_image(config).hint("pull it (`proa pull`), or load it (`proa load`); `proa images` lists what is here"));
  if (!in.on("quiet")) complain(cat(no_image(config).message(), "\n"));
  TRY(pull());
  return engine.create(config, in.text("name"));
}

Result<engine::Created> make(Engine& engine, const Invocation& in, const ContainerConfig& config) {
  const std::string cidfile = in.text("cidfile");
  TRY(check_cidfile(cidfile));
  auto made = create(engine, in, config);
  if (!made) return made;
  for (const std::string& warning : made->warnings) complain(cat("WARNING: ", warning, "\n"));
  if (!cidfile.empty()) {
    if (const auto written = write_cidfile(cidfile, made->id); !written) {
      (void)engine.remove(made->id, {.force = true, .volumes = true});
      return std::unexpected(written.error());
    }
  }
  return made;
}

// "-a stdout -a stderr"; nothing named: output, and input if it is open.
Result<AttachOptions> attach_options(const Invocation& in, const ContainerConfig& config) {
  AttachOptions out{.in = config.open_stdin, .tty = config.tty, .detach_keys = in.text("detach-keys")};
  out.proxy_signals = in.on("sig-proxy");
  TRY(engine::parse_detach_keys(out.detach_keys));
  const std::vector<std::string> named = in.texts("attach");
  if (named.empty()) return out;
  out.in = out.out = out.err = false;
  for (std::string stream : named) {
    std::ranges::transform(stream, stream.begin(), [](unsigned char c) { return std::tolower(c); });
    if (stream == "stdin")
      out.in = true;
    else if (stream == "stdout")
      out.out = true;
    else if (stream == "stderr")
      out.err = true;
    else
      return fail("valid streams are STDIN, STDOUT and STDERR");
  }
  return out;
}

int start_status(const Error& error) {
  if (!error.message().starts_with("exec")) return kFailed;
  return error.code() == ENOENT ? kNotFound : error.code() == EACCES ? kNotExecutable : kFailed;
}

// Follows the streams to the end; then the container is as its record says.
Result<int> follow(Engine& engine, AttachSession& session, const std::string& id, bool removed_at_end) {
  const AttachEnd end = TRY(session.run());
  if (end.detached) return 0;
  const auto waited = engine.wait(id, removed_at_end ? engine::WaitFor::kRemoved : engine::WaitFor::kNotRunning);
  if (end.exit_code) return *end.exit_code;
  return waited;
}

}  // namespace

Result<int> container_create(const Invocation& in) {
  const ContainerConfig config = TRY(read_config(in));
  Engine engine = TRY(Engine::open());
  const engine::Created made = TRY(make(engine, in, config));
  TRY(print_text(made.id + "\n"));
  return 0;
}

Result<int> container_run(const Invocation& in) {
  ContainerConfig config = TRY(read_config(in));
  const bool detach = in.on("detach");
  if (detach && in.is_set("attach")) return fail("Conflicting options: -a and -d");
  if (config.tty && config.open_stdin && !detach && ::isatty(STDIN_FILENO) == 0)
    return fail("the input device is not a TTY");
  AttachOptions attach = TRY(attach_options(in, config));
  attach.in_once = config.stdin_once = config.open_stdin && !detach;
  Engine engine = TRY(Engine::open());
  const engine::Created made = TRY(make(engine, in, config));

  std::optional<AttachSession> session;
  engine::StartOptions options;
  if (!detach)
    options.before = [&](const std::string& shim) -> Result<> {
      session.emplace(TRY(AttachSession::connect(shim, attach)));
      return {};
    };
  if (const auto started = engine.start(made.id, options); !started) {
    if (config.auto_remove) (void)engine.remove(made.id, {.force = true, .volumes = true});
    print_error(started.error());
    return start_status(started.error());
  }
  if (detach) {
    TRY(print_text(made.id + "\n"));
    return 0;
  }
  return follow(engine, *session, made.id, config.auto_remove);
}

Result<int> container_start(const Invocation& in) {
  TRY(refuse_checkpoints(in));
  Engine engine = TRY(Engine::open());
  const bool attach = in.on("attach") || in.on("interactive");
  if (attach && in.arguments().size() > 1) return fail("you cannot start and attach multiple containers at once");
  if (attach) {
    const engine::Container container = TRY(engine.inspect(in.argument(0)));
    AttachOptions how{.in = in.on("interactive") && container.config.open_stdin,
                      .tty = container.config.tty,
                      .in_once = container.config.stdin_once,
                      .detach_keys = in.text("detach-keys")};
    std::optional<AttachSession> session;
    engine::StartOptions options;
    options.before = [&](const std::string& shim) -> Result<> {
      session.emplace(TRY(AttachSession::connect(shim, how)));
      return {};
    };
    if (is_running(container.state))
      session.emplace(TRY(AttachSession::connect(engine.folders().shim(container.id), how)));
    else
      TRY(engine.start(container.id, options));
    return follow(engine, *session, container.id, container.config.auto_remove);
  }
  int status = 0;
  for (const std::string& name : in.arguments()) {
    if (const auto started = engine.start(name); !started) {
      print_error(started.error(), started.error().code() == ENOENT ? "" : name);
      status = 1;
      continue;
    }
    TRY(print_text(name + "\n"));
  }
  return status;
}

Result<int> container_attach(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  const engine::Container container = TRY(engine.inspect(in.argument(0)));
  if (container.state.status == "paused") return fail("You cannot attach to a paused container, unpause it first");
  if (!is_running(container.state)) return fail("You cannot attach to a stopped container, start it first");
  AttachOptions how{.in = container.config.open_stdin && !in.on("no-stdin"),
                    .tty = container.config.tty,
                    .in_once = container.config.stdin_once,
                    .proxy_signals = in.on("sig-proxy"),
                    .detach_keys = in.text("detach-keys")};
  AttachSession session = TRY(AttachSession::connect(engine.folders().shim(container.id), how));
  return follow(engine, session, container.id, container.config.auto_remove);
}

Result<int> container_exec(const Invocation& in) {
  const bool detach = in.on("detach");
  engine::ExecConfig config{.args = {in.arguments().begin() + 1, in.arguments().end()},
                            .env = TRY(read_env(in)),
                            .user = in.text("user"),
                            .working_dir = in.text("workdir"),
                            .detach_keys = in.text("detach-keys"),
                            .tty = in.on("tty"),
                            .stdin = in.on("interactive") && !detach,
                            .privileged = in.on("privileged"),
                            .forget = !detach};
  if (config.tty && config.stdin && ::isatty(STDIN_FILENO) == 0) return fail("the input device is not a TTY");
  TRY(engine::parse_detach_keys(config.detach_keys));
  Engine engine = TRY(Engine::open());
  const std::string id = TRY(engine.exec_create(in.argument(0), config));
  const std::string shim = TRY(engine.exec_shim(id));  // it may be gone as soon as it is started
  auto started = engine.exec_start(id, detach);
  if (!started) {
    const int status = start_status(started.error());
    if (status == kFailed) return std::unexpected(std::move(started).error());
    print_error(started.error());
    return status;
  }
  if (detach) return 0;
  const AttachOptions how{.in = config.stdin,
                          .err = !config.tty,
                          .tty = config.tty,
                          .proxy_signals = false,
                          .detach_keys = config.detach_keys};
  AttachSession session = TRY(AttachSession::adopt(*std::move(started), shim, how));
  const AttachEnd end = TRY(session.run());
  if (end.detached) return 0;
  if (!end.exit_code) return fail("the connection to the program was lost");
  return *end.exit_code;
}

Result<int> engine_exited(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  TRY(in.arguments().size() > 1 ? engine.exec_exited(in.argument(0), in.argument(1)) : engine.exited(in.argument(0)));
  return 0;
}

Result<int> engine_forward_log(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  TRY(engine.forward_log(in.argument(0), in.on("last")));
  return 0;
}

Result<int> engine_compress(const Invocation& in) {
  // Nobody renames the log's files while the shim waits for us; once it is gone somebody may.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return fail_errno(errno, "prctl");
  TRY(logs::compress(in.argument(0)));
  return 0;
}

Result<int> engine_health(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  TRY(engine.check_health(in.argument(0)));
  return 0;
}

}  // namespace proa::cli
