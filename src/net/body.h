// The whole of a message's body.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "net/task.h"

namespace proa::net {

// `message` has a read() that gives piece after piece, and an empty one at the end. EMSGSIZE: more than `limit`.
template <typename Message>
Task<Result<std::string>> read_body(Message& message, size_t limit, std::string_view what, size_t expected = 0) {
  std::string body;
  body.reserve(expected);
  for (;;) {
    const std::string_view piece = CO_TRY(co_await message.read());
    if (piece.empty()) co_return body;
    if (body.size() + piece.size() > limit)
      co_return fail_errno(EMSGSIZE, what, " body of more than ", limit, " bytes");
    body.append(piece);
  }
}

}  // namespace proa::net
