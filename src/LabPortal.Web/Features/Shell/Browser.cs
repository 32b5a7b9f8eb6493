using Microsoft.JSInterop;
using NodaTime;

namespace LabPortal.Web.Features.Shell;

/// <summary>This circuit's browser: theme, time zone, clipboard.</summary>
internal sealed class Browser(IJSRuntime script) : IAsyncDisposable
{
    private IJSObjectReference? _module;
    private DotNetObjectReference<Browser>? _self;

    public event Action? Changed;

    /// <summary>Nothing is drawn before the browser said what it likes, so that nothing flashes.</summary>
    public bool Started { get; private set; }
    public bool Dark { get; private set; }
    public string Theme { get; private set; } = Themes.System;
    public DateTimeZone Zone { get; private set; } = DateTimeZone.Utc;

    public async Task StartAsync(CancellationToken cancellation)
    {
        _module = await script.InvokeAsync<IJSObjectReference>("import", cancellation, "./js/portal.js");
        _self = DotNetObjectReference.Create(this);
        var said = await _module.InvokeAsync<Said>("start", cancellation, _self);
        (Theme, Dark, Started) = (said.Theme, said.Dark, true);
        Zone = DateTimeZoneProviders.Tzdb.GetZoneOrNull(said.Zone) ?? DateTimeZone.Utc;
        Changed?.Invoke();
    }

    public async Task SetThemeAsync(string theme, CancellationToken cancellation)
    {
        if (_module is null) return;
        (Theme, Dark) = (theme, await _module.InvokeAsync<bool>("setTheme", cancellation, theme));
        Changed?.Invoke();
    }

    public async Task<bool> CopyAsync(string text, CancellationToken cancellation)
        => _module is not null && await _module.InvokeAsync<bool>("copy", cancellation, text);

    /// <summary>Puts the cursor into the first field that is marked as wrong.</summary>
    public async Task FocusWrongAsync(CancellationToken cancellation)
    {
        if (_module is not null) await _module.InvokeVoidAsync("focusWrong", cancellation);
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
            if (_module is not null) await _module.DisposeAsync();
        }
        catch (JSDisconnectedException)
        {
            // The browser is gone, and the module with it.
        }
    }

    private sealed record Said(string Theme, bool Dark, string Zone);
}
