// antidiffusiond.
#include "server/daemon.h"

int main(int argc, char** argv) { return antidiffusion::RunDaemon(argc, argv); }
