using System.Text.Json.Nodes;
using LabPortal.Web.Hosting;

namespace LabPortal.Web.Api;

internal static class SettingsRoutes
{
    public static IResult List(HttpContext context, SettingsCalls settings)
        => Answers.Page(context, settings.List(context.Actor()), setting => $"{setting.Group}/{setting.Name}", setting => setting);

    public static async Task<IResult> SetAsync(HttpContext context, SettingsCalls settings, CancellationToken cancellation)
    {
        var body = await Body.ReadAsync(context);
        var (changes, seen) = (body.RequiredJson("settings"), body.Json("seen"));
        if (body.Mistakes() is { Count: > 0 } mistakes) return Answers.Invalid(context, mistakes);
        var outcome = await settings.SetAsync(context.Actor(), changes, seen, cancellation);
        return outcome.Ok ? List(context, settings) : Problems.Of(context, outcome.Refusal!);
    }
}

/// <summary>What is to be another, by name; null is the default. <c>Seen</c>: what they were set to when that was chosen.</summary>
internal sealed record SettingsChangeBody(JsonObject Settings, JsonObject? Seen);
