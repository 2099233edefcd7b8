#include "engine/events.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "kernel/file.h"

namespace proa::engine {
namespace {

constexpr const char* kFile = "/log";
constexpr const char* kOldFile = "/log.1";
constexpr off_t kLargest = 16 << 20;  // then it becomes the old one

std::string line_of(const Event& event) {
  boost::json::object attributes;
  for (const auto& [name, value] : event.attributes) attributes[name] = value;
  const int64_t nanoseconds = event.time.time_since_epoch().count();
  boost::json::object out;
  if (event.type == "container") {
    out["status"] = event.action;
    out["id"] = event.actor;
    if (const auto image = event.attributes.find("image"); image != event.attributes.end()) out["from"] = image->second;
  }
  out["Type"] = event.type;
  out["Action"] = event.action;
  out["Actor"] = {{"ID", event.actor}, {"Attributes", std::move(attributes)}};
  out["scope"] = "local";
  out["time"] = nanoseconds / 1000000000;
  out["timeNano"] = nanoseconds;
  return json::to_line(out) + "\n";
}

Result<> append_line(const std::string& folder, const std::string& line) {
  auto file = kernel::open((folder + kFile).c_str(), O_WRONLY | O_APPEND | O_CREAT, 0640);
  if (!file) {
    TRY(kernel::make_dirs(folder, 0750));
    file = kernel::open((folder + kFile).c_str(), O_WRONLY | O_APPEND | O_CREAT, 0640);
  }
  if (!file) return std::unexpected(file.error());
  struct stat info{};
  if (::fstat(file->get(), &info) == 0 && info.st_size > kLargest) {
    // One of those who see it moves it.
    if (::flock(file->get(), LOCK_EX | LOCK_NB) == 0) ::rename((folder + kFile).c_str(), (folder + kOldFile).c_str());
    file = kernel::open((folder + kFile).c_str(), O_WRONLY | O_APPEND | O_CREAT, 0640);
    if (!file) return std::unexpected(file.error());
  }
  return kernel::write_all(file->get(), line);
}

// The time is the line's last number.
int64_t time_of(std::string_view line) {
  const size_t at = line.rfind("\"timeNano\":");
  if (at == std::string_view::npos) return 0;
  std::string_view rest = line.substr(at + 11);
  return parse_number<int64_t>(cut(rest, '}')).value_or(0);
}

class Tail {
 public:
  Tail(const std::string& folder, const EventQuery& query, const std::function<bool(std::string_view)>& take)
      : folder_(folder), query_(query), take_(take) {}

  Result<> run() {
    Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (query_.follow) {
      TRY(kernel::make_dirs(folder_, 0750));
      ::inotify_add_watch(watch.get(), folder_.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM);
    }
    if (auto old = kernel::open((folder_ + kOldFile).c_str(), O_RDONLY); old && !read_on(old->get())) return {};
    for (;;) {
      if (!file_) {
        auto opened = kernel::open((folder_ + kFile).c_str(), O_RDONLY);
        if (opened) file_ = std::move(*opened);
      }
      if (file_ && !read_on(file_.get())) return {};
      if (moved()) {
        file_.reset();
        continue;
      }
      if (!query_.follow || late()) return {};
      pollfd wait{watch.get(), POLLIN, 0};
      ::poll(&wait, 1, query_.until ? 50 : -1);
      std::array<char, 4096> ignored;
      while (::read(watch.get(), ignored.data(), ignored.size()) > 0) {
      }
    }
  }

 private:
  bool late() const { return query_.until && Clock::system().wall() > *query_.until; }
  bool moved() {
    if (!file_) return false;
    struct stat open_one{}, named{};
    if (::stat((folder_ + kFile).c_str(), &named) != 0 || ::fstat(file_.get(), &open_one) != 0) return false;
    return named.st_ino != open_one.st_ino;
  }
  // False: no more is wanted.
  bool read_on(int fd) {
    std::array<char, 65536> bytes;
    for (;;) {
      const ssize_t got = ::read(fd, bytes.data(), bytes.size());
      if (got <= 0) return true;
      pending_.append(bytes.data(), static_cast<size_t>(got));
      size_t start = 0;
      for (size_t end; (end = pending_.find('\n', start)) != std::string::npos; start = end + 1) {
        const std::string_view line(pending_.data() + start, end - start);
        const int64_t time = time_of(line);
        if (query_.since && time < query_.since->time_since_epoch().count()) continue;
        if (query_.until && time > query_.until->time_since_epoch().count()) return false;
        if (!take_(line)) return false;
      }
      pending_.erase(0, start);
    }
  }

  const std::string& folder_;
  const EventQuery& query_;
  const std::function<bool(std::string_view)>& take_;
  Fd file_;
  std::string pending_;
};

}  // namespace

void Events::append(const Event& event) const {
  if (const auto written = append_line(folder_, line_of(event)); !written)
    log::warning("event log: ", written.error().message());
}

Result<> Events::read(const EventQuery& query, const std::function<bool(std::string_view)>& take) const {
  return Tail(folder_, query, take).run();
}

}  // namespace proa::engine
