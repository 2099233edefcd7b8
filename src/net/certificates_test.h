// Certificates for tests: an authority made on the spot, and what it signs, as PEM files in a folder of their own.
#pragma once

#include <string>
#include <vector>

namespace proa::net {

class TestAuthority {
 public:
  TestAuthority();
  ~TestAuthority();
  struct Files {
    std::string certificate;
    std::string key;
  };
  // For 127.0.0.1, localhost and `name`; `organization` may be "".
  Files issue(const std::string& name, const std::string& organization = {});
  const std::string& file() const { return file_; }

 private:
  void* certificate_;
  void* key_;
  std::string folder_;
  std::string file_;
  int serial_ = 1;
};

}  // namespace proa::net
