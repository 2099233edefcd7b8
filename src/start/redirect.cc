// redirect PROGRAM FROM TO CODE: in a linked x86-64 program, lets the function FROM begin with a jump to TO,
// provided that its code begins with CODE (hex digits, "??" for any byte). Where there is no such function,
// or another one, as with another release of the C library, the program is left as it is.
#include "start/elf_image.h"

namespace {

using proa::ElfImage;

bool begins_with(const unsigned char* code, std::string_view expected) {
  for (size_t i = 0; i + 1 < expected.size(); i += 2, ++code) {
    unsigned byte = 0;
    if (expected.substr(i, 2) == "??") continue;
    if (std::sscanf(expected.data() + i, "%2x", &byte) != 1 || byte != *code) return false;
  }
  return true;
}

bool redirect(const ElfImage& image, std::string_view from, std::string_view to, std::string_view expected) {
  constexpr uint64_t kJump = 5;  // e9 and the distance from its end
  const ElfImage::Symbol source = image.find(from, STT_FUNC), target = image.find(to, STT_FUNC);
  if (source.size < expected.size() / 2 || source.size < kJump || target.size == 0) return false;
  auto* code = image.at_address<unsigned char>(source.address, source.size);
  if (code == nullptr || !begins_with(code, expected)) return false;
  const auto distance = static_cast<int32_t>(target.address - (source.address + kJump));
  code[0] = 0xe9;
  std::memcpy(code + 1, &distance, sizeof distance);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return std::fputs("usage: redirect PROGRAM FROM TO CODE\n", stderr), 2;
  const ElfImage image = ElfImage::open(argv[1]);
  if (!image) return 1;
  if (!redirect(image, argv[2], argv[3], argv[4]))
    std::printf("%s: %s is not as known here, left alone\n", argv[1], argv[2]);
  return 0;
}
