using System.Globalization;
using System.Text.Json.Nodes;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers;

/// <summary>Settings that several kinds have, and how what passed a schema, defaults filled in, is read.</summary>
internal static class CommonSettings
{
    public static readonly Setting Reach = new("reach", SettingKind.Text, "Reach", "direct: the portal reaches machines by their address, and a machine is ready when SSH answers; none: it is ready when it runs.",
        Default: "direct", OneOf: ["direct", "none"]);

    /// <summary>Empty where nothing was given.</summary>
    public static string Text(this JsonObject filled, string name) => filled[name]?.GetValue<string>() ?? "";

    public static bool Flag(this JsonObject filled, string name) => filled[name]!.GetValue<bool>();

    /// <summary>Whole, whatever kind of number it was written as.</summary>
    public static int Number(this JsonObject filled, string name) => (int)double.Parse(filled[name]!.ToJsonString(), CultureInfo.InvariantCulture);

    public static TimeSpan Seconds(this JsonObject filled, string name) => TimeSpan.FromSeconds(filled.Number(name));

    public static IReadOnlyList<T> List<T>(this JsonObject filled, string name, Func<JsonObject, T> read) => [.. (filled[name] as JsonArray ?? []).Select(item => read(item!.AsObject()))];
}
