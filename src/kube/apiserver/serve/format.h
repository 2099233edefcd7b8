// Content negotiation as the API has it: which encoding an answer has, and whether it is the object itself, a table, or
// its metadata alone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kube/apiserver/answer.h"
#include "net/server.h"

namespace proa::kube::api {

enum class Encoding : uint8_t { kJson, kYaml, kProtobuf };
enum class Shape : uint8_t { kPlain, kTable, kPartial, kPartialList };

struct Format {
  Encoding encoding = Encoding::kJson;
  Shape shape = Shape::kPlain;
  std::string_view version = "v1";  // of the shape, in meta.k8s.io
  bool pretty = false;
  bool gzip = false;  // the client takes it
  bool as_stored() const { return encoding == Encoding::kJson && shape == Shape::kPlain && !pretty; }
};

// What an address can answer with.
struct Offer {
  bool protobuf = true;
  bool shapes = false;  // Table and PartialObjectMetadata
  bool lists = false;   // PartialObjectMetadataList in place of PartialObjectMetadata
  bool stream = false;  // a watch: no YAML
};

// 406 when nothing that is offered is accepted.
Answer<Format> negotiate_format(const net::Request& request, const Offer& offer);

std::string_view content_type(Encoding encoding);
std::string_view stream_content_type(Encoding encoding);

// The encoding of a body; 415 for others. Without a type it is JSON.
Answer<Encoding> body_encoding(std::string_view type, bool protobuf);

}  // namespace proa::kube::api
