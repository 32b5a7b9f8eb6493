using System.Diagnostics;
using System.Text.Json.Nodes;
using LabPortal.Cli.Api;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.Labs;

/// <summary>
/// Waits until a lab is where it should be. Its events, each of them once, say when to look again: nothing is missed and nothing polled. A portal that is away or in trouble for a while (an update) is waited for.
/// </summary>
internal sealed class Waiting(PortalApi api, IProgress progress, TimeSpan? timeout)
{
    private static readonly TimeSpan s_portalMayBeAway = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan s_breath = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_lookAnyway = TimeSpan.FromSeconds(30);

    /// <summary>Further than a timer goes.</summary>
    private static readonly TimeSpan s_forever = TimeSpan.FromDays(45);

    /// <summary>The last event that was told. A lab is not looked at in one instant: its machines may be further than its version.</summary>
    private long _told;

    /// <summary>The lab in this state, with nothing going on.</summary>
    public Task<JsonNode> ForStateAsync(JsonNode lab, string state, CancellationToken cancellation) => UntilAsync(lab, now => Task.FromResult(now switch
    {
        _ when now.Text("state") == state && !IsLive(now.At("run")) => true,
        _ when now.Text("run.state") == "stuck" || LabFinder.IsOver(now) => throw Failed(now, state),
        _ => false,
    }), cancellation);

    /// <summary>The lab's end: nothing of it is left.</summary>
    public Task<JsonNode> ForEndAsync(JsonNode lab, CancellationToken cancellation) => UntilAsync(lab, now => Task.FromResult(now switch
    {
        _ when LabFinder.IsOver(now) => true,
        _ when now.Text("run.state") == "stuck" => throw Failed(now, "ended"),
        _ => false,
    }), cancellation);

    /// <summary>Nothing is going on any more, however it came out.</summary>
    public Task<JsonNode> ForRestAsync(JsonNode lab, CancellationToken cancellation) => UntilAsync(lab, now => Task.FromResult(now switch
    {
        _ when !IsLive(now.At("run")) => true,
        _ when now.Text("run.state") == "stuck" => throw Failed(now, "as before"),
        _ => false,
    }), cancellation);

    /// <summary>What this answer says is going on is done.</summary>
    public Task<JsonNode> ForRunAsync(JsonNode lab, CancellationToken cancellation)
    {
        var id = lab.Text("run.id");
        return !IsLive(lab.At("run")) ? Task.FromResult(lab) : UntilAsync(lab, async now =>
        {
            // Another one may have begun since.
            var run = now.Text("run.id") == id ? now.At("run")! : await api.GetAsync($"runs/{id}", cancellation);
            if (IsLive(run)) return false;
            return run.Text("state") == "done" ? true : throw Failed(now, run.Text("workflow"), run);
        }, cancellation);
    }

    private async Task<JsonNode> UntilAsync(JsonNode lab, Func<JsonNode, Task<bool>> isReached, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        if (timeout < s_forever) limit.CancelAfter(timeout.Value);
        try
        {
            return await progress.WhileAsync(() => LookAsync(lab, isReached, limit.Token), limit.Token);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested && limit.IsCancellationRequested)
        {
            throw new CommandFailed(Exit.TimedOut, $"Waited for {Moments.Short(timeout!.Value)}; what was asked for goes on.");
        }
    }

    private async Task<JsonNode> LookAsync(JsonNode lab, Func<JsonNode, Task<bool>> isReached, CancellationToken cancellation)
    {
        var id = lab.Text("id");
        _told = lab.Number("version");
        progress.Show(lab);
        var away = (long?)null;
        while (true)
        {
            try
            {
                if (await isReached(lab)) return lab;
                await FollowAsync(id, cancellation);
                lab = await api.GetAsync($"labs/{id}", cancellation);
                away = null;
                progress.Show(lab);
            }
            catch (CommandFailed failed) when (failed is { Exit: Exit.Unreachable } or PortalRefused { MayPass: true } && Stopwatch.GetElapsedTime(away ??= Stopwatch.GetTimestamp()) < s_portalMayBeAway)
            {
                progress.Away();
                await Task.Delay(s_breath, cancellation);
            }
        }
    }

    /// <summary>Until something happened that may decide, or the line is silent or broken: then the lab is looked at again.</summary>
    private async Task FollowAsync(string lab, CancellationToken cancellation)
    {
        using var silence = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        silence.CancelAfter(s_lookAnyway);
        try
        {
            await foreach (var happened in api.EventsAsync(lab, _told, silence.Token))
            {
                silence.CancelAfter(s_lookAnyway);
                _told = Math.Max(_told, happened.Number("version"));
                progress.Tell(happened);
                if (happened.Text("kind") is "state" or "log") return;
            }

            await Task.Delay(s_breath, cancellation);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            // Silent for long: steps may take that long, and a line may be dead without a word.
        }
    }

    public static bool IsLive(JsonNode? run) => run.Text("state") is "running" or "undoing" or "stuck";

    private static CommandFailed Failed(JsonNode lab, string wanted, JsonNode? run = null)
    {
        run ??= lab.At("run");
        var why = string.Join(' ', new[] { lab.Text("reason"), run.Text("problem") }.Where(text => text.Length > 0).Distinct());
        var stuck = run.Text("state") == "stuck" ? $"; {run.Text("workflow")} is stuck, an administrator has to look at it" : "";
        return new CommandFailed(Exit.LabFailed, Safe.Text($"{lab.Text("name")} is {lab.Text("state")}, not {wanted}{stuck}. {why}".Trim()));
    }
}
