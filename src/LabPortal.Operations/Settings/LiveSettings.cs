using System.Text.Json.Nodes;
using LabPortal.Data;
using LabPortal.Data.Settings;

namespace LabPortal.Operations.Settings;

/// <summary>
/// The installation's settings as they are at this moment: what the configuration says, else what admins set, else the default. Whoever uses one
/// asks each time, so that a change holds from the next use on.
/// </summary>
public sealed class LiveSettings
{
    private readonly Lock _taking = new();
    private volatile Held _held;

    /// <param name="configured">What the configuration says, checked: no admin changes it here.</param>
    public LiveSettings(JsonObject configured)
    {
        Configured = configured;
        _held = new Held("{}", [], InstallationSettings.Of(configured));
    }

    public JsonObject Configured { get; }

    public InstallationSettings Now => _held.Settings;

    /// <summary>What admins set, whether it counts or the configuration says otherwise.</summary>
    public JsonObject Set => (JsonObject)_held.Set.DeepClone();

    /// <summary>What is stored counts on this node from now on.</summary>
    public async Task ReadAsync(Database database, CancellationToken cancellation)
    {
        var before = _held;
        var set = await database.ReadAsync(SettingStore.ReadAsync, cancellation);
        // A change that was made here meanwhile is newer than what was read.
        lock (_taking)
        {
            if (_held == before) Take(set);
        }
    }

    internal void Take(JsonObject set)
    {
        lock (_taking) Hold(set);
    }

    private void Hold(JsonObject set)
    {
        var text = set.ToJsonString();
        if (text == _held.Text) return;
        var values = (JsonObject)set.DeepClone();
        // Another build of the portal may have stored what this one does not know, or not like this.
        foreach (var name in values.Select(value => value.Key).Where(name => InstallationSettings.Check(new JsonObject { [name] = values[name]?.DeepClone() }, "").Count > 0).ToList()) values.Remove(name);
        foreach (var (name, value) in Configured) values[name] = value?.DeepClone();
        _held = new Held(text, set, InstallationSettings.Of(values));
    }

    private sealed record Held(string Text, JsonObject Set, InstallationSettings Settings);
}
