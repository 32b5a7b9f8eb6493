using System.Text.Json;
using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.Tests.Labs;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Operations.Tests.Catalogue;

/// <summary>Catalogue entries one by one, as admins keep them.</summary>
public sealed class EditTests(TestDatabases databases)
{
    private const string Rich = """
        kind: Blueprint
        name: rich
        title: "7: a title"
        description: |
          Two lines,
            the second indented.
        teams: [qa]
        parameters:
          - { name: x, type: integer, title: X, help: "yes", default: 4, min: 1, max: 9 }
          - { name: y, type: choice, choices: [a, "b, c", "true"], default: a }
          - { name: w, type: string, pattern: "[a-z]+", minLength: 0, maxLength: 9, default: x }
          - { name: v, type: string, default: "" }
        networks: [{ name: inner, subnet: 10.0.0.0/24 }]
        firewall:
          - { from: a, to: b, protocol: tcp, ports: [22, 8000-8100] }
          - { from: a, to: outside }
        machines:
          - { name: a, image: tiny, size: small, cards: [{ network: shared }, { network: inner, address: 10.0.0.10 }], userData: { runcmd: [[echo, "${x}"], 1, 2.5, true], "on": { deep: "no", empty: "" }, none: [] } }
          - { name: b, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1, cards: [{ network: inner, address: 10.0.0.20 }] }
        placement: { require: [linux], prefer: [fast, "1"] }
        lease: { default: 1.5h, max: 3d, grace: 0, daily: { start: "22:00", stop: "06:30", days: [tue, mon] } }
        snapshotAtReady: true
        retired: true
        """;

    private const string Ground = """
        kind: Size
        name: small
        cpu: 1
        memoryMiB: 512
        diskGiB: 4
        ---
        kind: Image
        name: tiny
        bindings: {}
        ---
        kind: Team
        name: qa
        """;

    private static readonly Actor s_admin = Actor.Portal("admin");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_blueprint_comes_back_from_its_document_with_everything_that_it_has()
    {
        await using var database = await databases.CreateAsync(Engine.Sqlite);
        var calls = await CallsAsync(database);
        await SaveAsync(calls, Rich);
        var before = await StoredAsync(database, "rich");

        var document = (await calls.BlueprintAsync(s_admin, "rich", Cancellation)).Value.Document;
        // What is read back is what was there, so that nothing is saved anew.
        Assert.Equal(["Blueprint/rich"], (await calls.SaveAsync(s_admin, CatalogueDocument.Read(document.Write()).Value, 1, Cancellation)).Value.Unchanged);
        var asJson = CatalogueDocument.OfJson("Blueprint", "rich", document.ToJson()).Value;
        Assert.Equal(["Blueprint/rich"], (await calls.SaveAsync(s_admin, asJson, 1, Cancellation)).Value.Unchanged);
        Assert.Equal(before, await StoredAsync(database, "rich"));
        // What a blueprint has is in its document, under the key under which it is stored.
        using var stored = JsonDocument.Parse(before);
        Assert.Subset(
            document.ToJson().EnumerateObject().Select(property => property.Name).ToHashSet(),
            stored.RootElement.EnumerateObject().Where(property => property.Name is not ("version" or "declared") && property.Value.GetRawText() is not ("[]" or "{}" or "\"\"")).Select(property => property.Name).ToHashSet());
        Assert.Equal(JsonSerializer.Serialize(JsonDocument.Parse("""{"default":"90m","max":"3d","grace":0,"daily":{"start":"22:00","stop":"06:30","days":["mon","tue"]}}""")), document.ToJson().GetProperty("lease").GetRawText());
    }

    [Fact]
    public async Task A_firewall_without_rules_stays_one()
    {
        await using var database = await databases.CreateAsync(Engine.Sqlite);
        var calls = await CallsAsync(database);
        await SaveAsync(calls, Rich.Replace("firewall:\n  - { from: a, to: b, protocol: tcp, ports: [22, 8000-8100] }\n  - { from: a, to: outside }", "firewall: []", StringComparison.Ordinal));
        var document = (await calls.BlueprintAsync(s_admin, "rich", Cancellation)).Value.Document;
        Assert.Contains("firewall: []", document.Write(), StringComparison.Ordinal);
        Assert.Equal(["Blueprint/rich"], (await calls.SaveAsync(s_admin, CatalogueDocument.Read(document.Write()).Value, 1, Cancellation)).Value.Unchanged);
    }

