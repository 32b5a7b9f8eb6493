using System.Net.Http.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LabPortal.Testing;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>What somebody who is no admin may do and see: over the API by their token, in the pages by their session.</summary>
[Collection(typeof(InOneBrowser))]
public sealed partial class RightsTests(PortalInBrowser portal)
{
    private const string Nobody = "00000000-0000-0000-0000-000000000000";

    /// <summary>What everybody may ask for: a new operation is put here by whoever adds it, or is for admins by its summary.</summary>
    private static readonly string[] s_forAll =
    [
        "addKey", "addToken", "cancelLab", "cancelRun", "deleteSnapshot", "endLab", "extendLab", "findBlueprint", "findImage", "findLab", "findPool",
        "findRun", "findSize", "findTeam", "keepLab", "labAudit", "labEvents", "letLabGo", "listBlueprints", "listDisks", "listImageVersions", "listImages", "listKeys",
        "listLabs", "listNotices", "listOwnAudit", "listPools", "listQuotas", "listSizes", "listSnapshots", "listTeams", "listTokens", "me", "openConsole",
        "quote", "readNotices", "removeKey", "removeToken", "requestLab", "restartLab", "restartMachine", "revealPassword", "revertLab", "serialLog",
        "snapshotLab", "startLab", "startMachine", "stopLab", "stopMachine", "teamQuota",
    ];

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    /// <summary>Every operation of the document is called: what is said there to be for admins is refused to others, and nothing else is.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_the_document_says_is_for_admins_is_refused_to_others_and_nothing_else_is(bool auditor)
    {
        var requester = await portal.RequesterAsync();
        var who = auditor ? await portal.AuditorAsync() : requester;
        var document = (await portal.Client.GetAsync("openapi.json", Cancellation)).Must(200).Body!;
        var lab = (string)(await requester.Client.PostAsync("labs", new JsonObject { ["blueprint"] = "solo", ["team"] = "readers" }, Cancellation)).Must(202)["id"]!;
        var run = (string)(await requester.Client.WaitForAsync(lab, "ready", cancellation: Cancellation))["run"]!["id"]!;
        if (!auditor) await SeeWaysInAsync(requester.Client, lab);
        var (wrong, refused, open) = (new List<string>(), 0, new List<string>());
        foreach (var (path, verbs) in document["paths"]!.AsObject())
        {
            foreach (var (verb, operation) in verbs!.AsObject())
            {
                var marks = ForAdmins().Match((string)operation!["summary"]!).Groups[1].Value;
                var mayNot = marks.Length > 0 && !(auditor && marks.Contains("auditors", StringComparison.Ordinal));
                if (marks.Length == 0) open.Add((string)operation["operationId"]!);
                // What they may do is asked of nothing that there is.
                var address = Hole().Replace(path["/api/v1/".Length..], hole => Fill(hole.Groups[1].Value, hole.Groups[2].Value, mayNot));
                var answer = await who.Client.SendAsync(HttpMethod.Parse(verb), address, Body(operation), Cancellation);
                if (mayNot) refused++;
                if ((answer.Code == 403) != mayNot || answer.Code >= 500) wrong.Add($"{verb} {address}: {answer}");
            }
        }

        (await requester.Client.PostAsync($"labs/{lab}/end", cancellation: Cancellation)).Must(202);
        Assert.Empty(wrong);
        Assert.Equal(s_forAll, open.Order(StringComparer.Ordinal));
        Assert.True(refused > 35, $"Only {refused} operations were found to be for admins.");

        string Fill(string of, string hole, bool real) => (of, hole) switch
        {
            ("labs", _) => real ? lab : Nobody,
            ("runs", _) => real ? run : Nobody,
            ("people" or "members", _) => requester.Email,
            ("teams", _) => "readers",
            ("pools", _) => "pretend",
            ("blueprints", _) => "pair",
            ("images", _) => "tiny",
            ("versions" or "diff", _) => "1",
            (_, "id") => Nobody,
            _ => "small",
        };

        HttpContent? Body(JsonNode operation)
        {
            if (operation["requestBody"]?["content"] is not JsonObject content) return null;
            return content["application/json"]?["schema"] is JsonObject schema
                ? JsonContent.Create(Sample(schema))
                : new StringContent("kind: Size\nname: small\ncpu: 1\nmemoryMiB: 128\ndiskGiB: 1\n", System.Text.Encoding.UTF8, "application/yaml");
        }

        // What reads as a body of this shape; whether it makes sense is asked after whether one may.
        JsonNode? Sample(JsonObject schema)
        {
            if ((string?)schema["$ref"] is { } name) return Sample(document["components"]!["schemas"]![name.Split('/')[^1]]!.AsObject());
            if (schema["oneOf"] is JsonArray choices) return Sample(choices.Select(choice => choice!.AsObject()).First(choice => (string?)choice["type"] != "null"));
            if (schema["enum"] is JsonArray words) return words[0]!.DeepClone();
            var types = schema["type"] is JsonArray several ? [.. several.Select(type => (string)type!)] : new[] { (string?)schema["type"] };
            return types.First(type => type != "null") switch
            {
                "object" => new JsonObject((schema["required"] as JsonArray ?? []).Select(key => KeyValuePair.Create((string)key!, Sample(schema["properties"]![(string)key!]!.AsObject())))),
                "array" => new JsonArray(),
                "boolean" => true,
                "integer" or "number" => 1,
                _ => (string?)schema["format"] switch { "date-time" => "2999-01-01T00:00:00Z", "uuid" => Nobody, _ => "x" },
            };
        }
    }

