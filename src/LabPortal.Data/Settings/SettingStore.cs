using System.Text.Json.Nodes;

namespace LabPortal.Data.Settings;

/// <summary>What admins set for the whole installation, by name; what is not there has its default.</summary>
public static class SettingStore
{
    public static async Task<JsonObject> ReadAsync(Session session)
        => (JsonObject)JsonNode.Parse(await session.FindAsync<string>("SELECT settings FROM installation") ?? "{}")!;

    /// <summary>The same, and nobody else changes it until the transaction is over.</summary>
    public static async Task<JsonObject> LockAsync(Session session)
        => (JsonObject)JsonNode.Parse(await session.FindAsync<string>($"SELECT settings FROM installation {session.Dialect.ForUpdate}") ?? "{}")!;

    public static async Task WriteAsync(Session session, JsonObject settings)
    {
        await session.ExecuteAsync("UPDATE installation SET settings = @text", new { text = settings.ToJsonString() });
        session.Raise(Signal.Operations, "");
    }
}
