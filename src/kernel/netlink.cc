#include "kernel/netlink.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "kernel/file.h"
#include "kernel/sys.h"

namespace proa::kernel {
namespace {

constexpr CallShape kSocket{SYS_socket, "socket", "dxd"};
constexpr CallShape kSetsockopt{SYS_setsockopt, "setsockopt", "dddpd"};
constexpr CallShape kSendto{SYS_sendto, "sendto", "dpdxpd"};
constexpr CallShape kRecvfrom{SYS_recvfrom, "recvfrom", "dpdxpp"};
constexpr CallShape kSetns{SYS_setns, "setns", "dx"};

// The kernel fills a dump's datagram up to this much; nothing it sends on its own is larger.
constexpr size_t kBufferSize = 32u << 10;
constexpr size_t kMaxAttribute = 0xffff;
constexpr int kDumpAttempts = 8;
// net.core.wmem_default where nobody changed it.
constexpr size_t kUsualSendBuffer = 212992;

constexpr size_t align(size_t size) { return (size + 3) & ~size_t{3}; }

// The text an extended acknowledgement carries (NLMSGERR_ATTR_MSG), or nothing.
std::string_view explanation(const MessageView& answer) {
  if ((answer.flags & NLM_F_ACK_TLVS) == 0) return {};
  const auto error = answer.header<nlmsgerr>();
  if (!error) return {};
  // Unless capped, the request's own payload is echoed between the two.
  size_t skip = sizeof(nlmsgerr);
  if ((answer.flags & NLM_F_CAPPED) == 0 && error->msg.nlmsg_len > sizeof(nlmsghdr))
    skip += align(error->msg.nlmsg_len - sizeof(nlmsghdr));
  AttributeReader attributes(answer.attributes(skip));
  for (;;) {
    const auto attribute = attributes.next();
    if (!attribute || !*attribute) return {};
    if ((*attribute)->type == NLMSGERR_ATTR_MSG) return (*attribute)->text();
  }
}

Result<> acknowledged(const MessageView& answer) {
  const auto error = answer.header<nlmsgerr>();
  if (!error) return fail("netlink: the kernel's acknowledgement is too short");
  if (error->error == 0) return {};
  if (error->error > 0) return fail("netlink: acknowledgement with error ", error->error);
  const std::string_view why = explanation(answer);
  return fail_errno(-error->error, why);
}

}  // namespace

Message::Message(uint16_t type, uint16_t flags) {
  bytes_.reserve(128);
  const nlmsghdr start{.nlmsg_len = 0,
                       .nlmsg_type = type,
                       .nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST),
                       .nlmsg_seq = 0,
                       .nlmsg_pid = 0};
  append(std::as_bytes(std::span(&start, 1)));
}

Message& Message::append(Bytes bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  bytes_.resize(align(bytes_.size()));
  return *this;
}

Message& Message::add(uint16_t type, Bytes payload) {
  if (payload.size() > kMaxAttribute - sizeof(nlattr)) {
    overflow_ = true;
    return *this;
  }
  const nlattr start{.nla_len = static_cast<uint16_t>(sizeof(nlattr) + payload.size()), .nla_type = type};
  append(std::as_bytes(std::span(&start, 1)));
  return append(payload);
}

Message& Message::add_string(uint16_t type, std::string_view text) {
  const std::string terminated(text);
  return add(type, std::as_bytes(std::span(terminated.c_str(), terminated.size() + 1)));
}

Message& Message::begin_nest(uint16_t type) {
  nests_.push_back(bytes_.size());
  return add(type | NLA_F_NESTED, {});
}

Message& Message::end_nest() {
  if (nests_.empty()) {
    overflow_ = true;
    return *this;
  }
  const size_t start = nests_.back();
  nests_.pop_back();
  const size_t length = bytes_.size() - start;
  if (length > kMaxAttribute) overflow_ = true;
  const auto stored = static_cast<uint16_t>(length);
  std::memcpy(bytes_.data() + start + offsetof(nlattr, nla_len), &stored, sizeof stored);
  return *this;
}

uint16_t Message::type() const {
  uint16_t type = 0;
  std::memcpy(&type, bytes_.data() + offsetof(nlmsghdr, nlmsg_type), sizeof type);
  return type;
}

