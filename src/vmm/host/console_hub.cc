#include "vmm/host/console_hub.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/file.h"
#include "net/socket.h"

namespace proa::vmm {

Result<std::unique_ptr<ConsoleHub>> ConsoleHub::listen(const std::string& path, const std::string& log,
                                                       std::function<void(std::string_view)> type) {
  std::unique_ptr<ConsoleHub> hub(new ConsoleHub);
  hub->path_ = path;
  hub->type_ = std::move(type);
  hub->log_ = TRY(kernel::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600));
  net::Endpoint endpoint;
  endpoint.path = path;
  hub->listener_ = TRY(net::listen_on(endpoint));
  hub->reactor_ = TRY(Reactor::create());
  hub->listening_ =
      TRY(hub->reactor_->watch(hub->listener_.get(), EPOLLIN, [raw = hub.get()](uint32_t) { raw->accept(); }));
  hub->reactor_->start("console");
  return hub;
}

ConsoleHub::~ConsoleHub() {
  if (reactor_) {
    const auto held = reactor_->lock();
    listening_.stop();
    guests_.clear();
  }
  reactor_.reset();
  ::unlink(path_.c_str());
}

void ConsoleHub::accept() {
  Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket) return;
  const int id = socket.get();
  auto watch = reactor_->watch(id, EPOLLIN, [this, id](uint32_t) { hear(id); });
  if (!watch) return;
  const std::lock_guard lock(mutex_);
  ::send(id, backlog_.data(), backlog_.size(), MSG_NOSIGNAL);
  guests_[id] = {.socket = std::move(socket), .watch = std::move(*watch)};
}

void ConsoleHub::hear(int id) {
  char text[4096];
  const ssize_t got = ::read(id, text, sizeof text);
  if (got > 0) return type_({text, static_cast<size_t>(got)});
  if (got < 0 && errno == EAGAIN) return;
  const std::lock_guard lock(mutex_);
  guests_.erase(id);
}

void ConsoleHub::say(std::string_view text) {
  const std::lock_guard lock(mutex_);
  static_cast<void>(!::write(log_.get(), text.data(), text.size()));
  backlog_ += text;
  if (backlog_.size() > 2 * kBacklog) backlog_.erase(0, backlog_.size() - kBacklog);
  for (const auto& [id, guest] : guests_) ::send(id, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace proa::vmm
