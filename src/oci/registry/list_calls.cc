// Lists: tags, repositories, referrers (distribution-spec "Content Discovery").
#include <algorithm>

#include "base/json.h"
#include "oci/image/types.h"
#include "oci/registry/call.h"
#include "oci/registry/mirror.h"

namespace proa::oci::registry {

using image::Digest;

namespace {

constexpr uint64_t kCatalogPage = 1000;
constexpr uint64_t kTagsPage = 10'000;
// Clients take manifests of 4 MiB at least.
constexpr size_t kLongestReferrers = 3u << 20;

// Those after `last`, at most `n`; whether more follow.
bool cut_page(std::vector<std::string>& sorted, std::string_view last, uint64_t n) {
  if (!last.empty()) sorted.erase(sorted.begin(), std::ranges::upper_bound(sorted, last));
  if (sorted.size() <= n) return false;
  sorted.resize(n);
  return true;
}

std::string json_list(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& each : texts) out += cat(out.empty() ? "" : ",", json::quote(each));
  return cat("[", out, "]");
}

}  // namespace

Call::Reply Call::list_tags() {
  const uint64_t n = CO_TRY(page_size()).value_or(kTagsPage);
  std::vector<std::string> tags;
  if (mirrored())
    tags = CO_TRY(co_await api_.mirror_->tags(repository()));
  else
    tags = CO_TRY(co_await net::blocking([&] { return repositories().tags(repository()); }));
  std::ranges::sort(tags);
  if (tags.empty() && !mirrored()) {
    const bool known = CO_TRY(co_await net::blocking([&] { return repositories().exists(repository()); }));
    if (!known) co_return refuse(Code::kNameUnknown, "there is no repository ", repository());
  }
  const bool more = cut_page(tags, query_.get("last"), n);
  if (more && n > 0) link_to_next(cat("/v2/", repository(), "/tags/list"), n, tags.back());
  co_return co_await send_json(cat("{\"name\":", json::quote(repository()), ",\"tags\":", json_list(tags), "}\n"));
}

Call::Reply Call::list_catalog() {
  const uint64_t n = CO_TRY(page_size()).value_or(kCatalogPage);
  std::vector<std::string> names = CO_TRY(co_await net::blocking([&] { return repositories().names(); }));
  Authenticator& auth = api_.authenticator_;
  if (!auth.allows_catalog(identity_))
    std::erase_if(names, [&](const std::string& name) { return !has(auth.allowed(identity_, name), Action::kPull); });
  const bool more = cut_page(names, query_.get("last"), n);
  if (more && n > 0) link_to_next("/v2/_catalog", n, names.back());
  co_return co_await send_json(cat("{\"repositories\":", json_list(names), "}\n"));
}

Call::Reply Call::list_referrers() {
  const Digest subject = CO_TRY(digest_of(route_.reference));
  const auto type = query_.find("artifactType");
  std::vector<std::string> all;
  if (mirrored())
    all = CO_TRY(co_await api_.mirror_->referrers(repository(), subject));
  else
    all = CO_TRY(co_await net::blocking([&] { return repositories().referrers(repository(), subject); }));
  const std::string_view last = query_.get("last");
  std::string list, previous;
  for (const std::string& descriptor : all) {
    const auto parsed = image::parse_descriptor(descriptor);
    if (!parsed || (!last.empty() && parsed->digest.text() <= last)) continue;
    if (type && !type->empty() && parsed->artifact_type != *type) continue;
    if (!list.empty() && list.size() + descriptor.size() > kLongestReferrers) {
      link_to_next(cat("/v2/", repository(), "/referrers/", subject.text()), kTagsPage, previous);
      break;
    }
    list += cat(list.empty() ? "" : ",", descriptor);
    previous = parsed->digest.text();
  }
  if (type && !type->empty()) response_.headers.set("OCI-Filters-Applied", "artifactType");
  const std::string body =
      cat(R"({"schemaVersion":2,"mediaType":")", image::media::kIndex, R"(","manifests":[)", list, "]}\n");
  CO_TRY(co_await response_.send(200, image::media::kIndex, body));
  co_return Answer<>();
}

}  // namespace proa::oci::registry
