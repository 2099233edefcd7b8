#include "logs/reader.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include "base/fd.h"
#include "kernel/file.h"
#include "logs/details.h"
#include "logs/files.h"
#include "logs/line.h"

namespace proa::logs {
namespace {

constexpr size_t kBatch = 256u << 10;

class Printer {
 public:
  Printer(bool cri, const LogQuery& query, const LogSink& sink) : cri_(cri), query_(query), sink_(sink) {}

  // False: what is asked for ends here.
  Result<bool> print(std::string_view record) {
    Line line;
    if (!parse_line(cri_, record, line)) return true;  // torn by a killed shim
    if (query_.since || query_.until) {
      const auto time = parse_rfc3339(line.time);
      if (time && query_.since && *time < *query_.since) return true;
      if (time && query_.until && *time > *query_.until) return false;
    }
    if (line.error != error_) {
      TRY(flush());
      error_ = line.error;
    }
    if (line_begins_) begin_line(line);
    line_begins_ = !line.partial;
    if (cri_) {
      out_ += line.text;
      if (!line.partial) out_ += '\n';
    } else {
      unescape(line.text, out_);
    }
    if (out_.size() >= kBatch) TRY(flush());
    return true;
  }
  Result<> flush() {
    if (out_.empty()) return {};
    TRY(sink_(error_, out_));
    out_.clear();
    return {};
  }

 private:
  void begin_line(const Line& line) {
    if (query_.timestamps) out_.append(line.time).append(" ");
    if (!query_.details) return;
    // Of one run all are the same.
    if (!line.details.empty() && line.details != details_) {
      details_ = line.details;
      details_text_ = details_text(details_);
    }
    out_.append(line.details.empty() ? *query_.details : details_text_).append(" ");
  }

  bool cri_;
  const LogQuery& query_;
  const LogSink& sink_;
  std::string out_;
  std::string details_, details_text_;
  bool error_ = false, line_begins_ = true;
};

// One file, read from a place on; remembers what is not yet a whole record.
class OpenLog {
 public:
  explicit OpenLog(LogFile file) : file_(std::move(file)) {}
  uint64_t identity() const { return file_.identity; }
  Result<> unpack() { return file_.unpack(); }
  void seek(off_t to) { ::lseek(file_.fd.get(), to, SEEK_SET); }
  void seek_end() { ::lseek(file_.fd.get(), 0, SEEK_END); }

  // False: no more is wanted.
  Result<bool> print_on(Printer& printer) {
    static std::vector<char> buffer(1u << 20);
    TRY(file_.unpack());
    for (;;) {
      const ssize_t got = ::read(file_.fd.get(), buffer.data(), buffer.size());
      if (got < 0) return fail_errno(errno, "read the log");
      if (got == 0) break;
      std::string_view bytes(buffer.data(), static_cast<size_t>(got));
      for (size_t end; (end = bytes.find('\n')) != std::string_view::npos; bytes.remove_prefix(end + 1)) {
        std::string_view record = bytes.substr(0, end);
        if (!pending_.empty()) {
          pending_ += record;
          record = pending_;
        }
        if (!TRY(printer.print(record))) return false;
        pending_.clear();
      }
      pending_ += bytes;
    }
    TRY(printer.flush());
    return true;
  }

  // The place where the last `lines` records begin; what is missing stays in `lines`.
  off_t find_tail(uint64_t& lines) const {
    std::vector<char> buffer(64u << 10);
    off_t at = file_.size;
    bool last = true;
    while (at > 0) {
      const auto take = static_cast<size_t>(std::min<off_t>(at, static_cast<off_t>(buffer.size())));
      at -= static_cast<off_t>(take);
      if (::pread(file_.fd.get(), buffer.data(), take, at) != static_cast<ssize_t>(take)) return 0;
      for (size_t i = take; i-- > 0;) {
        if (buffer[i] != '\n') continue;
        if (last) {
          last = false;  // the end of the last record
          continue;
        }
        if (--lines == 0) return at + static_cast<off_t>(i) + 1;
      }
    }
    if (!last && lines > 0) --lines;
    return 0;
  }

  // Records are in the order of their times: the first that is not before `since` is found by halving.
  off_t find_time(bool cri, WallTime since) const {
    off_t low = 0, high = file_.size;
    std::vector<char> buffer(128u << 10);
    while (high - low > static_cast<off_t>(buffer.size())) {
      const off_t middle = low + (high - low) / 2;
      const ssize_t got = ::pread(file_.fd.get(), buffer.data(), buffer.size(), middle);
      if (got <= 0) return low;
      std::string_view bytes(buffer.data(), static_cast<size_t>(got));
      const size_t begin = bytes.find('\n');
      const size_t end = begin == std::string_view::npos ? begin : bytes.find('\n', begin + 1);
      if (end == std::string_view::npos) return low;
      Line line;
      const std::string_view record = bytes.substr(begin + 1, end - begin - 1);
      const bool read = parse_line(cri, record, line);
      const auto time = read ? parse_rfc3339(line.time) : Result<WallTime>(fail("torn"));
      if (!time) return low;
      if (*time < since)
        low = middle + static_cast<off_t>(begin) + 1;
      else
        high = middle;
    }
    return low;
  }

 private:
  LogFile file_;
  std::string pending_;
};

std::vector<OpenLog> opened(std::vector<LogFile> files) {
  std::vector<OpenLog> out;
  for (LogFile& file : files) out.emplace_back(std::move(file));
  return out;
}

}  // namespace

Result<> read_logs(const std::string& path, bool cri, const LogQuery& query, const LogSink& sink,
                   const std::function<bool()>& ended) {
  Fd watch;
  if (query.follow) {
    watch = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    const std::string folder = path.substr(0, path.rfind('/'));
    ::inotify_add_watch(watch.get(), folder.c_str(),
                        IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE_SELF);
  }
  Printer printer(cri, query, sink);
  std::vector<OpenLog> files = opened(TRY(open_files(path)));
  size_t first = 0;
  if (query.tail) {
    uint64_t lines = *query.tail;
    first = files.size();
    while (first > 0 && lines > 0) {
      --first;
      TRY(files[first].unpack());
      files[first].seek(files[first].find_tail(lines));
    }
    if (*query.tail == 0 && !files.empty()) {
      first = files.size() - 1;
      files[first].seek_end();
    }
  } else if (query.since) {
    for (OpenLog& file : files) {
      TRY(file.unpack());
      file.seek(file.find_time(cri, *query.since));
    }
  }
  for (size_t i = first; i < files.size(); ++i)
    if (!TRY(files[i].print_on(printer))) return printer.flush();
  while (query.follow) {
    const bool over = ended();
    // What was written before the look at the end is read after it.
    if (!files.empty() && !TRY(files.back().print_on(printer))) return printer.flush();
    const uint64_t now = identity_at(path);
    if (now != 0 && (files.empty() || now != files.back().identity())) {
      // Rotated, once or several times: what was written to each before is read.
      files = opened(TRY(open_newer(path, files.empty() ? 0 : files.back().identity())));
      for (OpenLog& file : files)
        if (!TRY(file.print_on(printer))) return printer.flush();
      continue;
    }
    if (over) break;
    pollfd wait{watch.get(), POLLIN, 0};
    ::poll(&wait, 1, 200);
    std::array<char, 4096> ignored;
    while (::read(watch.get(), ignored.data(), ignored.size()) > 0) {
    }
  }
  return printer.flush();
}

}  // namespace proa::logs
