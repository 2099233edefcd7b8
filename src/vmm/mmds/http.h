// The metadata service as the guest sees it: HTTP/1 requests in, answers out.
#pragma once

#include <string>

#include "vmm/mmds/metadata.h"

namespace proa::vmm {

struct MetadataCounts {
  uint64_t no_token = 0, invalid_token = 0;
};

// Takes one request off the front of `input` and answers it; "" while it is not whole. Input is bounded: of a request
// that is larger than kMostRequest no more is waited for. `last`: the connection is to be closed behind the answer.
inline constexpr size_t kMostRequest = 8 << 10;
std::string answer_metadata(Metadata& data, std::string& input, bool& last, MetadataCounts& counts);

}  // namespace proa::vmm
