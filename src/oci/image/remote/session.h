// Registries by the distribution specification 1.1: authentication, mirrors, retries, and each of its requests.
//
//   Remote remote(*loops, TRY(Registries::load()), Credentials::standard());
//   Repository repository = TRY(remote.repository("docker.io", "library/alpine"));
//   FetchedManifest manifest = CO_TRY(co_await repository.manifest("3.20"));
//   BlobBody blob = CO_TRY(co_await repository.blob(manifest.descriptor.digest, 0));
//
// What only reads asks the registry's mirrors in order and then the registry itself; what changes something asks
// the registry alone. Requests that broke or that a server was too busy for are repeated with growing delays, or
// after as long as the server says. Redirects are followed; credentials go to the registry and to the token service
// that it names, and nowhere else.
//
// Errors begin with the registry, the repository and the step: "docker.io/library/alpine: get manifest 9: manifest
// unknown (status 404)". Codes: EACCES (401, 403), ENOENT (404), EAGAIN (429, 500, 502, 503), those of net/client.h
// when the server was not reached; EPROTO when it breaks the protocol.
//
// Threads: all functions may be called from coroutines on any loop, and by Loops::wait from any other thread.
// A Repository is a cheap handle, that must live as long as its calls run; it and what it gives out must not outlive
// the Remote, nor that the Loops.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "net/client.h"
#include "oci/image/digest.h"
#include "oci/image/reference.h"
#include "oci/image/remote/credentials.h"
#include "oci/image/remote/registries.h"
#include "oci/image/types.h"

