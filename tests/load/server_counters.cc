#include "tests/load/server_counters.h"

#include <curl/curl.h>

#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

size_t Append(const char* bytes, size_t size, size_t count, void* text) {
  static_cast<std::string*>(text)->append(bytes, size * count);
  return size * count;
}

// The counter that a series of jobs_total adds to; null for an outcome of a later server.
int64_t* CounterOf(absl::string_view series, ServerCounters& counters) {
  if (absl::StrContains(series, "outcome=\"accepted\"")) return &counters.accepted;
  if (absl::StrContains(series, "outcome=\"restored\"")) return &counters.restored;
  if (absl::StrContains(series, "outcome=\"handed_back\"")) return &counters.handed_back;
  if (absl::StrContains(series, "outcome=\"succeeded\"")) return &counters.succeeded;
  if (absl::StrContains(series, "outcome=\"failed\"")) return &counters.failed;
  if (absl::StrContains(series, "outcome=\"cancelled\"")) return &counters.cancelled;
  if (absl::StrContains(series, "outcome=\"expired\"")) return &counters.expired;
  return nullptr;
}

}  // namespace

absl::StatusOr<ServerCounters> ParseServerCounters(absl::string_view metrics) {
  ServerCounters counters;
  bool found = false;
  for (const absl::string_view line : absl::StrSplit(metrics, '\n')) {
    const size_t space = line.rfind(' ');
    double value = 0;
    if (space == absl::string_view::npos || !absl::SimpleAtod(line.substr(space + 1), &value)) {
      continue;
    }
    const absl::string_view series = line.substr(0, space);
    int64_t* counter = nullptr;
    if (absl::StartsWith(series, "antidiffusion_jobs_total{")) {
      found = true;
      counter = CounterOf(series, counters);
    } else if (absl::StartsWith(series, "antidiffusion_queue_depth{")) {
      counter = &counters.waiting;
    } else if (absl::StartsWith(series, "antidiffusion_jobs_running{")) {
      counter = &counters.running;
    }
    if (counter != nullptr) *counter += static_cast<int64_t>(value);
  }
  if (!found) return absl::InvalidArgumentError("no antidiffusion_jobs_total in the metrics");
  return counters;
}

absl::StatusOr<ServerCounters> FetchServerCounters(const std::string& url) {
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  if (curl == nullptr) return absl::InternalError("libcurl does not start");
  std::string text;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, 10L);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &Append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &text);
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) {
    return absl::UnavailableError(absl::StrCat(url, ": ", curl_easy_strerror(code)));
  }
  return ParseServerCounters(text);
}

ServerCounters Difference(const ServerCounters& after, const ServerCounters& before) {
  return {.accepted = after.accepted - before.accepted,
          .restored = after.restored - before.restored,
          .succeeded = after.succeeded - before.succeeded,
          .failed = after.failed - before.failed,
          .cancelled = after.cancelled - before.cancelled,
          .expired = after.expired - before.expired,
          .handed_back = after.handed_back - before.handed_back,
          .waiting = after.waiting - before.waiting,
          .running = after.running - before.running};
}

}  // namespace antidiffusion
