#include "base/ids.h"

#include <pthread.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/digest.h"

namespace proa {
namespace {

Result<> fill_random(unsigned char* out, size_t size) {
  while (size > 0) {
    const ssize_t got = ::getrandom(out, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "getrandom");
    out += got;
    size -= static_cast<size_t>(got);
  }
  return {};
}

// Some at a time: a system call for each name of a server's requests would be a good part of its work.
class Stock {
 public:
  Result<> take(unsigned char* out, size_t size) {
    static const bool forgets = ::pthread_atfork(nullptr, nullptr, [] { ++forks_; }) == 0;
    if (!forgets) return fill_random(out, size);
    if (left_ < size || forks_ != forks_seen_) {
      left_ = 0;
      TRY(fill_random(bytes_.data(), bytes_.size()));
      left_ = bytes_.size();
      forks_seen_ = forks_;
    }
    left_ -= size;
    std::memcpy(out, bytes_.data() + left_, size);
    ::explicit_bzero(bytes_.data() + left_, size);
    return {};
  }

 private:
  static inline unsigned forks_ = 0;  // a child must not give out what its parent does
  std::array<unsigned char, 256> bytes_;
  size_t left_ = 0;
  unsigned forks_seen_ = 0;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

}  // namespace

Result<uint64_t> random_number() {
  uint64_t number = 0;
  TRY(fill_random(reinterpret_cast<unsigned char*>(&number), sizeof number));
  return number;
}

Result<std::string> random_hex(size_t bytes) {
  std::string raw(bytes, '\0');
  TRY(fill_random(reinterpret_cast<unsigned char*>(raw.data()), bytes));
  return to_hex(raw);
}

Result<std::string> random_id() {
  while (true) {
    std::string id = TRY(random_hex(32));
    if (!std::ranges::all_of(short_id(id), is_digit)) return id;
  }
}

Result<std::string> random_uuid() {
  unsigned char bytes[16];
  static thread_local Stock stock;
  TRY(stock.take(bytes, sizeof bytes));
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0f) | 0x40);  // version 4
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3f) | 0x80);  // variant 10
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(36);
  size_t at = 0;
  for (const size_t group : {4u, 2u, 2u, 2u, 6u}) {
    if (at > 0) out += '-';
    for (size_t i = 0; i < group; ++i, ++at) {
      out += kHex[bytes[at] >> 4];
      out += kHex[bytes[at] & 15];
    }
  }
  return out;
}

Result<> check_container_id(std::string_view id) {
  if (id.empty()) return fail("container id: must not be empty");
  if (id.size() > 1024) return fail("container id: longer than 1024 characters");
  const bool legal = std::ranges::all_of(id, [](char c) { return is_word(c) || c == '+' || c == '-' || c == '.'; });
  if (!legal || id == "." || id == "..")
    return fail("container id '", id, "': invalid ID format").hint("use letters, digits, '_', '+', '-' and '.'");
  return {};
}

Result<> check_name(std::string_view name, std::string_view what) {
  if (name.empty()) return fail(what, ": must not be empty");
  if (name.size() > 255) return fail(what, " '", name.substr(0, 32), "...': longer than 255 characters");
  const bool legal = name.front() != '_' && is_word(name.front()) &&
                     std::ranges::all_of(name, [](char c) { return is_word(c) || c == '.' || c == '-'; });
  if (!legal)
    return fail(what, " '", name, "': not a valid name")
        .hint("start with a letter or digit; then letters, digits, '_', '.' and '-'");
  return {};
}

}  // namespace proa
