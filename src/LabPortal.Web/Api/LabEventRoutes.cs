using System.Text.Json;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Operations.Labs;
using LabPortal.Web.Hosting;

namespace LabPortal.Web.Api;

/// <summary>
/// A lab's events as server-sent events (WHATWG HTML, 9.2): the event's id is the lab's version, so a reader that comes back with
/// <c>Last-Event-ID</c> goes on without loss or repeat.
/// </summary>
internal static class LabEventRoutes
{
    private static readonly TimeSpan s_heartbeat = TimeSpan.FromSeconds(15);

    public static async Task<IResult> EventsAsync(HttpContext context, string id, LabCalls labs, IHostApplicationLifetime lifetime, CancellationToken cancellation)
    {
        if (!LabRoutes.TryRead(id, out var lab)) return LabRoutes.Unknown(context, id);
        var last = context.Request.Headers["Last-Event-ID"].ToString() is { Length: > 0 } header ? header : new Asked(context).After ?? "0";
        if (!long.TryParse(last, System.Globalization.NumberStyles.None, null, out var after))
            return Answers.Invalid(context, [new FieldError("Last-Event-ID", "call.last-event-id")]);
        var found = await labs.FindAsync(context.Actor(), lab, cancellation);
        if (!found.Ok) return Problems.Of(context, found.Refusal!);

        // A portal that stops ends its feeds at once; the reader comes back to it, or to another node.
        using var until = CancellationTokenSource.CreateLinkedTokenSource(cancellation, lifetime.ApplicationStopping);
        context.Response.ContentType = "text/event-stream";
        context.Response.Headers.CacheControl = "no-store";
        context.Response.Headers["X-Accel-Buffering"] = "no";
        try
        {
            await WriteAsync(context.Response, labs.EventsAsync(context.Actor(), lab, after, until.Token), until.Token);
        }
        catch (OperationCanceledException) when (until.IsCancellationRequested)
        {
            return Results.Empty;
        }

        return Results.Empty;
    }

    private static async Task WriteAsync(HttpResponse response, IAsyncEnumerable<LabEvent> events, CancellationToken cancellation)
    {
        await response.WriteAsync("retry: 1000\n\n", cancellation);
        await response.Body.FlushAsync(cancellation);
        await using var feed = events.GetAsyncEnumerator(cancellation);
        var next = feed.MoveNextAsync().AsTask();
        try
        {
            while (true)
            {
                if (await Task.WhenAny(next, Task.Delay(s_heartbeat, cancellation)) == next)
                {
                    if (!await next) return;
                    await response.WriteAsync($"id: {feed.Current.Version}\ndata: {Data(feed.Current)}\n\n", cancellation);
                    next = feed.MoveNextAsync().AsTask();
                    // What is there already goes out together.
                    if (next.IsCompleted) continue;
                }
                else
                {
                    cancellation.ThrowIfCancellationRequested();
                    await response.WriteAsync(": still here\n\n", cancellation);
                }

                await response.Body.FlushAsync(cancellation);
            }
        }
        finally
        {
            // An enumerator may not be disposed while it moves.
            if (!next.IsCompleted) await ((Task)next).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private static string Data(LabEvent happened)
    {
        using var text = new MemoryStream();
        using (var writer = new Utf8JsonWriter(text))
        {
            writer.WriteStartObject();
            writer.WriteNumber("version", happened.Version);
            writer.WriteString("at", NodaTime.Text.InstantPattern.ExtendedIso.Format(happened.At));
            writer.WriteString("kind", happened.Kind.Word());
            foreach (var (name, value) in happened.Data.Where(pair => pair.Key is not ("version" or "at" or "kind"))) writer.WriteString(name, value);
            writer.WriteEndObject();
        }

        return System.Text.Encoding.UTF8.GetString(text.ToArray());
    }
}
