// The driver fluentd: the Forward protocol, version 1, in its forward mode: an array of events in MessagePack.
#include <chrono>
#include <optional>

#include "base/ids.h"
#include "base/values.h"
#include "logs/forward/sender.h"

namespace proa::logs {
namespace {

constexpr int kPatience = 30000, kDialPatience = 10000;
constexpr size_t kMostAnswer = 1024;

// Big-endian, `bytes` of it.
void put_number(std::string& out, uint64_t value, int bytes) {
  for (int i = bytes; i-- > 0;) out += static_cast<char>(value >> (8 * i) & 0xff);
}
void put_text(std::string& out, std::string_view text) {
  if (text.size() < 32)
    out += static_cast<char>(0xa0 | text.size());
  else if (text.size() < 256)
    out += '\xd9', put_number(out, text.size(), 1);
  else if (text.size() < 65536)
    out += '\xda', put_number(out, text.size(), 2);
  else
    out += '\xdb', put_number(out, text.size(), 4);
  out += text;
}
void put_array(std::string& out, size_t count) { out += '\xdd', put_number(out, count, 4); }
void put_map(std::string& out, size_t count) { out += '\xde', put_number(out, count, 2); }
void put_unsigned(std::string& out, uint64_t value) { out += '\xcf', put_number(out, value, 8); }
// EventTime, an extension of type 0: seconds and nanoseconds.
void put_time(std::string& out, WallTime time, bool precise) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto whole = static_cast<uint64_t>(seconds.time_since_epoch().count());
  if (!precise) return put_unsigned(out, whole);
  out.append("\xd7\x00", 2);
  put_number(out, whole, 4);
  put_number(out, static_cast<uint64_t>((time - seconds).count()), 4);
}

class Fluentd final : public Sender {
 public:
  Fluentd(const StringMap& options, Identity identity, Address address, Watch& watch)
      : identity_(std::move(identity)), address_(std::move(address)), watch_(watch) {
    precise_ = flag_of(options, "fluentd-sub-second-precision");
    acknowledged_ = flag_of(options, "fluentd-request-ack");
    const auto ms = [&](const char* name, double otherwise) {
      const double seconds = parse_duration(option_of(options, name)).value_or(otherwise);
      return static_cast<int>((seconds > 0 ? seconds : otherwise) * 1000);
    };
    write_patience_ = ms("fluentd-write-timeout", kPatience / 1000.0);
    reconnect_ = flag_of(options, "fluentd-async") ? ms("fluentd-async-reconnect-interval", 0) : 0;
    retries_ = {.most = static_cast<uint64_t>(number_of(options, "fluentd-max-retries", 4294967295)),
                .first_ms = ms("fluentd-retry-wait", 1),
                .longest_ms = 60000,
                .factor = 1.5};
  }

  Retries retries() const override { return retries_; }

  Result<> connect() override {
    const auto now = std::chrono::steady_clock::now();
    const bool old = reconnect_ != 0 && now - connected_at_ > std::chrono::milliseconds(reconnect_);
    if (connection_ && !old && connection_->check()) return {};
    connection_.reset();
    connection_ = TRY(Connection::open(address_, {}, kDialPatience, watch_));
    connected_at_ = now;
    return {};
  }

  Result<> send(std::span<const Record> records) override {
    TRY(connect());
    auto sent = write(records);
    if (!sent) connection_.reset();
    return sent;
  }

 private:
  Result<> write(std::span<const Record> records) {
    const std::string chunk = acknowledged_ ? TRY(random_hex(12)) : std::string();
    TRY(connection_->send(fluentd_message(identity_, records, precise_, chunk), write_patience_));
    return acknowledged_ ? await_answer(chunk) : connection_->settle(write_patience_);
  }

  // {"ack": CHUNK}, which is nobody's but ours: to see the chunk's name in it is enough.
  Result<> await_answer(const std::string& chunk) {
    std::string answer;
    while (answer.find(chunk) == std::string::npos) {
      const std::string more = TRY(connection_->receive(kPatience));
      if (more.empty()) return Failure(Error("the receiver has closed the connection", EPIPE));
      answer += more;
      if (answer.size() > kMostAnswer) return fail("the receiver's answer is not about what was sent");
    }
    return {};
  }

  Identity identity_;
  Address address_;
  Watch& watch_;
  bool precise_ = false, acknowledged_ = false;
  int write_patience_ = kPatience, reconnect_ = 0;
  Retries retries_;
  std::optional<Connection> connection_;
  std::chrono::steady_clock::time_point connected_at_;
};

}  // namespace

// [tag, [[time, record], ...], {"size": N, "chunk": ID}]
std::string fluentd_message(const Identity& identity, std::span<const Record> records, bool precise,
                            std::string_view chunk) {
  std::string out;
  out += '\x93';
  put_text(out, identity.tag);
  put_array(out, records.size());
  for (const Record& record : records) {
    out += '\x92';
    put_time(out, record.time, precise);
    put_map(out, 4 + identity.extras.size() + (record.piece != 0 ? 4 : 0));
    const auto put = [&](std::string_view name, std::string_view value) { put_text(out, name), put_text(out, value); };
    put("container_id", identity.subject.id);
    put("container_name", "/" + identity.subject.name);
    put("source", record.error ? "stderr" : "stdout");
    put("log", record.text);
    for (const auto& [name, value] : identity.extras) put(name, value);
    if (record.piece == 0) continue;
    put("partial_message", "true");
    put("partial_id", record.piece_of);
    put("partial_ordinal", std::to_string(record.piece));
    put("partial_last", record.last_piece ? "true" : "false");
  }
  out += static_cast<char>(0x80 | (chunk.empty() ? 1 : 2));
  put_text(out, "size");
  put_unsigned(out, records.size());
  if (!chunk.empty()) put_text(out, "chunk"), put_text(out, chunk);
  return out;
}

Result<std::unique_ptr<Sender>> make_fluentd(const StringMap& options, Identity identity, Watch& watch) {
  Address address = TRY(address_of("fluentd", options));
  return std::make_unique<Fluentd>(options, std::move(identity), std::move(address), watch);
}

Result<std::unique_ptr<Sender>> make_sender(const std::string& driver, const StringMap& options, Identity identity,
                                            Watch& watch) {
  if (driver == "syslog") return make_syslog(options, std::move(identity), watch);
  if (driver == "gelf") return make_gelf(options, std::move(identity), watch);
  if (driver == "fluentd") return make_fluentd(options, std::move(identity), watch);
  if (driver == "journald") return make_journald(options, std::move(identity), watch);
  return fail("logger: no log driver named '", driver, "' is registered");
}

}  // namespace proa::logs
