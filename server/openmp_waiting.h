// How the idle threads of OpenMP wait.
#pragma once

namespace antidiffusion {

// Makes them sleep instead of spin. A spinning thread is a little quicker on cores that nothing
// else uses; on shared ones it takes the core from the thread that it waits for: with two other
// busy processes on two cores, a job took 5 to 90 times as long (docs/benchmarks.md).
//
// GNU OpenMP reads the policy when it is loaded, before main, so the program is started again in
// its place (same process id) with OMP_WAIT_POLICY=passive. Returns at once where OMP_WAIT_POLICY
// or GOMP_SPINCOUNT is set already, and where the restart is not possible. Call it first in main,
// before any thread.
void LetOpenMpSleep(char** argv);

}  // namespace antidiffusion
