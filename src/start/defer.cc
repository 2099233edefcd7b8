// defer PROGRAM MAP: takes OpenSSL's relocations out of those that a linked program makes when it starts, and puts
// them into its proa_late_relocations (late_relocations.h). MAP is the linker's, of that program. A program that has
// no such table, or is not as expected, is left as it is: it starts more slowly.
#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "start/elf_image.h"
#include "start/late_relocations.h"

namespace {

using proa::ElfImage;

struct Range {
  uint64_t begin = 0, end = 0;
};

// Hashes are used without TLS, and must be ready at once.
bool is_needed_early(std::string_view member) {
  const std::string_view object = member.substr(member.find('(') + 1);
  return std::ranges::any_of(std::initializer_list<std::string_view>{"sha", "mem_clr", "cryptlib", "x86"},
                             [&](std::string_view name) { return object.starts_with(name); });
}

size_t place_of(const std::string& line, const char* text) {
  const size_t at = line.find(text);
  return at == std::string::npos ? 0 : at;
}

// Where the data of the objects from OpenSSL's libraries are.
std::vector<Range> openssl_ranges(const char* map) {
  std::vector<Range> out;
  std::ifstream in(map);
  for (std::string line; std::getline(in, line);) {
    const size_t library = std::max(place_of(line, "/libcrypto.a("), place_of(line, "/libssl.a("));
    if (library == 0 || line.find("):(.") == std::string::npos) continue;
    if (is_needed_early(std::string_view(line).substr(library))) continue;
    std::istringstream words(line);
    uint64_t address = 0, load = 0, size = 0;
    if (words >> std::hex >> address >> load >> size && address != 0 && size != 0)
      out.push_back({address, address + size});
  }
  std::ranges::sort(out, {}, &Range::begin);
  return out;
}

// The words of a .relr.dyn section: an address, then bitmaps of the 63 words after it, again and again.
std::vector<uint64_t> decode(std::span<const uint64_t> words) {
  std::vector<uint64_t> out;
  uint64_t next = 0;
  for (const uint64_t word : words) {
    if ((word & 1) == 0) {
      out.push_back(word);
      next = word + 8;
      continue;
    }
    for (int i = 0; i < 63; ++i)
      if ((word >> (i + 1) & 1) != 0) out.push_back(next + 8 * static_cast<uint64_t>(i));
    next += 63 * 8;
  }
  return out;
}

std::vector<uint64_t> encode(const std::vector<uint64_t>& addresses) {
  std::vector<uint64_t> out;
  for (size_t i = 0; i < addresses.size();) {
    out.push_back(addresses[i]);
    uint64_t next = addresses[i++] + 8;
    for (;; next += 63 * 8) {
      uint64_t bits = 0;
      for (; i < addresses.size() && addresses[i] < next + 63 * 8; ++i)
        bits |= uint64_t{1} << ((addresses[i] - next) / 8);
      if (bits == 0) break;
      out.push_back(bits << 1 | 1);
    }
  }
  return out;
}

// DT_RELRSZ, in the program's own table.
uint64_t* relr_size(const ElfImage& image) {
  for (const Elf64_Phdr& segment : image.segments()) {
    if (segment.p_type != PT_DYNAMIC) continue;
    const uint64_t count = segment.p_filesz / sizeof(Elf64_Dyn);
    auto* entries = image.at<Elf64_Dyn>(segment.p_offset, count);
    for (uint64_t i = 0; entries != nullptr && i < count; ++i)
      if (entries[i].d_tag == DT_RELRSZ) return &entries[i].d_un.d_val;
  }
  return nullptr;
}

bool defer(const ElfImage& image, const std::vector<Range>& ranges) {
  const ElfImage::Symbol table = image.find("proa_late_relocations", STT_OBJECT);
  if (table.size != proa::kLateWords * 8 || ranges.empty()) return false;
  auto* late_words = image.at_address<uint64_t>(table.address, proa::kLateWords);
  const auto section =
      std::ranges::find(image.sections(), uint32_t{SHT_RELR}, [](const Elf64_Shdr& each) { return each.sh_type; });
  uint64_t* const size = relr_size(image);
  if (late_words == nullptr || section == image.sections().end() || size == nullptr || *size != section->sh_size)
    return false;
  const uint64_t count = *size / 8;
  auto* words = image.at<uint64_t>(section->sh_offset, count);
  if (words == nullptr) return false;

  std::vector<uint64_t> early, late;
  for (const uint64_t address : decode({words, count})) {
    auto after = std::ranges::upper_bound(ranges, address, {}, &Range::begin);
    const bool openssl = after != ranges.begin() && address < std::prev(after)->end;
    (openssl ? late : early).push_back(address);
  }
  const std::vector<uint64_t> now = encode(early), then = encode(late);
  if (now.size() > count || then.size() >= proa::kLateWords) return false;
  std::ranges::copy(now, words);
  std::fill(words + now.size(), words + count, 0);
  *size = section->sh_size = now.size() * 8;
  std::fill(late_words, late_words + proa::kLateWords, 0);
  late_words[0] = then.size();
  std::ranges::copy(then, late_words + 1);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: defer PROGRAM MAP\n", stderr), 2;
  const ElfImage image = ElfImage::open(argv[1]);
  if (!image) return 1;
  if (!defer(image, openssl_ranges(argv[2])))
    std::printf("%s: its relocations are not as known here, left alone\n", argv[1]);
  return 0;
}
