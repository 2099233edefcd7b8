#include "cli/cluster_commands.h"

#include <boost/json.hpp>

#include "base/text.h"
#include "cli/human.h"
#include "cli/print.h"
#include "kube/store/backup.h"
#include "kube/store/etcd/store.h"

namespace proa::cli {
namespace {

using kube::store::BackupInfo;
using kube::store::EtcdOptions;
using kube::store::Store;

// --datastore is a folder, or etcd's endpoints.
bool is_etcd(const std::string& datastore) {
  return datastore.starts_with("https://") || datastore.starts_with("http://");
}

struct Opened {
  std::unique_ptr<net::Loops> loops;
  std::unique_ptr<Store> store;
};

Result<Opened> open_cluster(const Invocation& in) {
  EtcdOptions options;
  for (const std::string_view endpoint : split(in.text("datastore"), ','))
    options.cluster.endpoints.emplace_back(endpoint);
  options.cluster.ca_file = in.text("datastore-cafile");
  options.cluster.certificate_file = in.text("datastore-certfile");
  options.cluster.key_file = in.text("datastore-keyfile");
  options.prefix = in.text("datastore-prefix");
  options.history = std::chrono::seconds(0);
  options.history_revisions = 0;
  Opened opened;
  opened.loops = TRY(net::Loops::start({.threads = 1}));
  opened.store = TRY(kube::store::open_etcd(*opened.loops, std::move(options)));
  return opened;
}

Result<int> print(const Invocation& in, const BackupInfo& info, const std::string& file) {
  const boost::json::object document = {
      {"File", file},          {"Revision", info.revision}, {"Records", info.records},
      {"Leases", info.leases}, {"Bytes", info.bytes},       {"Created", format_rfc3339(info.created)},
      {"Store", info.kind}};
  const Table table{.header = {"FILE", "REVISION", "RECORDS", "SIZE", "CREATED", "STORE"},
                    .rows = {{file, cat(info.revision), cat(info.records), human_size(info.bytes),
                              format_rfc3339(info.created), info.kind}}};
  TRY(print_document(in.text("output"), document, table));
  return 0;
}

}  // namespace

Result<int> cluster_backup(const Invocation& in) {
  const std::string file = in.argument(0);
  const std::string datastore = in.text("datastore");
  if (in.on("check")) return print(in, TRY(kube::store::check_backup(file)), file);
  if (!is_etcd(datastore)) return print(in, TRY(kube::store::backup_folder(datastore, file)), file);
  const Opened opened = TRY(open_cluster(in));
  return print(in, TRY(kube::store::backup_store(*opened.store, file)), file);
}

Result<int> cluster_restore(const Invocation& in) {
  const std::string file = in.argument(0);
  const std::string datastore = in.text("datastore");
  if (!is_etcd(datastore)) return print(in, TRY(kube::store::restore_folder(file, datastore)), file);
  // Before the cluster is asked for anything.
  TRY(kube::store::check_backup(file));
  const Opened opened = TRY(open_cluster(in));
  return print(in, TRY(kube::store::restore_store(file, *opened.store)), file);
}

}  // namespace proa::cli
