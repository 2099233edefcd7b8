#include "kube/apiserver/serve/format.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "net/conditional.h"
#include "net/headers.h"
#include "net/url.h"

namespace proa::kube::api {
namespace {

constexpr size_t kMostClauses = 64;

struct Clause {
  net::MediaType media;
  int quality = 1000;
  size_t place = 0;
};

int quality_of(std::string_view text) {
  if (text.empty()) return 1000;
  const double value = std::strtod(std::string(text).c_str(), nullptr);
  return static_cast<int>(std::clamp(value, 0.0, 1.0) * 1000);
}

std::vector<Clause> clauses_of(std::string_view accept) {
  std::vector<Clause> out;
  for (std::string_view part : split(accept, ',')) {
    auto media = net::MediaType::parse(net::trimmed(part));
    if (!media || out.size() >= kMostClauses) continue;
    const int quality = quality_of(media->get("q"));
    if (quality > 0) out.push_back({std::move(*media), quality});
  }
  // Equals keep their order.
  for (size_t i = 0; i < out.size(); ++i) out[i].place = i;
  std::ranges::sort(out, [](const Clause& a, const Clause& b) {
    return a.quality != b.quality ? a.quality > b.quality : a.place < b.place;
  });
  return out;
}

std::optional<Encoding> encoding_of(const net::MediaType& media) {
  if (media.type == "*") return Encoding::kJson;
  if (media.type != "application") return std::nullopt;
  if (media.subtype == "*" || media.subtype == "json") return Encoding::kJson;
  if (media.subtype == "yaml") return Encoding::kYaml;
  if (media.subtype == "vnd.kubernetes.protobuf") return Encoding::kProtobuf;
  return std::nullopt;
}

std::optional<Shape> shape_of(const net::MediaType& media, const Offer& offer, std::string_view& version) {
  const std::string_view as = media.get("as");
  if (as.empty()) return Shape::kPlain;
  if (!offer.shapes || media.get("g") != "meta.k8s.io") return std::nullopt;
  if (media.get("v") == "v1")
    version = "v1";
  else if (media.get("v") == "v1beta1")
    version = "v1beta1";
  else
    return std::nullopt;
  if (as == "Table") return Shape::kTable;
  if (as == "PartialObjectMetadata" && !offer.lists) return Shape::kPartial;
  if (as == "PartialObjectMetadataList" && offer.lists) return Shape::kPartialList;
  return std::nullopt;
}

std::string accepted(const Offer& offer) {
  std::string out = "application/json";
  if (!offer.stream) out += ", application/yaml";
  if (offer.protobuf) out += ", application/vnd.kubernetes.protobuf";
  return out;
}

bool wants_pretty(const net::Request& request) {
  const net::Query query(request.query());
  if (const auto pretty = query.find("pretty")) return !net::equals_ignoring_case(*pretty, "false") && *pretty != "0";
  const std::string_view agent = request.headers().get("User-Agent");
  return agent.starts_with("curl") || agent.starts_with("Wget") || agent.starts_with("Mozilla/5.0");
}

}  // namespace

Answer<Format> negotiate_format(const net::Request& request, const Offer& offer) {
  Format out;
  out.gzip = request.headers().has_token("Accept-Encoding", "gzip");
  const auto settled = [&] {
    out.pretty = out.encoding == Encoding::kJson && !offer.stream && wants_pretty(request);
    return out;
  };
  std::string accept;
  for (const std::string_view one : request.headers().all("Accept"))
    accept.append(accept.empty() ? "" : ",").append(one);
  if (net::trimmed(accept).empty()) return settled();
  for (const Clause& clause : clauses_of(accept)) {
    const auto encoding = encoding_of(clause.media);
    if (!encoding || (*encoding == Encoding::kProtobuf && !offer.protobuf)) continue;
    if (*encoding == Encoding::kYaml && offer.stream) continue;
    const auto shape = shape_of(clause.media, offer, out.version);
    // A table has no protobuf form.
    if (!shape || (*shape == Shape::kTable && *encoding == Encoding::kProtobuf)) continue;
    out.encoding = *encoding;
    out.shape = *shape;
    return settled();
  }
  return refuse(not_acceptable(cat("only the following media types are accepted: ", accepted(offer))));
}

std::string_view content_type(Encoding encoding) {
  switch (encoding) {
    case Encoding::kJson: return "application/json";
    case Encoding::kYaml: return "application/yaml";
    default: return "application/vnd.kubernetes.protobuf";
  }
}

std::string_view stream_content_type(Encoding encoding) {
  return encoding == Encoding::kProtobuf ? "application/vnd.kubernetes.protobuf;stream=watch" : "application/json";
}

Answer<Encoding> body_encoding(std::string_view type, bool protobuf) {
  const auto media = net::MediaType::parse(type);
  if (net::trimmed(type).empty()) return Encoding::kJson;
  if (media && media->type == "application") {
    if (media->subtype == "json") return Encoding::kJson;
    if (media->subtype == "yaml") return Encoding::kYaml;
    if (protobuf && media->subtype == "vnd.kubernetes.protobuf") return Encoding::kProtobuf;
  }
  return refuse(
      unsupported_media_type(cat("the body of the request was in an unknown format - accepted media types include: ",
                                 accepted({.protobuf = protobuf}))));
}

}  // namespace proa::kube::api
