using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Nodes;
using LabPortal.Testing;

namespace LabPortal.EndToEnd;

/// <summary>Bad input gets sentences that name the field and the way out, all at once, and changes nothing.</summary>
public sealed class BadInputTests(BadInputTests.Portal shared) : IClassFixture<BadInputTests.Portal>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task All_mistakes_of_a_request_are_told_at_once()
    {
        using var client = shared.Process.Client();

        var answer = (await client.PostAsync("labs", JsonNode.Parse("""
            {"blueprint":"pair","team":"qa","pool":"nowhere","parameters":{"motd":"x","colour":"red"},"lease":{"hours":1000},"colour":"red","name":7}
            """), Cancellation)).Must(400);

        Assert.Equal(["colour", "lease.hours", "name", "parameters.colour", "pool"], answer.Errors.Keys.Order(StringComparer.Ordinal));
        Assert.All(answer.Errors.Values, sentence => Assert.False(string.IsNullOrWhiteSpace(sentence)));
        await NothingChangedAsync(client);
    }

    [Theory]
    [InlineData("snapshot")]
    [InlineData("revert")]
    public async Task A_snapshot_without_a_name_or_with_more_than_one_names_its_fields_and_an_unknown_lab_is_not_found(string verb)
    {
        using var client = shared.Process.Client();
        var lab = $"labs/{Guid.CreateVersion7()}";

        var answer = (await client.PostAsync($"{lab}/{verb}", JsonNode.Parse("""{"nam":"x","machine":"web"}"""), Cancellation)).Must(400);

        Assert.Equal(["machine", "nam", "name"], answer.Errors.Keys.Order(StringComparer.Ordinal));
        (await client.PostAsync($"{lab}/{verb}", JsonNode.Parse("""{"name":"x"}"""), Cancellation)).Must(404);
        (await client.GetAsync($"{lab}/snapshots", Cancellation)).Must(404);
        (await client.DeleteAsync($"{lab}/snapshots/x", Cancellation)).Must(404);
        await NothingChangedAsync(client);
    }

    [Theory]
    [InlineData("""{"blueprint":"nope","team":"qa"}""", "blueprint")]
    [InlineData("""{"blueprint":"pair","team":"nope"}""", "team")]
    [InlineData("""{"blueprint":"pair","team":"qa","parameters":{"motd":"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"}}""", "parameters.motd")]
    [InlineData("""{"blueprint":"pair","team":"qa","lease":{"hours":73}}""", "lease.hours")]
    [InlineData("""{"blueprint":"pair","team":"qa","lease":{"hours":-1}}""", "lease.hours")]
    [InlineData("""{"blueprint":"pair","team":"qa","lease":{"hours":1,"hours":2}}""", "lease.hours")]
    [InlineData("""{"blueprint":"pair","team":"qa","lease":{"until":"tomorrow"}}""", "lease.until")]
    [InlineData("""{"blueprint":"pair","team":"qa","lease":{"until":"9999-12-31T23:59:59-10:00"}}""", "lease.until")]
    [InlineData("""{"blueprint":"pair","team":"qa","pool":"nowhere"}""", "pool")]
    [InlineData("""{"blueprint":"pa\u0000ir","team":"qa"}""", "blueprint")]
    [InlineData("""{"blueprint":"pair","team":["qa"]}""", "team")]
    [InlineData("""{"blueprint":"pair","team":"qa","lease":{"until":"\ud800"}}""", "lease.until")]
    [InlineData("""{"team":"qa"}""", "blueprint")]
    [InlineData("""{"blueprint":""", "")]
    [InlineData("""[1]""", "")]
    [InlineData("""[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]""", "")]
    public async Task A_bad_request_names_its_field(string body, string field)
    {
        using var client = shared.Process.Client();

        var answer = (await client.SendAsync(HttpMethod.Post, "labs", new StringContent(body, Encoding.UTF8, "application/json"), Cancellation)).Must(400);

        Assert.Contains(field, answer.Errors.Keys);
        Assert.DoesNotContain("It did not work", answer.Errors[field], StringComparison.Ordinal);
        Assert.NotEqual("", (string)answer["traceId"]!);
        await NothingChangedAsync(client);
    }

    [Fact]
    public async Task Settings_with_a_name_twice_and_decisions_that_cannot_be_are_told_at_their_fields()
    {
        using var client = shared.Process.Client();
        static StringContent Json(string text) => new(text, Encoding.UTF8, "application/json");

        var pool = (await client.SendAsync(HttpMethod.Put, "pools/twice", Json("""{"provider":"simulated","settings":{"hosts":1,"missingImages":[{"image":"a","image":"b"}],"hosts":2}}"""), Cancellation)).Must(400);
        Assert.Equal(["settings.hosts", "settings.missingImages[0].image"], pool.Errors.Keys.Order(StringComparer.Ordinal));
        var wrong = (await client.SendAsync(HttpMethod.Patch, "settings", Json("""{"settings":{"sign-ins":"many","console-idle":0,"mood":1,"calls":50000,"calls":2}}"""), Cancellation)).Must(400);
        Assert.Equal(["settings.calls"], wrong.Errors.Keys);
        wrong = (await client.SendAsync(HttpMethod.Patch, "settings", Json("""{"settings":{"sign-ins":"many","console-idle":0,"mood":1,"calls":50000}}"""), Cancellation)).Must(400);
        Assert.Equal(["settings.console-idle", "settings.mood", "settings.sign-ins"], wrong.Errors.Keys.Order(StringComparer.Ordinal));
        (await client.SendAsync(HttpMethod.Patch, "settings", Json("""{"settings":{"consoles-per-person":7}}"""), Cancellation)).Must(200);
        (await client.SendAsync(HttpMethod.Patch, "settings", Json("""{"settings":{"consoles-per-person":8},"seen":{}}"""), Cancellation)).Must(409);

        var settings = (await client.GetAsync("settings?limit=200", Cancellation)).Must(200)["items"].AsArray().ToDictionary(setting => (string)setting!["name"]!, setting => setting!);
        Assert.Equal(("7", "portal", true), ((string?)settings["consoles-per-person"]["value"], (string?)settings["consoles-per-person"]["source"], (bool)settings["consoles-per-person"]["settable"]!));
        Assert.Equal(("configuration", false), ((string?)settings["data-folder"]["source"], (bool)settings["data-folder"]["settable"]!));
    }

    [Theory]
    [InlineData(null, "labs", 401)]
    [InlineData("wrong", "labs", 401)]
    [InlineData(PortalProcess.AdminToken, "labs/not-an-id", 404)]
    [InlineData(PortalProcess.AdminToken, "labs/00000000-0000-7000-8000-000000000000", 404)]
    [InlineData(PortalProcess.AdminToken, "labs/00000000-0000-7000-8000-000000000000/events", 404)]
    [InlineData(PortalProcess.AdminToken, "blueprints/nope", 404)]
    [InlineData(PortalProcess.AdminToken, "pools/nope", 404)]
    [InlineData(PortalProcess.AdminToken, "nope", 404)]
    [InlineData(PortalProcess.AdminToken, "labs?limit=0", 400)]
    [InlineData(PortalProcess.AdminToken, "labs?state=asleep&after=x&team=nope", 400)]
    [InlineData(PortalProcess.AdminToken, "labs?q=%00", 400)]
    [InlineData(PortalProcess.AdminToken, "audit?who=%00", 400)]
    [InlineData(PortalProcess.AdminToken, "audit?to=9999-12-31T12:00:00Z", 400)]
    public async Task A_call_that_cannot_be_answered_is_a_problem(string? token, string path, int status)
    {
        using var client = shared.Process.Client(token);

        var answer = (await client.GetAsync(path, Cancellation)).Must(status);

        Assert.Equal(status, (int)answer["status"]!);
        Assert.StartsWith("urn:labportal:problem:", (string)answer["type"]!, StringComparison.Ordinal);
        Assert.False(string.IsNullOrWhiteSpace((string)answer["detail"]!));
    }

    [Fact]
    public async Task A_yaml_with_mistakes_and_hostile_aliases_changes_nothing()
    {
        using var client = shared.Process.Client();
        var bomb = new StringBuilder("kind: Team\nname: bomb\na0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for (var i = 1; i < 12; i++) bomb.Append(System.Globalization.CultureInfo.InvariantCulture, $"a{i}: &a{i} [*a{i - 1},*a{i - 1},*a{i - 1},*a{i - 1},*a{i - 1},*a{i - 1},*a{i - 1},*a{i - 1}]\n");

        var hostile = (await client.ApplyAsync(bomb.ToString(), cancellation: Cancellation)).Must(400);
        var wrong = (await client.ApplyAsync("kind: Team\nname: ops\nzone: Mars/Olympus\ncolour: red\n---\nkind: Nothing\nname: x\n", cancellation: Cancellation)).Must(400);
        var notText = (await client.SendAsync(HttpMethod.Put, "apply", new ByteArrayContent([0xff, 0xfe, 0xff]), Cancellation)).Must(400);

        Assert.NotEmpty(hostile.Errors);
        Assert.True(wrong.Errors.Count >= 3, wrong.ToString());
        Assert.NotEmpty(notText.Errors);
        Assert.Equal(["qa"], (await client.GetAsync("teams", Cancellation)).Must(200)["items"]!.AsArray().Select(team => (string)team!["name"]!));
    }

    [Fact]
    public async Task A_body_that_is_too_large_is_refused()
    {
        using var client = shared.Process.Client();

        var answer = await client.SendAsync(HttpMethod.Post, "labs", JsonContent.Create(new { name = new string('x', 2 << 20) }), Cancellation);

        answer.Must(413);
    }

    [Fact]
    public async Task A_cookie_opens_no_api_and_headers_guard_every_answer()
    {
        using var http = new HttpClient { BaseAddress = shared.Process.Address };
        using var request = new HttpRequestMessage(HttpMethod.Get, "/api/v1/me");
        request.Headers.Add("Cookie", "labportal=whatever");

        using var answer = await http.SendAsync(request, Cancellation);

        Assert.Equal(401, (int)answer.StatusCode);
        Assert.Contains("frame-ancestors 'none'", answer.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
        Assert.Equal("nosniff", answer.Headers.GetValues("X-Content-Type-Options").Single());
        Assert.False(answer.Headers.Contains("Server"));
    }

    private static async Task NothingChangedAsync(PortalClient client)
        => Assert.Empty((await client.GetAsync("labs", Cancellation)).Must(200)["items"]!.AsArray());

    public sealed class Portal : IAsyncLifetime
    {
        private readonly TestFolder _folder = new();

        public PortalProcess Process { get; private set; } = null!;

        public async ValueTask InitializeAsync()
        {
            await File.WriteAllTextAsync(_folder["apply.yaml"], SimulatedCatalogue.Yaml());
            Process = await PortalProcess.StartAsync(_folder["data"], applyFile: _folder["apply.yaml"]);
        }

        public async ValueTask DisposeAsync()
        {
            await Process.DisposeAsync();
            _folder.Dispose();
        }
    }
}
