#include "vmm/host/guest_control.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "base/clock.h"
#include "base/ids.h"
#include "kernel/file.h"
#include "net/socket.h"
#include "vmm/devices/reactor.h"
#include "vmm/memory/guest_memory.h"

namespace proa::vmm {

using guest::Kind;

Result<std::unique_ptr<GuestControl>> GuestControl::listen(const std::string& vsock, std::string go, Hooks hooks) {
  std::unique_ptr<GuestControl> control(new GuestControl);
  control->path_ = cat(vsock, "_", guest::kControlPort);
  control->go_ = std::move(go);
  control->hooks_ = std::move(hooks);
  control->listener_ = TRY(net::listen_on({.host = {}, .port = 0, .path = control->path_}, 4));
  control->stop_ = TRY(make_eventfd());
  control->thread_ = std::thread([raw = control.get()] { raw->work(); });
  return control;
}

void GuestControl::stop() {
  if (!thread_.joinable()) return;
  signal_eventfd(stop_.get());
  thread_.join();
  ::unlink(path_.c_str());
}

// False when it is to stop.
bool GuestControl::readable(int fd) const {
  pollfd events[] = {{stop_.get(), POLLIN, 0}, {fd, POLLIN, 0}};
  while (::poll(events, 2, -1) < 0 && errno == EINTR) {
  }
  // The last words count even when the machine is gone.
  return events[1].revents != 0;
}

void GuestControl::work() {
  while (readable(listener_.get())) {
    Fd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection) converse(GuestLink(std::move(connection)));
  }
}

// With what it cannot know when it goes on from a snapshot: the time, and randomness that no other copy has.
Result<> GuestControl::tell(GuestLink& link, std::string_view fields) {
  constexpr size_t kSeedBytes = 32;
  GuestFields more;
  more.add("seed", TRY(random_hex(kSeedBytes)));
  more.add("time", cat(Clock::system().wall().time_since_epoch().count()));
  told_ = true;
  return link.send(Kind::kGo, cat(fields, more.text()));
}

// One connection, until it or the machine ends. A guest that was restored from a snapshot makes another.
void GuestControl::converse(GuestLink link) {
  while (readable(link.fd())) {
    const auto message = link.receive();
    if (!message) return;
    uint32_t number = 0;
    if (message->payload.size() == sizeof number) std::memcpy(&number, message->payload.data(), sizeof number);
    switch (message->kind) {
      case Kind::kReady:
        if (hooks_.ready) std::exchange(hooks_.ready, nullptr)();
        if (!tell(link, go_)) return;
        break;
      case Kind::kUp:
        // From a guest that was set up before it came here.
        if (!told_ && !tell(link, {})) return;
        if (hooks_.up) std::exchange(hooks_.up, nullptr)();
        break;
      case Kind::kFail:
        if (hooks_.failed) hooks_.failed(message->payload);
        break;
      case Kind::kEnd:
        status_ = static_cast<int>(number & 0xff);
        static_cast<void>(link.send(Kind::kEnd));
        break;
      default: return;
    }
  }
}

}  // namespace proa::vmm
