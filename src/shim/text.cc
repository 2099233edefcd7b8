#include "shim/text.h"

#include <errno.h>
#include <string.h>

namespace proa::shim {
namespace {

constexpr uint64_t kOnes = 0x0101010101010101, kHighs = 0x8080808080808080;

// Whether one of 8 bytes needs a look: below blank, '"', '\\', or beyond ASCII. Each test marks the
// high bit of a byte; a borrow can only mark a byte above one that is marked rightly.
bool all_plain(const char* from) {
  uint64_t word;
  memcpy(&word, from, sizeof word);
  const uint64_t quote = word ^ (kOnes * '"'), slash = word ^ (kOnes * '\\');
  const uint64_t marked = (word - kOnes * ' ') | (quote - kOnes) | (slash - kOnes) | word;
  return (marked & kHighs) == 0;
}

// Length of the UTF-8 character at the front of `text` (RFC 3629, table in section 4), or 0.
size_t character(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](size_t i, unsigned least, unsigned most) {
    return i < text.size() && byte(i) >= least && byte(i) <= most;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  if (first < 0xe0) return follows(1, 0x80, 0xbf) ? 2 : 0;
  if (first < 0xf0) {
    const unsigned least = first == 0xe0 ? 0xa0 : 0x80, most = first == 0xed ? 0x9f : 0xbf;
    return follows(1, least, most) && follows(2, 0x80, 0xbf) ? 3 : 0;
  }
  const unsigned least = first == 0xf0 ? 0x90 : 0x80, most = first == 0xf4 ? 0x8f : 0xbf;
  return follows(1, least, most) && follows(2, 0x80, 0xbf) && follows(3, 0x80, 0xbf) ? 4 : 0;
}

size_t escape_control(char* to, unsigned char c) {
  to[0] = '\\';
  switch (c) {
    case '"':
    case '\\': return to[1] = static_cast<char>(c), 2;
    case '\n': return to[1] = 'n', 2;
    case '\r': return to[1] = 'r', 2;
    case '\t': return to[1] = 't', 2;
    default: break;
  }
  constexpr char kHex[] = "0123456789abcdef";
  const char code[] = {'u', '0', '0', kHex[c >> 4], kHex[c & 15]};
  memcpy(to + 1, code, sizeof code);
  return 6;
}

}  // namespace

Writer& Writer::operator<<(std::string_view text) {
  const size_t room = capacity_ - 1 - size_;
  const size_t taken = text.size() < room ? text.size() : room;
  truncated_ |= taken < text.size();
  memcpy(data_ + size_, text.data(), taken);
  data_[size_ += taken] = 0;
  return *this;
}

Writer& Writer::decimal(uint64_t number) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = static_cast<char>('0' + number % 10);
  while ((number /= 10) != 0);
  return *this << std::string_view(digits + at, sizeof digits - at);
}

Writer& Writer::json(std::string_view text) {
  *this << '"';
  while (!text.empty()) {
    char escaped[6 * 64];
    size_t taken = whole_characters(first(text, text.size() < 64 ? text.size() : 64));
    if (taken == 0) taken = text.size() < 64 ? text.size() : 64;
    *this << std::string_view(escaped, escape_json(escaped, first(text, taken)));
    text.remove_prefix(taken);
  }
  return *this << '"';
}

size_t escape_json(char* to, std::string_view text) {
  char* out = to;
  const char *at = text.data(), *end = at + text.size();
  while (at < end) {
    if (end - at >= 8 && all_plain(at)) {
      memcpy(out, at, 8);
      at += 8, out += 8;
      continue;
    }
    const auto c = static_cast<unsigned char>(*at);
    if (c < 0x80) {
      if (c >= ' ' && c != '"' && c != '\\')
        *out++ = *at;
      else
        out += escape_control(out, c);
      ++at;
      continue;
    }
    const size_t length = character({at, static_cast<size_t>(end - at)});
    memcpy(out, length != 0 ? at : "\xef\xbf\xbd", length != 0 ? length : 3);
    out += length != 0 ? length : 3;
    at += length != 0 ? length : 1;
  }
  return static_cast<size_t>(out - to);
}

size_t whole_characters(std::string_view text) {
  // A character has at most 3 bytes after its first: look for a first byte that promises more than there is.
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto c = static_cast<unsigned char>(text[text.size() - back]);
    if (c < 0x80) break;
    if (c < 0xc0) continue;
    const size_t promised = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    return promised > back ? text.size() - back : text.size();
  }
  return text.size();
}

bool parse_number(std::string_view text, uint64_t most, uint64_t* to) {
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    const auto digit = static_cast<uint64_t>(c - '0');
    if (digit > most || value > (most - digit) / 10) return false;
    value = value * 10 + digit;
  }
  if (text.empty()) return false;
  *to = value;
  return true;
}

std::string_view take_word(std::string_view* line) {
  while (!line->empty() && line->front() == ' ') line->remove_prefix(1);
  size_t length = 0;
  while (length < line->size() && (*line)[length] != ' ') ++length;
  const std::string_view word = first(*line, length);
  line->remove_prefix(length);
  return word;
}

Text<48> error_text(long error) {
  switch (error < 0 ? -error : error) {
    case EPERM: return Text<48>("operation not permitted");
    case ENOENT: return Text<48>("no such file or directory");
    case EINTR: return Text<48>("interrupted");
    case EIO: return Text<48>("input/output error");
    case E2BIG: return Text<48>("argument list too long");
    case ENOEXEC: return Text<48>("not a program this kernel can run");
    case EBADF: return Text<48>("bad file descriptor");
    case ECHILD: return Text<48>("no such child process");
    case EAGAIN: return Text<48>("resource temporarily unavailable");
    case ENOMEM: return Text<48>("out of memory");
    case EACCES: return Text<48>("permission denied");
    case EBUSY: return Text<48>("busy");
    case EEXIST: return Text<48>("file exists");
    case ENOTDIR: return Text<48>("not a directory");
    case EISDIR: return Text<48>("is a directory");
    case EINVAL: return Text<48>("invalid argument");
    case ENFILE: return Text<48>("too many open files in the system");
    case EMFILE: return Text<48>("too many open files");
    case ENOTTY: return Text<48>("not a terminal");
    case EFBIG: return Text<48>("file too large");
    case ENOSPC: return Text<48>("no space left on device");
    case EROFS: return Text<48>("read-only file system");
    case EPIPE: return Text<48>("broken pipe");
    case ENAMETOOLONG: return Text<48>("file name too long");
    case ENOTEMPTY: return Text<48>("directory not empty");
    case ELOOP: return Text<48>("too many symbolic links");
    case EADDRINUSE: return Text<48>("address in use");
    case EDQUOT: return Text<48>("disk quota exceeded");
    case ESRCH: return Text<48>("no such process");
    default: return Text<48>("error ", error < 0 ? -error : error);
  }
}

}  // namespace proa::shim
