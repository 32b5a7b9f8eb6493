using System.Text.Json.Nodes;
using LabPortal.Cli.Api;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.Leases;

/// <summary>Says again and again that a lab is wanted, several times in its term. A portal that is away for a while is tried again.</summary>
internal sealed class Heart(PortalApi api, string lab, TimeSpan term)
{
    private const int BeatsInATerm = 4;
    private static readonly TimeSpan s_again = TimeSpan.FromSeconds(3);

    /// <summary>Until cancelled, or until the lab is over or nobody's to keep: then it is refused.</summary>
    public async Task BeatAsync(CancellationToken cancellation)
    {
        var isAway = false;
        while (true)
        {
            await Task.Delay(isAway ? s_again : term / BeatsInATerm, cancellation);
            try
            {
                await api.PostAsync($"labs/{lab}/keepalive", null, cancellation);
                if (isAway) Terminal.Say("The portal answers again.");
                isAway = false;
            }
            catch (CommandFailed failed) when (failed is { Exit: Exit.Unreachable } or PortalRefused { MayPass: true })
            {
                if (!isAway) Terminal.Say("The portal does not answer; trying again.");
                isAway = true;
            }
        }
    }

    /// <summary>This, with beats all the while; where the lab cannot be kept any more, it is given up.</summary>
    public async Task<T> WhileAsync<T>(Func<CancellationToken, Task<T>> act, CancellationToken cancellation)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var beating = BeatAsync(over.Token);
        var acting = act(over.Token);
        var first = await Task.WhenAny(beating, acting);
        await over.CancelAsync();
        await Task.WhenAll(beating, acting).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (first == beating && !cancellation.IsCancellationRequested) await beating;
        return await acting;
    }

    /// <summary>A lab that nobody wants any more, asked for while this process is being ended itself.</summary>
    public static async Task EndAsync(PortalApi api, string lab)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        try
        {
            await api.PostAsync($"labs/{lab}/end", null, patience.Token);
            Terminal.Say("The lab is being ended.");
        }
        catch (PortalRefused refused) when (refused.Problem.Text("code") is "lab.ending-already" or "lab.over")
        {
            Terminal.Say("The lab is being ended already.");
        }
        catch (OperationCanceledException)
        {
            throw new CommandFailed(Exit.Unreachable, $"The portal does not answer: the lab was not ended. \"lab end {lab}\" does it.");
        }
    }
}
