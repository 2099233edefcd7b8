// WebSocket (RFC 6455) over HTTP/1.1, server and client.
//
//   const auto socket = CO_TRY(co_await WebSocket::accept(request, response, {.subprotocols = {"v5.channel.k8s.io"}}));
//   if (!socket) co_return Result<>();  // it was no WebSocket request and has been answered
//   for (;;) {
//     const auto message = CO_TRY(co_await socket->read());
//     if (!message) break;              // closed by the other side
//     CO_TRY(co_await socket->write(message->kind, message->data));
//   }
//
// On its stream's loop only. One coroutine may read while others write. Pings are answered while somebody reads.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/client.h"
#include "net/server.h"
#include "net/websocket_frame.h"

namespace proa::net {

class WebSocket {
 public:
  enum class Kind : uint8_t { kText = 1, kBinary = 2 };
  struct Message {
    Kind kind = Kind::kBinary;
    std::string data;  // valid UTF-8 if it is text
  };
  struct Options {
    std::vector<std::string> subprotocols;  // the server takes the client's first that is here; the client offers all
    size_t max_message = 16 << 20;          // longer ones end the connection with code 1009
    Duration ping_interval{
        30'000};  // of silence, then a ping; after as much silence again the connection is cut. 0: never
  };

  // Answers the request. Null when it is refused: it has been answered with 400 or 426 then. Who may connect
  // (Origin, credentials) is the caller's to check before.
  static Task<Result<std::unique_ptr<WebSocket>>> accept(Request& request, Response& response, Options options);
  // `request.url` has the scheme ws, wss, http or https. From a coroutine on client.loop().
  static Task<Result<std::unique_ptr<WebSocket>>> connect(Client& client, ClientRequest request, Options options);

  WebSocket(std::unique_ptr<Stream> stream, bool server, std::string subprotocol, const Options& options);
  WebSocket(const WebSocket&) = delete;
  WebSocket& operator=(const WebSocket&) = delete;

  // "" when none was agreed on.
  const std::string& subprotocol() const { return subprotocol_; }
  Stream& stream() const { return *stream_; }

  // The next message, its fragments joined; nothing once the other side has closed, with close_code() and
  // close_reason() then. A breach of the protocol closes and is an error with code EBADMSG.
  Task<Result<std::optional<Message>>> read();
  // One frame, sent at once.
  Outlet::Wait write(Kind kind, std::string_view data);
  // Tells the other side, waits for its answer for some seconds unless another coroutine reads, and ends the stream.
  Task<Result<>> close(uint16_t code = 1000, std::string_view reason = {});

  uint16_t close_code() const { return close_code_; }
  const std::string& close_reason() const { return close_reason_; }

 private:
  Task<Result<>> fill();
  Result<bool> take_frame(std::optional<Message>& complete);
  Result<> take_control(const FrameHeader& header, std::string_view payload);
  Result<> begin_data(const FrameHeader& header);
  Outlet::Wait send(Opcode opcode, std::string_view payload);
  void send_close(uint16_t code, std::string_view reason);
  static void silent(void* self);

  const std::unique_ptr<Stream> stream_;
  const bool server_;
  const std::string subprotocol_;
  const Options options_;
  std::string in_;
  std::optional<Message> message_;  // being joined
  FrameHeader frame_;
  uint64_t frame_at_ = 0;  // of its payload, what was taken
  bool in_frame_ = false;
  bool reading_ = false;
  bool close_sent_ = false;
  bool close_received_ = false;
  bool heard_ = false;  // anything, since the timer was set
  bool pinged_ = false;
  uint16_t close_code_ = 1006;
  std::string close_reason_;
  Timer silence_;
};

}  // namespace proa::net
