using System.Globalization;
using System.Web;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>
/// One libvirtd, over at most <see cref="Children"/> child processes, each with a connection of its own: started when a call finds
/// none idle, ended when they have rested for <see cref="Rest"/>.
/// <list type="bullet">
/// <item>A call that overruns its deadline, or whose caller cancels, costs its child, which is killed at once. All calls may be
/// repeated, so nothing is doubled.</item>
/// <item>A call that found no child until half of its time was over is not begun, and is <i>transient</i>: those before it may end.</item>
/// <item>A hung host thus costs four processes at the most, and nobody else's calls wait for it.</item>
/// <item>A crash of the library costs one call, which is <i>transient</i>.</item>
/// </list>
/// </summary>
internal sealed class LibvirtHost : IAsyncDisposable
{
    public const int Children = 4;
    public static readonly TimeSpan Rest = TimeSpan.FromMinutes(1);

    private readonly TimeSpan _deadline;
    private readonly TimeProvider _time;
    private readonly SemaphoreSlim _places = new(Children, Children);
    private readonly Lock _changing = new();
    private readonly List<LibvirtChild> _children = [];
    private readonly Stack<LibvirtChild> _idle = [];
    private readonly ITimer _ender;
    private bool _closed;

    public LibvirtHost(LibvirtHostSettings settings, TimeSpan deadline, TimeProvider time)
    {
        Settings = settings;
        _deadline = deadline;
        _time = time;
        _ender = time.CreateTimer(_ => EndIdle(_time.GetTimestamp(), Rest), null, Rest / 4, Rest / 4);
    }

    public LibvirtHostSettings Settings { get; }

    public string Name => Settings.Name;

    /// <summary>The process ids of the children that live now.</summary>
    public IReadOnlyList<int> Processes
    {
        get
        {
            lock (_changing) return [.. _children.Select(child => child.Id)];
        }
    }

    /// <param name="call">What a child is to do.</param>
    /// <param name="cancellation">Ends the call, and its child, at once.</param>
    /// <param name="progress">For calls that report it, in bytes. Each report begins the deadline anew.</param>
    public async Task<T> RunAsync<T>(LibvirtCall<T> call, CancellationToken cancellation, IProgress<long>? progress = null)
    {
        cancellation.ThrowIfCancellationRequested();
        var patience = call.Patience(_deadline);
        var asked = _time.GetTimestamp();
        using var overrun = new CancellationTokenSource(patience, _time);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(overrun.Token, cancellation);
        try
        {
            await _places.WaitAsync(end.Token);
            try
            {
                // With what little is left, it would only cost a sound child its life.
                if (_time.GetElapsedTime(asked) > patience / 2)
                    throw new ProviderFault(FaultKind.Transient, $"Host \"{Name}\" is busy with other calls; it was to be asked to {call.Doing}.");
                return await AskAsync(call, bytes =>
                {
                    overrun.CancelAfter(patience);
                    progress?.Report(bytes);
                }, end.Token);
            }
            finally
            {
                _places.Release();
            }
        }
        catch (OperationCanceledException cause)
        {
            cancellation.ThrowIfCancellationRequested();
            throw new ProviderFault(FaultKind.Transient, $"Host \"{Name}\" did not answer within {patience.TotalSeconds:0.#} s; it was asked to {call.Doing}.", cause);
        }
    }

    /// <summary>A process of its own, beside the children, for as long as the line is open: it is disposed by whoever asked for it.</summary>
    public Task<LibvirtLine?> OpenLineAsync(OpenLine open, CancellationToken cancellation) => LibvirtLine.OpenAsync(Settings, LibvirtLineProgram.Word, open, _deadline, _time, cancellation);

    /// <summary>The same for its screen, which nobody holds alone.</summary>
    public async Task<Stream> OpenScreenAsync(string name, CancellationToken cancellation)
        => (await LibvirtLine.OpenAsync(Settings, LibvirtScreenProgram.Word, new OpenLine(name, TakeOver: false), _deadline, _time, cancellation))!;

