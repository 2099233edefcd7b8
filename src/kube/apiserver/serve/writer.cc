#include "kube/apiserver/serve/writer.h"

#include <zlib.h>

#include <algorithm>

#include "kube/codec/protobuf.h"
#include "kube/object/json.h"
#include "kube/object/yaml.h"
#include "net/headers.h"

namespace proa::kube::api {
namespace {

constexpr size_t kPiece = 128 << 10;  // also the least that is compressed
constexpr int kLevel = 1;

std::string quoted_warning(std::string_view text) {
  std::string out = "299 - \"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

}  // namespace

ApiError connection_lost(const Error& error) {
  ApiError out;
  out.code = kConnectionLost;
  out.message = error.message();
  return out;
}

TypeView meta_type(std::string_view name) { return builtin().find("meta", "v1").find_type(name); }

std::string Call::manager(std::string_view given) const {
  if (!given.empty()) return std::string(given);
  std::string_view agent = request.headers().get("User-Agent");
  agent = agent.substr(0, agent.find('/')).substr(0, 128);
  std::string out;
  for (const char c : agent)
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) out += c;
  return out.empty() ? "unknown" : out;
}

// --- bodies in pieces

struct BodyWriter::Compressor {
  z_stream stream{};
  std::string out;
  Compressor() {
    constexpr int kGzipWindow = 15 + 16;
    deflateInit2(&stream, kLevel, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY);
  }
  ~Compressor() { deflateEnd(&stream); }
  Compressor(const Compressor&) = delete;
};

BodyWriter::BodyWriter(Call& call, int status, std::string_view type)
    : call_(call), status_(status), type_(type), out_(call.request.loop().take_buffer()) {}

BodyWriter::~BodyWriter() { call_.request.loop().give_buffer(std::move(out_)); }

void BodyWriter::begin() {
  begun_ = true;
  net::Response& response = call_.response;
  response.status = status_;
  response.headers.set("Content-Type", type_);
  for (const std::string& warning : call_.warnings) response.headers.add("Warning", quoted_warning(warning));
  if (call_.format.gzip && out_.size() >= kPiece) {
    response.headers.set("Content-Encoding", "gzip");
    response.headers.set("Vary", "Accept-Encoding");
    compressor_ = std::make_unique<Compressor>();
  }
}

// Replaces what is to be sent by its compressed form.
void BodyWriter::compress(bool last) {
  z_stream& stream = compressor_->stream;
  std::string& packed = compressor_->out;
  packed.clear();
  stream.next_in = reinterpret_cast<Bytef*>(out_.data());
  stream.avail_in = static_cast<uInt>(out_.size());
  do {
    const size_t before = packed.size();
    packed.resize(before + (64 << 10));
    stream.next_out = reinterpret_cast<Bytef*>(packed.data() + before);
    stream.avail_out = 64 << 10;
    deflate(&stream, last ? Z_FINISH : Z_NO_FLUSH);
    packed.resize(packed.size() - stream.avail_out);
  } while (stream.avail_out == 0);
  std::swap(out_, packed);
}

// The audit log keeps JSON answers as they go out.
void BodyWriter::audit() {
  if (call_.audit && type_.starts_with(content_type(Encoding::kJson))) call_.audit->add_response(out_);
}

Served BodyWriter::spill() {
  if (out_.size() < kPiece) co_return Answer<>();
  if (!begun_) begin();
  audit();
  if (compressor_) compress(false);
  if (!out_.empty()) {
    const auto sent = co_await call_.response.write(out_);
    if (!sent) co_return refuse(connection_lost(sent.error()));
  }
  out_.clear();
  co_return Answer<>();
}

Served BodyWriter::finish() {
  const bool whole = !begun_;
  if (!begun_) begin();
  audit();
  if (compressor_) compress(true);
  const auto sent = whole ? co_await call_.response.send(out_) : co_await call_.response.write(out_);
  if (!sent) co_return refuse(connection_lost(sent.error()));
  co_return Answer<>();
}

// --- whole answers

Served send_json(Call& call, int status, std::string_view json) {
  BodyWriter body(call, status, content_type(Encoding::kJson));
  if (call.format.pretty)
    body.out() = pretty_json(json);
  else
    body.out().append(json);
  body.out() += '\n';
  co_return co_await body.finish();
}

Served send_text(Call& call, int status, std::string_view text) {
  BodyWriter body(call, status, "text/plain; charset=utf-8");
  body.out().append(text);
  co_return co_await body.finish();
}

Served send_object(Call& call, int status, const Value& object, TypeView type) {
  if (call.format.encoding == Encoding::kJson || (call.format.encoding == Encoding::kProtobuf && !type))
    co_return co_await send_json(call, status, write_json(object));
  if (call.audit) call.audit->set_response(object);
  BodyWriter body(call, status, content_type(call.format.encoding));
  body.out().append(call.format.encoding == Encoding::kYaml ? write_yaml(object) : write_protobuf(type, object));
  co_return co_await body.finish();
}

Served send_error(Call& call, const ApiError& error) {
  if (error.retry_after_seconds > 0) call.response.headers.set("Retry-After", cat(error.retry_after_seconds));
  co_return co_await send_object(call, error.code, error.status(call.arena), meta_type("Status"));
}

std::string pretty_json(std::string_view json) {
  std::string out;
  out.reserve(json.size() * 3 / 2);
  size_t depth = 0;
  const auto line = [&] { out.append(1, '\n').append(depth * 2, ' '); };
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    switch (c) {
      case '"': {
        const size_t begin = i++;
        for (; i < json.size() && json[i] != '"'; ++i)
          if (json[i] == '\\') ++i;
        out.append(json.substr(begin, i + 1 - begin));
        break;
      }
      case '{':
      case '[':
        out += c;
        if (i + 1 < json.size() && (json[i + 1] == '}' || json[i + 1] == ']')) {
          out += json[++i];
          break;
        }
        ++depth;
        line();
        break;
      case '}':
      case ']':
        --depth;
        line();
        out += c;
        break;
      case ',':
        out += c;
        line();
        break;
      case ':': out += ": "; break;
      default: out += c;
    }
  }
  return out;
}

}  // namespace proa::kube::api
