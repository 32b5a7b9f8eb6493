using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.HyperV;

/// <summary>One host, and its resident PowerShells: as many as there are calls at once, up to a bound.</summary>
internal sealed class HyperVHost(HyperVHostSettings settings, HyperVSettings pool, TimeProvider time) : IAsyncDisposable
{
    private const int ShellsAtOnce = 4;

    private readonly SemaphoreSlim _room = new(ShellsAtOnce);
    private readonly ConcurrentStack<HyperVShell> _idle = [];

    public string Name => settings.Name;

    public string Switch => settings.Switch;

    /// <summary>How far the host's clock was ahead of ours when it was last signed in to.</summary>
    public TimeSpan Ahead { get; private set; }

    public async Task<JsonNode> CallAsync(string script, JsonObject input, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(pool.CallDeadline);
        try
        {
            await _room.WaitAsync(limit.Token);
            try
            {
                return await OnAsync(script, input, limit.Token);
            }
            finally
            {
                _room.Release();
            }
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new ProviderFault(FaultKind.Transient, $"Host {Name} did not answer within {pool.CallDeadline.TotalSeconds:0} s.");
        }
        catch (Exception fault) when (HyperVFaults.IsOfWay(fault))
        {
            throw HyperVFaults.OfWay(Name, fault);
        }
    }

    public async ValueTask DisposeAsync()
    {
        while (_idle.TryPop(out var shell)) await shell.DisposeAsync();
        _room.Dispose();
    }

    private async Task<JsonNode> OnAsync(string script, JsonObject input, CancellationToken cancellation)
    {
        if (!_idle.TryPop(out var shell))
        {
            shell = await HyperVShell.OpenAsync(settings, pool, time, cancellation);
            Ahead = shell.Ahead;
        }

        var isWell = false;
        try
        {
            var output = await shell.CallAsync(script, input, cancellation);
            isWell = true;
            return output ?? throw new ProviderFault(FaultKind.Broken, $"Host {Name} gave no answer to {script}.");
        }
        catch (HyperVShell.ScriptError error)
        {
            isWell = true;
            throw error.Fault;
        }
        finally
        {
            if (isWell) _idle.Push(shell);
            else await shell.DisposeAsync();
        }
    }
}
