// The driver gelf: Graylog's format 1.1, as datagrams, compressed and in chunks, or over TCP.
#include <zlib.h>

#include <array>
#include <boost/json.hpp>
#include <optional>

#include "base/ids.h"
#include "base/json.h"
#include "logs/forward/sender.h"

namespace proa::logs {
namespace {

constexpr int kPatience = 30000, kDialPatience = 10000;
constexpr size_t kDatagram = 1420, kChunkHead = 12, kMostChunks = 128;
constexpr int kZlib = 15, kGzip = 15 + 16;  // zlib's windowBits

Result<std::string> compressed(std::string_view text, int form, int level) {
  z_stream stream{};
  if (::deflateInit2(&stream, level, Z_DEFLATED, form, 8, Z_DEFAULT_STRATEGY) != Z_OK) return fail("gelf: no memory");
  std::string out(::deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int done = ::deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  ::deflateEnd(&stream);
  if (done != Z_STREAM_END) return fail("gelf: the message cannot be compressed");
  return out;
}

class Gelf final : public Sender {
 public:
  Gelf(const StringMap& options, Identity identity, Address address, Watch& watch)
      : identity_(std::move(identity)), address_(std::move(address)), watch_(watch) {
    const std::string type = option_of(options, "gelf-compression-type", "gzip");
    form_ = type == "gzip" ? kGzip : type == "zlib" ? kZlib : 0;
    level_ = static_cast<int>(number_of(options, "gelf-compression-level", Z_BEST_SPEED));
    if (address_.scheme != "tcp") return;
    retries_.factor = 1;
    retries_.most = static_cast<uint64_t>(number_of(options, "gelf-tcp-max-reconnect", INT64_MAX));
    retries_.first_ms = number_of(options, "gelf-tcp-reconnect-delay", 1) * 1000;
  }

  Retries retries() const override { return retries_; }

  Result<> connect() override {
    if (connection_ && connection_->check()) return {};
    connection_.reset();
    connection_ = TRY(Connection::open(address_, {}, kDialPatience, watch_));
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
    std::string batch;
    for (const Record& record : records) {
      if (record.text.empty()) continue;  // a message without text is none (GELF 1.1: short_message MUST be set)
      const std::string message = gelf_message(identity_, record);
      if (connection_->stream()) {
        batch.append(message).push_back('\0');
        continue;
      }
      const std::string packed = form_ == 0 ? message : TRY(compressed(message, form_, level_));
      TRY(send_datagrams(packed));
    }
    TRY(connection_->send(batch, kPatience));
    return connection_->settle(kPatience);
  }

  // 0x1e 0x0f, the message's id, the chunk's number and their count.
  Result<> send_datagrams(const std::string& message) {
    if (message.size() <= kDatagram) return connection_->send(message, kPatience);
    constexpr size_t kPayload = kDatagram - kChunkHead;
    const size_t count = (message.size() + kPayload - 1) / kPayload;
    if (count > kMostChunks) return {};  // no receiver would put it together
    const uint64_t id = TRY(random_number());
    for (size_t i = 0; i < count; ++i) {
      std::string chunk = "\x1e\x0f";
      chunk.append(reinterpret_cast<const char*>(&id), sizeof id);
      chunk += static_cast<char>(i);
      chunk += static_cast<char>(count);
      chunk.append(message, i * kPayload, kPayload);
      TRY(connection_->send(chunk, kPatience));
    }
    return {};
  }

  Identity identity_;
  Address address_;
  Watch& watch_;
  int form_, level_;
  Retries retries_;
  std::optional<Connection> connection_;
};

}  // namespace

std::string gelf_message(const Identity& identity, const Record& record) {
  const Subject& s = identity.subject;
  const double seconds = std::chrono::duration<double>(record.time.time_since_epoch()).count();
  boost::json::object out = {{"version", "1.1"},        {"host", identity.host},         {"short_message", record.text},
                             {"timestamp", seconds},    {"level", record.error ? 3 : 6}, {"_command", s.command()},
                             {"_container_id", s.id},   {"_container_name", s.name},     {"_created", s.created},
                             {"_image_id", s.image_id}, {"_image_name", s.image_name},   {"_tag", identity.tag}};
  for (const auto& [name, value] : identity.extras)
    if (name != "id") out["_" + name] = value;  // "_id" is not allowed
  return json::to_line(out);
}

Result<std::unique_ptr<Sender>> make_gelf(const StringMap& options, Identity identity, Watch& watch) {
  Address address = TRY(address_of("gelf", options));
  return std::make_unique<Gelf>(options, std::move(identity), std::move(address), watch);
}

}  // namespace proa::logs
