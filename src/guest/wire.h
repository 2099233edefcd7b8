// Frames and fields, without a C library (shim/sys.h).
#pragma once

#include <string_view>

#include "guest/protocol.h"
#include "shim/text.h"

namespace proa::guest {

// A negative errno when the other side is gone.
long send_frame(int fd, Kind kind, std::string_view payload = {});
long send_number(int fd, Kind kind, uint32_t number);

// One frame in a buffer of its own, which the next one takes over.
class Receiver {
 public:
  // `most`: of the payload.
  explicit Receiver(size_t most);
  // Waits for a whole frame; false at the connection's end or at nonsense.
  bool receive(int fd);
  Kind kind() const { return frame_.kind; }
  std::string_view payload() const { return {buffer_, frame_.size}; }
  uint32_t number() const;

 private:
  Frame frame_;
  char* buffer_;
  size_t most_;
};

// Calls visit(key, value) for each field; values are followed by a NUL.
template <typename Visit>
void each_field(std::string_view fields, Visit visit) {
  while (!fields.empty()) {
    const size_t end = fields.find('\0');
    if (end == std::string_view::npos) return;
    const std::string_view field = shim::first(fields, end);
    fields.remove_prefix(end + 1);
    const size_t equals = field.find('=');
    if (equals == std::string_view::npos) continue;
    std::string_view value = field;
    value.remove_prefix(equals + 1);
    visit(shim::first(field, equals), value);
  }
}
// The first of them, or "".
std::string_view field(std::string_view fields, std::string_view key);

}  // namespace proa::guest
