// The resolver as a process: one for all containers of this host, started when the first endpoint on a
// user network comes, gone with the last.
#pragma once

#include "base/error.h"
#include "fabric/fabric.h"

namespace proa::fabric::dns {

// Has the endpoint's namespace answered for on 127.0.0.11, starting the resolver if it does not run.
// Returns once queries are taken. One that is served already is fine.
Result<> serve(const Options& options, const Endpoint& endpoint);

// After the container's last endpoint on a user network went while its namespace lives: leaves nothing of
// the resolver in there.
Result<> leave(const Endpoint& endpoint);

// The resolver's main: until nothing is left to serve.
Result<int> run(const Options& options);

}  // namespace proa::fabric::dns