void Message::set_flags(uint16_t flags) {
  uint16_t now = 0;
  std::byte* at = bytes_.data() + offsetof(nlmsghdr, nlmsg_flags);
  std::memcpy(&now, at, sizeof now);
  now |= flags;
  std::memcpy(at, &now, sizeof now);
}

Result<Bytes> Message::finish(uint32_t sequence) {
  if (overflow_ || !nests_.empty()) return fail("netlink: message ", type(), " has an attribute that does not fit");
  const auto length = static_cast<uint32_t>(bytes_.size());
  std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_len), &length, sizeof length);
  std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
  return Bytes(bytes_);
}

Bytes MessageView::attributes(size_t size) const {
  const size_t start = align(size);
  return start >= payload.size() ? Bytes() : payload.subspan(start);
}

std::string_view Attribute::text() const {
  const std::string_view whole(reinterpret_cast<const char*>(payload.data()), payload.size());
  return whole.substr(0, whole.find('\0'));
}

Result<std::optional<MessageView>> MessageReader::next() {
  if (rest_.empty()) return std::nullopt;
  nlmsghdr start;
  if (rest_.size() < sizeof start) return fail("netlink: ", rest_.size(), " stray bytes after the last message");
  std::memcpy(&start, rest_.data(), sizeof start);
  if (start.nlmsg_len < sizeof start || start.nlmsg_len > rest_.size())
    return fail("netlink: a message of ", start.nlmsg_len, " bytes where ", rest_.size(), " are left");
  const MessageView view{.type = start.nlmsg_type,
                         .flags = start.nlmsg_flags,
                         .sequence = start.nlmsg_seq,
                         .payload = rest_.subspan(sizeof start, start.nlmsg_len - sizeof start)};
  rest_ = rest_.subspan(std::min(align(start.nlmsg_len), rest_.size()));
  return view;
}

Result<std::optional<Attribute>> AttributeReader::next() {
  if (rest_.empty()) return std::nullopt;
  nlattr start;
  if (rest_.size() < sizeof start) return fail("netlink: ", rest_.size(), " stray bytes after the last attribute");
  std::memcpy(&start, rest_.data(), sizeof start);
  if (start.nla_len < sizeof start || start.nla_len > rest_.size())
    return fail("netlink: an attribute of ", start.nla_len, " bytes where ", rest_.size(), " are left");
  const Attribute attribute{.type = static_cast<uint16_t>(start.nla_type & NLA_TYPE_MASK),
                            .payload = rest_.subspan(sizeof start, start.nla_len - sizeof start)};
  rest_ = rest_.subspan(std::min(align(start.nla_len), rest_.size()));
  return attribute;
}

