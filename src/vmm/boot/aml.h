// AML, the byte code of ACPI's definition blocks (ACPI 6.4, 20.2), as much as our DSDT needs. Everything is a string of
// bytes; what contains others takes them as its last argument.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace proa::vmm::aml {

// "_HID"; a path may begin with a backslash and have parts between dots.
std::string name_string(std::string_view path);
std::string integer(uint64_t value);
std::string text(std::string_view value);
// EISA id: "PNP0501".
std::string eisa(std::string_view id);

std::string name(std::string_view path, const std::string& value);
std::string package(const std::vector<std::string>& elements);
std::string scope(std::string_view path, const std::string& content);
std::string device(std::string_view path, const std::string& content);
std::string method(std::string_view path, unsigned arguments, const std::string& content);
std::string notify(std::string_view object, uint64_t value);

// Resources (6.4), for resources().
std::string memory32(uint32_t base, uint32_t size);
std::string interrupt(uint32_t line, bool edge);
std::string io(uint16_t base, uint8_t size);
std::string irq(unsigned line);
std::string resources(const std::string& descriptors);

}  // namespace proa::vmm::aml
