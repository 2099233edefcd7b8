// Image references: what is accepted reads the same when written out in full.
#include "oci/image/reference.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using proa::oci::image::Reference;
  const auto reference = Reference::parse(as_text(data, size));
  if (!reference) {
    FUZZ_CHECK(!reference.error().message().empty());
    return 0;
  }
  FUZZ_CHECK(reference->domain.find('/') == std::string::npos && !reference->path.empty());
  FUZZ_CHECK(reference->path.find("..") == std::string::npos && reference->repository().size() <= 255);
  FUZZ_CHECK(!reference->tag.empty() || !reference->digest.empty());
  const auto again = Reference::parse(reference->text());
  FUZZ_CHECK(again && *again == *reference);
  const auto familiar = Reference::parse(reference->familiar());
  FUZZ_CHECK(familiar && *familiar == *reference);
  return 0;
}
