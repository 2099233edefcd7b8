// What is done at the addresses of resources, for a request that has been let in.
#pragma once

#include "kube/apiserver/registry/decode.h"
#include "kube/apiserver/serve/call.h"

namespace proa::kube::api {

// By the verb of `call.info`; 405 for what the resource does not have.
Served serve_resource(Call& call);

Served serve_get(Call& call);
Served serve_list(Call& call);
Served serve_watch(Call& call);
Served serve_create(Call& call);
Served serve_update(Call& call);
Served serve_patch(Call& call);
Served serve_delete(Call& call);
Served serve_delete_collection(Call& call);

// An object in the shape that was negotiated: itself, a table of one row, or its metadata.
Served send_shaped(Call& call, int status, const Value& object, const BodyKind* kind = nullptr);

}  // namespace proa::kube::api
