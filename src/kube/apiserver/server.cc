#include "kube/apiserver/server.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <ctime>

#include "base/ids.h"
#include "base/log.h"
#include "kube/apiserver/access/access.h"
#include "kube/apiserver/access/authorizer.h"
#include "kube/apiserver/access/pki/cluster_pki.h"
#include "kube/apiserver/access/rbac/reconcile.h"
#include "kube/apiserver/admission/admission.h"
#include "kube/apiserver/bootstrap/bootstrap.h"
#include "kube/apiserver/control.h"
#include "kube/apiserver/registry/definitions.h"
#include "kube/apiserver/registry/objects.h"
#include "kube/apiserver/registry/splice.h"
#include "kube/apiserver/registry/subresources.h"
#include "kube/apiserver/serve/api.h"
#include "kube/apiserver/serve/documents.h"
#include "kube/apiserver/serve/health.h"
#include "kube/apiserver/serve/metrics.h"
#include "kube/client/client.h"
#include "kube/client/controller.h"
#include "kube/store/embedded.h"
#include "kube/store/etcd/store.h"
#include "net/server.h"

namespace proa::kube::api {
namespace {

int64_t wall_seconds() { return static_cast<int64_t>(std::time(nullptr)); }

// Each connection is a descriptor.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<std::unique_ptr<store::Store>> open_store(net::Loops& loops, const DatastoreSettings& settings) {
  if (settings.endpoints.empty()) return TRY(store::open_embedded({.folder = settings.folder}));
  store::EtcdOptions options;
  options.cluster.endpoints = settings.endpoints;
  options.cluster.ca_file = settings.ca_file;
  options.cluster.certificate_file = settings.certificate_file;
  options.cluster.key_file = settings.key_file;
  options.prefix = settings.prefix;
  options.annotate = [](std::string_view, std::string_view value) { return note_of(value); };
  return store::open_etcd(loops, std::move(options));
}

Result<> make_folder(const std::string& path) {
  for (size_t at = 1; at != std::string::npos;) {
    at = path.find('/', at + 1);
    if (::mkdir(path.substr(0, at).c_str(), 0700) != 0 && errno != EEXIST)
      return fail_errno(errno, "make folder ", path);
  }
  return {};
}

// An address of this machine that others can reach, and the loopback one if there is none.
std::string own_address(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const bool v4 = !name.empty() && name.find_first_not_of("0123456789.") == std::string::npos;
    if (v4 && !name.starts_with("127.")) return name;
  }
  return "127.0.0.1";
}

}  // namespace

// In the order in which parts depend on each other: what is destroyed first stands last.
struct Server::State {
  explicit State(ServerSettings s) : settings(std::move(s)) {}

  ServerSettings settings;
  std::unique_ptr<net::Loops> loops;
  std::unique_ptr<pki::ClusterPki> pki;
  std::shared_ptr<net::TlsServer> tls;
  std::unique_ptr<store::Store> store;
  Catalog catalog;
  std::unique_ptr<Reader> reader;
  std::unique_ptr<Definitions> definitions;
  std::unique_ptr<Authorizer> authorizer;
  std::unique_ptr<Access> access;
  AdmissionChain admission;
  Subresources subresources;
  std::unique_ptr<Objects> objects;
  // As it is now: tick() renews it, controllers sign with it.
  std::atomic<std::shared_ptr<const pki::Authority>> authority;
  std::unique_ptr<Auditor> auditor;
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<Documents> documents;
  Health health;
  std::unique_ptr<Service> service;
  std::unique_ptr<Api> api;
  std::unique_ptr<net::Server> server;
  std::unique_ptr<Control> control;
  std::vector<std::string> places;
  std::string address;  // for the endpoints of the API's service
  uint16_t port = 0;
  std::atomic<bool> ready = false, stopping = false;

  Result<> open_reader();
  Result<> open_keys();
  Result<> open_objects();
  void open_service();
  Result<> listen();
  Result<> prepare_cluster();
  Result<> start_control();
};

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}
Server::~Server() { stop(); }
const std::vector<std::string>& Server::places() const { return state_->places; }

Result<> Server::State::open_keys() {
  TRY(make_folder(settings.data_dir));
  std::vector<std::string> names = pki::names_of_host();
  address = own_address(names);
  const std::string service_address = TRY(first_address(settings.service_cidr));
  names.insert(names.end(), settings.names.begin(), settings.names.end());
  pki = std::make_unique<pki::ClusterPki>(TRY(pki::ClusterPki::open({.folder = cat(settings.data_dir, "/pki"),
                                                                     .names = std::move(names),
                                                                     .cluster_domain = settings.cluster_domain,
                                                                     .service_address = service_address},
                                                                    wall_seconds())));
  tls = TRY(net::TlsServer::create({.certificate_file = pki->path("apiserver.crt"),
                                    .key_file = pki->path("apiserver.key"),
                                    .client_ca_file = pki->path("ca.crt"),
                                    .client_auth = net::TlsServer::ClientAuth::kJudge,
                                    .allow_tls12 = true}));
  return {};
}

Result<> Server::State::open_reader() {
  loops = TRY(net::Loops::start());
  store = TRY(open_store(*loops, settings.datastore));
  reader = std::make_unique<Reader>(*store, catalog);
  definitions = std::make_unique<Definitions>(*reader, catalog);
  definitions->follow();
  authorizer = standard_authorizer(*reader);
  return {};
}

