// POST over HTTP, by libcurl.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace antidiffusion {

// Sends JSON to one address, over one connection that is kept. For one thread.
class HttpPost {
 public:
  struct Reply {
    int code = 0;
    std::string body;                                   // at most its first 64 KiB
    absl::Duration retry_after = absl::ZeroDuration();  // what the header says, if it is there
  };

  // INVALID_ARGUMENT: `url` is none, or neither http nor https. Certificates are checked against
  // the system's. Proxies of the environment are not used.
  static absl::StatusOr<std::unique_ptr<HttpPost>> Create(const std::string& url);
  ~HttpPost();
  HttpPost(const HttpPost&) = delete;
  HttpPost& operator=(const HttpPost&) = delete;

  // Blocks. UNAVAILABLE: there was no answer within `timeout`, or `is_over`, which is asked at
  // least once a second, said true.
  absl::StatusOr<Reply> Send(const std::string& body, absl::Duration timeout,
                             const std::function<bool()>& is_over);

 private:
  class Curl;

  explicit HttpPost(std::unique_ptr<Curl> curl);

  const std::unique_ptr<Curl> curl_;
};

}  // namespace antidiffusion
