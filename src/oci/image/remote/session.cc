#include "oci/image/remote/session.h"

#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "net/conditional.h"
#include "oci/image/json_fields.h"
#include "oci/image/remote/api_error.h"
#include "oci/image/remote/host.h"

namespace proa::oci::image::remote {

using net::ClientResponse;
using net::Task;

namespace {

constexpr size_t kLargestList = 16u << 20;  // of tags, or of referrers
constexpr size_t kMostPages = 10'000;
constexpr std::string_view kSchema1 = "application/vnd.docker.distribution.manifest.v1";

// What the distribution-spec has "implied" by the client's being able to read it.
net::Headers manifest_types() {
  net::Headers out;
  for (const std::string_view type : {media::kManifest, media::kIndex, media::kDockerManifest, media::kDockerList})
    out.add("Accept", type);
  return out;
}

bool is_digest(std::string_view reference) { return reference.find(':') != std::string_view::npos; }

std::string content_type(const net::Headers& headers) {
  const std::string_view value = headers.get("Content-Type");
  return std::string(net::trimmed(value.substr(0, value.find(';'))));
}

bool names_document(std::string_view type) { return media::is_manifest(type) || media::is_index(type); }

// The type that header and document agree on.
Result<std::string> manifest_type(const std::string& told, std::string_view text) {
  if (told.starts_with(kSchema1))
    return fail("is of Docker's schema 1, which registries have not taken since 2017").hint("push it anew");
  auto own = sniff_media_type(text);
  if (!own) return fail_errno(EPROTO, "the answer (", told, ") is no manifest: ", own.error().message());
  // A document must not be read as something else than it was pushed as.
  if (names_document(told) && *own != told) return fail_errno(EPROTO, "was announced as ", told, ", but is ", *own);
  if (!names_document(*own)) return fail_errno(EPROTO, "is \"", *own, "\", neither a manifest nor an index");
  return own;
}

// Where the bytes of an answer to a range request belong.
Result<BlobBody> place_body(ClientResponse response, uint64_t offset) {
  BlobBody out{.response = std::move(response), .start = 0, .total = {}};
  const net::Headers& headers = out.response.headers;
  if (out.response.status == 200) {
    out.total = out.response.content_length();
    return out;
  }
  const auto range = net::parse_content_range(headers.get("Content-Range"));
  if (!range || range->first != offset) return fail_errno(EPROTO, "Content-Range is not what was asked for");
  out.start = offset;
  std::string_view total = headers.get("Content-Range");
  cut(total, '/');
  out.total = parse_number<uint64_t>(total);
  return out;
}

std::optional<net::Url> next_page(const net::Url& from, const net::Headers& headers) {
  for (const std::string_view link : headers.all("Link")) {
    const size_t open = link.find('<'), close = link.find('>');
    if (open == std::string_view::npos || close == std::string_view::npos || close < open) continue;
    const std::string_view rest = link.substr(close);
    if (rest.find("rel=\"next\"") == std::string_view::npos && rest.find("rel=next") == std::string_view::npos)
      continue;
    if (auto url = from.resolve(link.substr(open + 1, close - open - 1))) return std::move(*url);
  }
  return std::nullopt;
}

Result<std::vector<std::string>> read_tags(std::string_view text) {
  const boost::json::value document = TRY(json::parse(text, {.max_bytes = kLargestList}));
  const Fields in = TRY(Fields::of(document, ""));
  return in.texts("tags");
}

Scope reading(const Repository& of) { return {.repository = of.path(), .actions = of.actions(), .from = {}}; }

}  // namespace

// --- one repository ---------------------------------------------------------------------------------------------

namespace detail {

Task<std::unexpected<Error>> refusal(ClientResponse response, const Host& host) {
  Error error = co_await error_of(response, host.endpoint());
  co_return std::unexpected(std::move(error));
}

}  // namespace detail

using detail::refusal;

namespace {

bool may_be_asked(const Endpoint& endpoint, bool by_digest) {
  return by_digest ? endpoint.capabilities.pull : endpoint.capabilities.resolve;
}

// Asks one after the other until one has it; what the last one says is the answer. A mirror that was not reached is not
// asked again.
template <typename T, typename Ask>
Task<Result<T>> from_any(const Repository& repository, const std::vector<std::shared_ptr<Host>>& all, std::string step,
                         bool by_digest, Ask ask) {
  std::vector<std::shared_ptr<Host>> hosts;
  std::ranges::copy_if(all, std::back_inserter(hosts),
                       [&](const auto& host) { return may_be_asked(host->endpoint(), by_digest); });
  for (const auto& host : hosts) {
    const bool last = host == hosts.back();
    if (!last && host->broken()) continue;
    Result<T> answer = co_await ask(*host);
    if (answer) co_return answer;
    Error error = std::move(answer).error();
    if (last) co_return std::unexpected(std::move(error).with_context(cat(repository.name(), ": ", step)));
    const bool reached = error.code() == ENOENT || error.code() == EACCES || error.code() == EPROTO;
    if (!reached) host->set_broken();
    const std::string line = cat(repository.name(), ": ", step, ": ", host->endpoint().text(), ": ", error.message());
    reached ? log::debug(line) : log::warning(line);
  }
  co_return fail_errno(EACCES, repository.name(), ": ", step, ": no server has the capability ",
                       by_digest ? "pull" : "resolve")
      .hint("'capabilities' in hosts.toml");
}

Task<Result<FetchedManifest>> get_manifest(Host& host, Scope scope, std::string reference) {
  Call call{.url = host.url(scope.repository, cat("manifests/", reference)), .headers = manifest_types()};
  call.scope = scope;
  ClientResponse answer = CO_TRY(co_await host.call(std::move(call)));
  if (answer.status != 200) co_return co_await refusal(std::move(answer), host);
  FetchedManifest out;
  const std::string told = content_type(answer.headers);
  const std::string told_digest(answer.headers.get("Docker-Content-Digest"));
  auto text = co_await answer.read_all(kLargestDocument);
  if (!text) co_return std::unexpected(std::move(text).error());
  out.text = std::move(*text);
  const std::string& expected = is_digest(reference) ? reference : told_digest;
  auto digest = expected.empty() ? Result<Digest>(Digest()) : Digest::parse(expected);
  if (!digest && is_digest(reference)) co_return std::unexpected(std::move(digest).error());
  Hasher hasher = digest && !digest->empty() ? Hasher::like(*digest) : Hasher();
  hasher.update(out.text);
  out.descriptor.digest = hasher.finish();
  if (!expected.empty() && out.descriptor.digest.text() != expected)
    co_return fail_errno(EPROTO, "the ", out.text.size(), " bytes that arrived have digest ",
                         out.descriptor.digest.text(), ", not ", expected);
  out.descriptor.size = out.text.size();
  out.descriptor.media_type = CO_TRY(manifest_type(told, out.text));
  co_return out;
}

Task<Result<Descriptor>> ask_manifest(Host& host, Scope scope, std::string reference) {
  Call call{
      .method = "HEAD", .url = host.url(scope.repository, cat("manifests/", reference)), .headers = manifest_types()};
  call.scope = scope;
  ClientResponse answer = CO_TRY(co_await host.call(std::move(call)));
  if (answer.status != 200) co_return co_await refusal(std::move(answer), host);
  Descriptor out;
  out.media_type = content_type(answer.headers);
  const std::string_view told = answer.headers.get("Docker-Content-Digest");
  auto digest = Digest::parse(told.empty() && is_digest(reference) ? std::string_view(reference) : told);
  const auto size = answer.content_length();
  if (digest && size && names_document(out.media_type)) {
    out.digest = std::move(*digest);
    out.size = *size;
    co_return out;
  }
  co_return CO_TRY(co_await get_manifest(host, scope, reference)).descriptor;
}

Task<Result<BlobBody>> get_blob(Host& host, Scope scope, std::string digest, uint64_t offset) {
  Call call{.url = host.url(scope.repository, cat("blobs/", digest))};
  call.scope = scope;
  // What is named by its digest does not change: a range needs no condition (If-Range).
  if (offset > 0) call.headers.set("Range", cat("bytes=", offset, "-"));
  ClientResponse answer = CO_TRY(co_await host.call(call));
  if (answer.status == 416 && offset > 0) {
    static_cast<void>(co_await rest_of(answer));
    call.headers.remove("Range");
    answer = CO_TRY(co_await host.call(call));
  }
  if (answer.status != 200 && answer.status != 206) co_return co_await refusal(std::move(answer), host);
  co_return place_body(std::move(answer), offset);
}

Task<Result<uint64_t>> ask_blob(Host& host, Scope scope, std::string digest) {
  Call call{.method = "HEAD", .url = host.url(scope.repository, cat("blobs/", digest))};
  call.scope = scope;
  ClientResponse answer = CO_TRY(co_await host.call(std::move(call)));
  if (answer.status != 200) co_return co_await refusal(std::move(answer), host);
  co_return answer.content_length().value_or(0);
}

// ENOENT is an answer, too.
template <typename T>
Result<std::optional<T>> or_nothing(Result<T> result) {
  if (result) return std::optional<T>(std::move(*result));
  if (result.error().code() == ENOENT) return std::optional<T>();
  return std::unexpected(std::move(result).error());
}

}  // namespace

Repository Repository::itself() const {
  Repository out = *this;
  out.hosts_ = {hosts_.back()};
  return out;
}

Result<Repository> Repository::for_writing() const {
  Repository out = *this;
  const auto takes = std::ranges::find_if(hosts_, [](const auto& host) { return host->endpoint().capabilities.push; });
  if (takes == hosts_.end())
    return fail_errno(EACCES, name_, ": no server has the capability push").hint("'capabilities' in hosts.toml");
  out.hosts_ = {*takes};
  out.actions_ = "pull,push";
  return out;
}

Task<Result<FetchedManifest>> Repository::manifest(std::string reference) const {
  const Scope scope = reading(*this);
  co_return co_await from_any<FetchedManifest>(*this, hosts_, cat("get manifest ", reference), is_digest(reference),
                                               [&](Host& host) { return get_manifest(host, scope, reference); });
}

Task<Result<std::optional<Descriptor>>> Repository::head_manifest(std::string reference) const {
  const Scope scope = reading(*this);
  co_return or_nothing(co_await from_any<Descriptor>(*this, hosts_, cat("look for manifest ", reference),
                                                     is_digest(reference),
                                                     [&](Host& host) { return ask_manifest(host, scope, reference); }));
}

Task<Result<BlobBody>> Repository::blob(Digest digest, uint64_t offset) const {
  const Scope scope = reading(*this);
  co_return co_await from_any<BlobBody>(*this, hosts_, cat("get blob ", digest.text()), true,
                                        [&](Host& host) { return get_blob(host, scope, digest.text(), offset); });
}

Task<Result<std::optional<uint64_t>>> Repository::head_blob(Digest digest) const {
  const Scope scope = reading(*this);
  co_return or_nothing(co_await from_any<uint64_t>(*this, hosts_, cat("look for blob ", digest.text()), true,
                                                   [&](Host& host) { return ask_blob(host, scope, digest.text()); }));
}

Task<Result<Tags>> Repository::tags(size_t count, std::string last) const {
  net::Query query;
  if (count > 0) query.add("n", std::to_string(count));
  if (!last.empty()) query.add("last", std::move(last));
  net::Url url = hosts_.back()->url(path_, "tags/list");
  url.query = query.text();
  return more_tags(std::move(url));
}

Task<Result<Tags>> Repository::more_tags(net::Url next) const {
  Host& host = *hosts_.back();
  const std::string step = cat(name_, ": list tags");
  Call call{.url = next};
  call.scope = reading(*this);
  ClientResponse answer = CO_TRY_CTX(co_await host.call(std::move(call)), step);
  if (answer.status != 200) {
    Error error = co_await error_of(answer, host.endpoint());
    co_return std::unexpected(std::move(error).with_context(step));
  }
  Tags out;
  out.next = next_page(next, answer.headers);
  const std::string text = CO_TRY_CTX(co_await answer.read_all(kLargestList), step);
  out.names = CO_TRY_CTX(read_tags(text), step);
  co_return out;
}

Task<Result<std::vector<std::string>>> Repository::all_tags(size_t limit) const {
  Tags page = CO_TRY(co_await tags());
  std::vector<std::string> out = std::move(page.names);
  for (size_t pages = 1; page.next && out.size() < limit && pages < kMostPages; ++pages) {
    page = CO_TRY(co_await more_tags(*page.next));
    if (page.names.empty()) break;
    out.insert(out.end(), page.names.begin(), page.names.end());
  }
  if (out.size() > limit) out.resize(limit);
  co_return out;
}

namespace {

// Pages of /referrers/, joined; ENOENT where the registry lacks it.
Task<Result<Referrers>> list_referrers(Host& host, Scope scope, std::string digest, std::string artifact_type) {
  Referrers out;
  net::Url url = host.url(scope.repository, cat("referrers/", digest));
  if (!artifact_type.empty()) url.query = cat("artifactType=", net::percent_encode(artifact_type));
  for (size_t pages = 0; pages < kMostPages; ++pages) {
    Call call{.url = url};
    call.headers.set("Accept", media::kIndex);
    call.scope = scope;
    ClientResponse answer = CO_TRY(co_await host.call(std::move(call)));
    if (answer.status != 200) co_return co_await refusal(std::move(answer), host);
    out.filtered = answer.headers.has_token("OCI-Filters-Applied", "artifactType");
    const auto next = next_page(url, answer.headers);
    const std::string text = CO_TRY(co_await answer.read_all(kLargestDocument));
    Index page = CO_TRY(parse_index(text));
    out.index.media_type = page.media_type;
    for (Descriptor& each : page.manifests) out.index.manifests.push_back(std::move(each));
    if (!next || page.manifests.empty()) break;
    url = *next;
  }
  co_return out;
}

}  // namespace

Task<Result<Referrers>> Repository::referrers(Digest digest, std::string artifact_type) const {
  Host& host = *hosts_.back();
  const std::string step = cat(name_, ": list referrers of ", digest.text());
  auto listed = co_await list_referrers(host, reading(*this), digest.text(), artifact_type);
  if (!listed && listed.error().code() != ENOENT)
    co_return std::unexpected(std::move(listed).error().with_context(step));
  Referrers out;
  if (listed) {
    out = std::move(*listed);
  } else {
    // The "Referrers Tag Schema": an index under a tag named after the digest.
    auto fallback = co_await manifest(cat(digest.algorithm(), "-", digest.hex()));
    if (!fallback && fallback.error().code() != ENOENT) co_return std::unexpected(std::move(fallback).error());
    out.index.media_type = media::kIndex;
    if (fallback) out.index = CO_TRY_CTX(parse_index(fallback->text), step);
  }
  if (!artifact_type.empty() && !out.filtered)
    std::erase_if(out.index.manifests, [&](const Descriptor& each) { return each.artifact_type != artifact_type; });
  co_return out;
}

// --- all registries ---------------------------------------------------------------------------------------------

Result<net::Client*> Remote::State::client(const std::string& key, const Endpoint& endpoint) {
  const std::string authority = endpoint.base.authority();
  if (cancelled) return fail_errno(ECANCELED, "connect to ", authority);
  const std::lock_guard lock(mutex);
  auto& client = clients[key];
  if (client) return client.get();
  HostSettings settings = TRY(registries.settings(endpoint));
  net::Client::Options each = options.client;
  each.tls.ca_pem = std::move(settings.ca_pem);
  each.tls.certificate_file = std::move(settings.certificate_file);
  each.tls.key_file = std::move(settings.key_file);
  each.tls.insecure = endpoint.open_scheme || settings.insecure;
  if (settings.connect_timeout_ms) each.connect_timeout = net::Duration(*settings.connect_timeout_ms);
  // Many connections carry more than many streams in one.
  each.http2 = false;
  client = std::make_unique<net::Client>(loops, std::move(each));
  return client.get();
}

Result<net::Client*> Remote::State::client(const Endpoint& endpoint) {
  // What one registry's file says of a server holds for that registry.
  const std::string of = endpoint.own == nullptr ? std::string() : cat(" for ", endpoint.domain, endpoint.base.path);
  return client(cat(endpoint.base.authority(), endpoint.open_scheme ? " insecure" : "", of), endpoint);
}

Result<net::Client*> Remote::State::client(const std::string& authority) {
  Endpoint endpoint;
  endpoint.base = TRY(net::Url::parse(cat("https://", authority)));
  return client(authority, endpoint);
}

Result<std::shared_ptr<Host>> Remote::State::host(const Endpoint& endpoint) {
  net::Client* connections = TRY(client(endpoint));
  const std::lock_guard lock(mutex);
  auto& host = hosts[cat(endpoint.domain, " ", endpoint.base.origin(), endpoint.base.path)];
  if (!host) host = std::make_shared<Host>(*this, endpoint, *connections, options.credential);
  return host;
}

Remote::Remote(net::Loops& loops, Registries registries, Credentials credentials)
    : Remote(loops, std::move(registries), std::move(credentials), Options()) {}
Remote::Remote(net::Loops& loops, Registries registries, Credentials credentials, Options options)
    : state_(new State{.loops = loops,
                       .registries = std::move(registries),
                       .credentials = std::move(credentials),
                       .options = std::move(options),
                       .mutex = {},
                       .clients = {},
                       .hosts = {}}) {}
Remote::~Remote() = default;

net::Loops& Remote::loops() const { return state_->loops; }
const RetryPolicy& Remote::retries() const { return state_->options.retries; }

void Remote::cancel() {
  state_->cancelled = true;
  const std::lock_guard lock(state_->mutex);
  for (const auto& [authority, client] : state_->clients) client->cancel();
}

bool Remote::cancelled() const { return state_->cancelled; }

Task<Result<>> Remote::pause(net::Duration delay) { return state_->pause(delay); }

// In short steps, so that a cancellation is soon seen.
Task<Result<>> Remote::State::pause(net::Duration delay) {
  constexpr net::Duration kStep(100);
  while (delay.count() > 0 && !cancelled) {
    co_await net::sleep(std::min(delay, kStep));
    delay -= kStep;
  }
  if (cancelled) co_return fail_errno(ECANCELED, "wait for another try");
  co_return Result<>();
}

Result<Repository> Remote::repository(const std::string& domain, const std::string& path) {
  Repository out;
  out.domain_ = domain;
  out.path_ = path;
  out.name_ = cat(domain, "/", path);
  for (const Endpoint& endpoint : TRY(state_->registries.endpoints(domain)))
    out.hosts_.push_back(TRY(state_->host(endpoint)));
  return out;
}

Task<Result<Credential>> Remote::login(std::string domain, Credential credential) {
  const Endpoint endpoint = CO_TRY(state_->registries.endpoint(domain));
  net::Client* client = CO_TRY(state_->client(endpoint));
  Host host(*state_, endpoint, *client, credential);
  host.want_identity_token();
  auto answer = co_await host.call({.url = host.url("", "")});
  if (!answer) co_return std::unexpected(std::move(answer).error().with_context(cat("registry ", domain, ": log in")));
  if (answer->status != 200) {
    const int status = answer->status;
    Error error = api_error(status, answer->headers.get("Content-Type"), co_await rest_of(*answer));
    error.context(cat("registry ", domain, ": log in"));
    if (error.code() == EACCES) co_return std::unexpected(std::move(error).hint("check user name and password"));
    co_return std::unexpected(std::move(error));
  }
  if (!host.identity_token().empty()) {
    credential.identity_token = host.identity_token();
    credential.password.clear();
  }
  co_return credential;
}

Task<Result<BlobBody>> Remote::fetch(net::Url url, uint64_t offset) {
  // An endpoint of its own, that never has credentials.
  Endpoint endpoint{.domain = url.authority(), .base = url};
  net::Client* client = CO_TRY(state_->client(url.authority()));
  Host host(*state_, std::move(endpoint), *client, Credential());
  Call call{.url = url};
  if (offset > 0) call.headers.set("Range", cat("bytes=", offset, "-"));
  ClientResponse answer = CO_TRY_CTX(co_await host.call(std::move(call)), url.text());
  if (answer.status != 200 && answer.status != 206)
    co_return std::unexpected(api_error(answer.status, answer.headers.get("Content-Type"), co_await rest_of(answer))
                                  .with_context(url.text()));
  co_return place_body(std::move(answer), offset);
}

}  // namespace proa::oci::image::remote