    /// <summary>A machine's body names the ways in where one lab is asked for; what was done to it is told to who sees it.</summary>
    private static async Task SeeWaysInAsync(PortalClient client, string lab)
    {
        var machine = (await client.GetAsync($"labs/{lab}", Cancellation)).Must(200)["machines"][0]!;
        Assert.Contains("serial", machine["consoles"]!.AsArray().Select(kind => (string)kind!));
        Assert.Equal(["direct", "portal"], machine["access"]!.AsArray().Where(way => (string)way!["kind"]! == "ssh").Select(way => (string)way!["via"]!));
        foreach (var kind in machine["consoles"]!.AsArray()) (await client.PostAsync($"labs/{lab}/machines/one/console", new JsonObject { ["kind"] = (string)kind! }, Cancellation)).Must(200);
        var listed = (await client.GetAsync("labs?limit=200", Cancellation)).Must(200)["items"].AsArray().Single(one => (string)one!["id"]! == lab)!;
        Assert.Null(listed["machines"]![0]!["consoles"]);
        var lines = (await client.GetAsync($"labs/{lab}/audit?limit=200", Cancellation)).Must(200)["items"].AsArray();
        Assert.Equal("request-lab", (string)lines[^1]!["verb"]!);
        Assert.Contains("open-console", lines.Select(line => (string)line!["verb"]!));
    }

