// GET, HEAD and DELETE of blobs (distribution-spec "Pulling blobs", "Deleting Blobs").
#include "net/conditional.h"
#include "oci/registry/call.h"

namespace proa::oci::registry {

using image::Digest;
using net::Task;

namespace {

// If-Range: a part only of what the client has the beginning of (RFC 9110, 13.1.5).
bool part_wanted(const net::Headers& headers, const Digest& digest) {
  const auto condition = headers.find("If-Range");
  return !condition || *condition == cat("\"", digest.text(), "\"");
}

}  // namespace

Call::Reply Call::get_blob() {
  const Digest digest = CO_TRY(digest_of(route_.reference));
  const auto blob = CO_TRY(co_await net::blocking([&]() -> Result<std::optional<OpenBlob>> {
    // Who asks whether it is there will not push it: it must stay until a manifest names it.
    if (is("HEAD") && !TRY(repositories().renew_blob(repository(), digest))) return std::nullopt;
    return repositories().open_blob(repository(), digest);
  }));
  if (!blob)
    co_return co_await unknown(Code::kBlobUnknown, cat("repository ", repository(), " has no blob ", digest.text()));
  if (describe(digest)) {
    CO_TRY(co_await response_.send());
    co_return Answer<>();
  }
  response_.headers.set("Content-Type", "application/octet-stream");
  response_.headers.set("Accept-Ranges", "bytes");
  CO_TRY(co_await send_blob(*blob));
  co_return Answer<>();
}

Task<Result<>> Call::send_blob(const OpenBlob& blob) {
  net::ByteRange part{.first = 0, .last = blob.size == 0 ? 0 : blob.size - 1};
  auto verdict = net::RangeVerdict::kWhole;
  const auto range = request_.headers().find("Range");
  const Digest digest = *Digest::parse(route_.reference);
  if (range && part_wanted(request_.headers(), digest)) verdict = net::parse_range(*range, blob.size, part);
  if (verdict == net::RangeVerdict::kUnsatisfiable) {
    response_.headers.set("Content-Range", cat("bytes */", blob.size));
    co_return co_await refuse_with(Refusal(416, Code::kSizeInvalid, cat("the blob has ", blob.size, " bytes")));
  }
  if (verdict == net::RangeVerdict::kPart) {
    response_.status = 206;
    response_.headers.set("Content-Range", part.content_range(blob.size));
  } else {
    part = {.first = 0, .last = blob.size == 0 ? 0 : blob.size - 1};
  }
  const uint64_t size = blob.size == 0 ? 0 : part.size();
  CO_TRY(co_await response_.send_file(blob.file.get(), part.first, size));
  if (!is("HEAD")) sent_ += size;
  co_return Result<>();
}

Call::Reply Call::delete_blob() {
  CO_TRY(may_delete());
  const Digest digest = CO_TRY(digest_of(route_.reference));
  const bool removed = CO_TRY(co_await net::blocking([&] { return repositories().remove_blob(repository(), digest); }));
  if (!removed)
    co_return co_await unknown(Code::kBlobUnknown, cat("repository ", repository(), " has no blob ", digest.text()));
  response_.status = 202;
  CO_TRY(co_await response_.send());
  co_return Answer<>();
}

}  // namespace proa::oci::registry
