#include "oci/registry/route.h"

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "net/url.h"

namespace proa::oci::registry {
namespace {

constexpr size_t kLongestRepository = 255;

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*
bool valid_component(std::string_view text) {
  size_t at = 0;
  const auto word = [&] {
    const size_t begin = at;
    while (at < text.size() && is_alphanumeric(text[at])) ++at;
    return at > begin;
  };
  if (!word()) return false;
  while (at < text.size()) {
    const size_t begin = at;
    while (at < text.size() && text[at] == text[begin] && !is_alphanumeric(text[at])) ++at;
    const size_t length = at - begin;
    const bool separates = (text[begin] == '.' && length == 1) || (text[begin] == '_' && length <= 2) ||
                           (text[begin] == '-' && length >= 1);
    if (!separates || !word()) return false;
  }
  return true;
}

// Takes "/LAST" off the end of `rest`.
std::string_view cut_last(std::string_view& rest) {
  const size_t slash = rest.rfind('/');
  const std::string_view last = slash == std::string_view::npos ? rest : rest.substr(slash + 1);
  rest = slash == std::string_view::npos ? std::string_view() : rest.substr(0, slash);
  return last;
}

Route below_v2(std::string_view rest) {
  if (rest.empty()) return {.place = Place::kBase};
  if (rest == "_catalog") return {.place = Place::kCatalog};
  const std::string reference(cut_last(rest));
  const std::string_view kind = cut_last(rest);
  const auto at = [&](Place place, std::string_view name) {
    return Route{.place = place, .repository = std::string(name), .reference = reference};
  };
  if (kind == "manifests") return at(Place::kManifest, rest);
  if (kind == "referrers") return at(Place::kReferrers, rest);
  if (kind == "tags" && reference == "list") return at(Place::kTags, rest);
  if (kind == "blobs") return at(reference == "uploads" ? Place::kUploads : Place::kBlob, rest);
  if (kind == "uploads" && cut_last(rest) == "blobs")
    return at(reference.empty() ? Place::kUploads : Place::kUpload, rest);
  return {};
}

}  // namespace

std::string_view name_of(Place place) {
  constexpr std::string_view kNames[kPlaces] = {"other",   "base",   "catalog",   "tags",  "manifest", "blob",
                                                "uploads", "upload", "referrers", "token", "health",   "metrics"};
  return kNames[static_cast<size_t>(place)];
}

Route route_of(std::string_view path) {
  const std::optional<std::string> decoded = net::percent_decode(path);
  if (!decoded) return {};
  const std::string_view text = *decoded;
  if (text == "/v2") return {.place = Place::kBase};
  if (text.starts_with("/v2/")) return below_v2(text.substr(4));
  if (text == "/token") return {.place = Place::kToken};
  if (text == "/healthz") return {.place = Place::kHealth};
  if (text == "/metrics") return {.place = Place::kMetrics};
  return {};
}

bool valid_repository(std::string_view name) {
  if (name.empty() || name.size() > kLongestRepository || name.ends_with('/')) return false;
  while (!name.empty())
    if (!valid_component(cut(name, '/'))) return false;
  return true;
}

}  // namespace proa::oci::registry
