// What becomes of a container's output: how the shim keeps it, who reads it, and where it is sent.
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/log.h"
#include "engine/engine.h"
#include "engine/shim_client.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "logs/forward/forwarder.h"
#include "logs/forward/position.h"
#include "logs/options.h"

namespace proa::engine {
namespace {

constexpr const char* kForwardRole = "__logs";
constexpr const char* kCompressRole = "__compress";
constexpr int kLastPatience = 5000;  // milliseconds for what is unsent when a container is removed

// The shim's children are in its mount namespace. One that may outlive it must not keep the container's mounts there.
Result<> leave_mounts(const std::string& bundle) {
  if (::unshare(CLONE_NEWNS) != 0) return fail_errno(errno, "make a mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return fail_errno(errno, "make mounts private");
  (void)::umount2((bundle + "/rootfs").c_str(), MNT_DETACH);
  for (const std::string& point : kernel::names_in(bundle + "/mounts").value_or(Strings{}))
    (void)::umount2(cat(bundle, "/mounts/", point).c_str(), MNT_DETACH);
  return {};
}

}  // namespace

logs::Subject Engine::log_subject(const Container& container) const {
  const Resolved& r = container.resolved;
  return {.id = container.id,
          .name = container.name,
          .created = container.created,
          .image_id = r.image_id,
          .image_name = container.config.image.empty() ? container.config.rootfs : container.config.image,
          .args = r.args,
          .env = r.env,
          .labels = r.labels,
          .log_path = log_path(container.id)};
}

// Logs are rotated unless the user says otherwise: nobody wants a disk full of them.
Result<> Engine::set_log(const Container& container, ShimRequest& request) {
  const LogConfig& log = container.config.log;
  const logs::Storage storage = logs::storage_of(log.driver, log.options);
  if (!storage.enabled) return {};
  request.log = log_path(container.id);
  request.log_format = storage.cri ? "cri" : "json-file";
  request.log_max_size = storage.max_size;
  request.log_max_files = storage.max_files;
  request.log_buffer = storage.buffer;
  const std::string program = TRY(own_program());
  if (storage.compress) request.log_rotated = {program, kCompressRole};
  if (log.driver == "json-file" && !log.options.empty())
    if (const auto attributes = TRY(logs::attributes_of(log_subject(container), log.options)); !attributes.empty())
      request.log_attrs = logs::details_json(attributes);
  if (!logs::is_forwarded(log.driver)) return {};
  TRY(logs::check_receiver(log.driver, log.options));
  request.companion = {program, kForwardRole, container.id};
  return {};
}

Result<> Engine::read_log(const Container& container, logs::LogQuery query, bool details, const logs::LogSink& sink) {
  const LogConfig& log = container.config.log;
  const logs::Storage storage = logs::storage_of(log.driver, log.options);
  if (!storage.readable) return Failure(Error("configured logging driver does not support reading", ENOTSUP));
  if (details) {
    // json-file has them in each record, as they were then.
    query.details.emplace();
    if (logs::is_forwarded(log.driver))
      query.details = logs::details_text(TRY(logs::attributes_of(log_subject(container), log.options)));
  }
  const auto ended = [&] {
    const auto now = inspect(container.id);
    return !now || !is_running(now->state);
  };
  return logs::read_logs(log_path(container.id), storage.cri, query, sink, ended);
}

Result<> Engine::forward_log(const std::string& id, bool last) {
  const auto found = records_.load(id);
  if (!found) return {};  // removed already
  const Container& container = *found;
  const LogConfig& log = container.config.log;
  if (!logs::is_forwarded(log.driver)) return fail("the log of ", container.name, " is not sent anywhere");
  if (const auto left = leave_mounts(folders_.bundle(id)); !left) log::debug(left.error().message());
  const std::string shim = folders_.shim(id);
  return logs::forward({.folder = folders_.container(id),
                        .path = log_path(id),
                        .driver = log.driver,
                        .options = log.options,
                        .subject = log_subject(container),
                        .shim = shim,
                        .last = last,
                        .run = [shim] { return shim_wait(shim).value_or(Fd()); }});
}

void Engine::go_on_forwarding(const Container& container) {
  if (!logs::is_forwarded(container.config.log.driver)) return;
  const std::string path = log_path(container.id);
  if (logs::sender_of(path) || logs::all_sent(path)) return;
  if (const auto program = own_program()) (void)start_detached({*program, kForwardRole, container.id});
}

void Engine::finish_forwarding(const Container& container) {
  if (!logs::is_forwarded(container.config.log.driver)) return;
  logs::finish(log_path(container.id), kLastPatience, [&]() -> Result<pid_t> {
    return start_child({TRY(own_program()), kForwardRole, container.id, "--last"});
  });
}

}  // namespace proa::engine
