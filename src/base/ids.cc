#include "base/ids.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>

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
  TRY(fill_random(bytes, sizeof bytes));
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0f) | 0x40);  // version 4
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3f) | 0x80);  // variant 10
  std::string out;
  size_t at = 0;
  for (const size_t group : {4u, 2u, 2u, 2u, 6u}) {
    if (at > 0) out += '-';
    out += to_hex(std::string_view(reinterpret_cast<const char*>(bytes) + at, group));
    at += group;
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
