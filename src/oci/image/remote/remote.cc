#include "oci/image/remote/remote.h"

#include <malloc.h>

namespace proa::oci::image::remote {
namespace {

// Loops for the time of a call. What the transfer used goes back to the system: its caller may live on for long.
template <typename Work>
auto with_remote(const std::string& domain, const Access& access, Work work)
    -> decltype(work(std::declval<Remote&>())) {
  Registries registries = TRY(Registries::load());
  if (!access.verify_tls) registries.make_insecure(domain);
  const Defer trim([] { ::malloc_trim(0); });
  // One loop: blobs are hashed and written on it, and unpacked by others.
  const auto loops = TRY(net::Loops::start({.threads = 1}));
  Remote::Options options;
  options.credential = access.credential;
  options.client.connect_timeout = net::Duration(15'000);
  options.client.body_timeout = net::Duration(30'000);
  Remote remote(*loops, std::move(registries), Credentials::standard(), std::move(options));
  return work(remote);
}

}  // namespace

Result<Pulled> pull_image(const Images& images, const Reference& reference, const PullOptions& options,
                          const Access& access) {
  return with_remote(reference.domain, access,
                     [&](Remote& remote) { return pull(remote, images, reference, options); });
}

Result<Pushed> push_image(const Images& images, const Reference& name, const PushOptions& options,
                          const Access& access) {
  return with_remote(name.domain, access, [&](Remote& remote) { return push(remote, images, name, options); });
}

Result<std::vector<std::string>> list_tags(const Reference& repository, const Access& access) {
  return with_remote(repository.domain, access, [&](Remote& remote) -> Result<std::vector<std::string>> {
    const Repository in = TRY(remote.repository(repository));
    return remote.loops().wait(in.all_tags());
  });
}

Result<std::string> log_in(const std::string& domain, const Credential& credential, const Access& access) {
  const Credential checked = TRY(with_remote(
      domain, access, [&](Remote& remote) { return remote.loops().wait(remote.login(domain, credential)); }));
  return Credentials::standard().store(domain, checked);
}

Result<Credential> known_credential(const std::string& domain) { return Credentials::standard().find(domain); }

Result<bool> log_out(const std::string& domain) { return Credentials::standard().erase(domain); }

std::string registry_named(std::string_view text) {
  for (const std::string_view scheme : {"https://", "http://"})
    if (text.starts_with(scheme)) text.remove_prefix(scheme.size());
  text = text.substr(0, text.find('/'));
  if (text.empty() || text == "index.docker.io" || text == "registry-1.docker.io") return "docker.io";
  return std::string(text);
}

}  // namespace proa::oci::image::remote
