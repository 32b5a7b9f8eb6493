using LabPortal.Data;
using LabPortal.Operations.Workflows;

namespace LabPortal.Web.Hosting;

/// <summary><c>/health/live</c> and <c>/health/ready</c>, for machines: no names, no addresses, no token.</summary>
internal static class Health
{
    private static readonly TimeSpan s_silence = TimeSpan.FromSeconds(30);

    private sealed record Check(string Name, string Status, string? Problem);

    public static void MapHealth(this WebApplication app)
    {
        app.MapGet("/health/live", () => Results.Json(new { status = "ok" })).ExcludeFromDescription();
        app.MapGet("/health/ready", ReadyAsync).ExcludeFromDescription();
    }

    /// <summary>503 while the database or the background work is away; a catalogue that could not be applied is <i>degraded</i>, with 200.</summary>
    private static async Task<IResult> ReadyAsync(Database database, TurnBell bell, PortalStart start, ILoggerFactory logs, CancellationToken cancellation)
    {
        Check[] checks =
        [
            await TryAsync("database", "The database does not answer.", async () => await database.ReadAsync(session => session.FindAsync<string>("SELECT id FROM installation"), cancellation) is not null),
            bell.SinceLooked < s_silence ? new("background", "ok", null) : new("background", "down", "The pump has not looked for work for half a minute."),
            start.ApplyMistakes is [] ? new("catalogue", "ok", null) : new("catalogue", "degraded", "LabPortal:Apply was not applied; the log says why."),
        ];
        var status = checks.Any(check => check.Status == "down") ? "down" : checks.Any(check => check.Status == "degraded") ? "degraded" : "ok";
        return Results.Json(new { status, checks }, statusCode: status == "down" ? StatusCodes.Status503ServiceUnavailable : StatusCodes.Status200OK);

        async Task<Check> TryAsync(string name, string problem, Func<Task<bool>> isWell)
        {
            try
            {
                return await isWell().WaitAsync(TimeSpan.FromSeconds(5), cancellation) ? new(name, "ok", null) : new(name, "down", problem);
            }
            catch (Exception fault) when (!cancellation.IsCancellationRequested)
            {
                logs.CreateLogger(typeof(Health).FullName!).LogError(fault, "{Check} is not ready", name);
                return new(name, "down", problem);
            }
        }
    }
}
