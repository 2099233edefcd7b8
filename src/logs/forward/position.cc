#include "logs/forward/position.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/text.h"
#include "kernel/file.h"
#include "logs/files.h"

namespace proa::logs {
namespace {

constexpr size_t kSize = 512;  // of the file: always as long, so that each write replaces all of the last one
constexpr std::string_view kVersion = "1";

std::string name_beside(const std::string& path) { return path + ".sent"; }

struct flock whole(short type) {
  struct flock out{};
  out.l_type = type;
  out.l_whence = SEEK_SET;
  return out;
}

std::string word(const std::string& text) { return text.empty() ? "-" : text; }
std::string text_of(std::string_view word) { return word == "-" ? std::string() : std::string(word); }

// version identity offset time piece-of count piece-of count
std::string emit(const Position& p) {
  std::string out = cat(kVersion, " ", p.identity, " ", p.offset, " ", word(p.time));
  for (const Pieces& pieces : p.pieces) out += cat(" ", word(pieces.of), " ", pieces.count);
  out.resize(kSize - 1, ' ');
  return out + '\n';
}

Position parse(std::string_view text) {
  const auto words = split(text.substr(0, text.find('\n')), ' ');
  if (words.size() != 8 || words[0] != kVersion) return {};
  Position out{.identity = parse_number<uint64_t>(words[1]).value_or(0),
               .offset = parse_number<uint64_t>(words[2]).value_or(0),
               .time = text_of(words[3])};
  for (size_t i = 0; i < 2; ++i)
    out.pieces[i] = {text_of(words[4 + 2 * i]), parse_number<unsigned>(words[5 + 2 * i]).value_or(0)};
  return out;
}

}  // namespace

Result<PositionFile> PositionFile::open(const std::string& path) {
  return PositionFile(TRY(kernel::open(name_beside(path).c_str(), O_RDWR | O_CREAT, 0640)));
}

// A lock of fcntl's, as that tells others who holds it.
Result<> PositionFile::lock() const {
  struct flock lock = whole(F_WRLCK);
  if (::fcntl(file_.get(), F_SETLKW, &lock) != 0) return fail_errno(errno, "lock the log's position");
  return {};
}

Position PositionFile::load() const {
  std::array<char, kSize> text{};
  const ssize_t got = ::pread(file_.get(), text.data(), text.size(), 0);
  return got <= 0 ? Position() : parse({text.data(), static_cast<size_t>(got)});
}

Result<> PositionFile::save(const Position& position) const {
  const std::string text = emit(position);
  if (::pwrite(file_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return fail_errno(errno, "write the log's position");
  return {};
}

std::optional<pid_t> sender_of(const std::string& path) {
  const auto file = kernel::open(name_beside(path).c_str(), O_RDWR);
  struct flock lock = whole(F_WRLCK);
  if (!file || ::fcntl(file->get(), F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return std::nullopt;
  return lock.l_pid;
}

bool all_sent(const std::string& path) {
  const auto text = kernel::read_file(name_beside(path).c_str());
  const Position position = text ? parse(*text) : Position();
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return true;
  if (position.identity == 0 && info.st_size == 0 && !kernel::path_exists((path + ".1").c_str())) return true;
  return position.identity == identity_at(path) && position.offset >= static_cast<uint64_t>(info.st_size);
}

}  // namespace proa::logs
