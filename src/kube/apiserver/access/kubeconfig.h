// Kubeconfig files: how kubectl and its kin find the cluster.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace proa::kube::api {

struct KubeconfigEntry {
  std::string name = "proa";  // of the cluster, the user and the context
  std::string server;         // "https://127.0.0.1:6443"
  std::string authority_pem;
  std::string certificate_pem, key_pem;
};

// A file of this entry alone.
std::string kubeconfig_text(const KubeconfigEntry& entry);
// `text` with this entry added or brought up to date, and made the current context; everything else in it stays. An
// empty text is an empty file. Errors say what is wrong with `text`.
Result<std::string> merge_kubeconfig(std::string_view text, const KubeconfigEntry& entry);
// `text` without the entry. The current context is unset if it was this one.
Result<std::string> without_kubeconfig_entry(std::string_view text, std::string_view name);

// Whose kubeconfig is to know the cluster: the file $KUBECONFIG names (its first), else ~/.kube/config of the user
// behind sudo, else of $HOME. Files are written with that user's rights.
struct KubeconfigOwner {
  std::string path;
  unsigned uid = 0, gid = 0;
};
// Empty path: there is nobody (no home).
KubeconfigOwner kubeconfig_owner();

// Merges the entry into the owner's file: under the lock that kubectl takes, in one step, mode 0600. Makes the folder.
Result<> write_kubeconfig(const KubeconfigOwner& owner, const KubeconfigEntry& entry);
Result<> remove_from_kubeconfig(const KubeconfigOwner& owner, std::string_view name);

}  // namespace proa::kube::api
