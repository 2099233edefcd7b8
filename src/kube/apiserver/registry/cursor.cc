#include "kube/apiserver/registry/cursor.h"

#include "base/error.h"
#include "kube/object/json.h"
#include "net/base64.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kVersion = "meta.k8s.io/v1";
constexpr size_t kLongest = 4096;

}  // namespace

std::string write_cursor(const Cursor& cursor) {
  std::string json = cat(R"({"v":")", kVersion, R"(","rv":)", cursor.revision, R"(,"start":)");
  write_json_string(json, cursor.start);
  return net::base64url_encode(json + "}");
}

Answer<Cursor> read_cursor(std::string_view token) {
  const auto refused = [](std::string_view why) {
    return refuse(bad_request(cat("invalid continue token: continue key is not valid: ", why)));
  };
  if (token.size() > kLongest) return refused("it is too long");
  const auto json = net::base64_decode(token);
  if (!json) return refused("illegal base64 data");
  const auto document = read_json(*json);
  if (!document) return refused(document.error().message());
  const Value& root = document->root;
  if (root.string("v") != kVersion) return refused("server does not recognize this encoded version");
  Cursor out{.revision = root.get("rv").as_int(), .start = std::string(root.string("start"))};
  if (out.revision == 0) return refused("incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  if (out.start.empty()) return refused("encoded start key empty (version meta.k8s.io/v1)");
  // Keys are "namespace/name": nothing may lead out of the resource.
  if (out.start.find("//") != std::string::npos || out.start.find("..") != std::string::npos || out.start[0] == '/')
    return refused(out.start);
  return out;
}

}  // namespace proa::kube::api
