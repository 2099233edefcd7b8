// The driver journald: the journal's native protocol, a datagram of fields for each line.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <optional>

#include "kernel/file.h"
#include "logs/forward/sender.h"

namespace proa::logs {
namespace {

constexpr const char* kSocket = "/run/systemd/journal/socket";
constexpr int kPatience = 30000;

// Names of fields are capitals, digits and underscores, and begin with a letter.
std::string field_name(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain) c = '_';
    if (out.empty() && (c < 'A' || c > 'Z')) continue;
    out += c;
  }
  return out.substr(0, 64);
}

// NAME=VALUE, or with a value of several lines NAME, its length in eight bytes, and the value.
void put(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  if (value.find('\n') == std::string_view::npos) {
    out.append("=").append(value).append("\n");
    return;
  }
  out += '\n';
  for (uint64_t size = value.size(), i = 0; i < 8; ++i, size >>= 8) out += static_cast<char>(size & 0xff);
  out.append(value).append("\n");
}

class Journald final : public Sender {
 public:
  Journald(Identity identity, Watch& watch) : identity_(std::move(identity)), watch_(watch) {}

  Result<> connect() override {
    if (connection_) return {};
    connection_ = TRY(Connection::open({.scheme = "unixgram", .path = kSocket}, {}, kPatience, watch_));
    return {};
  }

  Result<> send(std::span<const Record> records) override {
    TRY(connect());
    for (const Record& record : records) {
      const std::string message = journald_message(identity_, record);
      auto sent = connection_->send(message, kPatience);
      if (!sent && (sent.error().code() == EMSGSIZE || sent.error().code() == ENOBUFS)) sent = send_sealed(message);
      if (sent) continue;
      connection_.reset();
      return sent;
    }
    return {};
  }

 private:
  // What no datagram holds goes as a file that nobody can change any more.
  Result<> send_sealed(const std::string& message) {
    const Fd file(::memfd_create("journal", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!file) return fail_errno(errno, "memfd");
    TRY(kernel::write_all(file.get(), message));
    if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
      return fail_errno(errno, "seal");
    return connection_->send_descriptor(file.get(), kPatience);
  }

  Identity identity_;
  Watch& watch_;
  std::optional<Connection> connection_;
};

}  // namespace

std::string journald_message(const Identity& identity, const Record& record) {
  const Subject& s = identity.subject;
  std::string out;
  put(out, "MESSAGE", record.text);
  put(out, "PRIORITY", record.error ? "3" : "6");
  put(out, "CONTAINER_ID", std::string_view(s.id).substr(0, 12));
  put(out, "CONTAINER_ID_FULL", s.id);
  put(out, "CONTAINER_NAME", s.name);
  put(out, "CONTAINER_TAG", identity.tag);
  put(out, "IMAGE_NAME", s.image_name);
  put(out, "SYSLOG_IDENTIFIER", identity.tag);
  put(out, "SYSLOG_TIMESTAMP", format_rfc3339(record.time, TimePrecision::kNanoseconds));
  if (record.piece != 0) {
    put(out, "CONTAINER_PARTIAL_MESSAGE", record.last_piece ? "false" : "true");
    put(out, "CONTAINER_PARTIAL_ID", record.piece_of);
    put(out, "CONTAINER_PARTIAL_ORDINAL", std::to_string(record.piece));
    put(out, "CONTAINER_PARTIAL_LAST", record.last_piece ? "true" : "false");
  }
  for (const auto& [name, value] : identity.extras)
    if (const std::string field = field_name(name); !field.empty()) put(out, field, value);
  return out;
}

Result<std::unique_ptr<Sender>> make_journald(const StringMap&, Identity identity, Watch& watch) {
  return std::make_unique<Journald>(std::move(identity), watch);
}

}  // namespace proa::logs
