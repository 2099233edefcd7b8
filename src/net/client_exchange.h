// The client's insides: one request with its answer, whatever the HTTP version. The client's loop only.
#pragma once

#include "net/client.h"

namespace proa::net {

class ClientExchange {
 public:
  explicit ClientExchange(Loop& loop) : loop_(loop) {}
  ClientExchange(const ClientExchange&) = delete;
  // Gives the connection back, or closes it.
  virtual ~ClientExchange() = default;

  Loop& loop() const { return loop_; }
  // "" at the end.
  virtual Task<Result<std::string_view>> read_body() = 0;
  virtual const Headers& trailers() const = 0;
  virtual Result<std::unique_ptr<Stream>> take_stream() = 0;
  virtual Task<Result<>> write_body(std::string_view) { co_return fail("the request has been sent to its end"); }
  virtual void cancel() {}

 private:
  Loop& loop_;
};

}  // namespace proa::net
