#include "kube/apiserver/access/authenticator.h"

#include <ctime>

#include "base/log.h"
#include "base/text.h"
#include "net/base64.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kCredential = "authentication.kubernetes.io/credential-id";

void add_authenticated(User& user) {
  if (user.name != kAnonymous && !user.in(kAuthenticatedGroup) && !user.in(kUnauthenticatedGroup))
    user.groups.emplace_back(kAuthenticatedGroup);
}

User user_of(const net::PeerCertificate& certificate) {
  User user{.name = certificate.common_name,
            .uid = certificate.user_id,
            .groups = certificate.organizations,
            .extra = {{std::string(kCredential), {cat("X509SHA256=", certificate.sha256)}}}};
  add_authenticated(user);
  return user;
}

// Of the Authorization header, or among the subprotocols of a WebSocket: browsers can set no header there.
std::string token_of(const net::Request& request) {
  std::string_view header = net::trimmed(request.headers().get("Authorization"));
  if (const std::string_view scheme = cut(header, ' '); net::equals_ignoring_case(scheme, "Bearer"))
    return std::string(cut(header, ' '));
  if (!request.headers().contains("Sec-WebSocket-Protocol")) return {};
  for (const std::string_view field : request.headers().all("Sec-WebSocket-Protocol"))
    for (const std::string_view each : split(field, ','))
      if (const std::string_view protocol = net::trimmed(each); protocol.starts_with(kTokenProtocol))
        return net::base64_decode(protocol.substr(kTokenProtocol.size())).value_or("");
  return {};
}

class Standard : public Authenticator {
 public:
  explicit Standard(AuthenticatorOptions options) : options_(std::move(options)) {}

  // Credentials that are good win over others that are not; bad ones alone are refused, never taken for anonymous.
  Answer<User> authenticate(const net::Request& request) const override {
    bool wrong = false;
    const net::PeerCertificate* certificate = request.peer().certificate.get();
    if (certificate != nullptr && !certificate->common_name.empty()) {
      // Looked at with each request: a connection may outlive the certificate.
      wrong = !certificate->fault.empty() || certificate->not_after < ::time(nullptr);
      if (!wrong) return user_of(*certificate);
      log::info("client certificate of ", certificate->common_name, ", ", request.peer().address, ": ",
                certificate->fault.empty() ? "certificate has expired" : certificate->fault);
    }
    if (const std::string token = token_of(request); !token.empty()) {
      std::vector<std::string> audiences;
      if (auto user = check_token(token, audiences)) return user;
      wrong = true;
    }
    if (wrong || !options_.anonymous) return refuse(unauthorized());
    return User{
        .name = std::string(kAnonymous), .uid = {}, .groups = {std::string(kUnauthenticatedGroup)}, .extra = {}};
  }

  Answer<User> check_token(std::string_view token, std::vector<std::string>& audiences) const override {
    const std::vector<std::string>& wanted = audiences.empty() ? options_.audiences : audiences;
    std::string why = "invalid bearer token";
    for (const auto& source : options_.tokens) {
      auto found = source->check(token, wanted);
      if (!found) {
        why = cat("invalid bearer token, ", found.error().message());
        continue;
      }
      if (!*found) continue;
      audiences = std::move((*found)->audiences);
      add_authenticated((*found)->user);
      return std::move((*found)->user);
    }
    ApiError error = unauthorized();
    error.message = std::move(why);
    return refuse(std::move(error));
  }

 private:
  const AuthenticatorOptions options_;
};

}  // namespace

std::unique_ptr<Authenticator> standard_authenticator(AuthenticatorOptions options) {
  return std::make_unique<Standard>(std::move(options));
}

}  // namespace proa::kube::api
