#include "kube/apiserver/access/pki/cluster_pki.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "kernel/file.h"

namespace proa::kube::api::pki {
namespace {

constexpr int64_t kDay = 86'400;
// Clocks of other machines may be behind.
constexpr int64_t kBefore = kDay / 24;

constexpr int64_t kAuthorityLife = 3650 * kDay, kAuthorityRenewal = 400 * kDay;
constexpr int64_t kLife = 365 * kDay, kRenewal = 120 * kDay;

bool is_address(const std::string& name) {
  std::array<unsigned char, 16> out{};
  return ::inet_pton(AF_INET, name.c_str(), out.data()) == 1 || ::inet_pton(AF_INET6, name.c_str(), out.data()) == 1;
}

// In the form that certificates are read back in.
std::string canonical_address(const std::string& text) {
  std::array<unsigned char, 16> bytes{};
  std::array<char, INET6_ADDRSTRLEN> out{};
  const int family = ::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ::inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) return text;
  ::inet_ntop(family, bytes.data(), out.data(), out.size());
  return out.data();
}

void add_once(std::vector<std::string>& list, const std::string& name) {
  if (std::ranges::find(list, name) == list.end()) list.push_back(name);
}

Result<std::optional<std::string>> read_if_there(const std::string& path) {
  auto text = kernel::read_file(path.c_str(), 1u << 20);
  if (text) return std::optional(*std::move(text));
  if (text.error().code() == ENOENT) return std::optional<std::string>();
  return std::unexpected(std::move(text).error());
}

Result<> keep(const std::string& path, std::string_view text) { return kernel::replace_file(path, text, 0600, true); }

CertificateTerms authority_terms(std::string_view name, int64_t now) {
  return {.common_name = std::string(name),
          .authority = true,
          .not_before = now - kBefore,
          .not_after = now + kAuthorityLife};
}

// The authority in `stem`.crt and `stem`.key. The key is the authority: while it is there, the certificate can be made
// anew. A certificate alone belongs to somebody else's authority, and replacing it would cut off who trusts it.
Result<Authority> open_authority(const std::string& stem, std::string_view name, int64_t now,
                                 std::vector<std::string>* changed) {
  const std::string key_path = cat(stem, ".key"), certificate_path = cat(stem, ".crt");
  const auto key_text = TRY(read_if_there(key_path));
  const auto certificate_text = TRY(read_if_there(certificate_path));
  if (!key_text && certificate_text)
    return fail(key_path, ": is missing beside ", certificate_path)
        .hint("bring the authority's key back, or remove the certificate to begin with a new authority");
  const Key key = key_text ? TRY_CTX(Key::parse_private(*key_text), key_path) : TRY(Key::make());
  if (!key_text) TRY(keep(key_path, key.private_pem()));
  if (certificate_text) {
    const Certificate there = TRY_CTX(Certificate::parse(*certificate_text), certificate_path);
    if (!there.is_for(key)) return fail(certificate_path, ": is not the certificate of ", key_path);
    if (!there.is_authority()) return fail(certificate_path, ": is no authority's certificate");
    if (there.not_after() > now + kAuthorityRenewal) return Authority{there, key};
    name = there.common_name();
    Authority renewed{TRY(issue(authority_terms(there.common_name(), now), key, nullptr)), key};
    TRY(keep(certificate_path, renewed.certificate.pem()));
    if (changed != nullptr) changed->push_back(certificate_path);
    return renewed;
  }
  Authority made{TRY(issue(authority_terms(name, now), key, nullptr)), key};
  TRY(keep(certificate_path, made.certificate.pem()));
  if (changed != nullptr) changed->push_back(certificate_path);
  return made;
}

struct Identity {
  Certificate certificate;
  Key key;
};

bool covers(std::vector<std::string> has, std::vector<std::string> wants) {
  std::ranges::sort(has);
  std::ranges::sort(wants);
  return std::ranges::includes(has, wants);
}

bool still_good(const Certificate& there, const Key& key, const CertificateTerms& terms, const Authority& authority,
                int64_t now) {
  return there.is_for(key) && there.issued_by(authority.certificate) && there.not_after() > now + kRenewal &&
         there.not_before() <= now && there.common_name() == terms.common_name &&
         there.organizations() == terms.organizations && covers(there.dns_names(), terms.dns_names) &&
         covers(there.addresses(), terms.addresses);
}

// A certificate with its key, from `stem`.crt and .key if they will do. The key is written first: after a crash between
// the two they do not belong together, and both are made anew.
Result<Identity> open_identity(const std::string& stem, const CertificateTerms& terms, const Authority& authority,
                               int64_t now, std::vector<std::string>* changed) {
  const std::string key_path = cat(stem, ".key"), certificate_path = cat(stem, ".crt");
  const auto key_text = TRY(read_if_there(key_path));
  const auto certificate_text = TRY(read_if_there(certificate_path));
  if (key_text && certificate_text) {
    const auto key = Key::parse_private(*key_text);
    const auto there = Certificate::parse(*certificate_text);
    if (key && there && still_good(*there, *key, terms, authority, now)) return Identity{*there, *key};
  }
  Key key = TRY(Key::make());
  Identity made{TRY(issue(terms, key, &authority)), key};
  TRY(keep(key_path, made.key.private_pem()));
  TRY(keep(certificate_path, made.certificate.pem()));
  if (changed != nullptr) changed->push_back(certificate_path);
  return made;
}

CertificateTerms leaf_terms(std::string_view name, std::vector<std::string> organizations, int64_t now) {
  return {.common_name = std::string(name),
          .organizations = std::move(organizations),
          .client = true,
          .not_before = now - kBefore,
          .not_after = now + kLife};
}

CertificateTerms serving_terms(const ClusterPkiOptions& options, int64_t now) {
  CertificateTerms terms = leaf_terms("kube-apiserver", {}, now);
  terms.client = false;
  terms.server = true;
  terms.dns_names = {"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
                     cat("kubernetes.default.svc.", options.cluster_domain)};
  terms.addresses = {"127.0.0.1", "::1"};
  if (!options.service_address.empty()) add_once(terms.addresses, canonical_address(options.service_address));
  for (const std::string& name : options.names)
    if (is_address(name))
      add_once(terms.addresses, canonical_address(name));
    else if (!name.empty())
      add_once(terms.dns_names, name);
  return terms;
}

// sa.pub may hold more keys than sa.key's: those of before, whose tokens are still about.
Result<std::vector<Key>> open_token_keys(const std::string& folder) {
  const std::string private_path = cat(folder, "/sa.key"), public_path = cat(folder, "/sa.pub");
  const auto text = TRY(read_if_there(private_path));
  Key key = text ? TRY_CTX(Key::parse_private(*text), private_path) : TRY(Key::make());
  if (key.algorithm().empty() || key.algorithm() == "EdDSA")
    return fail(private_path, ": is neither an RSA nor a P-256, P-384 or P-521 key");
  if (!text) TRY(keep(private_path, key.private_pem()));
  std::vector<Key> keys{key};
  const auto public_text = TRY(read_if_there(public_path));
  if (!public_text || !text) {
    TRY(keep(public_path, cat(public_text.value_or(""), key.public_pem())));
    if (!public_text) return keys;
  }
  for (const Key& each : TRY_CTX(Key::parse_public(*public_text), public_path))
    if (std::ranges::find(keys, each.id(), &Key::id) == keys.end()) keys.push_back(each);
  return keys;
}

}  // namespace

