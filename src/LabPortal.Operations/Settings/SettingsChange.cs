using System.Text.Json.Nodes;
using LabPortal.Data;
using LabPortal.Data.Settings;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations.Audit;

namespace LabPortal.Operations.Settings;

/// <summary>Admins decide for the installation.</summary>
public sealed class SettingsChange(Database database, LiveSettings settings, TimeProvider time)
{
    private readonly AuditedWrite _audited = new(database, time);

    /// <summary>
    /// What is named becomes this, or has its default where it is null; what is not named stays. All or nothing. Who chose while looking at values
    /// names what was <paramref name="seen"/>: where one of the named is another meanwhile, nothing is set. What the configuration says is not for
    /// admins to change. Holds here at once, at other nodes within seconds.
    /// </summary>
    public async Task<Outcome<Done>> SetAsync(Actor actor, JsonObject change, JsonObject? seen, CancellationToken cancellation)
    {
        var draft = new AuditDraft(Verb.AdministerSettings.Word(), "settings");
        if (!May.Do(actor, Verb.AdministerSettings)) return await _audited.RefuseAsync(actor, draft, Refusal.Forbidden(Verb.AdministerSettings.Word()), cancellation);
        List<FieldError> errors =
        [
            .. InstallationSettings.Check(change, "settings"),
            .. change.Where(entry => settings.Configured.ContainsKey(entry.Key)).Select(entry => new FieldError($"settings.{entry.Key}", "setting.configured", [("key", Key(entry.Key))])),
        ];
        if (errors.Count > 0) return Refusal.Invalid(errors);
        var outcome = await _audited.DoAsync<JsonObject>(actor, draft, async (session, _) =>
        {
            var set = await SettingStore.LockAsync(session);
            if (seen is not null && change.Any(entry => !JsonNode.DeepEquals(set[entry.Key], seen[entry.Key]))) return Refusal.Conflict("settings.changed-meanwhile");
            foreach (var (name, value) in change)
            {
                if (!JsonNode.DeepEquals(set[name], value)) draft.Detail[name] = $"{Said(name, set[name])} → {Said(name, value)}";
                if (value is null) set.Remove(name);
                else set[name] = value.DeepClone();
            }

            await SettingStore.WriteAsync(session, set);
            return set;
        }, cancellation);
        if (!outcome.Ok) return outcome.Refusal!;
        settings.Take(outcome.Value);
        return new Done();
    }

    private static string Key(string name) => InstallationSettings.All.Single(setting => setting.Name == name).Key;

    private static string Said(string name, JsonNode? value)
        => value is not null ? InstallationSettings.Told(value) : $"({InstallationSettings.Told(InstallationSettings.All.Single(setting => setting.Name == name).Form.Default)})";
}
