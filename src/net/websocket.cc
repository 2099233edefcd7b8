#include "net/websocket.h"

#include <sys/random.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "base/utf8.h"
#include "net/base64.h"

namespace proa::net {

namespace {

constexpr Duration kCloseTimeout{5'000};
constexpr size_t kReadTurn = 64 << 10;

// Bytes nobody can predict, got from the kernel many at a time.
void random_bytes(uint8_t* to, size_t size) {
  thread_local uint8_t pool[256];
  thread_local size_t left = 0;
  if (left < size) {
    for (size_t got = 0; got < sizeof pool;) {
      const ssize_t more = ::getrandom(pool + got, sizeof pool - got, 0);
      if (more > 0) got += static_cast<size_t>(more);
    }
    left = sizeof pool;
  }
  left -= size;
  std::memcpy(to, pool + left, size);
}

uint16_t close_code_for(const Error& error) {
  if (error.code() == EMSGSIZE) return 1009;
  return error.code() == EILSEQ ? 1007 : 1002;
}

// What is wrong with a request to upgrade; "" if nothing.
std::string_view objection(const Request& request) {
  if (request.method() != "GET") return "WebSocket: the method must be GET";
  if (request.version() != 11) return "WebSocket: only over HTTP/1.1";
  if (!request.headers().has_token("Upgrade", "websocket")) return "WebSocket: no \"Upgrade: websocket\"";
  if (!request.headers().has_token("Connection", "upgrade")) return "WebSocket: no \"Connection: Upgrade\"";
  const auto key = base64_decode(request.headers().get("Sec-WebSocket-Key"));
  if (!key || key->size() != 16) return "WebSocket: malformed Sec-WebSocket-Key";
  return {};
}

// The client's first choice that the server has.
std::string choose(const Headers& headers, const std::vector<std::string>& ours) {
  for (std::string_view offered : headers.all("Sec-WebSocket-Protocol"))
    while (!offered.empty()) {
      const std::string_view name = trimmed(cut(offered, ','));
      if (std::ranges::find(ours, name) != ours.end()) return std::string(name);
    }
  return {};
}

}  // namespace

WebSocket::WebSocket(std::unique_ptr<Stream> stream, bool server, std::string subprotocol, const Options& options)
    : stream_(std::move(stream)),
      server_(server),
      subprotocol_(std::move(subprotocol)),
      options_(options),
      silence_(stream_->loop(), silent, this) {
  if (options_.ping_interval.count() > 0) silence_.set_after(options_.ping_interval);
}

Task<Result<std::unique_ptr<WebSocket>>> WebSocket::accept(Request& request, Response& response, Options options) {
  if (const std::string_view why = objection(request); !why.empty()) {
    CO_TRY(co_await response.send(400, "text/plain; charset=utf-8", cat(why, "\n")));
    co_return nullptr;
  }
  if (request.headers().get("Sec-WebSocket-Version") != "13") {
    response.headers.set("Sec-WebSocket-Version", "13");
    CO_TRY(co_await response.send(426, "text/plain; charset=utf-8", "WebSocket: only version 13\n"));
    co_return nullptr;
  }
  std::string subprotocol = choose(request.headers(), options.subprotocols);
  response.headers.set("Sec-WebSocket-Accept", websocket_accept(request.headers().get("Sec-WebSocket-Key")));
  if (!subprotocol.empty()) response.headers.set("Sec-WebSocket-Protocol", subprotocol);
  auto stream = CO_TRY(co_await response.upgrade("websocket"));
  co_return std::make_unique<WebSocket>(std::move(stream), true, std::move(subprotocol), options);
}

Task<Result<std::unique_ptr<WebSocket>>> WebSocket::connect(Client& client, ClientRequest request, Options options) {
  if (!client.loop().is_current()) co_return fail("WebSocket: connect from the client's own loop");
  const std::string host = request.url.authority();
  uint8_t bytes[16];
  random_bytes(bytes, sizeof bytes);
  const std::string key = base64_encode({reinterpret_cast<const char*>(bytes), sizeof bytes});
  request.method = "GET";
  request.upgrade = "websocket";
  request.headers.set("Sec-WebSocket-Key", key);
  request.headers.set("Sec-WebSocket-Version", "13");
  std::string offered;
  for (const std::string& name : options.subprotocols) offered.append(offered.empty() ? "" : ", ").append(name);
  if (!offered.empty()) request.headers.set("Sec-WebSocket-Protocol", offered);
  ClientResponse response = CO_TRY(co_await client.send(std::move(request)));
  if (response.status != 101) co_return fail("WebSocket to ", host, ": refused with status ", response.status);
  if (!response.headers.has_token("Upgrade", "websocket") ||
      response.headers.get("Sec-WebSocket-Accept") != websocket_accept(key))
    co_return fail("WebSocket to ", host, ": the answer does not belong to the request");
  std::string subprotocol(response.headers.get("Sec-WebSocket-Protocol"));
  if (!subprotocol.empty() && std::ranges::find(options.subprotocols, subprotocol) == options.subprotocols.end())
    co_return fail("WebSocket to ", host, ": subprotocol \"", subprotocol, "\" was not asked for");
  auto stream = CO_TRY(response.take_stream());
  co_return std::make_unique<WebSocket>(std::move(stream), false, std::move(subprotocol), options);
}

// --- reading --------------------------------------------------------------------------------------------------

Task<Result<>> WebSocket::fill() {
  for (;;) {
    CO_TRY(co_await stream_->readable());
    const std::span<char> buffer = stream_->loop().scratch().first(kReadTurn);
    const Stream::Got got = stream_->try_read(buffer);
    if (got.kind == Stream::Got::kNothing) continue;
    if (got.kind == Stream::Got::kFailed) co_return stream_->status();
    if (got.kind == Stream::Got::kEnd)
      co_return fail_errno(ECONNRESET, "WebSocket with ", stream_->peer(), ": ended without a close frame");
    in_.append(buffer.data(), got.size);
    heard_ = true;
    co_return Result<>();
  }
}

Task<Result<std::optional<WebSocket::Message>>> WebSocket::read() {
  reading_ = true;
  const Defer done([this] { reading_ = false; });
  std::optional<Message> complete;
  while (!close_received_) {
    auto progress = take_frame(complete);
    if (!progress) {
      send_close(close_code_for(progress.error()), progress.error().message());
      static_cast<void>(co_await stream_->shutdown_write());
      co_return std::unexpected(std::move(progress).error().with_context(cat("WebSocket with ", stream_->peer())));
    }
    if (complete) co_return complete;
    if (!*progress && !close_received_) CO_TRY(co_await fill());
  }
  silence_.clear();
  static_cast<void>(co_await stream_->shutdown_write());
  co_return complete;
}

// Takes what there is of one frame off in_; false when more must be read.
Result<bool> WebSocket::take_frame(std::optional<Message>& complete) {
  if (!in_frame_) {
    frame_ = {};
    const size_t size = TRY(parse_frame_header(in_, frame_));
    if (size == 0) return false;
    if (frame_.masked != server_)
      return std::unexpected(Error(server_ ? "frame is not masked" : "frame is masked", EBADMSG));
    if (frame_.control()) {
      if (in_.size() < size + frame_.size) return false;
      apply_mask(in_.data() + size, frame_.size, frame_.mask, 0);
      TRY(take_control(frame_, std::string_view(in_).substr(size, frame_.size)));
      in_.erase(0, size + frame_.size);
      return true;
    }
    TRY(begin_data(frame_));
    in_.erase(0, size);
    in_frame_ = true;
    frame_at_ = 0;
  }
  const size_t part = std::min<uint64_t>(in_.size(), frame_.size - frame_at_);
  if (frame_.masked) apply_mask(in_.data(), part, frame_.mask, frame_at_);
  message_->data.append(in_, 0, part);
  frame_at_ += part;
  in_.erase(0, part);
  if (in_.empty()) in_ = std::string();
  if (frame_at_ < frame_.size) return false;
  in_frame_ = false;
  if (!frame_.final) return true;
  if (message_->kind == Kind::kText && !utf8::valid(message_->data))
    return std::unexpected(Error("text is not UTF-8", EILSEQ));
  complete = std::exchange(message_, std::nullopt);
  return true;
}

Result<> WebSocket::begin_data(const FrameHeader& header) {
  const bool continues = header.opcode == Opcode::kContinuation;
  if (continues != message_.has_value())
    return std::unexpected(Error(continues ? "continuation of nothing" : "message within a message", EBADMSG));
  if (!continues) message_.emplace(Message{.kind = static_cast<Kind>(header.opcode), .data = {}});
  if (header.size > options_.max_message - message_->data.size())
    return std::unexpected(Error(cat("message of more than ", options_.max_message, " bytes"), EMSGSIZE));
  return {};
}

Result<> WebSocket::take_control(const FrameHeader& header, std::string_view payload) {
  if (header.opcode == Opcode::kPing && !close_sent_) static_cast<void>(send(Opcode::kPong, payload));
  if (header.opcode != Opcode::kClose) return {};
  const CloseReason reason = TRY(parse_close(payload));
  close_received_ = true;
  close_code_ = reason.code;
  close_reason_ = reason.text;
  send_close(reason.code == 1005 ? 1000 : reason.code, {});
  return {};
}

// --- writing --------------------------------------------------------------------------------------------------

Outlet::Wait WebSocket::send(Opcode opcode, std::string_view payload) {
  FrameHeader header{.opcode = opcode, .masked = !server_, .size = payload.size()};
  std::string out = stream_->loop().take_buffer();
  if (server_) {
    append_frame_header(out, header);
    static_cast<void>(stream_->write(out, payload));
  } else {
    random_bytes(header.mask, sizeof header.mask);
    append_frame_header(out, header);
    const size_t at = out.size();
    out.append(payload);
    apply_mask(out.data() + at, payload.size(), header.mask, 0);
    static_cast<void>(stream_->write(out));
  }
  stream_->loop().give_buffer(std::move(out));
  return stream_->write({});
}

Outlet::Wait WebSocket::write(Kind kind, std::string_view data) {
  if (close_sent_) return stream_->write({});
  return send(static_cast<Opcode>(kind), data);
}

void WebSocket::send_close(uint16_t code, std::string_view reason) {
  if (std::exchange(close_sent_, true)) return;
  std::string payload{static_cast<char>(code >> 8), static_cast<char>(code)};
  payload.append(utf8::mended(reason.substr(0, 120)).substr(0, 123));
  while (!utf8::valid(std::string_view(payload).substr(2))) payload.pop_back();
  static_cast<void>(send(Opcode::kClose, payload));
}

Task<Result<>> WebSocket::close(uint16_t code, std::string_view reason) {
  send_close(code, reason);
  if (reading_) co_return co_await stream_->drain();
  stream_->set_read_deadline(kCloseTimeout, "WebSocket: wait for a close frame from");
  while (!close_received_) {
    const auto message = co_await read();
    if (!message) break;
  }
  stream_->clear_read_deadline();
  silence_.clear();
  co_return Result<>();
}

void WebSocket::silent(void* self) {
  auto& socket = *static_cast<WebSocket*>(self);
  if (!std::exchange(socket.heard_, false)) {
    if (socket.pinged_ && socket.reading_)
      return socket.stream_->abort(Error::from_errno(ETIMEDOUT, cat("WebSocket with ", socket.stream_->peer())));
    static_cast<void>(socket.send(Opcode::kPing, {}));
    socket.pinged_ = true;
  } else {
    socket.pinged_ = false;
  }
  socket.silence_.set_after(socket.options_.ping_interval);
}

}  // namespace proa::net
