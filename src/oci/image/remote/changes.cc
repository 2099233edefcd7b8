// What changes a repository: uploads, manifests, deletions.
#include "base/text.h"
#include "oci/image/remote/api_error.h"
#include "oci/image/remote/host.h"

namespace proa::oci::image::remote {

using net::ClientResponse;
using net::Task;

namespace {

constexpr std::string_view kBytes = "application/octet-stream";

Scope writing(const Repository& to, std::string from = {}) {
  return {.repository = to.path(), .actions = "pull,push", .from = std::move(from)};
}

Scope deleting(const Repository& in) { return {.repository = in.path(), .actions = "delete", .from = {}}; }

// The answer, if it has one of these statuses.
Task<Result<ClientResponse>> expect(Host& host, Call call, std::string step, std::vector<int> statuses) {
  auto answer = co_await host.call(std::move(call));
  if (!answer) co_return std::unexpected(std::move(answer).error().with_context(step));
  for (const int each : statuses)
    if (answer->status == each) co_return answer;
  Error error = co_await error_of(*answer, host.endpoint());
  co_return std::unexpected(std::move(error).with_context(step));
}

// Where an upload goes on: Location, and "Range: 0-N" with N the last byte that is there.
Result<> read_upload(const net::Url& from, const net::Headers& headers, bool location_needed, Upload& to) {
  if (const auto location = headers.find("Location"))
    to.location = TRY_CTX(from.resolve(*location), "Location");
  else if (location_needed)
    return fail_errno(EPROTO, "the answer has no Location");
  if (const auto least = parse_number<uint64_t>(headers.get("OCI-Chunk-Min-Length"))) to.min_chunk = *least;
  return {};
}

std::optional<uint64_t> received(const net::Headers& headers) {
  std::string_view range = headers.get("Range");
  if (range.starts_with("bytes=")) range.remove_prefix(6);
  const auto first = parse_number<uint64_t>(cut(range, '-'));
  const auto last = parse_number<uint64_t>(range);
  if (!first || *first != 0 || !last) return std::nullopt;
  // An empty upload is "0-0", too.
  return *last == 0 ? 0 : *last + 1;
}

}  // namespace

Task<Result<std::optional<Upload>>> Repository::begin_upload(std::optional<Digest> mount, std::string from) const {
  Host& host = *hosts_.back();
  const std::string step = cat(name_, ": ", mount ? cat("mount blob ", mount->text()) : "begin an upload");
  Call call{.method = "POST", .url = host.url(path_, "blobs/uploads/")};
  if (mount) {
    net::Query query;
    query.add("mount", mount->text());
    if (!from.empty()) query.add("from", from);
    call.url.query = query.text();
  }
  const net::Url url = call.url;
  call.scope = writing(*this, from);
  ClientResponse answer = CO_TRY(co_await expect(host, std::move(call), step, {201, 202}));
  if (answer.status == 201 && mount) co_return std::optional<Upload>();
  Upload out;
  CO_TRY_CTX(read_upload(url, answer.headers, true, out), step);
  co_return std::optional(std::move(out));
}

Task<Result<>> Repository::upload_chunk(Upload& upload, UploadBody body) const {
  const uint64_t size = body.size, end = upload.offset + size;
  const std::string step = cat(name_, ": upload bytes ", upload.offset, " to ", end);
  Call call{.method = "PATCH", .url = upload.location};
  call.headers.set("Content-Type", kBytes);
  call.headers.set("Content-Range", cat(upload.offset, "-", end - 1));
  call.upload = std::move(body);
  call.scope = writing(*this);
  call.repeatable = false;
  const net::Url url = call.url;
  ClientResponse answer = CO_TRY(co_await expect(*hosts_.back(), std::move(call), step, {201, 202, 204}));
  CO_TRY_CTX(read_upload(url, answer.headers, false, upload), step);
  upload.offset = received(answer.headers).value_or(end);
  if (upload.offset > end) co_return fail_errno(EPROTO, step, ": the server says that it has ", upload.offset);
  co_return Result<>();
}

Task<Result<>> Repository::finish_upload(Upload& upload, Digest digest, std::optional<UploadBody> body) const {
  Call call{.method = "PUT", .url = upload.location};
  call.url.query += cat(call.url.query.empty() ? "" : "&", "digest=", net::percent_encode(digest.text()));
  call.headers.set("Content-Type", kBytes);
  call.scope = writing(*this);
  call.repeatable = false;
  if (body && upload.offset > 0)
    call.headers.set("Content-Range", cat(upload.offset, "-", upload.offset + body->size - 1));
  call.upload = std::move(body);
  CO_TRY(co_await expect(*hosts_.back(), std::move(call), cat(name_, ": upload blob ", digest.text()), {201, 204}));
  co_return Result<>();
}

Task<Result<>> Repository::refresh_upload(Upload& upload) const {
  const std::string step = cat(name_, ": ask for the state of an upload");
  Call call{.url = upload.location};
  call.scope = writing(*this);
  ClientResponse answer = CO_TRY(co_await expect(*hosts_.back(), std::move(call), step, {200, 202, 204}));
  CO_TRY_CTX(read_upload(upload.location, answer.headers, false, upload), step);
  upload.offset = received(answer.headers).value_or(0);
  co_return Result<>();
}

Task<Result<>> Repository::cancel_upload(Upload& upload) const {
  Call call{.method = "DELETE", .url = upload.location};
  call.scope = writing(*this);
  CO_TRY(co_await expect(*hosts_.back(), std::move(call), cat(name_, ": cancel an upload"), {200, 202, 204}));
  co_return Result<>();
}

Task<Result<PutManifest>> Repository::put_manifest(std::string reference, std::string media_type,
                                                   std::string text) const {
  const std::string step = cat(name_, ": put manifest ", reference);
  Host& host = *hosts_.back();
  Call call{.method = "PUT", .url = host.url(path_, cat("manifests/", reference)), .headers = {}, .body = text};
  call.headers.set("Content-Type", media_type);
  call.scope = writing(*this);
  const ClientResponse answer = CO_TRY(co_await expect(host, std::move(call), step, {201}));
  PutManifest out{.digest = Digest::of(text), .subject = answer.headers.contains("OCI-Subject")};
  const auto told = Digest::parse(answer.headers.get("Docker-Content-Digest"));
  if (told && told->algorithm() == out.digest.algorithm() && *told != out.digest)
    co_return fail_errno(EPROTO, step, ": the registry says its digest is ", told->text(), ", not ", out.digest.text());
  if (told) out.digest = *told;
  co_return out;
}

Task<Result<>> Repository::delete_manifest(std::string reference) const {
  Host& host = *hosts_.back();
  Call call{.method = "DELETE", .url = host.url(path_, cat("manifests/", reference))};
  call.scope = deleting(*this);
  CO_TRY(co_await expect(host, std::move(call), cat(name_, ": delete manifest ", reference), {202, 200}));
  co_return Result<>();
}

Task<Result<>> Repository::delete_blob(Digest digest) const {
  Host& host = *hosts_.back();
  Call call{.method = "DELETE", .url = host.url(path_, cat("blobs/", digest.text()))};
  call.scope = deleting(*this);
  CO_TRY(co_await expect(host, std::move(call), cat(name_, ": delete blob ", digest.text()), {202, 200}));
  co_return Result<>();
}

}  // namespace proa::oci::image::remote
