#include <algorithm>

#include "kube/apiserver/access/controllers/controllers.h"
#include "kube/apiserver/access/controllers/signing_rules.h"
#include "kube/codec/time.h"
#include "net/base64.h"

namespace proa::kube::api {
namespace {

using Next = Answer<std::chrono::nanoseconds>;

constexpr std::string_view kGroup = "certificates.k8s.io";
constexpr std::string_view kPlural = "certificatesigningrequests";
constexpr int64_t kHour = 3600;
constexpr int64_t kLife = 365 * 24 * kHour, kShortest = 600, kBefore = 300;
// How long requests are kept: those that were answered, and those nobody answers.
constexpr int64_t kKept = kHour, kPending = 24 * kHour;

Target target(std::string_view name, std::string_view subresource = {}) {
  return {.group = std::string(kGroup),
          .version = {},
          .resource = std::string(kPlural),
          .ns = {},
          .name = std::string(name),
          .subresource = std::string(subresource)};
}

bool has_condition(const Value& request, std::string_view type) {
  return std::ranges::any_of(request.get({"status", "conditions"}).items(),
                             [&](const Value& each) { return each.string("type") == type; });
}

void add_condition(Arena& arena, Value& request, std::string_view type, std::string_view reason,
                   std::string_view message, int64_t now) {
  Value& status = request.child(arena, "status");
  if (!status.get("conditions").is_array()) status.set(arena, "conditions", Value::array(arena));
  Value condition = Value::object(arena, 6);
  condition.add(arena, "type", Value::view(type));
  condition.add(arena, "status", Value::view("True"));
  condition.add(arena, "reason", Value::view(reason));
  condition.add(arena, "message", Value::text(arena, message));
  const Value time = Value::text(arena, format_time(now));
  condition.add(arena, "lastUpdateTime", time);
  condition.add(arena, "lastTransitionTime", time);
  status.find("conditions")->push(arena, condition);
}

User requester_of(const Value& spec) {
  User user{
      .name = std::string(spec.string("username")), .uid = std::string(spec.string("uid")), .groups = {}, .extra = {}};
  for (const Value& group : spec.get("groups").items()) user.groups.emplace_back(group.as_string());
  return user;
}

// Approves what nodes ask for, signs what is approved, and throws away what is old.
class CertificateSigner : public Controller {
 public:
  explicit CertificateSigner(AccessLoops loops) : loops_(std::move(loops)) {}
  std::string_view name() const override { return "certificate-controller"; }

  void begin(Frame& frame) override {
    clock_ = &frame.surroundings().clock;
    client_ = frame.surroundings().client(name());
    frame.informer(kGroup, kPlural).add_handler([&queue = frame.queue(*this)](const Change& change) {
      if (!change.deleted()) queue.add(std::string(change.object().string({"metadata", "name"})));
    });
  }

  net::Task<Next> reconcile(std::string key) override {
    const auto found = client_->get(target(key));
    if (!found && found.error().code == 404) co_return kDone;
    if (!found) co_return refuse(found.error());
    const Value& request = (*found)->root();
    const Next left = time_left(request);
    if (*left <= kDone) co_return co_await remove(key);
    if (has_condition(request, "Denied") || has_condition(request, "Failed") ||
        !request.string({"status", "certificate"}).empty() || !is_own_signer(request.string({"spec", "signerName"})))
      co_return left;
    const auto pem = net::base64_decode(request.string({"spec", "request"}));
    const auto parsed = pki::CertificateRequest::parse(pem.value_or(""));
    if (has_condition(request, "Approved")) {
      auto done = co_await sign(request, parsed);
      co_return done ? left : done;
    }
    if (parsed && approves(request.get("spec"), *parsed)) {
      auto done = co_await approve(request);
      co_return done ? left : done;
    }
    co_return left;
  }

 private:
  int64_t now() const {
    return std::chrono::duration_cast<std::chrono::seconds>(clock_->wall().time_since_epoch()).count();
  }

  // Until nobody needs the request any more.
  Next time_left(const Value& request) const {
    int64_t since = 0, kept = kPending;
    if (const auto made = parse_time(request.string({"metadata", "creationTimestamp"})); made) since = made->seconds;
    for (const Value& each : request.get({"status", "conditions"}).items()) {
      const auto time = parse_time(each.string("lastUpdateTime"));
      if (!time) continue;
      const bool answered = each.string("type") == "Denied" || each.string("type") == "Failed" ||
                            !request.string({"status", "certificate"}).empty();
      since = time->seconds;
      kept = answered ? kKept : kPending;
    }
    return std::chrono::seconds(std::max<int64_t>(since + kept - now(), 0));
  }

  bool approves(const Value& spec, const pki::CertificateRequest& request) const {
    const auto right = node_client_approval(spec, request);
    if (!right) return false;
    const User user = requester_of(spec);
    return loops_.authorizer
        .authorize({.user = user,
                    .is_resource = true,
                    .verb = "create",
                    .group = kGroup,
                    .version = "*",
                    .ns = {},
                    .resource = kPlural,
                    .subresource = *right,
                    .name = {},
                    .path = {},
                    .field_selector = {},
                    .label_selector = {}})
        .allowed();
  }

  net::Task<Next> approve(const Value& request) {
    Arena arena;
    Value changed = clone(arena, request);
    add_condition(arena, changed, "Approved", "AutoApproved", "A node asked for its own certificate, and may.", now());
    co_return answer(
        co_await client_->update(arena, target(request.string({"metadata", "name"}), "approval"), changed));
  }

  net::Task<Next> sign(const Value& request, const Result<pki::CertificateRequest>& parsed) {
    Arena arena;
    Value changed = clone(arena, request);
    auto certificate =
        parsed ? certify(request.get("spec"), *parsed) : Result<std::string>(std::unexpected(parsed.error()));
    if (certificate) {
      changed.child(arena, "status").set(arena, "certificate", Value::text(arena, net::base64_encode(*certificate)));
    } else {
      add_condition(arena, changed, "Failed", "SignerValidationFailure", certificate.error().message(), now());
    }
    co_return answer(co_await client_->update(arena, target(request.string({"metadata", "name"}), "status"), changed));
  }

  Result<std::string> certify(const Value& spec, const pki::CertificateRequest& request) const {
    const auto usages = TRY(check_signing(spec, request));
    const Value wanted = spec.get("expirationSeconds");
    const int64_t life = wanted.is_int() ? std::clamp(wanted.as_int(), kShortest, kLife) : kLife;
    return TRY(request.sign(loops_.authority(), usages, now() - kBefore, now() - kBefore + life)).pem();
  }

  net::Task<Next> remove(const std::string& name) {
    Arena arena;
    const auto gone = co_await client_->remove(arena, target(name), {});
    if (!gone && gone.error().code != 404) co_return refuse(gone.error());
    co_return kDone;
  }

  static Next answer(const Answer<Value>& done) {
    if (!done && done.error().code != 404) return refuse(done.error());
    return kDone;
  }

  const AccessLoops loops_;
  const Clock* clock_ = nullptr;
  std::unique_ptr<Client> client_;
};

}  // namespace

std::unique_ptr<Controller> certificate_signer(const AccessLoops& loops) {
  return std::make_unique<CertificateSigner>(loops);
}

}  // namespace proa::kube::api