Result<> Server::State::open_objects() {
  access = TRY(Access::open(*reader, *authorizer, *pki,
                            {.anonymous = settings.anonymous,
                             .token_file = settings.token_file,
                             .issuer = settings.issuer,
                             .audiences = settings.audiences,
                             .cluster_domain = settings.cluster_domain,
                             .now = wall_seconds}));
  admission = standard_admission(*reader, *authorizer);
  add_subresources(subresources);
  access->add_to(subresources);
  objects = std::make_unique<Objects>(Objects::Parts{.store = *store,
                                                     .catalog = catalog,
                                                     .reader = *reader,
                                                     .admission = admission,
                                                     .subresources = subresources,
                                                     .now = wall_seconds,
                                                     .definitions_changed = [this] { definitions->follow(); }});
  return {};
}

void Server::State::open_service() {
  // Known before there is a listener, unless any port will do.
  if (const auto first = net::Endpoint::parse(settings.listen.empty() ? "" : settings.listen.front()))
    port = first->port;
  metrics = std::make_unique<Metrics>(*store);
  documents = std::make_unique<Documents>(cat(address, ":", port));
  health.add("ping", [] { return Result<>(); });
  health.add("log", [] { return Result<>(); });
  health.add("etcd", [this]() -> Result<> {
    if (store->revision() <= 0) return fail("the store has no revision");
    return {};
  });
  health.add("poststarthook/bootstrap", [this]() -> Result<> {
    if (!ready) return fail("not finished");
    return {};
  });
  health.add(
      "shutdown",
      [this]() -> Result<> {
        if (stopping) return fail("process is shutting down");
        return {};
      },
      true);
  service = std::make_unique<Service>(Service{.objects = *objects,
                                              .catalog = catalog,
                                              .authenticator = access->authenticator(),
                                              .authorizer = *authorizer,
                                              .metrics = *metrics,
                                              .documents = *documents,
                                              .issuer = access->issuer_documents(cat("https://", address, ":", port)),
                                              .auditor = auditor.get(),
                                              .health = health});
  api = std::make_unique<Api>(*service, ApiLimits());
}

Result<> Server::State::listen() {
  server = std::make_unique<net::Server>(
      *loops, [this](net::Request& request, net::Response& response) { return api->handle(request, response); },
      net::Server::Options{.max_body_bytes = 0, .max_streams = 1000});
  for (const std::string& text : settings.listen) {
    const net::Endpoint endpoint = TRY_CTX(net::Endpoint::parse(text), "listen");
    const net::Endpoint where = TRY_CTX(server->listen(endpoint, tls), "listen at ", text);
    if (port == 0) port = where.port;
    const bool any =
        endpoint.host.empty() || endpoint.host == "*" || endpoint.host == "0.0.0.0" || endpoint.host == "::";
    places.push_back(cat("https://", any ? "127.0.0.1" : where.host, ":", where.port));
    if (!any && places.size() == 1 && !endpoint.host.starts_with("127.")) address = where.host;
  }
  return {};
}

Result<> Server::State::prepare_cluster() {
  BootstrapSettings wanted{.service_cidr = settings.service_cidr,
                           .address = address,
                           .port = port,
                           .authority_pem = pki->authority_pem(),
                           .front_proxy_authority_pem = pki->front_proxy().certificate.pem()};
  TRY(loops->wait(bootstrap(*objects, catalog, std::move(wanted))));
  const auto client = make_client(*objects, catalog, *authorizer, own_user(), "kube-apiserver");
  if (const auto done = loops->wait(reconcile_rbac(*client)); !done)
    return fail("bring roles up to date: ", done.error().message);
  ready = true;
  return {};
}

Result<> Server::State::start_control() {
  authority = std::make_shared<const pki::Authority>(pki->authority());
  control = TRY(Control::start({.objects = *objects,
                                .catalog = catalog,
                                .definitions = *definitions,
                                .authorizer = *authorizer,
                                .access = {.authorizer = *authorizer,
                                           .issuer = access->issuer(),
                                           .authority = [this] { return *authority.load(); }},
                                // A folder has one server, by its lock.
                                .elect = store->may_lag()}));
  return {};
}

Result<std::unique_ptr<Server>> Server::start(ServerSettings settings) {
  raise_descriptor_limit();
  if (settings.datastore.folder.empty()) settings.datastore.folder = settings.data_dir;
  std::unique_ptr<Server> out(new Server(std::make_unique<State>(std::move(settings))));
  State& state = *out->state_;
  // The store first: it tells who else holds the folder.
  TRY(make_folder(state.settings.data_dir));
  TRY(state.open_reader());
  TRY(state.open_keys());
  TRY(state.open_objects());
  state.auditor = TRY(Auditor::open(state.settings.audit));
  state.open_service();
  TRY(state.listen());
  TRY(state.prepare_cluster());
  TRY(state.start_control());
  return out;
}

KubeconfigEntry Server::admin_entry() const {
  const State& state = *state_;
  return {.server = state.places.front(),
          .authority_pem = state.pki->authority_pem(),
          .certificate_pem = state.pki->admin().pem(),
          .key_pem = state.pki->admin_key().private_pem()};
}

bool Server::tick() {
  const auto renewed = state_->pki->renew(wall_seconds());
  if (!renewed) log::error("renew certificates: ", renewed.error().message());
  if (!renewed || renewed->empty()) return false;
  state_->authority = std::make_shared<const pki::Authority>(state_->pki->authority());
  if (const auto done = state_->tls->reload(); !done) log::error(done.error().message());
  log::info("renewed ", renewed->size(), " certificates");
  return true;
}

void Server::stop() {
  State& state = *state_;
  if (state.stopping.exchange(true)) return;
  state.control.reset();
  if (state.server) state.server->stop(state.settings.drain);
}

}  // namespace proa::kube::api
