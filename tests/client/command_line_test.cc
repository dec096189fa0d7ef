#include "client/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>
#include <vector>

#include "client/exit_codes.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Options = v1::ProtectionOptions;

class CommandLineTest : public ::testing::Test {
 protected:
  CommandLineTest() { unsetenv("ANTIDIFFUSION_SERVER"); }
  ~CommandLineTest() override { unsetenv("ANTIDIFFUSION_SERVER"); }

  std::variant<CommandLine, int> Parse(std::vector<const char*> words) {
    words.insert(words.begin(), "antidiffusion");
    return ParseCommandLine(static_cast<int>(words.size()), words.data(), out_, err_);
  }

  // The settings of a command line that must be right.
  CommandLine Settings(std::vector<const char*> words) {
    auto parsed = Parse(std::move(words));
    EXPECT_TRUE(std::holds_alternative<CommandLine>(parsed)) << err_.str();
    return std::holds_alternative<CommandLine>(parsed) ? std::get<CommandLine>(parsed)
                                                       : CommandLine();
  }

  Options ProtectOptions(std::vector<const char*> words) {
    words.insert(words.begin(), {"protect", "a.jpg"});
    return Settings(std::move(words)).protect.request.options();
  }

  // The exit code of one that must not lead to work.
  int ExitCode(std::vector<const char*> words) {
    const auto parsed = Parse(std::move(words));
    const int* code = std::get_if<int>(&parsed);
    return code == nullptr ? -1 : *code;
  }

  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(CommandLineTest, LeavesTheDefaultsToTheServer) {
  const CommandLine line = Settings({"protect", "a.jpg", "b"});
  EXPECT_EQ(line.command, CommandLine::Command::kProtect);
  EXPECT_EQ(line.connection.server, "127.0.0.1:8001");
  EXPECT_EQ(line.protect.timeout, absl::InfiniteDuration());
  EXPECT_THAT(line.protect.paths, ElementsAre("a.jpg", "b"));
  EXPECT_EQ(line.protect.parallel, 1);
  EXPECT_EQ(line.protect.naming.extension, "png");
  EXPECT_FALSE(line.protect.overwrite || line.protect.json || line.protect.naming.recursive);
  EXPECT_EQ(line.protect.request.options().ByteSizeLong(), 0U);  // no field is present
  EXPECT_EQ(line.protect.request.output().ByteSizeLong(), 0U);
}

TEST_F(CommandLineTest, ReadsTheFlagsOfProtect) {
  const CommandLine line =
      Settings({"protect", "a.jpg", "--server", "host:1", "--output", "out", "--model", "clothing",
                "--recursive", "--parallel", "4", "--overwrite", "--format", "jpeg", "--quality",
                "80", "--timeout", "1.5", "--json"});
  EXPECT_EQ(line.connection.server, "host:1");
  EXPECT_EQ(line.protect.naming.output_folder, "out");
  EXPECT_EQ(line.protect.request.model(), "clothing");
  EXPECT_TRUE(line.protect.naming.recursive);
  EXPECT_EQ(line.protect.parallel, 4);
  EXPECT_TRUE(line.protect.overwrite);
  EXPECT_EQ(line.protect.request.output().format(), v1::OutputOptions::JPEG);
  EXPECT_EQ(line.protect.naming.extension, "jpg");
  EXPECT_EQ(line.protect.request.output().quality(), 80);
  EXPECT_EQ(line.protect.timeout, absl::Milliseconds(1500));
  EXPECT_TRUE(line.protect.json);
}

TEST_F(CommandLineTest, ReadsEveryOption) {
  const Options options = ProtectOptions({"--method",
                                          "anti-dreambooth",
                                          "--mode",
                                          "released",
                                          "--effort",
                                          "paper",
                                          "--budget",
                                          "8.5",
                                          "--seed",
                                          "18446744073709551615",
                                          "--prompt",
                                          "a photo",
                                          "--report",
                                          "full",
                                          "--epochs",
                                          "1",
                                          "--prompt-steps",
                                          "2",
                                          "--pgd-steps",
                                          "3",
                                          "--tuning-steps",
                                          "4",
                                          "--step-size",
                                          "0.5",
                                          "--prompt-lr",
                                          "1e-3",
                                          "--tuning-lr",
                                          "5e-7",
                                          "--pgd-draws",
                                          "5",
                                          "--momentum",
                                          "0.9",
                                          "--timestep-min",
                                          "100",
                                          "--timestep-max",
                                          "700",
                                          "--jpeg-quality",
                                          "75",
                                          "--visibility",
                                          "0.25",
                                          "--semantic-form",
                                          "start-token",
                                          "--semantic-layers",
                                          "all",
                                          "--semantic-heads",
                                          "each",
                                          "--texture",
                                          "0.5",
                                          "--frequency-power",
                                          "0.25",
                                          "--objective",
                                          "denoising",
                                          "--objective",
                                          "semantic=2.5",
                                          "--also",
                                          "sdxl",
                                          "--also",
                                          "flux",
                                          "--no-random-start"});
  EXPECT_EQ(options.method(), Options::ANTI_DREAMBOOTH);
  EXPECT_EQ(options.mode(), Options::RELEASED);
  EXPECT_EQ(options.effort(), Options::PUBLISHED);
  EXPECT_EQ(options.budget_levels(), 8.5);
  EXPECT_EQ(options.seed(), UINT64_MAX);
  EXPECT_EQ(options.prompt(), "a photo");
  EXPECT_EQ(options.report(), Options::FULL);
  EXPECT_EQ(options.epochs(), 1);
  EXPECT_EQ(options.prompt_steps(), 2);
  EXPECT_EQ(options.pgd_steps(), 3);
  EXPECT_EQ(options.tuning_steps(), 4);
  EXPECT_EQ(options.step_size_levels(), 0.5);
  EXPECT_EQ(options.prompt_lr(), 1e-3);
  EXPECT_EQ(options.tuning_lr(), 5e-7);
  EXPECT_EQ(options.pgd_draws(), 5);
  EXPECT_EQ(options.momentum(), 0.9);
  EXPECT_EQ(options.timestep_min(), 100);
  EXPECT_EQ(options.timestep_max(), 700);
  EXPECT_EQ(options.jpeg_quality(), 75);
  EXPECT_EQ(options.visibility(), 0.25);
  using Experimental = v1::ExperimentalOptions;
  EXPECT_EQ(options.experimental().semantic_form(), Experimental::START_TOKEN);
  EXPECT_EQ(options.experimental().semantic_layers(), Experimental::ALL);
  EXPECT_EQ(options.experimental().semantic_heads(), Experimental::EACH);
  EXPECT_EQ(options.experimental().texture(), 0.5);
  EXPECT_EQ(options.experimental().frequency_power(), 0.25);
  ASSERT_EQ(options.objectives_size(), 2);
  EXPECT_EQ(options.objectives(0).objective(), v1::ObjectiveTerm::DENOISING);
  EXPECT_FALSE(options.objectives(0).has_weight());
  EXPECT_EQ(options.objectives(1).objective(), v1::ObjectiveTerm::SEMANTIC);
  EXPECT_EQ(options.objectives(1).weight(), 2.5);
  EXPECT_THAT(options.also(), ElementsAre("sdxl", "flux"));
  EXPECT_TRUE(options.has_random_start());
  EXPECT_FALSE(options.random_start());
}

TEST_F(CommandLineTest, KnowsEveryObjective) {
  using Term = v1::ObjectiveTerm;
  const std::vector<std::pair<const char*, Term::Objective>> objectives = {
      {"denoising", Term::DENOISING}, {"score-distillation", Term::SCORE_DISTILLATION},
      {"semantic", Term::SEMANTIC},   {"image_guidance", Term::IMAGE_GUIDANCE},
      {"away", Term::AWAY},           {"norm", Term::NORM},
      {"target", Term::TARGET}};
  for (const auto& [word, objective] : objectives) {
    EXPECT_EQ(ProtectOptions({"--objective", word}).objectives(0).objective(), objective);
  }
  EXPECT_EQ(static_cast<int>(objectives.size()), Term::Objective_ARRAYSIZE - 1);
  EXPECT_EQ(ProtectOptions({"--objective", "away=0"}).objectives(0).weight(), 0);  // the server's
  for (const char* wrong : {"magic", "away=", "away=x", "=1", ""}) {
    EXPECT_EQ(ExitCode({"protect", "a", "--objective", wrong}), kExitUsage) << wrong;
  }
  EXPECT_THAT(err_.str(), HasSubstr("--objective: magic is no objective"));
}

TEST_F(CommandLineTest, TheAttackBeginsInOneWay) {
  EXPECT_FALSE(ProtectOptions({}).has_random_start());
  EXPECT_TRUE(ProtectOptions({"--random-start"}).random_start());
  EXPECT_EQ(ExitCode({"protect", "a", "--random-start", "--no-random-start"}), kExitUsage);
}

TEST_F(CommandLineTest, HelpTellsPresetsFromExpertAndExperimentalOptions) {
  EXPECT_EQ(ExitCode({"protect", "--help"}), kExitOk);
  const std::string help = out_.str();
  const std::vector<const char*> order = {"Protection:",
                                          "--method",
                                          "--also",
                                          "Expert options",
                                          "--pgd-steps",
                                          "--objective",
                                          "Experimental (for research; may change or go):",
                                          "--semantic-form"};
  size_t last = 0;
  for (const char* text : order) {
    const size_t found = help.find(text);
    ASSERT_NE(found, std::string::npos) << text;
    EXPECT_GT(found, last) << text;
    last = found;
  }
  EXPECT_THAT(help, Not(HasSubstr("--semantic-weight")));
}

TEST_F(CommandLineTest, KnowsEveryWordOfTheChoices) {
  const std::vector<std::pair<const char*, Options::Method>> methods = {
      {"anti-diffusion", Options::ANTI_DIFFUSION},
      {"anti-diffusion-no-pt", Options::ANTI_DIFFUSION_NO_PT},
      {"anti-diffusion-no-sdl", Options::ANTI_DIFFUSION_NO_SDL},
      {"anti-diffusion-no-tuning", Options::ANTI_DIFFUSION_NO_TUNING},
      {"advdm", Options::ADVDM},
      {"photoguard", Options::PHOTOGUARD},
      {"mist", Options::MIST},
      {"anti-dreambooth", Options::ANTI_DREAMBOOTH},
      {"sds", Options::SDS},
      {"noise", Options::NOISE}};
  for (const auto& [word, method] : methods) {
    EXPECT_EQ(ProtectOptions({"--method", word}).method(), method);
  }
  EXPECT_EQ(ProtectOptions({"--mode", "paper"}).mode(), Options::PAPER);
  EXPECT_EQ(ProtectOptions({"--effort", "draft"}).effort(), Options::DRAFT);
  EXPECT_EQ(ProtectOptions({"--effort", "standard"}).effort(), Options::STANDARD);
  EXPECT_EQ(ProtectOptions({"--effort", "strong"}).effort(), Options::STRONG);
  EXPECT_EQ(ProtectOptions({"--report", "basic"}).report(), Options::BASIC);
  EXPECT_EQ(Settings({"protect", "a", "--format", "same"}).protect.naming.extension, "");
  EXPECT_EQ(Settings({"protect", "a", "--format", "webp"}).protect.naming.extension, "webp");
  EXPECT_EQ(Settings({"protect", "a", "--format", "png"}).protect.request.output().format(),
            v1::OutputOptions::PNG);
}

TEST_F(CommandLineTest, ZeroIsAValueAndRangesAreTheServersToJudge) {
  const Options options =
      ProtectOptions({"--seed", "0", "--budget", "0", "--epochs", "-3", "--prompt", ""});
  EXPECT_TRUE(options.has_seed());
  EXPECT_TRUE(options.has_budget_levels());
  EXPECT_EQ(options.epochs(), -3);
  EXPECT_TRUE(options.has_prompt());
}

TEST_F(CommandLineTest, NumbersThatAreNoneAreUsageErrors) {
  for (const char* seed : {"-1", "18446744073709551616", "1.5", "0x10", "x", ""}) {
    EXPECT_EQ(ExitCode({"protect", "a", "--seed", seed}), kExitUsage) << seed;
  }
  EXPECT_EQ(ProtectOptions({"--epochs", "010"}).epochs(), 10);  // not octal
  for (const char* budget : {"nan", "inf", "6,5", "6x"}) {
    EXPECT_EQ(ExitCode({"protect", "a", "--budget", budget}), kExitUsage) << budget;
  }
}

TEST_F(CommandLineTest, MistakesAreUsageErrors) {
  EXPECT_EQ(ExitCode({}), kExitUsage);
  EXPECT_EQ(ExitCode({"protect"}), kExitUsage);
  EXPECT_EQ(ExitCode({"protect", "a", "--method", "magic"}), kExitUsage);
  EXPECT_EQ(ExitCode({"protect", "a", "--unknown"}), kExitUsage);
  EXPECT_EQ(ExitCode({"protect", "a", "--parallel", "0"}), kExitUsage);
  EXPECT_EQ(ExitCode({"protect", "a", "--parallel", "65"}), kExitUsage);
  EXPECT_EQ(ExitCode({"protect", "a", "--timeout", "0"}), kExitUsage);
  EXPECT_EQ(ExitCode({"compare", "a.png"}), kExitUsage);
  EXPECT_EQ(ExitCode({"compare", "a.png", "b.png", "--factor", "0"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--timeout"));
  EXPECT_EQ(out_.str(), "");
}

TEST_F(CommandLineTest, TheServerComesFromTheFlagThenTheEnvironment) {
  setenv("ANTIDIFFUSION_SERVER", "from-environment:1", 1);
  EXPECT_EQ(Settings({"models"}).connection.server, "from-environment:1");
  EXPECT_EQ(Settings({"health", "--server", "from-flag:2"}).connection.server, "from-flag:2");
  EXPECT_EQ(Settings({"protect", "a"}).connection.server, "from-environment:1");
}

TEST_F(CommandLineTest, ReadsTheOtherCommands) {
  EXPECT_EQ(Settings({"models", "--json"}).command, CommandLine::Command::kModels);
  EXPECT_TRUE(Settings({"models", "--json"}).json);
  EXPECT_EQ(Settings({"health", "--timeout", "5"}).timeout, absl::Seconds(5));
  const CommandLine line =
      Settings({"compare", "a.jpg", "b.png", "--output", "c.png", "--factor", "20"});
  EXPECT_EQ(line.command, CommandLine::Command::kCompare);
  EXPECT_EQ(line.compare.original, "a.jpg");
  EXPECT_EQ(line.compare.changed, "b.png");
  EXPECT_EQ(line.compare.output, "c.png");
  EXPECT_EQ(line.compare.factor, 20);
}

TEST_F(CommandLineTest, HelpNamesEveryFlagOfProtect) {
  EXPECT_EQ(ExitCode({"protect", "--help"}), kExitOk);
  for (const char* flag :
       {"--server",       "--output",    "--model",     "--recursive",    "--parallel",
        "--overwrite",    "--format",    "--quality",   "--timeout",      "--json",
        "--method",       "--mode",      "--effort",    "--budget",       "--seed",
        "--prompt",       "--report",    "--epochs",    "--prompt-steps", "--pgd-steps",
        "--tuning-steps", "--step-size", "--prompt-lr", "--tuning-lr",    "ANTIDIFFUSION_SERVER",
        "Exit codes"}) {
    EXPECT_THAT(out_.str(), HasSubstr(flag));
  }
  EXPECT_EQ(ExitCode({"--version"}), kExitOk);
}

TEST_F(CommandLineTest, ReadsHowToConnect) {
  const ConnectionSettings connection =
      Settings({"jobs", "list", "--api-key", "k", "--api-key-file", "f", "--tls", "--ca", "a",
                "--cert", "c", "--key", "p"})
          .connection;
  EXPECT_EQ(connection.credentials.api_key, "k");
  EXPECT_EQ(connection.credentials.api_key_file, "f");
  EXPECT_TRUE(connection.credentials.tls);
  EXPECT_EQ(connection.credentials.ca_file, "a");
  EXPECT_EQ(connection.credentials.certificate_file, "c");
  EXPECT_EQ(connection.credentials.key_file, "p");
  EXPECT_EQ(ExitCode({"models", "--ca", "a"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--ca requires --tls"));
}

TEST_F(CommandLineTest, TheApiKeyMayComeFromTheEnvironmentAndIsNotShown) {
  setenv("ANTIDIFFUSION_API_KEY", "secret", 1);
  EXPECT_EQ(Settings({"models"}).connection.credentials.api_key, "secret");
  EXPECT_EQ(ExitCode({"models", "--help"}), kExitOk);
  EXPECT_THAT(out_.str(), Not(HasSubstr("secret")));
  unsetenv("ANTIDIFFUSION_API_KEY");
}

TEST_F(CommandLineTest, ReadsTheFlagsOfJobsCreate) {
  const CommandLine line = Settings({"jobs",       "create",      "a.jpg",         "--recursive",
                                     "--priority", "interactive", "--request-id",  "id-1",
                                     "--label",    "album=7",     "--label",       "who=me=you",
                                     "--format",   "webp",        "--job-timeout", "90.5",
                                     "--budget",   "4",           "--json",        "--timeout",
                                     "2"});
  EXPECT_EQ(line.command, CommandLine::Command::kJobs);
  EXPECT_EQ(line.jobs.action, JobsSettings::Action::kCreate);
  EXPECT_THAT(line.jobs.paths, ElementsAre("a.jpg"));
  EXPECT_TRUE(line.jobs.recursive && line.jobs.json);
  EXPECT_EQ(line.jobs.timeout, absl::Seconds(2));
  const v1::ProtectRequest& request = line.jobs.request;
  EXPECT_EQ(request.priority(), v1::PRIORITY_INTERACTIVE);
  EXPECT_EQ(request.request_id(), "id-1");
  EXPECT_EQ(request.labels().at("album"), "7");
  EXPECT_EQ(request.labels().at("who"), "me=you");
  EXPECT_EQ(request.output().format(), v1::OutputOptions::WEBP);
  EXPECT_EQ(request.timeout().seconds(), 90);
  EXPECT_EQ(request.timeout().nanos(), 500'000'000);
  EXPECT_EQ(request.options().budget_levels(), 4);
}

TEST_F(CommandLineTest, ReadsTheFlagsOfTheOtherJobsCommands) {
  CommandLine line = Settings({"jobs", "list", "--state", "running", "--limit", "5"});
  EXPECT_EQ(line.jobs.action, JobsSettings::Action::kList);
  EXPECT_EQ(line.jobs.state, v1::Job::RUNNING);
  EXPECT_EQ(line.jobs.limit, 5);
  line = Settings({"jobs", "get", "a", "--result", "out.png", "--overwrite"});
  EXPECT_EQ(line.jobs.action, JobsSettings::Action::kGet);
  EXPECT_EQ(line.jobs.result_file, "out.png");
  line = Settings({"jobs", "watch", "a", "--from-sequence", "18446744073709551615"});
  EXPECT_EQ(line.jobs.action, JobsSettings::Action::kWatch);
  EXPECT_EQ(line.jobs.from_sequence, 18446744073709551615U);
  line = Settings({"jobs", "cancel", "a", "b"});
  EXPECT_EQ(line.jobs.action, JobsSettings::Action::kCancel);
  EXPECT_THAT(line.jobs.names, ElementsAre("a", "b"));
  EXPECT_EQ(Settings({"jobs", "delete", "a"}).jobs.action, JobsSettings::Action::kDelete);
}

TEST_F(CommandLineTest, RefusesWrongJobsCommands) {
  EXPECT_EQ(ExitCode({"jobs"}), kExitUsage);
  EXPECT_EQ(ExitCode({"jobs", "get"}), kExitUsage);
  EXPECT_EQ(ExitCode({"jobs", "watch", "a", "b"}), kExitUsage);
  EXPECT_EQ(ExitCode({"jobs", "list", "--limit", "0"}), kExitUsage);
  EXPECT_EQ(ExitCode({"jobs", "create", "a", "--label", "album"}), kExitUsage);
  EXPECT_EQ(ExitCode({"jobs", "create", "a", "--job-timeout", "604801"}), kExitUsage);
  EXPECT_EQ(ExitCode({"jobs", "--help"}), kExitOk);
}

}  // namespace
}  // namespace antidiffusion