    [Fact]
    public void An_edit_changes_its_place_and_leaves_everything_else_as_it_is()
    {
        var document = CatalogueDocument.Read(Rich.Replace("snapshotAtReady", "notYetKnown: { deep: [1, \"1\", ~] }\nsnapshotAtReady", StringComparison.Ordinal)).Value;
        var edited = document.With("machines[1].cpu", "2", plain: true).With("title", "true").With("lease.daily.start", "").WithEntry("machines").With("machines[2].name", "c")
            .With("placement.require", []).With("placement.prefer", []).Without("parameters[1]");

        var again = CatalogueDocument.Read(edited.Write()).Value;
        Assert.Equal(("2", "true", "", "c", ""), (again.Text("machines[1].cpu"), again.Text("title"), again.Text("lease.daily.start"), again.Text("machines[2].name"), again.Text("placement")));
        Assert.Equal((3, 3, false), (again.Count("machines"), again.Count("parameters"), again.Has("placement")));
        foreach (var (same, name) in new[] { ("machines[0]", "userData"), ("", "notYetKnown"), ("", "description") })
            Assert.Equal(Raw(document, same, name), Raw(again, same, name));
        Assert.Equal("""{"deep":[1,"1",null]}""", Raw(again, "", "notYetKnown"));
        Assert.Equal("2", document.With("x", "2", plain: true).ToJson().GetProperty("x").GetRawText());
        Assert.Equal("\"2\"", document.With("x", "2").ToJson().GetProperty("x").GetRawText());
    }

    [Theory]
    [InlineData("plain"), InlineData("true"), InlineData("~"), InlineData("007"), InlineData("1e3"), InlineData("# no comment"), InlineData("a: b"), InlineData("- a"), InlineData("'\"\\"), InlineData(" spaces ")]
    [InlineData("two\nlines\n"), InlineData("\n\n"), InlineData("  in\n out  \nend"), InlineData("tab\tin"), InlineData("&anchor *alias !tag"), InlineData("{a} [b]"), InlineData("‮drawkcab"), InlineData("🦊 é"), InlineData("---"), InlineData("%TAG"), InlineData("null")]
    public void Any_text_stands_in_a_document_as_text(string text)
        => Assert.Equal(text, CatalogueDocument.Read(CatalogueDocument.New("Blueprint", "x").With("description", text).With("z", "1").Write()).Value.Text("description"));

    [Theory]
    [InlineData("kind: Size\nname: a\n---\nkind: Size\nname: b\n", "yaml.one-document")]
    [InlineData("", "yaml.one-document")]
    [InlineData("kind: &a Size\nname: *a\n", "yaml.alias")]
    [InlineData("kind: Size\nname: a\nname: b\n", "yaml.key-twice")]
    [InlineData("kind: [", "yaml.syntax")]
    public void What_cannot_be_shown_in_a_form_without_loss_is_refused(string text, string code)
        => Assert.Contains(CatalogueDocument.Read(text).Refusal!.Errors!, error => error.Code == code);

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Saving_makes_a_version_where_the_content_is_another_and_refuses_what_somebody_else_saved_meanwhile(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var calls = await CallsAsync(database);
        Assert.Equal(["Blueprint/rich"], (await SaveAsync(calls, Rich)).Value.Created);
        Assert.Equal(["Blueprint/rich"], (await SaveAsync(calls, Rich, 1)).Value.Unchanged);
        Assert.Equal(["Blueprint/rich"], (await SaveAsync(calls, Rich.Replace("7: a", "8: a", StringComparison.Ordinal), 1)).Value.Changed);
        Assert.Equal("blueprint.changed-meanwhile", (await SaveAsync(calls, Rich, 1)).Refusal!.Code);

        var versions = (await calls.VersionsAsync(s_admin, "rich", Cancellation)).Value;
        Assert.Equal([(2, true), (1, false)], versions.Select(version => (version.Version, version.Current)));
        var lines = (await calls.CompareAsync(s_admin, "rich", 1, 2, Cancellation)).Value;
        Assert.Equal([(LineChange.Removed, "title: '7: a title'"), (LineChange.Added, "title: '8: a title'")], lines.Where(line => line.Change != LineChange.Same).Select(line => (line.Change, line.Text)));
        Assert.Equal(RefusalKind.NotFound, (await calls.CompareAsync(s_admin, "rich", 1, 3, Cancellation)).Refusal!.Kind);

        var told = (await new AuditCalls(database, TimeProvider.System).ListAsync(s_admin, new() { What = "save" }, 10, null, Cancellation)).Value.Items;
        Assert.Equal(["blueprint.changed-meanwhile", "done", "done", "done"], told.Select(line => line.Outcome));
        Assert.Equal(("blueprint", "rich", "2"), (told[1].ObjectKind, told[1].ObjectId, told[1].Detail["version"]));
    }

