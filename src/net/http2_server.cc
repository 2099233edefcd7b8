#include "net/exchange.h"
namespace proa::net {
Task<> serve_http2(Shard&, std::unique_ptr<Stream>, const Peer&) { co_return; }
}  // namespace proa::net
