#include "client/query_commands.h"

#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/call_error.h"
#include "client/exit_codes.h"
#include "client/table.h"
#include "client/terminal_text.h"

namespace antidiffusion {
namespace {

int Fail(const absl::Status& status, std::ostream& err) {
  err << absl::StatusCodeToString(status.code()) << ": " << PrintableText(status.message())
      << std::endl;
  return ExitCodeOf(status);
}

std::vector<std::string> ToTableRow(const v1::Model& model, bool is_default) {
  return {absl::StrCat(is_default ? "* " : "  ", model.name()),
          v1::Model::State_Name(model.state()),
          model.family(),
          model.prediction_type(),
          absl::StrCat(model.native_side(), " px"),
          absl::StrJoin(model.devices(), ","),
          model.precision(),
          model.digest().empty() ? model.message() : model.digest().substr(0, 12)};
}

void WriteModels(const v1::ListModelsResponse& response, std::ostream& out) {
  std::vector<std::vector<std::string>> rows = {
      {"  NAME", "STATE", "FAMILY", "PREDICTION", "NATIVE", "DEVICES", "PRECISION", "WEIGHTS"}};
  for (const v1::Model& model : response.models()) {
    rows.push_back(ToTableRow(model, model.name() == response.default_model()));
  }
  WriteTable(std::move(rows), out);
}

void WriteJson(const v1::ListModelsResponse& response, std::ostream& out) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  for (const v1::Model& model : response.models()) {
    std::string text;
    if (!google::protobuf::util::MessageToJsonString(model, &text, options).ok()) continue;
    auto object = nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
    object["default"] = model.name() == response.default_model();
    out << object.dump() << "\n";
  }
}

}  // namespace

int RunModels(const ProtectionClient& client, const CallOptions& call, bool json, std::ostream& out,
              std::ostream& err) {
  const absl::StatusOr<v1::ListModelsResponse> response = client.ListModels(call);
  if (!response.ok()) return Fail(response.status(), err);
  if (json) {
    WriteJson(*response, out);
  } else {
    WriteModels(*response, out);
  }
  out.flush();
  return kExitOk;
}

int RunHealth(const ProtectionClient& client, const CallOptions& call, std::ostream& out,
              std::ostream& err) {
  using grpc::health::v1::HealthCheckResponse;
  CallOptions once = call;
  once.retry = false;
  const auto status = client.CheckHealth(once);
  if (!status.ok()) return Fail(status.status(), err);
  out << HealthCheckResponse::ServingStatus_Name(*status) << std::endl;
  return *status == HealthCheckResponse::SERVING ? kExitOk : kExitFailed;
}

}  // namespace antidiffusion
