// The driver syslog: RFC 3164, RFC 5424, and the C library's own form, over datagrams and streams.
#include <time.h>
#include <unistd.h>

#include <array>
#include <optional>

#include "base/text.h"
#include "logs/forward/sender.h"

namespace proa::logs {
namespace {

constexpr int kPatience = 30000, kDialPatience = 10000;  // milliseconds
constexpr int kError = 3, kInformation = 6;              // severities

// "Jan  2 15:04:05", in local time.
std::string stamp(WallTime time) {
  const time_t seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  struct tm parts{};
  ::localtime_r(&seconds, &parts);
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), "%s %2d %02d:%02d:%02d", kMonths[parts.tm_mon % 12], parts.tm_mday,
                parts.tm_hour, parts.tm_min, parts.tm_sec);
  return text.data();
}

// Header fields are printable, without spaces, and have a longest length (RFC 5424, section 6).
std::string field(std::string_view text, size_t most) {
  std::string out(text.substr(0, most));
  for (char& c : out)
    if (c <= ' ' || c > '~') c = '_';
  return out.empty() ? "-" : out;
}

std::string time_of(WallTime time, bool micro) {
  std::string text = format_rfc3339(time, TimePrecision::kNanoseconds);
  const size_t point = text.find('.');
  return cat(text.substr(0, micro ? point + 7 : point), "Z");
}

class Syslog final : public Sender {
 public:
  Syslog(const StringMap& options, Identity identity, Address address, Watch& watch)
      : identity_(std::move(identity)),
        address_(std::move(address)),
        format_(option_of(options, "syslog-format")),
        facility_(facility_of(option_of(options, "syslog-facility")).value_or(kError)),
        watch_(watch) {
    tls_ = {.authorities = option_of(options, "syslog-tls-ca-cert"),
            .certificate = option_of(options, "syslog-tls-cert"),
            .key = option_of(options, "syslog-tls-key"),
            .insecure = flag_of(options, "syslog-tls-skip-verify")};
  }

  Result<> connect() override {
    if (connection_ && connection_->check()) return {};
    connection_.reset();
    if (!address_.scheme.empty()) {
      connection_ = TRY(Connection::open(address_, tls_, kDialPatience, watch_));
      return {};
    }
    // The host's own, where programs of the C library find it.
    for (const char* path : {"/dev/log", "/var/run/syslog", "/var/run/log"})
      for (const char* scheme : {"unixgram", "unix"}) {
        auto opened = Connection::open({.scheme = scheme, .path = path}, {}, kDialPatience, watch_);
        if (!opened && opened.error().code() == ECANCELED) return std::unexpected(opened.error());
        if (!opened) continue;
        connection_ = std::move(*opened);
        return {};
      }
    return fail("Unix syslog delivery error").hint("no syslog listens at /dev/log: give a syslog-address");
  }

  Result<> send(std::span<const Record> records) override {
    TRY(connect());
    auto sent = write(records);
    if (!sent) connection_.reset();
    return sent;
  }

 private:
  Result<> write(std::span<const Record> records) {
    // RFC 5425 counts octets; on plain streams a line's end ends the message (RFC 6587, section 3.4.2).
    const bool counted = address_.scheme == "tcp+tls" && format_.starts_with("rfc5424");
    std::string batch;
    for (const Record& record : records) {
      std::string message = syslog_message(format_, facility_, identity_, record);
      if (!connection_->stream()) {
        TRY(connection_->send(message, kPatience));
        continue;
      }
      batch += counted ? cat(message.size(), " ", message) : message + "\n";
    }
    TRY(connection_->send(batch, kPatience));
    return connection_->settle(kPatience);
  }

  Identity identity_;
  Address address_;
  std::string format_;
  int facility_;
  TlsFiles tls_;
  Watch& watch_;
  std::optional<Connection> connection_;
};

}  // namespace

std::string syslog_message(std::string_view format, int facility, const Identity& identity, const Record& record) {
  const int priority = facility * 8 + (record.error ? kError : kInformation);
  const int64_t pid = identity.pid != 0 ? identity.pid : ::getpid();
  const std::string host = field(identity.host, 255);
  if (format.starts_with("rfc5424")) {
    const std::string time = time_of(record.time, format == "rfc5424micro");
    return cat("<", priority, ">1 ", time, " ", host, " ", field(identity.tag, 48), " ", pid, " ",
               field(identity.tag, 32), " - ", record.text);
  }
  const std::string name = format.empty() ? std::string() : host + " ";
  return cat("<", priority, ">", stamp(record.time), " ", name, identity.tag, "[", pid, "]: ", record.text);
}

Result<std::unique_ptr<Sender>> make_syslog(const StringMap& options, Identity identity, Watch& watch) {
  Address address = TRY(address_of("syslog", options));
  return std::make_unique<Syslog>(options, std::move(identity), std::move(address), watch);
}

}  // namespace proa::logs
