using System.Text.Json;
using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.Components.Web;
using NodaTime;
using NodaTime.Serialization.SystemTextJson;

namespace LabPortal.Web.Features.Shell;

/// <summary>
/// What a page that was drawn with the first answer hands to itself once it lives, so that its first living frame is the one that stands there. It goes
/// through the browser, sealed by the framework, and may come back late: it is shown, and read again at once; nothing is decided by it.
/// </summary>
internal sealed class Handover(PersistentComponentState state)
{
    /// <summary>All of it begins the circuit in one message, of which SignalR takes 32 KiB; sealed and written as text it is twice as long as here.</summary>
    private const int MostBytes = 10 * 1024;

    private static readonly JsonSerializerOptions s_options = new JsonSerializerOptions(JsonSerializerDefaults.Web).ConfigureForNodaTime(DateTimeZoneProviders.Tzdb);

    /// <summary>Something is written down when the page has been drawn; what is too long for it is not handed over, and only read.</summary>
    public void Keep<T>(string name, Func<T?> what) where T : class => state.RegisterOnPersisting(() =>
    {
        if (what() is { } value && JsonSerializer.SerializeToUtf8Bytes(value, s_options) is { Length: <= MostBytes } written) state.PersistAsJson(name, written);
        return Task.CompletedTask;
    }, RenderMode.InteractiveServer);

    public T? Take<T>(string name) where T : class =>
        state.TryTakeFromJson<byte[]>(name, out var written) && written is not null ? JsonSerializer.Deserialize<T>(written, s_options) : null;
}
