#include "fabric/dns/process.h"
namespace proa::fabric::dns {
Result<> serve(const Options&, const Endpoint&) { return {}; }
Result<int> run(const Options&) { return 0; }
}
