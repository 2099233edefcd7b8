// GET, HEAD, PUT and DELETE of manifests and tags (distribution-spec "Pulling manifests", "Pushing Manifests",
// "Deleting Manifests", "Deleting tags").
#include "net/conditional.h"
#include "oci/image/reference.h"
#include "oci/registry/call.h"
#include "oci/registry/manifest.h"
#include "oci/registry/mirror.h"

namespace proa::oci::registry {

using image::Digest;
using net::Task;

namespace {

constexpr size_t kMostTags = 64;

bool is_digest(std::string_view reference) { return reference.find(':') != std::string_view::npos; }

}  // namespace

Task<Answer<StoredManifest>> Call::find_manifest() {
  const std::string& reference = route_.reference;
  std::optional<Digest> digest;
  if (is_digest(reference)) digest = CO_TRY(digest_of(reference));
  const bool possible = digest || image::valid_tag(reference);
  if (mirrored() && digest) CO_TRY(co_await api_.mirror_->get_manifest(repository(), *digest));
  if (mirrored() && !digest && possible) digest = CO_TRY(co_await api_.mirror_->resolve_tag(repository(), reference));
  auto found = CO_TRY(co_await net::blocking([&]() -> Result<std::optional<StoredManifest>> {
    if (!digest && possible) digest = TRY(repositories().find_tag(repository(), reference));
    if (!digest) return std::nullopt;
    return repositories().read_manifest(repository(), *digest);
  }));
  if (!found) {
    const Answer<> none =
        co_await unknown(Code::kManifestUnknown, cat("repository ", repository(), " has no manifest ", reference));
    co_return std::unexpected(none.error());
  }
  co_return std::move(*found);
}

Call::Reply Call::get_manifest() {
  const StoredManifest manifest = CO_TRY(co_await find_manifest());
  const bool known = describe(manifest.digest);
  if (!known) response_.headers.set("Content-Type", manifest.media_type);
  CO_TRY(co_await response_.send(known ? std::string_view() : std::string_view(manifest.text)));
  if (!known && !is("HEAD")) sent_ += manifest.text.size();
  co_return Answer<>();
}

// The one in the path, or those of `?tag=` beside a digest.
Answer<std::vector<std::string>> Call::tags_to_put() const {
  std::vector<std::string> tags;
  if (!is_digest(route_.reference)) {
    tags.push_back(route_.reference);
  } else {
    for (const std::string_view each : query_.all("tag")) tags.emplace_back(each);
  }
  if (tags.size() > kMostTags) return refuse(414, Code::kUnsupported, "more than ", kMostTags, " tags in one request");
  for (const std::string& tag : tags)
    if (!image::valid_tag(tag)) return refuse(Code::kManifestInvalid, "\"", tag, "\" is no tag");
  return tags;
}

// If-Match and If-None-Match of a push (RFC 9110, 13.1).
bool Call::condition_holds(const Digest& before) const {
  const std::string tag = before.empty() ? "" : cat("\"", before.text(), "\"");
  const auto wanted = request_.headers().find("If-Match"), unwanted = request_.headers().find("If-None-Match");
  if (wanted && (tag.empty() || !net::etag_listed(*wanted, tag))) return false;
  return !unwanted || tag.empty() || !net::etag_listed(*unwanted, tag);
}

Call::Reply Call::put_manifest() {
  CO_TRY(may_write());
  std::optional<Digest> expected;
  if (is_digest(route_.reference)) expected = CO_TRY(digest_of(route_.reference));
  NewManifest manifest;
  manifest.tags = CO_TRY(tags_to_put());
  auto body = co_await request_.read_all(api_.options_.max_manifest_bytes);
  if (!body && body.error().code() == EMSGSIZE)
    co_return refuse(413, Code::kSizeInvalid, "a manifest must not be larger than ", api_.options_.max_manifest_bytes,
                     " bytes");
  if (!body) co_return refuse(400, Code::kManifestInvalid, "the manifest did not arrive: ", body.error().message());
  api_.metrics_.received_bytes += body->size();

  const auto type = net::MediaType::parse(request_.headers().get("Content-Type"));
  auto details = read_details(*body, type ? type->essence() : std::string());
  if (!details) co_return refuse(Code::kManifestInvalid, details.error().message());
  image::Hasher hasher(expected ? image::Hasher::algorithm_of(*expected) : image::Hasher::Algorithm::kSha256);
  hasher.update(*body);
  manifest.digest = hasher.finish();
  if (expected && *expected != manifest.digest)
    co_return refuse(Code::kDigestInvalid, "the manifest that arrived has digest ", manifest.digest.text());
  manifest.media_type = details->media_type;
  if (!api_.options_.sparse) manifest.needs = std::move(details->needs);
  manifest.subject = details->subject;
  if (!manifest.subject.empty()) manifest.descriptor = referrer_descriptor(*body, *details, manifest.digest);
  if (request_.headers().contains("If-Match") || request_.headers().contains("If-None-Match"))
    manifest.condition = [this](const Digest& before) { return condition_holds(before); };

  const PutManifest put = CO_TRY(co_await net::blocking([&]() -> Result<PutManifest> {
    const image::Store& store = repositories().store();
    const image::Lease lease = TRY(store.lease());
    TRY(store.put_blob(lease, *body, manifest.digest));
    return repositories().put_manifest(repository(), manifest);
  }));
  if (!put.missing.empty()) {
    Refusal refusal(Code::kManifestBlobUnknown, "the manifest names content that the repository does not have");
    for (const Digest& each : put.missing) refusal.about.push_back(each.text());
    co_return std::unexpected(std::move(refusal));
  }
  if (put.condition_failed) co_return refuse(412, Code::kDenied, "the tag points to another manifest by now");

  response_.status = 201;
  response_.headers.set("Location", cat("/v2/", repository(), "/manifests/", manifest.digest.text()));
  response_.headers.set("Docker-Content-Digest", manifest.digest.text());
  if (!manifest.subject.empty()) response_.headers.set("OCI-Subject", manifest.subject.text());
  if (expected)
    for (const std::string& tag : manifest.tags) response_.headers.add("OCI-Tag", tag);
  CO_TRY(co_await response_.send());
  co_return Answer<>();
}

Call::Reply Call::delete_manifest() {
  CO_TRY(may_delete());
  const std::string& reference = route_.reference;
  bool removed = false;
  if (is_digest(reference)) {
    const Digest digest = CO_TRY(digest_of(reference));
    removed = CO_TRY(co_await net::blocking([&] { return repositories().remove_manifest(repository(), digest); }));
  } else if (image::valid_tag(reference)) {
    removed = CO_TRY(co_await net::blocking([&] { return repositories().remove_tag(repository(), reference); }));
  }
  if (!removed)
    co_return co_await unknown(Code::kManifestUnknown,
                               cat("repository ", repository(), " has no manifest ", reference));
  response_.status = 202;
  CO_TRY(co_await response_.send());
  co_return Answer<>();
}

}  // namespace proa::oci::registry
