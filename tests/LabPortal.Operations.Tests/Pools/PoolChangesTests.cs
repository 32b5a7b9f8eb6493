using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.People;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Workflows;
using LabPortal.Testing;
using Microsoft.AspNetCore.DataProtection;
using Xunit;

namespace LabPortal.Operations.Tests.Pools;

/// <summary>Pools that admins make and change in the portal.</summary>
public sealed class PoolChangesTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_secret_is_written_kept_by_the_portal_and_never_given_back(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        var secrets = new SecretStore(DataProtectionProvider.Create(new DirectoryInfo(portal.Folder["keys"])), portal.Database);
        var calls = Calls(portal, secrets);

        (await SaveAsync(calls, """{ "hosts": [{ "name": "a", "password": "open sesame" }] }""")).Must();
        var first = Name((await DraftAsync(calls)).Settings);
        Assert.Equal("open sesame", (await secrets.FindAsync(first, Cancellation))?.Reveal());

        // Sent back as it was given, it stays; another text replaces it, and the first is forgotten.
        (await SaveAsync(calls, (await DraftAsync(calls)).Settings.ToJsonString())).Must();
        Assert.Equal(first, Name((await DraftAsync(calls)).Settings));
        (await SaveAsync(calls, """{ "hosts": [{ "name": "a", "password": "another" }] }""")).Must();
        var second = Name((await DraftAsync(calls)).Settings);
        Assert.Equal("another", (await secrets.FindAsync(second, Cancellation))?.Reveal());
        Assert.Null(await secrets.FindAsync(first, Cancellation));

        await portal.Database.WriteAsync(session => secrets.SaveAsync(session, "lab/somebody/password", "not yours", PoolsUnderTest.Now), Cancellation);
        var stolen = await SaveAsync(calls, """{ "hosts": [{ "name": "a", "password": { "secret": "lab/somebody/password" } }] }""");
        Assert.Equal(["settings.hosts[0].password"], stolen.Refusal?.Errors?.Select(error => error.Field));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_document_names_only_secrets_of_its_own_pool_and_a_pruned_pool_leaves_none(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        var secrets = new SecretStore(DataProtectionProvider.Create(new DirectoryInfo(portal.Folder["keys"])), portal.Database);
        var (calls, catalogue) = (Calls(portal, secrets), new CatalogueCalls(portal.Database, TimeProvider.System, [new LockedKind()]));
        (await SaveAsync(calls, """{ "hosts": [{ "name": "a", "password": "open sesame" }, { "name": "b", "password": "open barley" }] }""")).Must();
        var (sesame, barley) = (Name((await DraftAsync(calls)).Settings), Name((await DraftAsync(calls)).Settings, 1));

        Task<Outcome<Applied>> ApplyAsync(string pool, bool prune, params string[] names) => catalogue.ApplyAsync(PoolsUnderTest.Admin,
            $"kind: Pool\nname: {pool}\nprovider: locked\nlimits: {{ orphanDeletionsPerPass: 3 }}\nsettings:\n  hosts:\n{string.Concat(names.Select((name, i) => $"    - {{ name: h{i}, password: {{ secret: {name} }} }}\n"))}",
            dryRun: false, prune, Cancellation);

        var stolen = await ApplyAsync("thief", false, sesame);
        Assert.Equal(("settings.hosts[0].password", "setting.not-a-secret"), Assert.Single(stolen.Refusal!.Errors!.Select(error => (error.Field[(error.Field.IndexOf("settings", StringComparison.Ordinal))..], error.Code))));
        (await ApplyAsync("locked", false, sesame)).Must();
        Assert.Equal("open sesame", (await secrets.FindAsync(sesame, Cancellation))?.Reveal());
        Assert.Null(await secrets.FindAsync(barley, Cancellation));
        Assert.Contains("orphanDeletionsPerPass: 3", (await catalogue.ExportAsync(PoolsUnderTest.Admin, Cancellation)).Must(), StringComparison.Ordinal);
        Assert.Equal(3, (await DraftAsync(calls)).Limits.OrphanDeletionsPerPass);

        Assert.Equal(["Pool/locked"], (await catalogue.ApplyAsync(PoolsUnderTest.Admin, "kind: Size\nname: s\ncpu: 1\nmemoryMiB: 128\ndiskGiB: 1\n", dryRun: false, prune: true, Cancellation)).Must().Pruned);
        Assert.Null(await secrets.FindAsync(sesame, Cancellation));
    }

    [Fact]
    public async Task Every_mistake_is_told_at_once_and_nothing_is_made()
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, Engine.Sqlite, Cancellation);
        var draft = new PoolDraft("simulated", ["Not A Label"], (JsonObject)JsonNode.Parse("""{ "hosts": "many", "wrold": "x" }""")!, new PoolLimits(0, 2, -1), new Overcommit(0, 1),
            new Domain.Costs.PriceList("euro", 1, 1, -1));
        var refused = await portal.Calls.SaveAsync(PoolsUnderTest.Admin, "No Name", draft, Cancellation);

        Assert.Equal(
            ["labels[0]", "limits.operationsAtOnce", "limits.orphanDeletionsPerPass", "name", "overcommit.cpu", "prices.currency", "prices.diskGiBHour", "settings.hosts", "settings.wrold"],
            refused.Refusal?.Errors?.Select(error => error.Field).Order(StringComparer.Ordinal));
        Assert.Empty(await portal.Calls.ListAsync(PoolsUnderTest.Admin, Cancellation));
        Assert.Equal(RefusalKind.Forbidden, (await portal.Calls.SaveAsync(PoolsUnderTest.Nobody, "fine", draft, Cancellation)).Refusal?.Kind);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_trial_is_a_run_that_no_team_is_charged_for_and_one_at_a_time(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        var admin = PoolsUnderTest.Admin with { Person = portal.Owner };
        (await portal.Calls.SaveAsync(admin, "sim", Draft("{}"), Cancellation)).Must();
        var run = (await portal.Calls.TryAsync(admin, "sim", new TrialRequest("tiny"), Cancellation)).Must();

        Assert.Equal((WorkflowNames.Try, "(portal)", RunState.Running), (run.Workflow, run.Team, run.State));
        Assert.Equal("pool.being-tried", (await portal.Calls.TryAsync(admin, "sim", new TrialRequest("tiny"), Cancellation)).Refusal?.Code);
        Assert.Equal(["image"], (await portal.Calls.TryAsync(admin, "sim", new TrialRequest("huge"), Cancellation)).Refusal?.Errors?.Select(error => error.Field));
        Assert.Equal(run.Id, Assert.Single((await portal.Calls.TrialsAsync(admin, "sim", Cancellation)).Must()).Id);
        var (holds, teams) = await portal.Database.ReadAsync(async session => (
            await session.FindAsync<long>("SELECT count(*) FROM quota_holds"), await Data.People.TeamStore.ListAsync(session)), Cancellation);
        Assert.Equal(0, holds);
        Assert.Equal(["qa"], teams.Select(team => team.Name));
    }

    private static PoolDraft Draft(string settings, string kind = "simulated") => new(kind, [], (JsonObject)JsonNode.Parse(settings)!, new PoolLimits(), new Overcommit(), null);

    private static Task<Outcome<PoolView>> SaveAsync(PoolCalls calls, string settings) => calls.SaveAsync(PoolsUnderTest.Admin, "locked", Draft(settings, "locked"), Cancellation);

    private static async Task<PoolDraft> DraftAsync(PoolCalls calls) => (await calls.DraftAsync(PoolsUnderTest.Admin, "locked", Cancellation)).Must();

    private static string Name(JsonObject settings, int host = 0)
    {
        Assert.DoesNotContain("sesame", settings.ToJsonString(), StringComparison.Ordinal);
        return (string)settings["hosts"]![host]!["password"]!["secret"]!;
    }

    private static PoolCalls Calls(PoolsUnderTest portal, SecretStore secrets) => new(
        portal.Database, portal.Pools, portal.Sweep, new RunViews(new RegisteredWorkflows()), [new LockedKind()], secrets, new Runs(new RegisteredWorkflows(), TimeProvider.System), new ImageFolders([portal.Folder.Path]), TimeProvider.System);

    /// <summary>A kind whose hosts have passwords.</summary>
    private sealed class LockedKind : IProviderKind
    {
        public string Name => "locked";

        public SettingsSchema Settings { get; } = new(
        [
            new Setting("hosts", SettingKind.List, "Hosts", "Its hosts.", Items:
            [
                new Setting("name", SettingKind.Text, "Name", "Its name.", Required: true), new Setting("password", SettingKind.Secret, "Password", "Opens it."),
            ]),
        ]);

        public IReadOnlyList<string> ImageKeys => [];

        public IProvider Open(PoolContext pool) => throw new NotSupportedException();
    }
}

internal static class Outcomes
{
    public static T Must<T>(this Outcome<T> outcome) => outcome.Ok ? outcome.Value : throw new InvalidOperationException($"{outcome.Refusal!.Code} {string.Join(", ", (outcome.Refusal.Errors ?? []).Select(error => $"{error.Field} {error.Code}"))}");
}
