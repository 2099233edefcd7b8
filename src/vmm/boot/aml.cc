#include "vmm/boot/aml.h"

#include <cstring>

#include "base/text.h"

namespace proa::vmm::aml {

namespace {

std::string little(uint64_t value, size_t bytes) { return {reinterpret_cast<const char*>(&value), bytes}; }

// PkgLength (20.2.4) counts itself.
std::string with_length(const std::string& content) {
  if (content.size() + 1 < 0x40) return static_cast<char>(content.size() + 1) + content;
  size_t extra = 1;
  while (content.size() + 1 + extra >= 1ULL << (4 + 8 * extra)) ++extra;
  const size_t length = content.size() + 1 + extra;
  std::string out(1, static_cast<char>(extra << 6 | (length & 15)));
  for (size_t i = 0; i < extra; ++i) out += static_cast<char>(length >> (4 + 8 * i));
  return out + content;
}

}  // namespace

std::string name_string(std::string_view path) {
  std::string out;
  if (path.starts_with('\\')) {
    out += '\\';
    path.remove_prefix(1);
  }
  const auto parts = split(path, '.');
  if (parts.empty()) return out + '\0';
  if (parts.size() == 2) out += '\x2e';
  if (parts.size() > 2) (out += '\x2f') += static_cast<char>(parts.size());
  for (std::string_view part : parts) (out += part).append(4 - part.size(), '_');
  return out;
}

std::string integer(uint64_t value) {
  if (value <= 1) return std::string(1, static_cast<char>(value));
  if (value <= 0xff) return '\x0a' + little(value, 1);
  if (value <= 0xffff) return '\x0b' + little(value, 2);
  if (value <= 0xffffffff) return '\x0c' + little(value, 4);
  return '\x0e' + little(value, 8);
}

std::string text(std::string_view value) { return '\x0d' + std::string(value) + '\0'; }

// Three letters of five bits, four hex digits, big-endian (6.1.5).
std::string eisa(std::string_view id) {
  uint32_t value = 0;
  for (size_t i = 0; i < 3; ++i) value = value << 5 | static_cast<uint32_t>(id[i] - 0x40);
  for (size_t i = 3; i < 7; ++i)
    value = value << 4 | static_cast<uint32_t>(id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10);
  return '\x0c' + little(__builtin_bswap32(value), 4);
}

std::string name(std::string_view path, const std::string& value) { return '\x08' + name_string(path) + value; }

std::string package(const std::vector<std::string>& elements) {
  std::string content(1, static_cast<char>(elements.size()));
  for (const std::string& element : elements) content += element;
  return '\x12' + with_length(content);
}

std::string scope(std::string_view path, const std::string& content) {
  return '\x10' + with_length(name_string(path) + content);
}
std::string device(std::string_view path, const std::string& content) {
  return "\x5b\x82" + with_length(name_string(path) + content);
}
std::string method(std::string_view path, unsigned arguments, const std::string& content) {
  return '\x14' + with_length(name_string(path) + static_cast<char>(arguments) + content);
}
std::string notify(std::string_view object, uint64_t value) { return '\x86' + name_string(object) + integer(value); }

std::string memory32(uint32_t base, uint32_t size) {
  return std::string("\x86\x09\x00\x01", 4) + little(base, 4) + little(size, 4);
}
// Consumer, active high, exclusive.
std::string interrupt(uint32_t line, bool edge) {
  return std::string("\x89\x06\x00", 3) + static_cast<char>(edge ? 3 : 1) + '\x01' + little(line, 4);
}
std::string io(uint16_t base, uint8_t size) {
  return std::string("\x47\x01", 2) + little(base, 2) + little(base, 2) + '\x01' + static_cast<char>(size);
}
std::string irq(unsigned line) { return '\x22' + little(1u << line, 2); }

std::string resources(const std::string& descriptors) {
  const std::string content = descriptors + std::string("\x79\x00", 2);
  return '\x11' + with_length(integer(content.size()) + content);
}

}  // namespace proa::vmm::aml