std::vector<std::string> names_of_host() {
  std::vector<std::string> names;
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) == 0 && host[0] != '\0') names.emplace_back(host.data());
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return names;
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> freed(list, ::freeifaddrs);
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || (each->ifa_flags & IFF_LOOPBACK) != 0) continue;
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* address = nullptr;
    if (each->ifa_addr->sa_family == AF_INET) {
      address = &reinterpret_cast<const sockaddr_in*>(each->ifa_addr)->sin_addr;
    } else if (each->ifa_addr->sa_family == AF_INET6) {
      const auto* in6 = &reinterpret_cast<const sockaddr_in6*>(each->ifa_addr)->sin6_addr;
      if (!IN6_IS_ADDR_LINKLOCAL(in6)) address = in6;
    }
    if (address != nullptr && ::inet_ntop(each->ifa_addr->sa_family, address, text.data(), text.size()) != nullptr)
      add_once(names, text.data());
  }
  return names;
}

Result<ClusterPki> ClusterPki::open(ClusterPkiOptions options, int64_t now) {
  TRY(kernel::make_dirs(options.folder, 0700));
  Authority authority = TRY(open_authority(cat(options.folder, "/ca"), "kubernetes", now, nullptr));
  Authority front_proxy = TRY(open_authority(cat(options.folder, "/front-proxy-ca"), "front-proxy-ca", now, nullptr));
  auto token_keys = TRY(open_token_keys(options.folder));
  const auto admin_terms = leaf_terms("kubernetes-admin", {"system:masters"}, now);
  Identity admin = TRY(open_identity(cat(options.folder, "/admin"), admin_terms, authority, now, nullptr));
  ClusterPki pki(std::move(options), std::move(authority), std::move(front_proxy), admin.certificate, admin.key,
                 std::move(token_keys));
  TRY(pki.renew(now));
  return pki;
}

Result<std::vector<std::string>> ClusterPki::renew(int64_t now) {
  std::vector<std::string> changed;
  authority_ = TRY(open_authority(path("ca"), "kubernetes", now, &changed));
  front_proxy_ = TRY(open_authority(path("front-proxy-ca"), "front-proxy-ca", now, &changed));
  TRY(open_identity(path("apiserver"), serving_terms(options_, now), authority_, now, &changed));
  TRY(open_identity(path("front-proxy-client"), leaf_terms("front-proxy-client", {}, now), front_proxy_, now,
                    &changed));
  Identity admin = TRY(
      open_identity(path("admin"), leaf_terms("kubernetes-admin", {"system:masters"}, now), authority_, now, &changed));
  admin_ = admin.certificate;
  admin_key_ = admin.key;
  return changed;
}

}  // namespace proa::kube::api::pki
