#include "kube/apiserver/request/info.h"

#include <vector>

#include "base/text.h"
#include "kube/selector/field_selector.h"
#include "net/headers.h"
#include "net/url.h"

namespace proa::kube::api {
namespace {

std::string_view verb_of(std::string_view method) {
  if (method == "POST") return "create";
  if (method == "GET" || method == "HEAD") return "get";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  if (method == "DELETE") return "delete";
  return "";
}

std::string_view take(std::vector<std::string_view>& parts) {
  const std::string_view first = parts.front();
  parts.erase(parts.begin());
  return first;
}

// What stands behind the namespace, or the namespace itself with its own subresources.
void take_namespace(std::vector<std::string_view>& parts, RequestInfo& info) {
  if (parts.empty() || parts[0] != "namespaces" || parts.size() < 2) return;
  info.ns = parts[1];
  if (parts.size() > 2 && parts[2] != "status" && parts[2] != "finalize") parts.erase(parts.begin(), parts.begin() + 2);
}

void take_resource(const std::vector<std::string_view>& parts, RequestInfo& info) {
  if (!parts.empty()) info.resource = parts[0];
  if (parts.size() > 1) info.name = parts[1];
  if (parts.size() > 2 && info.verb != "proxy") info.subresource = parts[2];
  for (size_t i = 3; i < parts.size(); ++i) info.rest.append(i > 3 ? "/" : "").append(parts[i]);
}

bool wants_watch(const net::Query& query) {
  const auto watch = query.find("watch");
  return watch && !net::equals_ignoring_case(*watch, "false") && *watch != "0";
}

// A request without a name is one for the collection.
void settle_collection(std::string_view query_text, RequestInfo& info) {
  if (!info.name.empty()) return;
  if (info.verb == "delete") info.verb = "deletecollection";
  if (info.verb != "get" && info.verb != "watch" && info.verb != "deletecollection") return;
  const net::Query query(query_text);
  if (info.verb == "get") info.verb = wants_watch(query) ? "watch" : "list";
  const auto selector = FieldSelector::parse(query.get("fieldSelector"));
  if (!selector || selector->everything()) return;
  if (const std::string* name = selector->wanted("metadata.name");
      name != nullptr && name->find('/') == std::string::npos)
    info.name = *name;
}

}  // namespace

RequestInfo parse_request(std::string_view method, std::string_view target) {
  RequestInfo info;
  const size_t mark = target.find('?');
  const std::string_view query = mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
  const std::string_view encoded = target.substr(0, mark);
  info.path = net::percent_decode(encoded).value_or(std::string(encoded));
  info.verb = net::ascii_lower(method);
  std::string_view whole = info.path;
  while (whole.starts_with('/')) whole.remove_prefix(1);
  while (whole.ends_with('/')) whole.remove_suffix(1);
  std::vector<std::string_view> parts;
  while (!whole.empty()) parts.push_back(cut(whole, '/'));
  if (parts.size() < 3 || (parts[0] != "api" && parts[0] != "apis")) return info;
  if (parts[0] == "apis" && parts.size() < 4) return info;
  info.prefix = take(parts);
  if (info.prefix == "apis") info.group = take(parts);
  info.version = take(parts);
  info.is_resource = true;
  if (parts[0] == "watch" || parts[0] == "proxy") {
    if (parts.size() < 2) {
      info.is_resource = false;
      return info;
    }
    info.verb = take(parts);
  } else {
    info.verb = verb_of(method);
  }
  take_namespace(parts, info);
  take_resource(parts, info);
  if (info.resource.empty()) {  // "/apis/apps/v1//x"
    RequestInfo other;
    other.path = info.path;
    other.verb = net::ascii_lower(method);
    return other;
  }
  settle_collection(query, info);
  return info;
}

}  // namespace proa::kube::api
