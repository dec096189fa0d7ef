#include "client/jobs_command_line.h"

#include <cstdint>
#include <limits>
#include <string>

#include "client/flags.h"
#include "client/option_flags.h"

namespace antidiffusion {
namespace {

using Action = JobsSettings::Action;
using AddCommon = std::function<void(CLI::App&, const char*)>;

constexpr char kFooter[] =
    "\nA job goes on when its caller has gone. Its result is kept for as long as the server's "
    "--result-ttl says (24 hours\nby default); `jobs delete` forgets it at once.\n"
    "\nWith --json stdout holds JSON Lines and nothing else. list, and get without --result: the "
    "message\nantidiffusion.v1.Job in protobuf's JSON, without the image. The others: an object a "
    "file or job with exactly\nthe keys input name output status message job; status is OK or the "
    "name of the gRPC code, keys without a\nvalue are null.";

CLI::App* AddAction(CLI::App& app, JobsSettings& jobs, const std::string& name,
                    const std::string& help, Action action) {
  CLI::App* command = app.add_subcommand(name, help);
  command->parse_complete_callback([&jobs, action] { jobs.action = action; });
  command->footer(kFooter);
  return command;
}

void AddNames(CLI::App& command, JobsSettings& jobs, int most) {
  CLI::Option* names = command.add_option("NAME", jobs.names, "As `jobs create` wrote it");
  names->required();
  if (most == 1) names->expected(1);
}

void AddResultFlags(CLI::App& command, JobsSettings& jobs, const std::string& flag,
                    const std::string& help) {
  command.add_option(flag, jobs.result_file, help)->type_name("FILE");
  command.add_flag("--overwrite", jobs.overwrite, "Replace a file that exists");
}

void AddCreate(CLI::App& app, JobsSettings& jobs, const AddCommon& add_common) {
  CLI::App* create =
      AddAction(app, jobs, "create", "Send photographs and leave; writes a job's name a line",
                Action::kCreate);
  create->add_option("PATH", jobs.paths, "Photographs, or folders of them")->required();
  create->add_flag("--recursive", jobs.recursive, "Also the folders below a given folder");
  add_common(*create, "One JSON object a file on stdout");
  AddRequestFlags(*create, jobs.request);
  AddOutputFormatFlags(*create, *jobs.request.mutable_output(), nullptr);
  AddNumber<double>(*create, "--job-timeout", "SECONDS",
                    "The job expires when it is not done so long after its creation, at most 7 "
                    "days; default: the server's",
                    [&jobs](double seconds) {
                      const absl::Duration timeout = absl::Seconds(seconds);
                      if (seconds <= 0 || timeout > absl::Hours(7 * 24)) {
                        throw CLI::ValidationError("--job-timeout",
                                                   "must be above 0 and at most 604800");
                      }
                      auto& field = *jobs.request.mutable_timeout();
                      field.set_seconds(absl::ToInt64Seconds(timeout));
                      field.set_nanos(static_cast<int32_t>(
                          absl::ToInt64Nanoseconds(timeout - absl::Seconds(field.seconds()))));
                    });
  AddOptionFlags(*create, *jobs.request.mutable_options());
}

void AddList(CLI::App& app, JobsSettings& jobs, const AddCommon& add_common) {
  CLI::App* list = AddAction(app, jobs, "list", "List one's own jobs, newest first", Action::kList);
  add_common(*list, "One JSON object a job on stdout");
  AddChoice<v1::Job::State>(*list, "--state",
                            {{"queued", v1::Job::QUEUED},
                             {"running", v1::Job::RUNNING},
                             {"succeeded", v1::Job::SUCCEEDED},
                             {"failed", v1::Job::FAILED},
                             {"cancelled", v1::Job::CANCELLED},
                             {"expired", v1::Job::EXPIRED}},
                            "Only these; default: all",
                            [&jobs](v1::Job::State state) { jobs.state = state; });
  AddBounded<int32_t>(*list, "--limit", "N", "The newest so many; default 100", 1,
                      std::numeric_limits<int32_t>::max(), jobs.limit);
}

}  // namespace

CLI::App* AddJobs(CLI::App& app, JobsSettings& jobs, const AddCommon& add_common) {
  CLI::App* root = app.add_subcommand("jobs", "Protect photographs without waiting for them");
  root->require_subcommand(1);
  root->footer(kFooter);
  AddCreate(*root, jobs, add_common);
  AddList(*root, jobs, add_common);

  CLI::App* get = AddAction(*root, jobs, "get", "Tell how a job is doing", Action::kGet);
  AddNames(*get, jobs, 1);
  add_common(*get, "A JSON object on stdout");
  AddResultFlags(*get, jobs, "--result", "Write the protected photograph there");

  CLI::App* watch = AddAction(*root, jobs, "watch",
                              "Follow a job to its end and write the protected photograph. "
                              "Interrupting does not touch the job",
                              Action::kWatch);
  AddNames(*watch, jobs, 1);
  add_common(*watch, "A JSON object on stdout once the job has ended");
  AddResultFlags(*watch, jobs, "--output",
                 "Where to; default: NAME.protected.EXTENSION in the current folder");
  AddNumber<uint64_t>(*watch, "--from-sequence", "UINT64",
                      "Go on after the event of this sequence; default 0, everything",
                      [&jobs](uint64_t value) { jobs.from_sequence = value; });

  CLI::App* cancel =
      AddAction(*root, jobs, "cancel", "Ask jobs to end before their next step", Action::kCancel);
  AddNames(*cancel, jobs, 0);
  add_common(*cancel, "One JSON object a job on stdout");
  CLI::App* remove = AddAction(*root, jobs, "delete",
                               "Forget jobs that have ended, and their results", Action::kDelete);
  AddNames(*remove, jobs, 0);
  add_common(*remove, "One JSON object a job on stdout");
  return root;
}

}  // namespace antidiffusion
