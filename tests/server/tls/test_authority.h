// Makes certificates for tests.
//
//   TestAuthority authority;
//   const TestAuthority::Pair server = authority.Issue({.common_name = "localhost"});
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"

namespace antidiffusion {

class TestAuthority {
 public:
  struct Pair {
    std::string certificate;  // PEM, as the next
    std::string key;
  };
  struct Wish {
    std::string common_name = "localhost";
    std::string alternative_names = "DNS:localhost,IP:127.0.0.1";  // as in OpenSSL's configuration
    absl::Duration lifetime = absl::Hours(24);                     // from now; negative: expired
  };

  TestAuthority();
  ~TestAuthority();

  std::string root() const;  // its own certificate
  Pair Issue(const Wish& wish);

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace antidiffusion