    [Theory]
    [InlineData(false, "light", 1440, 900)]
    [InlineData(true, "dark", 390, 844)]
    public async Task Pages_for_admins_say_so_to_others_and_what_these_see_is_free_of_axe_violations(bool auditor, string theme, int width, int height)
    {
        var who = auditor ? await portal.AuditorAsync() : await portal.RequesterAsync();
        var page = await portal.OpenAsync(theme, width, height, who: who);
        string[] forAdmins = ["/blueprints/pair", "/new-blueprint", "/people"];
        string[] forAuditors = ["/operations", "/pools/pretend/settings", "/pools/new/libvirt", "/settings", "/audit"];
        string[] forAll = ["/labs", "/blueprints", "/catalogue", "/catalogue/solo", "/pools", "/pools/pretend", "/images", "/images/tiny", "/sizes", "/quotas", "/teams", "/teams/readers", "/profile"];
        var wrong = new List<string>();
        foreach (var address in forAdmins.Concat(forAuditors).Concat(forAll))
        {
            await page.GotoAsync(address);
            await page.Locator("h1, .empty h2").First.Sees().ToBeVisibleAsync();
            await page.Locator(".wait").Sees().ToHaveCountAsync(0);
            var mayNot = forAdmins.Contains(address) || (!auditor && forAuditors.Contains(address));
            // The audit's lines may say the same of others.
            var said = await page.GetByText("You may not do this").CountAsync() - await page.Locator("table").GetByText("You may not do this").CountAsync();
            if ((said > 0) != mayNot) wrong.Add(address);
            await page.HoldAsync($"{address} {(auditor ? "auditor" : "requester")} {theme}");
        }

        Assert.Empty(wrong);

        // What leads to other places than pages: the file of the audit, the dashboard of the jobs.
        var mine = page.Context.APIRequest;
        Assert.Equal(auditor ? 200 : 403, (await mine.GetAsync("/audit/export")).Status);
        Assert.Equal(403, (await mine.GetAsync("/jobs")).Status);
        if (!auditor) return;

        await page.GotoAsync("/audit");
        await page.Locator("tbody tr").First.Sees().ToBeVisibleAsync();
        // They look on: at a lab of somebody, at a pool, at who is in a team; no button does anything there.
        await page.GotoAsync("/pools/pretend");
        await page.GetByRole(AriaRole.Heading, new() { Name = "pretend" }).First.Sees().ToBeVisibleAsync();
        await page.Button("Check now").Sees().ToHaveCountAsync(0);
        await page.Button("Drain").Sees().ToHaveCountAsync(0);
        await page.GotoAsync("/teams/readers");
        await page.GetByText("Rita Reader").Sees().ToBeVisibleAsync();
        await page.GetByLabel("Role of Rita Reader").Sees().ToHaveCountAsync(0);
    }

    [Fact]
    public async Task Somebody_is_made_admin_and_unmade_by_an_admin_and_the_one_who_is_asked_last_stays()
    {
        var rita = await portal.RequesterAsync();
        (await rita.Client.GetAsync("people", Cancellation)).Must(403);
        var page = await portal.OpenAsync();
        try
        {
            await MakeAdminAsync(page, rita);
        }
        finally
        {
            // The other tests of this portal have her as one who is none.
            (await portal.Client.SendAsync(HttpMethod.Put, $"people/{rita.Email}/roles", JsonContent.Create(new { admin = false, auditor = false }), Cancellation)).Must(204);
        }

        (await rita.Client.GetAsync("people", Cancellation)).Must(403);

        await page.ReloadAsync();
        await page.Button("Rights of Ada Lovelace").ClickAsync();
        await page.Asked().GetByLabel("Administrator of the portal").UncheckAsync();
        await page.Asked().Button("Save the rights").ClickAsync();
        await page.Asked().Filter(new() { HasTextString = "no administrator any more?" }).Button("Save the rights").ClickAsync();
        await page.Asked().GetByText("You cannot do this to yourself.").Sees().ToBeVisibleAsync();
        var last = await portal.Client.SendAsync(HttpMethod.Put, $"people/{FirstAdmin.Email}/roles", JsonContent.Create(new { admin = false, auditor = true }), Cancellation);
        Assert.Equal("person.last-admin", (string)last.Must(409)["code"]!);
    }

    private static async Task MakeAdminAsync(IPage page, Somebody rita)
    {
        await page.GotoAsync("/people");
        await page.Button("Rights of Rita Reader").ClickAsync();
        await page.Asked().GetByLabel("Administrator of the portal").CheckAsync();
        await page.HoldAsync("rights");
        await page.Asked().Button("Save the rights").ClickAsync();
        var confirm = page.Asked().Filter(new() { HasTextString = "Make Rita Reader an administrator?" });
        await confirm.Button("Save the rights").ClickAsync();
        var row = page.Locator("tr", new() { HasTextString = rita.Email });
        await row.Locator(".tag", new() { HasTextString = "Admin" }).Sees().ToBeVisibleAsync();
        // From the next call on.
        (await rita.Client.GetAsync("people", Cancellation)).Must(200);
    }

    [GeneratedRegex(@"\(([^)]*\badmins\b[^)]*)\)$")]
    private static partial Regex ForAdmins();

    [GeneratedRegex(@"(?<=([a-z-]+)/)\{(\w+)\}")]
    private static partial Regex Hole();
}
