using Hangfire.Server;
using Microsoft.Extensions.Logging;

namespace LabPortal.Operations.Sweeps;

/// <summary>
/// A pass that is repeated for as long as the portal runs, as a background process of the Hangfire server. A pass that fails is logged and
/// tried again after the interval; the next begins only when one is over. The interval is on the wall clock, between the end of one and
/// the begin of the next.
/// </summary>
public sealed class SweepProcess(string name, TimeSpan interval, Func<CancellationToken, Task> pass, ILogger log) : IBackgroundProcess
{
    public void Execute(BackgroundProcessContext context)
    {
        try
        {
            // Hangfire gives each of its processes a thread of its own; it is meant to be blocked.
#pragma warning disable RS0030
            pass(context.StoppingToken).GetAwaiter().GetResult();
#pragma warning restore RS0030
        }
        catch (OperationCanceledException) when (context.StoppingToken.IsCancellationRequested)
        {
            return;
        }
        catch (Exception fault)
        {
            log.LogError(fault, "The sweep {Sweep} failed; it is tried again in {Interval}.", name, interval);
        }

        context.Wait(interval);
    }

    public override string ToString() => name;
}