    /// <summary>Ends the idle children; one that is in a call ends with it.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_changing) _closed = true;
        await _ender.DisposeAsync();
        EndIdle(_time.GetTimestamp(), TimeSpan.Zero);
    }

    private async Task<T> AskAsync<T>(LibvirtCall<T> call, Action<long> report, CancellationToken cancellation)
    {
        var child = Take();
        try
        {
            return await child.AskAsync(Settings, call, report, cancellation);
        }
        finally
        {
            // One that was killed just after it had answered is none to keep.
            GiveBack(child, keep: child.IsUsable && !cancellation.IsCancellationRequested);
        }
    }

    private LibvirtChild Take()
    {
        lock (_changing)
        {
            if (_closed) throw new ProviderFault(FaultKind.Transient, $"Host \"{Name}\" is not asked any more: its pool was opened anew, or the portal ends.");
            while (_idle.TryPop(out var idle))
            {
                if (!idle.HasEnded) return idle;
                End(idle);
            }

            var child = LibvirtChild.Start(Name);
            _children.Add(child);
            return child;
        }
    }

    private void GiveBack(LibvirtChild child, bool keep)
    {
        child.LastUse = _time.GetTimestamp();
        lock (_changing)
        {
            if (keep && !_closed) _idle.Push(child);
            else End(child);
        }
    }

    private void EndIdle(long now, TimeSpan rested)
    {
        lock (_changing)
        {
            var kept = _idle.Where(child => _time.GetElapsedTime(child.LastUse, now) < rested).Reverse().ToList();
            foreach (var child in _idle.Except(kept)) End(child);
            _idle.Clear();
            foreach (var child in kept) _idle.Push(child);
        }
    }

    private void End(LibvirtChild child)
    {
        _children.Remove(child);
        child.Dispose();
    }
}

internal static class LibvirtUri
{
    /// <summary>The URI such that ssh never asks anybody for a password: there is nobody to ask.</summary>
    public static string WithoutPrompts(string uri) =>
        uri.Contains("+ssh:", StringComparison.Ordinal) && !uri.Contains("no_tty=", StringComparison.Ordinal)
            ? uri + (uri.Contains('?', StringComparison.Ordinal) ? "&no_tty=1" : "?no_tty=1")
            : uri;

    /// <summary>Is that libvirtd on this machine, over its Unix socket?</summary>
    public static bool IsLocal(string uri) => uri.StartsWith("qemu:///", StringComparison.Ordinal) || uri.StartsWith("qemu+unix:///", StringComparison.Ordinal);

    /// <summary>
    /// What <c>ssh</c> is told so that it goes the way that libvirt itself goes there (https://libvirt.org/uri.html, "ssh transport"); empty for
    /// other ways. What follows is one word of the host's own shell: <paramref name="command"/> must hold nothing of it.
    /// </summary>
    public static IReadOnlyList<string>? Ssh(string uri, string command)
    {
        if (!uri.StartsWith("qemu+ssh://", StringComparison.Ordinal) || !Uri.TryCreate(uri, UriKind.Absolute, out var parsed)) return null;
        var asked = HttpUtility.ParseQueryString(parsed.Query);
        List<string> arguments = ["-T", "-o", "BatchMode=yes", "-e", "none"];
        if (asked["keyfile"] is { Length: > 0 } key) arguments.AddRange(["-i", key]);
        if (asked["no_verify"] == "1") arguments.AddRange(["-o", "StrictHostKeyChecking=no"]);
        if (parsed.Port > 0) arguments.AddRange(["-p", parsed.Port.ToString(CultureInfo.InvariantCulture)]);
        if (parsed.UserInfo.Length > 0) arguments.AddRange(["-l", Uri.UnescapeDataString(parsed.UserInfo)]);
        return [asked["command"] is { Length: > 0 } program ? program : "ssh", .. arguments, "--", parsed.Host.Trim('[', ']'), command];
    }

    /// <summary>For sentences: without its parameters, which name key files.</summary>
    public static string Shown(string uri) => uri.Split('?')[0];
}
