#include "oci/image/remote/credentials.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "base/json.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "net/base64.h"
#include "oci/image/json_fields.h"

namespace proa::oci::image::remote {
namespace {

namespace bj = boost::json;

constexpr size_t kLargestFile = 4u << 20;
constexpr size_t kLargestAnswer = 64u << 10;
constexpr int kHelperTimeout = 60'000;  // ms; it may ask the user
constexpr std::string_view kDockerHub = "docker.io";
// Docker's name for its own registry in these files.
constexpr std::string_view kDockerHubServer = "https://index.docker.io/v1/";
// A helper's user name that says that the secret is an identity token.
constexpr std::string_view kTokenUser = "<token>";

// "https://registry.example/v2/" is registry.example.
std::string_view server_name(std::string_view server) {
  for (const std::string_view scheme : {"https://", "http://"})
    if (server.starts_with(scheme)) server.remove_prefix(scheme.size());
  while (server.ends_with('/')) server.remove_suffix(1);
  for (const std::string_view version : {"/v1", "/v2"})
    if (server.ends_with(version)) server.remove_suffix(version.size());
  if (server == "index.docker.io" || server == "registry-1.docker.io") return kDockerHub;
  return server;
}

std::string server_of(const std::string& domain) {
  return domain == kDockerHub ? std::string(kDockerHubServer) : domain;
}

Result<Credential> read_entry(const Fields& in) {
  Credential out;
  if (const std::string auth = TRY(in.text("auth")); !auth.empty()) {
    const auto plain = net::base64_decode(auth);
    const size_t colon = plain ? plain->find(':') : std::string::npos;
    if (colon == std::string::npos) return fail(in.at("auth"), ": is no USER:PASSWORD in base64");
    out.user = plain->substr(0, colon);
    out.password = plain->substr(colon + 1);
    // Old Docker padded with zeros.
    while (out.password.ends_with('\0')) out.password.pop_back();
  }
  if (std::string user = TRY(in.text("username")); out.user.empty()) out.user = std::move(user);
  if (std::string password = TRY(in.text("password")); out.password.empty()) out.password = std::move(password);
  out.identity_token = TRY(in.text("identitytoken"));
  out.registry_token = TRY(in.text("registrytoken"));
  return out;
}

// A helper's answer, never repeated in an error: it may hold a secret.
Result<std::string> run_helper(const std::string& helper, const char* verb, std::string_view input) {
  const std::string name = cat("docker-credential-", helper);
  if (helper.empty() || helper.find('/') != std::string::npos)
    return fail("credential helper \"", helper, "\": no name");
  auto path = kernel::find_program(name);
  if (!path)
    return fail_errno(ENOENT, "credential helper ", name)
        .hint("install it, or take credsStore and credHelpers out of Docker's config.json");
  // The spawner changes a signal's disposition while it runs.
  static std::mutex one;
  const std::lock_guard lock(one);
  kernel::CommandResult done = TRY(kernel::run_command({.path = std::move(*path),
                                                        .argv = {name, verb},
                                                        .env = kernel::own_environment(),
                                                        .input = input,
                                                        .timeout_ms = kHelperTimeout,
                                                        .cwd = {},
                                                        .output_limit = kLargestAnswer}));
  if (done.timed_out) return fail_errno(ETIMEDOUT, "credential helper ", name, " ", verb);
  if (done.status == 0) return std::move(done.output);
  if (done.output.find("credentials not found") != std::string::npos)
    return fail_errno(ENOENT, "credential helper ", name, " ", verb);
  return fail("credential helper ", name, " ", verb, ": exit status ", done.status);
}

Result<Credential> ask_helper(const std::string& helper, const std::string& server) {
  auto answer = run_helper(helper, "get", server);
  if (!answer && answer.error().code() == ENOENT && kernel::find_program(cat("docker-credential-", helper)))
    return Credential();
  if (!answer) return std::unexpected(std::move(answer).error());
  const auto document = json::parse(*answer, {.max_bytes = kLargestAnswer});
  const auto fields = document ? Fields::of(*document, "") : std::unexpected(document.error());
  if (!fields) return fail("credential helper ", helper, " get: its answer is no JSON object");
  Credential out{.user = TRY(fields->text("Username")), .password = TRY(fields->text("Secret"))};
  if (out.user == kTokenUser) out = {.identity_token = std::move(out.password)};
  return out;
}

Result<CredentialFile> read_file(const std::string& path) {
  const auto text = kernel::read_file(path.c_str(), kLargestFile);
  if (!text && (text.error().code() == ENOENT || text.error().code() == EACCES || text.error().code() == ENOTDIR))
    return CredentialFile();
  if (!text) return std::unexpected(text.error());
  return TRY_CTX(CredentialFile::parse(*text), path);
}

const std::string& helper_for(const CredentialFile& file, const std::string& domain) {
  const auto own = std::ranges::find(file.helpers, domain, [](const auto& each) { return server_name(each.first); });
  return own != file.helpers.end() ? own->second : file.store;
}

// "registry.example/team/app", then "registry.example/team", then "registry.example".
std::vector<std::string> keys_of(const std::string& domain, std::string_view repository) {
  std::vector<std::string> out;
  for (; !repository.empty(); repository = repository.substr(0, std::min(repository.rfind('/'), repository.size()))) {
    out.push_back(cat(domain, "/", repository));
    if (repository.find('/') == std::string_view::npos) break;
  }
  out.push_back(domain);
  return out;
}

// The file's document, to be changed and written back with all that we do not know.
Result<bj::object> open_document(const std::string& path) {
  const auto text = kernel::read_file(path.c_str(), kLargestFile);
  if (!text && text.error().code() == ENOENT) return bj::object();
  if (!text) return std::unexpected(text.error());
  if (text->find_first_not_of(" \t\r\n") == std::string::npos) return bj::object();
  const bj::value document = TRY_CTX(json::parse(*text), path);
  if (!document.is_object()) return fail(path, ": must be an object");
  return document.get_object();
}

Result<bj::object*> auths_of(bj::object& document, const std::string& path) {
  bj::value& auths = document["auths"];
  if (auths.is_null()) auths = bj::object();
  if (!auths.is_object()) return fail(path, ": auths: must be an object");
  return &auths.get_object();
}

Result<> save_document(const std::string& path, const bj::object& document) {
  const size_t slash = path.rfind('/');
  if (slash != std::string::npos && slash > 0) TRY(kernel::make_dirs(path.substr(0, slash), 0700));
  // A link stays one.
  char* const real = ::realpath(path.c_str(), nullptr);
  const std::string target = real == nullptr ? path : real;
  std::free(real);
  return kernel::replace_file(target, json::to_pretty(document), 0600);
}

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

}  // namespace

Result<CredentialFile> CredentialFile::parse(std::string_view text) {
  CredentialFile out;
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return out;
  const bj::value document = TRY(json::parse(text, {.max_bytes = kLargestFile}));
  const Fields top = TRY(Fields::of(document, ""));
  out.store = TRY(top.text("credsStore"));
  for (auto& [server, helper] : TRY(top.map("credHelpers"))) out.helpers.emplace_back(server, helper);
  const auto auths = TRY(top.fields("auths"));
  if (!auths) return out;
  for (const auto& member : auths->object()) {
    const std::string server(member.key());
    const auto entry = TRY(auths->fields(server));
    if (entry) out.entries.push_back({server, TRY(read_entry(*entry))});
  }
  return out;
}

Credentials Credentials::standard() {
  std::vector<std::string> files;
  if (std::string file = from_environment("REGISTRY_AUTH_FILE"); !file.empty()) {
    files.push_back(std::move(file));
    return Credentials(std::move(files));
  }
  if (const std::string folder = from_environment("DOCKER_CONFIG"); !folder.empty())
    files.push_back(cat(folder, "/config.json"));
  else if (const std::string home = from_environment("HOME"); !home.empty())
    files.push_back(cat(home, "/.docker/config.json"));
  if (const std::string run = from_environment("XDG_RUNTIME_DIR"); !run.empty())
    files.push_back(cat(run, "/containers/auth.json"));
  return Credentials(std::move(files));
}

Result<Credential> Credentials::find(const std::string& domain, std::string_view repository) const {
  for (const std::string& path : files_) {
    const CredentialFile file = TRY(read_file(path));
    if (const std::string& helper = helper_for(file, domain); !helper.empty()) {
      Credential found = TRY(ask_helper(helper, server_of(domain)));
      if (!found.empty()) return found;
    }
    for (const std::string& key : keys_of(domain, repository))
      for (const auto& [server, credential] : file.entries)
        if (!credential.empty() && server_name(server) == key) return credential;
  }
  return Credential();
}

Result<std::string> Credentials::store(const std::string& domain, const Credential& credential) const {
  if (files_.empty()) return fail("nowhere to keep credentials: neither HOME nor DOCKER_CONFIG is set");
  const std::string& path = files_.front();
  const CredentialFile file = TRY(read_file(path));
  const std::string& helper = helper_for(file, domain);
  bj::object document = TRY(open_document(path));
  bj::object& auths = *TRY(auths_of(document, path));
  for (const auto& entry : file.entries)
    if (server_name(entry.server) == domain) auths.erase(entry.server);
  const bool token = !credential.identity_token.empty();
  if (!helper.empty()) {
    const bj::object secret{{"ServerURL", server_of(domain)},
                            {"Username", token ? std::string(kTokenUser) : credential.user},
                            {"Secret", token ? credential.identity_token : credential.password}};
    TRY(run_helper(helper, "store", json::to_line(secret)));
    auths[server_of(domain)] = bj::object();  // tells who reads the file where to ask
    TRY(save_document(path, document));
    return cat("credential helper ", helper);
  }
  bj::object entry{{"auth", net::base64_encode(cat(credential.user, ":", token ? "" : credential.password))}};
  if (token) entry["identitytoken"] = credential.identity_token;
  auths[server_of(domain)] = std::move(entry);
  TRY(save_document(path, document));
  return path;
}

Result<bool> Credentials::erase(const std::string& domain) const {
  bool known = false;
  for (const std::string& path : files_) {
    const CredentialFile file = TRY(read_file(path));
    if (const std::string& helper = helper_for(file, domain); !helper.empty()) {
      const Credential there = TRY(ask_helper(helper, server_of(domain)));
      if (!there.empty()) TRY(run_helper(helper, "erase", server_of(domain)));
      known = known || !there.empty();
    }
    std::vector<std::string> servers;
    for (const auto& entry : file.entries)
      if (server_name(entry.server) == domain) servers.push_back(entry.server);
    if (servers.empty()) continue;
    known = true;
    bj::object document = TRY(open_document(path));
    bj::object& auths = *TRY(auths_of(document, path));
    for (const std::string& server : servers) auths.erase(server);
    TRY(save_document(path, document));
  }
  return known;
}

}  // namespace proa::oci::image::remote
