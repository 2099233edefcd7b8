#include "guest/wire.h"

#include <errno.h>

#include "shim/sys.h"

namespace proa::guest {

namespace sys = shim::sys;

namespace {

bool read_whole(int fd, void* to, size_t size) {
  for (size_t have = 0; have < size;) {
    const long got = sys::read(fd, static_cast<char*>(to) + have, size - have);
    if (got <= 0) return false;
    have += static_cast<size_t>(got);
  }
  return true;
}

}  // namespace

long send_frame(int fd, Kind kind, std::string_view payload) {
  const Frame frame{.kind = kind, .size = static_cast<uint32_t>(payload.size())};
  if (const long error = sys::write_all(fd, &frame, sizeof frame); error < 0) return error;
  return sys::write_all(fd, payload.data(), payload.size());
}

long send_number(int fd, Kind kind, uint32_t number) {
  return send_frame(fd, kind, {reinterpret_cast<const char*>(&number), sizeof number});
}

Receiver::Receiver(size_t most) : buffer_(static_cast<char*>(sys::map(most))), most_(most) {}

bool Receiver::receive(int fd) {
  Frame next;
  frame_.size = 0;
  if (buffer_ == nullptr || !read_whole(fd, &next, sizeof next) || next.size > most_) return false;
  if (!read_whole(fd, buffer_, next.size)) return false;
  frame_ = next;
  return true;
}

uint32_t Receiver::number() const {
  uint32_t value = 0;
  if (frame_.size == sizeof value) __builtin_memcpy(&value, buffer_, sizeof value);
  return value;
}

std::string_view field(std::string_view fields, std::string_view key) {
  std::string_view found;
  each_field(fields, [&](std::string_view name, std::string_view value) {
    if (name == key && found.data() == nullptr) found = value;
  });
  return found;
}

}  // namespace proa::guest
