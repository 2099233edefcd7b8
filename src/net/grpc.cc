#include "net/grpc.h"

#include "base/text.h"

namespace proa::net {

namespace {

constexpr size_t kPrefix = 5;  // a flag, and the size in four bytes

std::string framed(std::string_view message) {
  const auto size = static_cast<uint32_t>(message.size());
  std::string frame(kPrefix, '\0');
  for (size_t i = 0; i < 4; ++i) frame[1 + i] = static_cast<char>(size >> (24 - 8 * i));
  return frame.append(message);
}

uint32_t size_of(std::string_view frame) {
  uint32_t size = 0;
  for (size_t i = 1; i < kPrefix; ++i) size = size << 8 | static_cast<unsigned char>(frame[i]);
  return size;
}

// The size of the frame's message; nothing while its prefix is not there.
Result<std::optional<size_t>> frame_size(std::string_view bytes) {
  if (bytes.size() < kPrefix) return std::optional<size_t>();
  if (bytes[0] != 0) return fail_errno(EBADMSG, "gRPC: a compressed message, which was not asked for");
  if (size_of(bytes) > kMostGrpcBytes) return fail_errno(EMSGSIZE, "gRPC: a message of ", size_of(bytes), " bytes");
  return std::optional<size_t>(size_of(bytes));
}

// In the trailers, or in the head when nothing else came.
Result<GrpcStatus> status_of(const ClientResponse& response) {
  const Headers& trailers = response.trailers();
  const bool in_trailers = trailers.contains("grpc-status");
  const Headers& from = in_trailers ? trailers : response.headers;
  const auto code = parse_number<int>(from.get("grpc-status"));
  if (!code) return fail_errno(EBADMSG, "gRPC: the answer has no status");
  const std::string_view text = from.get("grpc-message");
  return GrpcStatus{static_cast<GrpcCode>(*code), percent_decode(text).value_or(std::string(text))};
}

ClientRequest http_request(GrpcRequest& request) {
  ClientRequest http{.method = "POST", .url = std::move(request.server), .headers = std::move(request.headers)};
  http.target = std::move(request.method);
  http.headers.set("content-type", "application/grpc");
  http.headers.set("te", "trailers");
  http.body = framed(request.message);
  http.sent = request.sent;
  return http;
}

Result<> check_head(const ClientResponse& response) {
  if (response.status != 200) return fail_errno(EBADMSG, "gRPC: HTTP status ", response.status);
  if (!response.headers.get("content-type").starts_with("application/grpc"))
    return fail_errno(EBADMSG, "gRPC: an answer of type \"", response.headers.get("content-type"), "\"");
  return {};
}

}  // namespace

Task<Result<GrpcAnswer>> grpc_call(Client& client, GrpcRequest request) {
  ClientResponse response = CO_TRY(co_await client.send(http_request(request)));
  CO_TRY(check_head(response));
  std::string body = CO_TRY(co_await response.read_all(kMostGrpcBytes));
  GrpcAnswer answer{.status = CO_TRY(status_of(response)), .message = {}};
  if (!answer.status.ok()) co_return answer;
  const auto size = CO_TRY(frame_size(body));
  if (!size || body.size() != kPrefix + *size) co_return fail_errno(EBADMSG, "gRPC: the answer is not one message");
  body.erase(0, kPrefix);
  answer.message = std::move(body);
  co_return answer;
}

Task<Result<std::unique_ptr<GrpcStream>>> GrpcStream::open(Client& client, GrpcRequest request) {
  ClientRequest http = http_request(request);
  http.keep_sending = true;
  ClientResponse response = CO_TRY(co_await client.send(std::move(http)));
  CO_TRY(check_head(response));
  co_return std::unique_ptr<GrpcStream>(new GrpcStream(std::move(response)));
}

Task<Result<>> GrpcStream::write(std::string message) {
  const std::string frame = framed(message);
  co_return co_await response_.write(frame);
}

Task<Result<std::optional<std::string_view>>> GrpcStream::read() {
  for (;;) {
    const std::string_view left = std::string_view(buffer_).substr(taken_);
    const auto size = CO_TRY(frame_size(left));
    if (size && left.size() >= kPrefix + *size) {
      taken_ += kPrefix + *size;
      co_return std::optional(left.substr(kPrefix, *size));
    }
    const std::string_view piece = CO_TRY(co_await response_.read());
    buffer_.erase(0, std::exchange(taken_, 0));
    if (piece.empty()) break;
    buffer_.append(piece);
  }
  if (!buffer_.empty()) co_return fail_errno(EBADMSG, "gRPC: the stream ended within a message");
  status_ = CO_TRY(status_of(response_));
  co_return std::optional<std::string_view>();
}

}  // namespace proa::net
