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
    private volatile bool _isClosed;

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
        _isClosed = true;
        await CloseIdleAsync();
    }

    private async Task CloseIdleAsync()
    {
        while (_idle.TryPop(out var shell)) await shell.DisposeAsync();
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
            // The pool's settings may have changed meanwhile: nobody would take this one again.
            if (_isClosed) await CloseIdleAsync();
        }
    }
}
