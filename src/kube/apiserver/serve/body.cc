#include "kube/apiserver/serve/body.h"

#include <chrono>

#include "kube/apiserver/serve/writer.h"
#include "kube/codec/conform.h"
#include "kube/codec/protobuf.h"
#include "kube/object/json.h"
#include "kube/object/yaml.h"
#include "kube/validation/validate.h"

namespace proa::kube::api {
namespace {

constexpr size_t kMostBytes = 3 << 20;
constexpr std::chrono::seconds kMostTime(60);

// A key that is there twice, in the words of the YAML reader that upstream has.
std::string yaml_fault(const std::string& message) {
  const size_t line = message.find("line "), comma = message.find(','), quote = message.find('\'');
  const size_t end = quote == std::string::npos ? quote : message.find('\'', quote + 1);
  if (line == std::string::npos || comma == std::string::npos || end == std::string::npos) return message;
  return cat("yaml: unmarshal errors:\n  ", message.substr(line, comma - line), ": key \"",
             message.substr(quote + 1, end - quote - 1), "\" already set in map");
}

// Texts of the document are copied to the arena where the reader does not do so itself.
Answer<Value> parse_text(Call& call, Encoding encoding, std::string_view text, BodyDocument& out) {
  if (encoding == Encoding::kJson) {
    auto root = read_json(call.arena, text, {.duplicates = &out.duplicates});
    if (!root) return refuse(bad_request(root.error().message()));
    return *root;
  }
  auto root = read_yaml(call.arena, text);
  if (!root) return refuse(bad_request(cat("error converting YAML to JSON: ", root.error().message())));
  Arena scratch;
  if (const auto strict = read_yaml(scratch, text, true); !strict)
    out.faults.push_back(yaml_fault(strict.error().message()));
  return *root;
}

Answer<> check_kind(const BodyKind& wanted, std::string_view api_version, std::string_view kind,
                    std::string_view text = {}, std::string_view name = {}) {
  // What a schema of its own describes has to say what it is.
  if (wanted.custom != nullptr && !text.empty()) {
    if (kind.empty())
      return refuse(bad_request(cat("the object provided is unrecognized (must be of type ", wanted.kind,
                                    "): Object 'Kind' is missing in '", text, "' (", text.substr(0, 24), " ...)")));
    if (api_version != wanted.api_version())
      return refuse(bad_request(cat("the API version in the data (", api_version,
                                    ") does not match the expected API version (", wanted.api_version(), ")")));
    if (kind != wanted.kind)
      return refuse(invalid(wanted.group, kind, name,
                            {{FieldError::Type::kInvalid, "kind", quoted(kind), cat("must be ", wanted.kind)}}));
  }
  if (!api_version.empty() && api_version != wanted.api_version())
    return refuse(bad_request(cat("the API version in the data (", api_version,
                                  ") does not match the expected API version (", wanted.api_version(), ")")));
  if (!kind.empty() && kind != wanted.kind)
    return refuse(
        bad_request(cat(kind, " in version \"", wanted.version, "\" cannot be handled as a ", wanted.kind,
                        ": the kind in the data (", kind, ") does not match the expected kind (", wanted.kind, ")")));
  return {};
}

Answer<Value> parse_protobuf(Call& call, std::string_view text, const BodyKind& kind) {
  if (!is_protobuf(text))
    return refuse(
        bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"));
  const auto envelope = open_envelope(text);
  if (!envelope) return refuse(bad_request(envelope.error().message()));
  TRY(check_kind(kind, envelope->api_version, envelope->kind));
  auto out = read_protobuf(call.arena, kind.type, call.arena.copy(envelope->raw), call.arena.copy(kind.api_version()),
                           call.arena.copy(kind.kind));
  if (!out) return refuse(bad_request(out.error().message()));
  return *out;
}

}  // namespace

net::Task<Answer<std::string>> read_body(Call& call) {
  const auto too_large = [] { return refuse(entity_too_large(cat("limit is ", kMostBytes))); };
  if (call.request.content_length().value_or(0) > kMostBytes) co_return too_large();
  const auto deadline = net::Clock::now() + kMostTime;
  std::string out;
  if (const auto length = call.request.content_length()) out.reserve(*length);
  for (;;) {
    const auto piece = co_await call.request.read();
    if (!piece) {
      if (piece.error().code() == EMSGSIZE) co_return too_large();
      if (piece.error().code() == ETIMEDOUT) co_return refuse(timed_out("request did not complete within 60s", 0));
      if (piece.error().code() == EBADMSG) co_return refuse(bad_request(piece.error().message()));
      co_return refuse(connection_lost(piece.error()));
    }
    if (piece->empty()) co_return out;
    if (out.size() + piece->size() > kMostBytes) co_return too_large();
    if (net::Clock::now() > deadline) co_return refuse(timed_out("request did not complete within 60s", 0));
    out.append(*piece);
  }
}

Answer<BodyDocument> parse_body(Call& call, Encoding encoding, std::string_view text, const BodyKind& kind) {
  BodyDocument out;
  if (encoding == Encoding::kProtobuf) {
    out.root = TRY(parse_protobuf(call, text, kind));
    return out;
  }
  out.root = TRY(parse_text(call, encoding, text, out));
  if (!out.root.is_object())
    return refuse(bad_request(cat(
        "couldn't get version/kind; json parse error: json: cannot unmarshal ", out.root.is_array() ? "array" : "value",
        " into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; "
        "Kind string \"json:\\\"kind,omitempty\\\"\" }")));
  TRY(check_kind(kind, out.root.string("apiVersion"), out.root.string("kind"), text,
                 out.root.string({"metadata", "name"})));
  out.root.set(call.arena, "apiVersion", Value::text(call.arena, kind.api_version()));
  out.root.set(call.arena, "kind", Value::text(call.arena, kind.kind));
  return out;
}

net::Task<Answer<Value>> read_object(Call& call, Context& context, const BodyKind& kind, FieldValidation validation) {
  const Encoding encoding = CO_TRY(body_encoding(call.request.headers().get("Content-Type"), kind.custom == nullptr));
  const std::string text = CO_TRY(co_await read_body(call));
  if (text.empty()) {
    co_return refuse(
        bad_request(cat(kind.kind, " in version \"", kind.version, "\" cannot be handled as a ", kind.kind, ": EOF")));
  }
  BodyDocument document = CO_TRY(parse_body(call, encoding, text, kind));
  auto object = decode_object(context, kind, document.root, validation, document.duplicates, document.faults);
  if (call.audit && object) call.audit->set_request(*object);
  co_return object;
}

net::Task<Answer<Value>> read_delete_options(Call& call) {
  const std::string text = CO_TRY(co_await read_body(call));
  if (text.empty()) co_return Value();
  const Encoding encoding = CO_TRY(body_encoding(call.request.headers().get("Content-Type"), true));
  const TypeView type = meta_type("DeleteOptions");
  Value root;
  if (encoding == Encoding::kProtobuf) {
    if (!is_protobuf(text)) co_return refuse(bad_request("provided data does not appear to be a protobuf message"));
    const auto envelope = open_envelope(text);
    if (!envelope) co_return refuse(bad_request(envelope.error().message()));
    auto read = read_protobuf(call.arena, type, call.arena.copy(envelope->raw));
    if (!read) co_return refuse(bad_request(read.error().message()));
    root = *read;
  } else {
    BodyDocument document;
    root = CO_TRY(parse_text(call, encoding, text, document));
    if (const std::string_view kind = root.string("kind"); !kind.empty() && kind != "DeleteOptions")
      co_return refuse(bad_request(cat("decoded object cannot be converted to DeleteOptions: it is a ", kind)));
  }
  auto out = conform(call.arena, type, root);
  if (!out) co_return refuse(bad_request(out.error().message()));
  if (call.audit) call.audit->set_request(*out);
  co_return *out;
}

}  // namespace proa::kube::api
