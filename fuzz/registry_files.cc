// What a user's files say of registries (settings, credentials), and what registries say when they refuse.
#include "fuzz.h"
#include "oci/image/remote/api_error.h"
#include "oci/image/remote/credentials.h"
#include "oci/image/remote/registries.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::oci::image::remote;
  const std::string_view text = as_text(data, size);
  // Files that settings name are read: none are to be named here.
  if (text.find("ca") == std::string_view::npos)
    if (const auto registries = Registries::parse(text)) {
      const auto endpoints = registries->endpoints("docker.io");
      FUZZ_CHECK(!endpoints || (!endpoints->empty() && !endpoints->back().mirror));
    }
  if (const auto file = CredentialFile::parse(text))
    for (const auto& entry : file->entries) FUZZ_CHECK(entry.credential == entry.credential);
  const proa::Error error = api_error(403, "application/json", text);
  FUZZ_CHECK(!error.message().empty() && error.message().size() < 10'000);
  FUZZ_CHECK(error.message().find_first_of("\n\r\x1b") == std::string::npos);
  return 0;
}
