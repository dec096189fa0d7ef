#pragma once

#include <string>

namespace antidiffusion {

struct HttpReply {
  int code = 0;  // 0: no answer
  std::string head;
  std::string body;
};

// GET http://127.0.0.1:`port``path`.
HttpReply HttpGet(int port, const std::string& path);

}  // namespace antidiffusion
