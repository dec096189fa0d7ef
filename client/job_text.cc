#include "client/job_text.h"

#include <array>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/call_error.h"
#include "client/message_text.h"
#include "client/table.h"
#include "client/terminal_text.h"
#include "core/base/status_details.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::ordered_json;

// The job's error as a call would have shown it.
absl::Status JobError(const v1::Job& job) {
  const grpc::Status status(static_cast<grpc::StatusCode>(job.error().code()),
                            job.error().message(), job.error().SerializeAsString());
  return ReadCallError(status, {}).status;
}

Json ErrorObject(const v1::Job& job) {
  if (!job.has_error()) return nullptr;
  const absl::Status status = JobError(job);
  const auto reason = GetErrorReason(status);
  Json object;
  object["code"] = absl::StatusCodeToString(status.code());
  object["message"] = job.error().message();
  object["reason"] = reason.has_value() ? Json(reason->reason) : Json();
  return object;
}

Json JobObject(const v1::Job& job) {
  v1::Job shown = job;
  shown.clear_error();  // its details may be of a type that this program cannot print
  Json object = MessageJson(shown);
  if (object.is_null()) return object;
  object["error"] = ErrorObject(job);
  if (!object.contains("result")) object["result"] = nullptr;
  return object;
}

std::string Dump(const Json& object) {
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string PriorityName(v1::Priority priority) {
  switch (priority) {
    case v1::PRIORITY_INTERACTIVE:
      return "interactive";
    case v1::PRIORITY_BATCH:
      return "batch";
    default:
      return "";
  }
}

// How far it is, or why it failed.
std::string Remark(const v1::Job& job) {
  if (job.has_error()) {
    const absl::Status status = JobError(job);
    return absl::StrCat(absl::StatusCodeToString(status.code()), ": ", status.message());
  }
  if (job.state() == v1::Job::QUEUED) {
    return absl::StrCat(
        job.position(), " before it",
        job.eta_seconds() > 0
            ? absl::StrCat(", ETA ", FormatSeconds(absl::Seconds(job.eta_seconds())))
            : "");
  }
  if (job.state() == v1::Job::RUNNING && job.has_progress()) {
    return absl::StrFormat("%d%%, %s", static_cast<int>(100 * job.progress().fraction()),
                           job.progress().stage());
  }
  return "";
}

void WriteFact(const std::string& name, const std::string& value, std::ostream& out) {
  if (!value.empty()) out << name << ": " << PrintableText(value) << "\n";
}

void WriteTime(const std::string& name, bool known, const google::protobuf::Timestamp& time,
               std::ostream& out) {
  if (known)
    WriteFact(name, absl::FormatTime(absl::RFC3339_sec, ToTime(time), absl::UTCTimeZone()), out);
}

}  // namespace

std::string StateName(v1::Job::State state) {
  return v1::Job::State_IsValid(state) ? v1::Job::State_Name(state)
                                       : absl::StrCat("state ", static_cast<int>(state));
}

std::string JobJson(const v1::Job& job) { return Dump(JobObject(job)); }

std::string JobOutcomeJson(const JobOutcome& outcome) {
  Json line;
  line["input"] = outcome.input.has_value() ? Json(*outcome.input) : Json();
  line["name"] = outcome.name.has_value() ? Json(*outcome.name) : Json();
  line["output"] = outcome.output.has_value() ? Json(*outcome.output) : Json();
  line["status"] = absl::StatusCodeToString(outcome.status.code());
  line["message"] = std::string(outcome.status.message());
  line["job"] = outcome.job.has_value() ? JobObject(*outcome.job) : Json();
  return Dump(line);
}

void WriteJobTable(const std::vector<v1::Job>& jobs, absl::Time now, std::ostream& out) {
  std::vector<std::vector<std::string>> rows = {
      {"NAME", "STATE", "PRIORITY", "MODEL", "AGE", "ATTEMPTS", "REMARK"}};
  for (const v1::Job& job : jobs) {
    rows.push_back({job.name(), StateName(job.state()), PriorityName(job.priority()), job.model(),
                    FormatSeconds(now - ToTime(job.create_time())), absl::StrCat(job.attempts()),
                    Remark(job)});
  }
  WriteTable(std::move(rows), out);
}

void WriteJob(const v1::Job& job, std::ostream& out) {
  WriteFact("name", job.name(), out);
  WriteFact("state", StateName(job.state()), out);
  WriteFact("remark", Remark(job), out);
  WriteFact("model", job.model(), out);
  WriteFact("priority", PriorityName(job.priority()), out);
  WriteFact("request_id", job.request_id(), out);
  for (const auto& [key, value] : job.labels()) {
    WriteFact(absl::StrCat("label ", PrintableText(key)), value, out);
  }
  WriteTime("created", job.has_create_time(), job.create_time(), out);
  WriteTime("started", job.has_start_time(), job.start_time(), out);
  WriteTime("ended", job.has_end_time(), job.end_time(), out);
  WriteTime("forgotten", job.has_expire_time(), job.expire_time(), out);
  WriteFact("attempts", absl::StrCat(job.attempts()), out);
  WriteFact("sequence", absl::StrCat(job.sequence()), out);
  if (job.has_result()) {
    const v1::ProtectionResult& result = job.result();
    WriteFact("result", absl::StrCat(result.mime_type(), ", ", ReportText(result.report())), out);
  }
}

}  // namespace antidiffusion