    [Fact]
    public async Task Every_mistake_is_told_at_once_by_its_place_and_its_line_and_nothing_is_saved()
    {
        await using var database = await databases.CreateAsync(Engine.Sqlite);
        var calls = await CallsAsync(database);
        const string Text = "# mine\nkind: Blueprint\nname: bad\ntitle: Bad\nmachines:\n  - name: A_1\n    image: gone\n    cpu: 0\nlease: { default: 4h, max: 1h }\ncolour: red\n";

        var errors = (await SaveAsync(calls, Text)).Refusal!.Errors!;
        (string, string, int)[] expected =
        [
            ("machines[0].name", "machine.name-form", 6), ("machines[0].cpu", "number.range", 8), ("machines[0].memoryMiB", "machine.size-or-amounts", 6), ("machines[0].diskGiB", "machine.size-or-amounts", 6),
            ("lease.default", "lease.default-over-max", 9), ("colour", "yaml.unknown-key", 10), ("machines[0].image", "reference.unknown", 7),
        ];
        Assert.Equal(expected, errors.Select(error => (error.Field, error.Code, (int)error.Arguments!.Single(argument => argument.Name == "line").Value)));
        Assert.Equal(errors.Select(error => error.ToString()), (await calls.CheckAsync(s_admin, CatalogueDocument.Read(Text).Value, Cancellation)).Select(error => error.ToString()));
        Assert.Equal(RefusalKind.NotFound, (await calls.BlueprintAsync(s_admin, "bad", Cancellation)).Refusal!.Kind);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task What_is_in_use_stays_and_says_by_whom_and_what_is_declared_is_left_to_its_file(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var calls = await CallsAsync(database);
        var member = s_admin with { IsAdmin = false };
        Assert.Equal("object.declared", (await SaveAsync(calls, "kind: Size\nname: small\ncpu: 2\nmemoryMiB: 512\ndiskGiB: 4\n")).Refusal!.Code);
        Assert.Equal("object.declared", (await calls.DeleteAsync(s_admin, "size", "small", Cancellation)).Refusal!.Code);
        Assert.Equal(RefusalKind.Forbidden, (await SaveAsync(calls, Rich, actor: member)).Refusal!.Kind);
        Assert.Equal(RefusalKind.Forbidden, (await calls.DeleteAsync(member, "size", "small", Cancellation)).Refusal!.Kind);
        foreach (var kind in new[] { "size", "image" }) Assert.True((await calls.DetachAsync(s_admin, kind, kind == "size" ? "small" : "tiny", Cancellation)).Ok);
        await SaveAsync(calls, Rich);
        Assert.Equal(["Size/small"], (await SaveAsync(calls, "kind: Size\nname: small\ncpu: 2\nmemoryMiB: 512\ndiskGiB: 4\n")).Value.Changed);
        Assert.Equal(["Image/tiny"], (await SaveAsync(calls, "kind: Image\nname: tiny\nversion: \"2\"\nbindings: {}\n")).Value.Changed);
        Assert.Equal([("2", true), ("1", false)], (await calls.ImageVersionsAsync(s_admin, "tiny", Cancellation)).Value.Select(version => (version.Image.Version, version.Current)));

        foreach (var (kind, name) in new[] { ("size", "small"), ("image", "tiny") })
        {
            var refusal = (await calls.DeleteAsync(s_admin, kind, name, Cancellation)).Refusal!;
            Assert.Equal(("object.in-use", "rich"), (refusal.Code, Assert.Single(refusal.Errors!).Arguments!.Single().Value));
        }

        Assert.True((await calls.DeleteAsync(s_admin, "blueprint", "rich", Cancellation)).Ok);
        Assert.True((await calls.DeleteAsync(s_admin, "size", "small", Cancellation)).Ok);
        Assert.True((await calls.DeleteAsync(s_admin, "image", "tiny", Cancellation)).Ok);
        Assert.Empty(await calls.SizesAsync(s_admin, Cancellation));
        Assert.Empty(await calls.ImagesAsync(s_admin, Cancellation));
        Assert.Equal(RefusalKind.NotFound, (await calls.DeleteAsync(s_admin, "image", "tiny", Cancellation)).Refusal!.Kind);
        Assert.Equal("yaml.unknown-kind", (await calls.DeleteAsync(s_admin, "pool", "tiny", Cancellation)).Refusal!.Errors!.Single().Code);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_retired_blueprint_makes_no_new_labs_and_the_living_ones_keep_their_version(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var calls = new CatalogueCalls(labs.Database, labs.Time, []);
        var name = LabsUnderTest.Pair().Blueprint;
        var lab = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Value;
        Assert.Equal(RefusalKind.Forbidden, (await calls.SetRetiredAsync(ada, name, true, Cancellation)).Refusal!.Kind);
        var document = (await calls.BlueprintAsync(s_admin, name, Cancellation)).Value.Document;
        var before = (await calls.VersionsAsync(s_admin, name, Cancellation)).Value.Single(version => version.Current);
        Assert.True((await calls.SaveAsync(s_admin, document.With("title", "Another"), null, Cancellation)).Ok);
        Assert.True((await calls.SetRetiredAsync(s_admin, name, true, Cancellation)).Ok);

        Assert.Equal("blueprint.unknown", (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Refusal!.Errors!.Single().Code);
        Assert.Equal((before.Version, name), ((await labs.Calls.FindAsync(ada, lab.Id, Cancellation)).Value.BlueprintVersion, lab.Blueprint));
        var versions = (await calls.VersionsAsync(s_admin, name, Cancellation)).Value;
        Assert.Equal([(before.Version + 1, 0), (before.Version, 1)], versions.Select(version => (version.Version, version.Labs.Count)));
        Assert.Equal(lab.Id, versions[1].Labs[0].Id);
        Assert.Equal("object.in-use", (await calls.DeleteAsync(s_admin, "blueprint", name, Cancellation)).Refusal!.Code);

        Assert.True((await calls.SetRetiredAsync(s_admin, name, false, Cancellation)).Ok);
        Assert.True((await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Ok);
    }

    private static Task<Outcome<Applied>> SaveAsync(CatalogueCalls calls, string text, int? basedOn = null, Actor? actor = null)
        => calls.SaveAsync(actor ?? s_admin, CatalogueDocument.Read(text).Value, basedOn, Cancellation);

    private static Task<string> StoredAsync(Database database, string name)
        => database.ReadAsync(async session => StoredJson.Write(await BlueprintStore.FindCurrentAsync(session, name)), Cancellation);

    private static string Raw(CatalogueDocument document, string path, string name)
        => (path.Length == 0 ? document.ToJson() : document.ToJson().GetProperty("machines")[0]).GetProperty(name).GetRawText();

    private static async Task<CatalogueCalls> CallsAsync(Database database)
    {
        var calls = new CatalogueCalls(database, TimeProvider.System, Array.Empty<IProviderKind>());
        Assert.True((await calls.ApplyAsync(s_admin, Ground, false, false, Cancellation)).Ok);
        return calls;
    }
}
