using LabPortal.Bench;
using System.Runtime.InteropServices;
using LabPortal.Testing;

// infra/bench/run calls it.
if (args is ["worker", var setting])
{
    await Wake.WorkAsync(setting, CancellationToken.None);
    return 0;
}

if (args is ["idle-host", var storage])
{
    await Idle.HostAsync(storage);
    return 0;
}

// What was started is taken away on Ctrl+C, too.
using var stopping = new CancellationTokenSource();
void Stop(PosixSignalContext signal)
{
    signal.Cancel = true;
    stopping.Cancel();
}

using var interrupted = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using var terminated = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
await using var databases = new TestDatabases { Durable = true };
try
{
    var met = args switch
    {
        ["turns"] => await Turns.RunAsync(databases, stopping.Token),
        ["wake"] => await Wake.RunAsync(databases, stopping.Token),
        ["fairness"] => await Fairness.RunAsync(databases, stopping.Token),
        ["leases"] => await Leases.RunAsync(databases, stopping.Token),
        ["boot"] => await Boot.RunAsync(stopping.Token),
        ["idle"] => await Idle.RunAsync(databases, stopping.Token),
        ["list"] => await LabList.RunAsync(stopping.Token),
        ["echo"] => await Echo.RunAsync(stopping.Token),
        ["reset"] => await Warm.ResetAsync(stopping.Token),
        ["warm"] => await Warm.StartAsync(stopping.Token),
        _ => throw new ArgumentException("turns, wake, fairness, leases, boot, idle, list, echo, reset or warm"),
    };
    Console.WriteLine(met ? "aim met" : "AIM MISSED");
    return met ? 0 : 1;
}
catch (Exception) when (stopping.IsCancellationRequested)
{
    // Whatever was cut off complains in its own way: Ctrl+C reaches the processes that were started as well.
    Console.Error.WriteLine("stopped");
    return 130;
}
