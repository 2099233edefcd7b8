// The garbage collector: deletes objects whose owners are all gone (background), holds back owners until what depends
// on them is gone (foreground), or makes dependents forget them (orphan). Of all kinds, custom ones too.
//
// Owners are looked up in the store, which is never behind, so that nothing need be believed of objects not yet seen.
#pragma once

#include <memory>

#include "kube/client/controller.h"

namespace proa::kube::api {

std::unique_ptr<Controller> garbage_collector();

}  // namespace proa::kube::api
