// netlink: the one client of the kernel's message sockets. Messages are built and read here with
// bounds checked; what they mean (links, addresses, ...) stands in the file of that subject.
//
//   Message request(RTM_NEWLINK, 0);
//   request.header(ifinfomsg{.ifi_index = 1, ...}).add_string(IFLA_IFNAME, "eth0");
//   Netlink route = TRY(Netlink::open(NETLINK_ROUTE));
//   TRY(route.request(request));                                    // sent and acknowledged
//   TRY(route.dump(query, [](const MessageView& link) { ... }));   // every answer in turn
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace proa::kernel {

using Bytes = std::span<const std::byte>;

// A request being put together.
class Message {
 public:
  // NLM_F_REQUEST is added to `flags`.
  explicit Message(uint16_t type, uint16_t flags = 0);

  // The subject's fixed part (ifinfomsg, ifaddrmsg, ...): once, before any attribute.
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  Message& header(const T& fixed) {
    return append(std::as_bytes(std::span(&fixed, 1)));
  }
  // One attribute. More than 65,531 bytes do not fit one: the excess makes finish() fail.
  Message& add(uint16_t type, Bytes payload);
  template <typename T>
    requires std::is_integral_v<T>
  Message& add_number(uint16_t type, T value) {
    return add(type, std::as_bytes(std::span(&value, 1)));
  }
  Message& add_string(uint16_t type, std::string_view text);  // with its NUL
  // Attributes between the two become the payload of `type`.
  Message& begin_nest(uint16_t type);
  Message& end_nest();

  uint16_t type() const;
  void set_flags(uint16_t flags);
  // Bytes so far.
  size_t size() const { return bytes_.size(); }
  // The bytes to send. An error when an attribute was too long or a nest is still open.
  Result<Bytes> finish(uint32_t sequence);

 private:
  Message& append(Bytes bytes);

  std::vector<std::byte> bytes_;
  std::vector<size_t> nests_;
  bool overflow_ = false;
};

// One message as received; a view into the buffer it came in.
struct MessageView {
  uint16_t type = 0, flags = 0;
  uint32_t sequence = 0;
  Bytes payload;

  // The fixed part at the start of the payload, or nothing when that is too short.
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  std::optional<T> header() const {
    if (payload.size() < sizeof(T)) return std::nullopt;
    T fixed;
    std::memcpy(&fixed, payload.data(), sizeof(T));
    return fixed;
  }
  // What follows a fixed part of `size` bytes: the attributes.
  Bytes attributes(size_t size) const;
};

struct Attribute {
  uint16_t type = 0;  // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
  Bytes payload;

  template <typename T>
    requires std::is_trivially_copyable_v<T>
  std::optional<T> value() const {
    if (payload.size() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, payload.data(), sizeof(T));
    return value;
  }
  // Up to the first NUL or the end.
  std::string_view text() const;
};

// Splits one datagram into its messages. next(): a message, nothing at the end, or what is wrong.
class MessageReader {
 public:
  explicit MessageReader(Bytes datagram) : rest_(datagram) {}
  Result<std::optional<MessageView>> next();

 private:
  Bytes rest_;
};

class AttributeReader {
 public:
  explicit AttributeReader(Bytes attributes) : rest_(attributes) {}
  Result<std::optional<Attribute>> next();

 private:
  Bytes rest_;
};

// A socket to one netlink family, in the network namespace of the thread that opened it. One thread
// at a time.
class Netlink {
 public:
  using Visitor = std::function<Result<>(const MessageView&)>;

  static Result<Netlink> open(int protocol);
  // ... in the namespace behind `netns_fd`: enters it, opens, comes back. If coming back fails, so
  // does this.
  static Result<Netlink> open_in(int netns_fd, int protocol);

  // Sends and waits for the acknowledgement. The kernel's own explanation is put into the error.
  Result<> request(Message& message);
  // Sends all in one datagram: one system call for the lot. The kernel works through them in order and
  // answers only what fails (unless a message asks otherwise with NLM_F_ACK or NLM_F_ECHO); the first
  // failure is returned, `failed` gets its index. rtnetlink carries on after a failure; nf_tables, between
  // its begin and end messages, does all or nothing.
  Result<> batch(std::span<Message> messages, size_t* failed = nullptr);
  // Sends and visits the one answer: a "get" that is no dump.
  Result<> query(Message& message, const Visitor& visit);
  // Sends as a dump and visits each answer. A dump that the kernel says was torn by a change is asked
  // for again: `restart` is called before each attempt, so that the caller can drop what it collected.
  Result<> dump(Message& message, const Visitor& visit, const std::function<void()>& restart = {});

 private:
  enum class Progress : uint8_t { kMore, kDone, kTorn };
  explicit Netlink(Fd socket) : socket_(std::move(socket)) {}
  Result<> send(Message& message, uint16_t flags);
  Result<> send_bytes(Bytes bytes);
  Result<> batch_answers(uint32_t first, size_t count, size_t* failed);
  // With MSG_DONTWAIT in `flags`: no bytes when nothing is queued.
  Result<Bytes> receive(int flags = 0);
  Result<Progress> read_answer(Bytes datagram, const Visitor* visit);
  // Reads until the request is answered.
  Result<Progress> finish(const Visitor* visit);

  Fd socket_;
  uint32_t sequence_ = 0;
  bool torn_ = false;
  std::vector<std::byte> buffer_;
};

}  // namespace proa::kernel