Result<Netlink> Netlink::open(int protocol) {
  Fd socket = TRY(check_fd(call(kSocket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), "netlink socket"));
  // Both only improve error messages: a kernel that has neither works as well.
  const int on = 1;
  call(kSetsockopt, socket.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  call(kSetsockopt, socket.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  return Netlink(std::move(socket));
}

Result<Netlink> Netlink::open_in(int netns_fd, int protocol) {
  Fd home = TRY(kernel::open("/proc/thread-self/ns/net", O_RDONLY));
  TRY(check_ok(call(kSetns, netns_fd, CLONE_NEWNET), "enter the network namespace"));
  Result<Netlink> socket = open(protocol);
  TRY(check_ok(call(kSetns, home.get(), CLONE_NEWNET), "return to the network namespace"));
  return socket;
}

Result<> Netlink::send(Message& message, uint16_t flags) {
  message.set_flags(flags);
  return send_bytes(TRY(message.finish(++sequence_)));
}

Result<> Netlink::send_bytes(Bytes bytes) {
  // The kernel refuses a datagram that does not fit its half of the send buffer.
  if (bytes.size() > kUsualSendBuffer / 2) {
    const int wanted = static_cast<int>(bytes.size()) * 2;
    call(kSetsockopt, socket_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof wanted);
  }
  const sockaddr_nl kernel{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = 0, .nl_groups = 0};
  long sent = -EINTR;
  while (sent == -EINTR) sent = call(kSendto, socket_.get(), bytes.data(), bytes.size(), 0, &kernel, sizeof kernel);
  return check_ok(sent, "netlink: send");
}

Result<Bytes> Netlink::receive(int flags) {
  buffer_.resize(kBufferSize);
  for (;;) {
    sockaddr_nl from{};
    socklen_t from_size = sizeof from;
    const long got =
        call(kRecvfrom, socket_.get(), buffer_.data(), buffer_.size(), MSG_TRUNC | flags, &from, &from_size);
    if (got == -EINTR) continue;
    if (got == -EAGAIN && (flags & MSG_DONTWAIT) != 0) return Bytes();
    if (got < 0) return fail_errno(static_cast<int>(-got), "netlink: receive");
    if (static_cast<size_t>(got) > buffer_.size()) return fail("netlink: an answer of ", got, " bytes was cut off");
    if (from.nl_pid != 0) continue;  // some process, not the kernel
    return Bytes(buffer_).first(static_cast<size_t>(got));
  }
}

// Without a visitor only the acknowledgement counts.
Result<Netlink::Progress> Netlink::read_answer(Bytes datagram, const Visitor* visit) {
  MessageReader messages(datagram);
  for (;;) {
    const std::optional<MessageView> message = TRY(messages.next());
    if (!message) return Progress::kMore;
    if (message->sequence != sequence_) continue;  // an answer to an earlier, abandoned request
    if ((message->flags & NLM_F_DUMP_INTR) != 0) torn_ = true;
    switch (message->type) {
      case NLMSG_NOOP: break;
      case NLMSG_OVERRUN: return fail("netlink: answers were lost");
      case NLMSG_ERROR: TRY(acknowledged(*message)); return Progress::kDone;
      case NLMSG_DONE:
        // Carries the dump's own result when it failed half-way.
        if (const auto code = message->header<int32_t>(); code && *code < 0) return fail_errno(-*code, "netlink: dump");
        return torn_ ? Progress::kTorn : Progress::kDone;
      default:
        if (visit != nullptr) TRY((*visit)(*message));
    }
  }
}

Result<Netlink::Progress> Netlink::finish(const Visitor* visit) {
  for (;;) {
    const Bytes datagram = TRY(receive());
    const Progress progress = TRY(read_answer(datagram, visit));
    if (progress != Progress::kMore) return progress;
  }
}

Result<> Netlink::request(Message& message) {
  TRY(send(message, NLM_F_ACK));
  TRY(finish(nullptr));
  return {};
}

Result<> Netlink::query(Message& message, const Visitor& visit) {
  TRY(send(message, NLM_F_ACK));
  TRY(finish(&visit));
  return {};
}

Result<> Netlink::batch(std::span<Message> messages, size_t* failed) {
  if (failed != nullptr) *failed = messages.size();
  if (messages.empty()) return {};
  std::vector<std::byte> datagram;
  const uint32_t first = sequence_ + 1;
  for (Message& message : messages) {
    const Bytes bytes = TRY(message.finish(++sequence_));
    datagram.insert(datagram.end(), bytes.begin(), bytes.end());
  }
  TRY(send_bytes(datagram));
  return batch_answers(first, messages.size(), failed);
}

// The kernel has worked through the whole datagram when sendto returns: what it has to say is queued.
Result<> Netlink::batch_answers(uint32_t first, size_t count, size_t* failed) {
  Result<> outcome;
  for (;;) {
    const Bytes datagram = TRY(receive(MSG_DONTWAIT));
    if (datagram.empty()) return outcome;
    MessageReader messages(datagram);
    while (const std::optional<MessageView> message = TRY(messages.next())) {
      const size_t index = message->sequence - first;
      if (message->type != NLMSG_ERROR || index >= count || !outcome) continue;
      outcome = acknowledged(*message);
      if (!outcome && failed != nullptr) *failed = index;
    }
  }
}

Result<> Netlink::dump(Message& message, const Visitor& visit, const std::function<void()>& restart) {
  for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
    if (restart) restart();
    torn_ = false;
    TRY(send(message, NLM_F_DUMP));
    const Progress progress = TRY(finish(&visit));
    if (progress == Progress::kDone) return {};
  }
  return fail_errno(EAGAIN, "netlink: the list kept changing while it was read");
}

}  // namespace proa::kernel