namespace proa::oci::image::remote {

class Host;

// How often and how fast a request is repeated.
struct RetryPolicy {
  int attempts = 5;                    // in a row without any progress
  net::Duration first_delay{250};      // doubled each time
  net::Duration longest_delay{8'000};  // of ours
  net::Duration longest_wait{60'000};  // of Retry-After; more is an error at once
};

struct FetchedManifest {
  Descriptor descriptor;  // media type, digest, size
  std::string text;       // of exactly that digest
};

// A blob, or its rest, on its way.
struct BlobBody {
  net::ClientResponse response;
  uint64_t start = 0;             // where its bytes belong: `offset`, or 0 if the server knows no ranges
  std::optional<uint64_t> total;  // size of the whole blob, if the server says
};

// An upload session (POST /v2/NAME/blobs/uploads/).
struct Upload {
  net::Url location;
  uint64_t offset = 0;     // bytes the server has
  uint64_t min_chunk = 0;  // bytes; 0: any
};

// Where the bytes of an upload come from; called anew for each attempt.
struct UploadBody {
  std::function<net::BodySource()> source;
  uint64_t size = 0;
};

struct PutManifest {
  Digest digest;         // as the registry says, or as it was given
  bool subject = false;  // the registry keeps the list of referrers itself (OCI-Subject)
};

struct Tags {
  std::vector<std::string> names;
  std::optional<net::Url> next;  // another page
};

struct Referrers {
  Index index;
  bool filtered = false;  // by the artifact type that was asked for
};

class Remote;

// One repository of one registry.
class Repository {
 public:
  // "docker.io/library/alpine"
  const std::string& name() const { return name_; }
  const std::string& domain() const { return domain_; }
  const std::string& path() const { return path_; }
  // What its requests for reading ask a token for: "pull" or "pull,push".
  const std::string& actions() const { return actions_; }
  // The registry itself without mirrors, unless hosts.toml has one that takes pushes; with a token that may write from
  // the first request on.
  Result<Repository> for_writing() const;
  // Without mirrors.
  Repository itself() const;
  bool has_mirrors() const { return hosts_.size() > 1; }

  // --- reading
  // `reference`: a tag or a digest. The text's digest is checked; documents above 4 MiB are refused.
  net::Task<Result<FetchedManifest>> manifest(std::string reference) const;
  // Without the text; nothing when there is none. A registry that does not give the digest is asked for the text.
  net::Task<Result<std::optional<Descriptor>>> head_manifest(std::string reference) const;
  // From `offset` on, as far as the server can. The bytes are for the caller to check.
  net::Task<Result<BlobBody>> blob(Digest digest, uint64_t offset) const;
  // The size; nothing when it is not there.
  net::Task<Result<std::optional<uint64_t>>> head_blob(Digest digest) const;
  // A page, or the page that an earlier one points to. `count` 0: as many as the server likes.
  net::Task<Result<Tags>> tags(size_t count = 0, std::string last = {}) const;
  net::Task<Result<Tags>> more_tags(net::Url next) const;
  // All of them, at most `limit`.
  net::Task<Result<std::vector<std::string>>> all_tags(size_t limit = 1'000'000) const;
  // What has this manifest as its subject; registries that lack the request are asked for the fallback tag.
  net::Task<Result<Referrers>> referrers(Digest digest, std::string artifact_type = {}) const;

  // --- changing
  // `reference`: a tag or the text's digest.
  net::Task<Result<PutManifest>> put_manifest(std::string reference, std::string media_type, std::string text) const;
  net::Task<Result<>> delete_manifest(std::string reference) const;
  net::Task<Result<>> delete_blob(Digest digest) const;

  // Begins an upload; or has the blob mounted from another repository of the registry ("library/alpine"): then
  // there is nothing to upload, and nothing is given.
  net::Task<Result<std::optional<Upload>>> begin_upload(std::optional<Digest> mount = {}, std::string from = {}) const;
  // PATCH: the bytes from upload.offset on. On success upload is as the server says.
  net::Task<Result<>> upload_chunk(Upload& upload, UploadBody body) const;
  // PUT: the rest, if there is any, and the end.
  net::Task<Result<>> finish_upload(Upload& upload, Digest digest, std::optional<UploadBody> body = {}) const;
  // GET: what the server has, after a chunk broke.
  net::Task<Result<>> refresh_upload(Upload& upload) const;
  net::Task<Result<>> cancel_upload(Upload& upload) const;

 private:
  friend class Remote;
  Repository() = default;
  std::string name_, domain_, path_, actions_ = "pull";
  std::vector<std::shared_ptr<Host>> hosts_;  // the registry itself last
};

// A program's way to registries: connections, tokens, settings.
class Remote {
 public:
  struct Options {
    RetryPolicy retries;
    // Credentials in place of those kept, for every registry (login, --creds).
    std::optional<Credential> credential;
    net::Client::Options client;  // but for TLS
  };
  Remote(net::Loops& loops, Registries registries, Credentials credentials);
  Remote(net::Loops& loops, Registries registries, Credentials credentials, Options options);
  Remote(const Remote&) = delete;
  Remote& operator=(const Remote&) = delete;
  // Everything that was begun must have ended.
  ~Remote();

  net::Loops& loops() const;
  const RetryPolicy& retries() const;

  Result<Repository> repository(const std::string& domain, const std::string& path);
  Result<Repository> repository(const Reference& reference) { return repository(reference.domain, reference.path); }
  // GET /v2/ with the credentials given: an error (EACCES) if the registry does not take them. Gives what is to be
  // kept: an identity token in place of the password where the registry gives one out.
  net::Task<Result<Credential>> login(std::string domain, Credential credential);
  // A pull or a push that fails does this, so that all of it ends: each wants a Remote of its own.
  // Ends what is under way, and all that is begun from now on, with errors of code ECANCELED.
  void cancel();
  bool cancelled() const;
  // A delay before another try; an error once cancelled. On a loop.
  net::Task<Result<>> pause(net::Duration delay);
  // What a descriptor's urls point to: no credentials are shown.
  net::Task<Result<BlobBody>> fetch(net::Url url, uint64_t offset);

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace proa::oci::image::remote
