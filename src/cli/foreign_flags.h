// Docker's flags that do nothing here, or ask for what cannot be had.
#pragma once

#include "base/error.h"
#include "cli/invocation.h"

namespace proa::cli {

// `docker`'s own: --debug and --log-level act; those that name a daemon are refused.
Result<> use_docker_globals(const Invocation& in, const Command& root);
// Those of `run` and `create`.
Result<> refuse_foreign(const Invocation& in);
// --disable-content-trust=false wants signatures of Docker's Notary checked or made.
Result<> refuse_content_trust(const Invocation& in);
// --kernel-memory: the kernel has no such limit any more, and Docker forgets it too.
void warn_of_kernel_memory(const Invocation& in);
// `start`: --checkpoint, --checkpoint-dir.
Result<> refuse_checkpoints(const Invocation& in);
// `volume create`: what only volumes of a Swarm have.
Result<> refuse_cluster_volumes(const Invocation& in);
// `network create`: --ingress, --scope, --ipam-driver.
Result<> refuse_cluster_networks(const Invocation& in);

}  // namespace proa::cli
