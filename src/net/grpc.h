// gRPC as a client: messages of five bytes of framing each, over HTTP/2 (net/client.h). What is in them is the
// caller's. https by ALPN, http with `http2_prior_knowledge`.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "net/client.h"

namespace proa::net {

// The codes a caller decides by, of gRPC's seventeen.
enum class GrpcCode : int {
  kOk = 0,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kUnavailable = 14,
};

struct GrpcStatus {
  GrpcCode code = GrpcCode::kOk;
  std::string message;
  bool ok() const { return code == GrpcCode::kOk; }
};

struct GrpcRequest {
  Url server;          // its path is ignored
  std::string method;  // "/package.Service/Method"
  std::string message;
  Headers headers;
  bool* sent = nullptr;  // as ClientRequest::sent
};
struct GrpcAnswer {
  GrpcStatus status;
  std::string message;  // when it is ok
};
inline constexpr size_t kMostGrpcBytes = 256 << 20;  // in one message

// One message there, one back. An Error is the transport's.
Task<Result<GrpcAnswer>> grpc_call(Client& client, GrpcRequest request);

// Any number of messages both ways.
class GrpcStream {
 public:
  // Returns with the answer's head, which servers may send with their first message only: `request.message` is what
  // they wait for.
  static Task<Result<std::unique_ptr<GrpcStream>>> open(Client& client, GrpcRequest request);

  Task<Result<>> write(std::string message);
  // The next message, valid until the next call; nothing at the end, which status() then explains.
  Task<Result<std::optional<std::string_view>>> read();
  const GrpcStatus& status() const { return status_; }
  // Ends a read under way. On the client's loop.
  void cancel() { response_.cancel(); }

 private:
  explicit GrpcStream(ClientResponse response) : response_(std::move(response)) {}
  ClientResponse response_;
  GrpcStatus status_;
  std::string buffer_;
  size_t taken_ = 0;  // of the buffer's front
};

}  // namespace proa::net
