#include "start/late_relocations.h"

// Filled in after linking (defer.cc). Not all zero, so that it has its place in the file.
extern "C" const uint64_t proa_late_relocations[proa::kLateWords] = {0, 1};
