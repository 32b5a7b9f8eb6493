using System.Data.Common;
using System.Diagnostics;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Workflows;

namespace LabPortal.Operations.Tests.Workflows;

/// <summary>How a worker process dies by itself: just before or just after its n-th commit.</summary>
internal sealed record Death(TurnMoment Moment, int Commit)
{
    public override string ToString() => $"{Moment}-{Commit}";

    public static Death? Read(string text) => text.Split('-') is [var moment, var commit] ? new Death(Enum.Parse<TurnMoment>(moment), int.Parse(commit)) : null;
}

/// <summary>A worker of a house in a process of its own, which may be killed or stopped: turns whatever is due until no run is left.</summary>
internal static class EngineWorker
{
    public const string Word = "engine-worker";

    /// <summary>Short terms: a taker waits for one.</summary>
    public static EngineSettings Quick { get; } = new()
    {
        Term = TimeSpan.FromSeconds(1.5), BeatEvery = TimeSpan.FromSeconds(0.3), Reserve = TimeSpan.FromSeconds(0.4), FirstRetry = NodaTime.Duration.FromMilliseconds(100),
    };

    public static async Task<int> RunAsync(string[] order)
    {
        var broken = order[5] == "broken";
        var settings = Quick with { Term = TimeSpan.Parse(order[4]) };
        await using var house = House.Join(order[0], order[1], new InstallationId(Guid.Parse(order[2])), settings, broken ? WorkflowLaws.CreateThenSave.Registered : new RegisteredWorkflows());
        var (death, commits) = (Death.Read(order[3]), 0);
        using var worker = new Worker(house, seam: moment =>
        {
            if (death is null || moment != death.Moment || Interlocked.Increment(ref commits) != death.Commit) return;
            Process.GetCurrentProcess().Kill();
            throw new UnreachableException("A killed process went on.");
        });
        await worker.Lease.BeatAsync(CancellationToken.None);
        using var stopping = new CancellationTokenSource();
        var beating = BeatAsync(worker, stopping.Token);
        while ((await house.Database.ReadAsync(session => RunStore.ListAsync(session, null, null, 1000, null), CancellationToken.None)).Any(run => run.State is RunState.Running or RunState.Undoing))
        {
            await worker.Batch.AdvanceDueAsync(CancellationToken.None);
            await Task.Delay(20);
        }

        await stopping.CancelAsync();
        await beating;
        return 0;
    }

    public static Process Start(House house, Death? death = null, TimeSpan? term = null, bool broken = false)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!,
            [Word, house.Setting, house.Identity.DataFolder, house.Identity.Installation.ToString(), death?.ToString() ?? "", (term ?? Quick.Term).ToString(), broken ? "broken" : "right"]);

        // Under `dotnet test.dll` the process is the dotnet command itself.
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet") start.ArgumentList.Insert(0, typeof(EngineWorker).Assembly.Location);
        start.Environment["DOTNET_TieredPGO"] = "0";
        return Process.Start(start)!;
    }

    private static async Task BeatAsync(Worker worker, CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await worker.Lease.BeatAsync(CancellationToken.None);
            }
            catch (DbException fault)
            {
                // As the portal's beat does: the database ends what was stopped in the middle of a transaction.
                Console.Error.WriteLine(fault.Message);
            }

            await Task.Delay(worker.Tools.Settings.BeatEvery, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
