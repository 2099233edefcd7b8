#include "logs/forward/source.h"

#include <unistd.h>

#include <algorithm>

#include "logs/line.h"

namespace proa::logs {
namespace {

constexpr size_t kBatch = 256u << 10;
constexpr size_t kMostRecords = 1000;
constexpr size_t kRead = 128u << 10;

}  // namespace

Result<> Source::seek(const Position& position) {
  after_ = position;
  bytes_.clear(), used_ = 0;
  file_.reset();
  skip_until_.clear();
  later_ = TRY(open_files(path_));
  const auto known = std::ranges::find(later_, position.identity, &LogFile::identity);
  if (position.identity == 0 || known == later_.end()) {
    // Files are as old as their records: those that were sent are told by their time.
    skip_until_ = position.time;
    after_.identity = after_.offset = 0;
    return {};
  }
  file_ = std::move(*known);
  later_.erase(later_.begin(), known + 1);
  TRY(file_->unpack());
  if (::lseek(file_->fd.get(), static_cast<off_t>(position.offset), SEEK_SET) < 0) return fail_errno(errno, "seek");
  return {};
}

// The file that was begun after this one, once this one is at its end.
Result<bool> Source::open_next() {
  if (later_.empty()) {
    if (file_ && identity_at(path_) == file_->identity) return false;
    later_ = TRY(open_newer(path_, file_ ? file_->identity : 0));
    if (file_) {
      // It may have been renamed between its end and our look; what was written until then is read first.
      std::erase_if(later_, [&](const LogFile& file) { return file.identity == file_->identity; });
      if (TRY(fill())) return true;
    }
    if (later_.empty()) return false;
  }
  file_ = std::move(later_.front());
  later_.erase(later_.begin());
  TRY(file_->unpack());
  bytes_.clear(), used_ = 0;
  after_.identity = file_->identity;
  after_.offset = 0;
  return true;
}

Result<bool> Source::fill() {
  if (!file_) return false;
  bytes_.erase(0, used_);
  used_ = 0;
  const size_t had = bytes_.size();
  bytes_.resize(had + kRead);
  const ssize_t got = ::read(file_->fd.get(), bytes_.data() + had, kRead);
  bytes_.resize(had + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0) return fail_errno(errno, "read the log");
  return got > 0;
}

void Source::take(std::string_view bytes, std::vector<Record>& to) {
  Line line;
  if (!parse_cri_line(bytes, line)) return;  // torn by a killed shim
  const auto time = parse_rfc3339(line.time);
  if (!time) return;
  if (!skip_until_.empty()) {
    // Records of the same time may be among those that were not.
    if (line.time < skip_until_) return;
    skip_until_.clear();
  }
  Record record{.time = *time, .text = std::string(line.text), .error = line.error};
  Pieces& pieces = after_.pieces[line.error ? 1 : 0];
  if (line.partial || pieces.count != 0) {
    if (pieces.count == 0) pieces.of = cat(after_.identity, "-", after_.offset);
    record.piece_of = pieces.of;
    record.piece = ++pieces.count;
    record.last_piece = !line.partial;
    if (!line.partial) pieces = {};
  }
  after_.time = line.time;
  to.push_back(std::move(record));
}

Result<std::vector<Record>> Source::next() {
  std::vector<Record> out;
  for (size_t size = 0; size < kBatch && out.size() < kMostRecords;) {
    const size_t end = bytes_.find('\n', used_);
    if (end == std::string::npos) {
      if (TRY(fill()) || TRY(open_next())) continue;
      break;
    }
    take(std::string_view(bytes_).substr(used_, end - used_), out);
    size += end + 1 - used_;
    after_.offset += end + 1 - used_;
    used_ = end + 1;
  }
  return out;
}

Result<bool> Source::skip_to_last(uint64_t bytes) {
  std::vector<LogFile> files = TRY(open_files(path_));
  uint64_t left = bytes;
  for (size_t i = files.size(); i-- > 0;) {
    const auto size = static_cast<uint64_t>(files[i].size);
    const bool here = files[i].identity == after_.identity;
    if (here && size <= after_.offset + left) return false;
    if (size < left && !here) {
      left -= size;
      if (i > 0) continue;
      return false;
    }
    TRY(files[i].unpack());
    Position to{.identity = files[i].identity, .offset = size - std::min(left, size)};
    // To the beginning of a record.
    std::string some(64u << 10, '\0');
    const ssize_t got = ::pread(files[i].fd.get(), some.data(), some.size(), static_cast<off_t>(to.offset));
    const size_t begin = got > 0 ? some.substr(0, static_cast<size_t>(got)).find('\n') : std::string::npos;
    if (to.offset != 0) to.offset = begin == std::string::npos ? size : to.offset + begin + 1;
    to.time = after_.time;
    TRY(seek(to));
    return true;
  }
  return false;
}

}  // namespace proa::logs
