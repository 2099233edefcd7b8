#include "kernel/cgroup/oom_watch.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "kernel/cgroup/controllers.h"
#include "kernel/file.h"

namespace proa::kernel::cgroup {

Result<OomWatch> OomWatch::open(const Location& location) {
  const Target target = TRY(find_target(location, "memory", "memory", "out-of-memory events"));
  OomWatch watch;
  watch.folder_ = target.folder.path();
  watch.v2_ = target.v2;
  if (target.v2) {
    watch.seen_ = TRY(target.folder.keyed("memory.events", "oom_kill"));
    watch.fd_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!watch.fd_) return fail_errno(errno, "inotify");
    // cgroup.events changes when the last process leaves, which is how the end is seen: kernfs gives no
    // event for the removal of a folder.
    for (const char* file : {"memory.events", "cgroup.events"}) {
      const std::string path = cat(watch.folder_, "/", file);
      if (::inotify_add_watch(watch.fd_.get(), path.c_str(), IN_MODIFY) < 0) return fail_errno(errno, "watch ", path);
    }
    return watch;
  }
  watch.fd_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!watch.fd_) return fail_errno(errno, "eventfd");
  watch.oom_control_ = TRY(kernel::open(cat(watch.folder_, "/memory.oom_control").c_str(), O_RDONLY));
  TRY(target.folder.set("out-of-memory events", "cgroup.event_control",
                        cat(watch.fd_.get(), ' ', watch.oom_control_.get())));
  return watch;
}

Result<OomWatch::Events> OomWatch::take() { return v2_ ? take_v2() : take_v1(); }

// The kernel also signals the eventfd when the cgroup is removed.
Result<OomWatch::Events> OomWatch::take_v1() {
  uint64_t count = 0;
  const ssize_t got = ::read(fd_.get(), &count, sizeof count);
  if (got < 0 && errno != EAGAIN) return fail_errno(errno, "read the eventfd");
  Events events;
  events.gone = !Folder(folder_).has("memory.oom_control");
  events.ooms = got > 0 ? count - (events.gone && count > 0 ? 1 : 0) : 0;
  return events;
}

Result<OomWatch::Events> OomWatch::take_v2() {
  alignas(inotify_event) char buffer[4096];
  while (::read(fd_.get(), buffer, sizeof buffer) > 0) {
  }
  Events events;
  const Folder folder(folder_);
  const auto count = folder.keyed("memory.events", "oom_kill");
  if (!count) {
    if (count.error().code() != ENOENT && count.error().code() != ENODEV) return std::unexpected(count.error());
    events.gone = true;
    return events;
  }
  if (*count > seen_) events.ooms = *count - seen_;
  seen_ = *count;
  events.gone = folder.keyed("cgroup.events", "populated").value_or(0) == 0;
  return events;
}

}  // namespace proa::kernel::cgroup
