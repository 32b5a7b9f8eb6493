using System.Text.Json.Nodes;
using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Data.Images;
using LabPortal.Data.People;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Audit;

namespace LabPortal.Operations.Catalogue;

public sealed partial class CatalogueCalls
{
    /// <summary>
    /// All that <see cref="ApplyAsync"/> takes, as it takes it: sizes, images, teams with their members and quotas, pools, blueprints. Applied where it came
    /// from, it changes nothing but that all of it is declared. A secret stands there by where it is, as in its pool's settings, and never itself.
    /// </summary>
    public async Task<Outcome<string>> ExportAsync(Actor actor, CancellationToken cancellation)
    {
        var draft = new AuditDraft("export-catalogue", "catalogue");
        return May.Do(actor, Verb.ApplyCatalogue)
            ? await _audited.DoAsync<string>(actor, draft, async (session, _) => string.Join("---\n", (await DocumentsAsync(session)).Select(document => document.Write())), cancellation)
            : await _audited.RefuseAsync(actor, draft, Refusal.Forbidden(draft.Verb), cancellation);
    }

    private async Task<IReadOnlyList<CatalogueDocument>> DocumentsAsync(Session session)
    {
        var documents = new List<CatalogueDocument>();
        documents.AddRange((await ImageStore.ListSizesAsync(session)).Select(YamlTree.Of));
        documents.AddRange((await ImageStore.ListAsync(session)).Select(YamlTree.Of));
        foreach (var team in await TeamStore.ListAsync(session))
        {
            var members = new Dictionary<string, TeamRole>(StringComparer.Ordinal);
            foreach (var membership in await TeamStore.MembershipsAsync(session, team.Id)) members[(await PersonStore.FindAsync(session, membership.Person))!.Email] = membership.Role;
            documents.Add(YamlTree.Of(new DeclaredTeam(
                team.Name, team.Zone, members, await TeamStore.LimitsAsync(session, team.Id, "team"), await TeamStore.LimitsAsync(session, team.Id, "person"))));
        }

        documents.AddRange((await PoolStore.ListAsync(session)).Select(pool => YamlTree.Of(pool with { Settings = WithoutSecrets(_kinds.GetValueOrDefault(pool.Provider)?.Settings.Settings ?? [], pool.Settings) })));
        documents.AddRange((await BlueprintStore.ListAsync(session)).Select(YamlTree.Of));
        return documents;
    }

    /// <summary>Names of places stay; text that stands where a secret belongs does not.</summary>
    private static JsonObject WithoutSecrets(IReadOnlyList<Setting> schema, JsonObject settings)
    {
        var shown = (JsonObject)settings.DeepClone();
        foreach (var setting in schema)
        {
            if (setting.Kind == SettingKind.Secret && shown[setting.Name] is JsonValue) shown.Remove(setting.Name);
            if (setting.Kind != SettingKind.List || shown[setting.Name] is not JsonArray items) continue;
            for (var i = 0; i < items.Count; i++)
            {
                if (items[i] is JsonObject item) items[i] = WithoutSecrets(setting.Items ?? [], item);
            }
        }

        return shown;
    }
}
