#include "engine/logs.h"

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

namespace proa::engine {
namespace {

constexpr size_t kBatch = 256u << 10;
constexpr std::string_view kHead = "{\"log\":\"", kStream = "\",\"stream\":\"", kTime = "\",\"time\":\"";

struct Line {
  std::string_view text;  // json-file: still escaped
  std::string_view time;
  bool error = false;
  bool partial = false;
};

// {"log":"text\n","stream":"stdout","time":"..."}: the shim's own writing, read from its end, as the text may hold
// anything.
bool parse_json(std::string_view line, Line& to) {
  if (!line.starts_with(kHead) || !line.ends_with("\"}")) return false;
  line.remove_prefix(kHead.size());
  line.remove_suffix(2);
  const size_t time = line.rfind(kTime);
  if (time == std::string_view::npos) return false;
  to.time = line.substr(time + kTime.size());
  line = line.substr(0, time);
  const size_t stream = line.rfind(kStream);
  if (stream == std::string_view::npos) return false;
  to.error = line.substr(stream + kStream.size()) == "stderr";
  to.text = line.substr(0, stream);
  return true;
}

// TIME stdout F text
bool parse_cri(std::string_view line, Line& to) {
  const size_t time = line.find(' ');
  if (time == std::string_view::npos || line.size() < time + 10) return false;
  to.time = line.substr(0, time);
  line.remove_prefix(time + 1);
  to.error = line.starts_with("stderr");
  if (line.size() < 9) return false;
  to.partial = line[7] == 'P';
  to.text = line.substr(9);
  return true;
}

void append_rune(uint32_t rune, std::string& out) {
  if (rune < 0x80) {
    out += static_cast<char>(rune);
  } else if (rune < 0x800) {
    out += static_cast<char>(0xc0 | rune >> 6);
    out += static_cast<char>(0x80 | (rune & 0x3f));
  } else {
    out += static_cast<char>(0xe0 | rune >> 12);
    out += static_cast<char>(0x80 | (rune >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (rune & 0x3f));
  }
}

void unescape(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const size_t at = text.find('\\');
    out += text.substr(0, at);
    if (at == std::string_view::npos || at + 1 >= text.size()) return;
    const char c = text[at + 1];
    text.remove_prefix(at + 2);
    switch (c) {
      case 'n': out += '\n'; break;
      case 't': out += '\t'; break;
      case 'r': out += '\r'; break;
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'u': {
        uint32_t rune = 0;
        for (size_t i = 0; i < 4 && i < text.size(); ++i) {
          const char digit = text[i];
          rune = rune << 4 | static_cast<uint32_t>(digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
        }
        text.remove_prefix(std::min<size_t>(4, text.size()));
        append_rune(rune, out);
        break;
      }
      default: out += c;
    }
  }
}

class Printer {
 public:
  Printer(bool cri, const LogQuery& query, const LogSink& sink) : cri_(cri), query_(query), sink_(sink) {}

  // False: what is asked for ends here.
  Result<bool> print(std::string_view record) {
    Line line;
    if (!(cri_ ? parse_cri(record, line) : parse_json(record, line))) return true;  // torn by a killed shim
    if (query_.since || query_.until) {
      const auto time = parse_rfc3339(line.time);
      if (time && query_.since && *time < *query_.since) return true;
      if (time && query_.until && *time > *query_.until) return false;
    }
    if (line.error != error_) {
      TRY(flush());
      error_ = line.error;
    }
    if (query_.timestamps && line_begins_) out_.append(line.time).append(" ");
    if (cri_) {
      out_ += line.text;
      if (!line.partial) out_ += '\n';
      line_begins_ = !line.partial;
    } else {
      unescape(line.text, out_);
      line_begins_ = line.text.ends_with("\\n");
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
  bool cri_;
  const LogQuery& query_;
  const LogSink& sink_;
  std::string out_;
  bool error_ = false, line_begins_ = true;
};

// One file, read from a place on; remembers what is not yet a whole record.
class LogFile {
 public:
  static Result<LogFile> open(const std::string& path) {
    LogFile out;
    out.fd_ = TRY(kernel::open(path.c_str(), O_RDONLY));
    const struct stat info = TRY(kernel::stat_fd(out.fd_.get()));
    out.inode_ = info.st_ino;
    out.size_ = info.st_size;
    return out;
  }
  ino_t inode() const { return inode_; }
  void seek(off_t to) { ::lseek(fd_.get(), to, SEEK_SET); }
  void seek_end() { ::lseek(fd_.get(), 0, SEEK_END); }

  // False: no more is wanted.
  Result<bool> print_on(Printer& printer) {
    static std::vector<char> buffer(1u << 20);
    for (;;) {
      const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
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
    off_t at = size_;
    bool last = true;
    while (at > 0) {
      const auto take = static_cast<size_t>(std::min<off_t>(at, static_cast<off_t>(buffer.size())));
      at -= static_cast<off_t>(take);
      if (::pread(fd_.get(), buffer.data(), take, at) != static_cast<ssize_t>(take)) return 0;
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
    off_t low = 0, high = size_;
    std::vector<char> buffer(128u << 10);
    while (high - low > static_cast<off_t>(buffer.size())) {
      const off_t middle = low + (high - low) / 2;
      const ssize_t got = ::pread(fd_.get(), buffer.data(), buffer.size(), middle);
      if (got <= 0) return low;
      std::string_view bytes(buffer.data(), static_cast<size_t>(got));
      const size_t begin = bytes.find('\n');
      const size_t end = begin == std::string_view::npos ? begin : bytes.find('\n', begin + 1);
      if (end == std::string_view::npos) return low;
      Line line;
      const std::string_view record = bytes.substr(begin + 1, end - begin - 1);
      const bool read = cri ? parse_cri(record, line) : parse_json(record, line);
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
  Fd fd_;
  ino_t inode_ = 0;
  off_t size_ = 0;
  std::string pending_;
};

// The oldest first.
Result<std::vector<LogFile>> open_all(const std::string& path) {
  std::vector<LogFile> out;
  auto newest = LogFile::open(path);
  if (!newest) {
    if (newest.error().code() == ENOENT) return out;
    return std::unexpected(newest.error());
  }
  for (int i = 1;; ++i) {
    auto older = LogFile::open(cat(path, ".", i));
    if (!older) break;
    if (older->inode() != newest->inode()) out.insert(out.begin(), std::move(*older));
  }
  out.push_back(std::move(*newest));
  return out;
}

ino_t inode_at(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
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
  std::vector<LogFile> files = TRY(open_all(path));
  size_t first = 0;
  if (query.tail) {
    uint64_t lines = *query.tail;
    first = files.size();
    while (first > 0 && lines > 0) {
      --first;
      files[first].seek(files[first].find_tail(lines));
    }
    if (*query.tail == 0 && !files.empty()) {
      first = files.size() - 1;
      files[first].seek_end();
    }
  } else if (query.since) {
    for (LogFile& file : files) file.seek(file.find_time(cri, *query.since));
  }
  for (size_t i = first; i < files.size(); ++i)
    if (!TRY(files[i].print_on(printer))) return printer.flush();
  while (query.follow) {
    const bool over = ended();
    // What was written before the look at the end is read after it.
    if (!files.empty() && !TRY(files.back().print_on(printer))) return printer.flush();
    const ino_t now = inode_at(path);
    if (now != 0 && (files.empty() || now != files.back().inode())) {
      if (auto next = LogFile::open(path)) {
        files.clear();
        files.push_back(std::move(*next));
        continue;
      }
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

}  // namespace proa::engine
