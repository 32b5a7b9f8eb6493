using System.Runtime.InteropServices;
using LabPortal.Cli;

using var stop = new CancellationTokenSource();
// What is going on is taken leave of in words, and the exit code says so; a second time nothing is waited for.
using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
return (int)await CommandLine.RunAsync(args, stop.Token);

void Stop(PosixSignalContext signal)
{
    signal.Cancel = !stop.IsCancellationRequested;
    stop.Cancel();
}
