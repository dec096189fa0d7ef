// A collector of traces as far as HTTP goes: it takes requests, remembers them and answers.
#pragma once

#include <CivetServer.h>

#include <deque>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/mutex.h"

namespace antidiffusion {

// Its end takes civetweb up to 2 s: one may serve many tests.
class Collector {
 public:
  struct Request {
    std::string path;
    std::string content_type;
    std::string body;
  };
  struct Answer {
    int code = 200;
    std::string body = "{}";
    std::string header = {};  // one more, "Name: value"
  };

  Collector();
  ~Collector();

  std::string endpoint() const;  // http://127.0.0.1:PORT/v1/traces

  // Forgets what came and what was to be answered.
  void Clear() ABSL_LOCKS_EXCLUDED(mutex_);

  // The answers to the next requests, then 200.
  void WillAnswer(std::vector<Answer> answers) ABSL_LOCKS_EXCLUDED(mutex_);
  // Requests are read, and stay without an answer until Release.
  void Hold() ABSL_LOCKS_EXCLUDED(mutex_);
  void Release() ABSL_LOCKS_EXCLUDED(mutex_);

  // Waits until so many have come in all.
  std::vector<Request> WaitForRequests(size_t count) ABSL_LOCKS_EXCLUDED(mutex_);
  // The spans of all requests that came, as JSON, in the order in which they came.
  std::vector<nlohmann::json> spans() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  class Handler;

  Answer Take(Request request) ABSL_LOCKS_EXCLUDED(mutex_);

  Mutex mutex_;
  CondVar changed_;
  std::vector<Request> requests_ ABSL_GUARDED_BY(mutex_);
  std::deque<Answer> answers_ ABSL_GUARDED_BY(mutex_);
  bool hold_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<Handler> handler_;  // outlives server_
  std::unique_ptr<CivetServer> server_;
};

}  // namespace antidiffusion
