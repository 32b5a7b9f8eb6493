using Microsoft.JSInterop;
using NodaTime;

namespace LabPortal.Web.Features.Shell;

/// <summary>This circuit's browser: theme, time zone, clipboard.</summary>
internal sealed class Browser(IJSRuntime script) : IAsyncDisposable
{
    /// <summary>What the browser said last time, as portal.js writes it: <c>dark Europe/Berlin</c>.</summary>
    public const string Cookie = "labportal-browser";

    private Task<IJSObjectReference>? _module;
    private DotNetObjectReference<Browser>? _self;

    public event Action? Changed;

    /// <summary>Clicks and keys come here; not so in what is drawn with the first answer.</summary>
    public bool Alive { get; set; } = true;

    /// <summary>Nothing is drawn before the browser said what it likes, this time or the last, so that nothing flashes.</summary>
    public bool Started { get; private set; }
    public bool Dark { get; private set; }
    public string Theme { get; private set; } = Themes.System;
    public DateTimeZone Zone { get; private set; } = DateTimeZone.Utc;

    /// <summary>Draws by what the browser said last time, until it says it again; nothing of it is trusted.</summary>
    public void Remember(string? cookie)
    {
        if (cookie?.Split(' ') is not [var scheme, var zone] || DateTimeZoneProviders.Tzdb.GetZoneOrNull(zone) is not { } known) return;
        (Dark, Zone, Started) = (scheme == Themes.Dark, known, true);
    }

    public async Task StartAsync(CancellationToken cancellation)
    {
        _self = DotNetObjectReference.Create(this);
        var said = await (await ModuleAsync(cancellation)).InvokeAsync<Said>("start", cancellation, _self);
        (Theme, Dark, Started) = (said.Theme, said.Dark, true);
        Zone = DateTimeZoneProviders.Tzdb.GetZoneOrNull(said.Zone) ?? DateTimeZone.Utc;
        Changed?.Invoke();
    }

    public async Task SetThemeAsync(string theme, CancellationToken cancellation)
    {
        (Theme, Dark) = (theme, await (await ModuleAsync(cancellation)).InvokeAsync<bool>("setTheme", cancellation, theme));
        Changed?.Invoke();
    }

    public async Task<bool> CopyAsync(string text, CancellationToken cancellation)
        => await (await ModuleAsync(cancellation)).InvokeAsync<bool>("copy", cancellation, text);

    /// <summary>Puts the cursor into the first field that is marked as wrong.</summary>
    public async Task FocusWrongAsync(CancellationToken cancellation)
        => await (await ModuleAsync(cancellation)).InvokeVoidAsync("focusWrong", cancellation);

    // Whoever clicks before the first question was answered waits for the same module; one that did not come, or that somebody gave up, is asked for again.
    private Task<IJSObjectReference> ModuleAsync(CancellationToken cancellation)
    {
        if (_module is null or { IsFaulted: true } or { IsCanceled: true }) _module = script.InvokeAsync<IJSObjectReference>("import", cancellation, "./js/portal.js").AsTask();
        return _module;
    }

    [JSInvokable]
    public void SchemeChanged(bool dark)
    {
        Dark = dark;
        Changed?.Invoke();
    }

    public async ValueTask DisposeAsync()
    {
        _self?.Dispose();
        try
        {
            if (_module is { IsCompletedSuccessfully: true }) await (await _module).DisposeAsync();
        }
        catch (JSDisconnectedException)
        {
            // The browser is gone, and the module with it.
        }
    }

    private sealed record Said(string Theme, bool Dark, string Zone);
}
