using System.Text.Json.Nodes;
using LabPortal.Testing;

namespace LabPortal.Cli.Tests.Labs;

public sealed class LabCommandsTests(SharedPortal portal)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_lab_lives_from_request_to_end()
    {
        using var lab = portal.Lab();

        var made = (await lab.RunAsync("request", "pair", "--team", "qa", "--name", "life", "--param", "motd=a=b", "--label", "ci=1", "--label", "of=x y", "--pool", "pretend", "--hours", "1.5", "--wait", "-o", "json")).Must(Exit.Done);
        Assert.Equal("ready", (string)made.Json["state"]!);
        Assert.Equal("a=b", (string)made.Json["parameters"]!["motd"]!);
        Assert.Equal("x y", (string)made.Json["labels"]!["of"]!);
        Assert.Equal(TimeSpan.FromHours(1.5), End(made.Json) - made.Json["readyAt"]!.GetValue<DateTimeOffset>());

        (await lab.RunAsync("stop", "life/web", "--wait")).Must(Exit.Done);
        Assert.Equal(["running", "stopped"], await MachinesAsync(lab, "life"));
        (await lab.RunAsync("start", "life/web", "--wait")).Must(Exit.Done);
        (await lab.RunAsync("restart", "life", "--wait")).Must(Exit.Done);
        Assert.Equal(["running", "running"], await MachinesAsync(lab, "life"));
        Assert.Equal(End(made.Json).AddHours(2), End((await lab.RunAsync("extend", "life", "--hours", "2", "--wait", "-o", "json")).Must(Exit.Done).Json));
        // Eight in the evening in Berlin, which is where this machine says it is.
        var tomorrow = DateTimeOffset.UtcNow.AddDays(1);
        var later = (await lab.RunAsync("extend", "life", "--until", $"{tomorrow:yyyy-MM-dd}T20:00", "--wait", "-o", "json")).Must(Exit.Done).Json;
        Assert.Equal(TimeZoneInfo.ConvertTimeToUtc(tomorrow.Date.AddHours(20), TimeZoneInfo.FindSystemTimeZoneById("Europe/Berlin")), End(later).UtcDateTime);
        Assert.Equal("stopped", (string)(await lab.RunAsync("stop", "life", "--wait", "-o", "json")).Must(Exit.Done).Json["state"]!);

        var shown = (await lab.RunAsync("show", "life")).Must(Exit.Done).Output;
        foreach (var part in new[] { "life", made.Id, "stopped", "ci=1", "web", "db", "pretend/", "extend, start, ", "end" }) Assert.Contains(part, shown, StringComparison.Ordinal);
        Assert.Equal("ended", (string)(await lab.RunAsync("end", "life", "--yes", "--wait", "-o", "json")).Must(Exit.Done).Json["state"]!);
        var over = (await lab.RunAsync("start", made.Id)).Must(Exit.Refused);
        Assert.Equal("", over.Output);
    }

    [Fact]
    public async Task What_is_going_on_is_taken_back()
    {
        using var lab = portal.Lab();
        (await lab.RunAsync("request", "slow", "--team", "qa", "--name", "taken-back")).Must(Exit.Done);

        var cancelled = (await lab.RunAsync("cancel", "taken-back", "--wait", "-o", "json")).Must(Exit.Done).Json;

        Assert.Equal("failed", (string)cancelled["state"]!);
        (await lab.RunAsync("cancel", "taken-back")).Must(Exit.Refused);
        // It is over, and so never ready.
        (await lab.RunAsync("wait", "taken-back")).Must(Exit.LabFailed);
    }

    [Fact]
    public async Task An_end_asks_before_it_destroys_and_is_refused_where_nobody_can_be_asked()
    {
        using var lab = portal.Lab();
        (await lab.RunAsync("request", "single", "--team", "qa", "--name", "careful", "--wait")).Must(Exit.Done);

        Assert.Contains("--yes", (await lab.TypeAsync("y\n", "end", "careful")).Must(Exit.Invalid).Error, StringComparison.Ordinal);
        using (var terminal = lab.OnTerminal("lab end careful"))
        {
            await terminal.SaysAsync("[y/N]");
            await terminal.TypeAsync("n\n");
            Assert.Contains("Nothing was done", (await terminal.EndAsync()).Must(Exit.Interrupted).Output, StringComparison.Ordinal);
        }

        Assert.Equal("ready", (string)(await lab.RunAsync("show", "careful", "-o", "json")).Must(Exit.Done).Json["state"]!);
        using (var terminal = lab.OnTerminal("lab end careful --wait"))
        {
            await terminal.SaysAsync("[y/N]");
            await terminal.TypeAsync("y\n");
            Assert.Contains("ended", (await terminal.EndAsync()).Must(Exit.Done).Output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_lab_is_named_by_its_name_its_id_or_the_beginning_of_its_id()
    {
        using var lab = portal.Lab();
        var first = (await lab.RunAsync("request", "single", "--team", "qa", "--name", "twice", "--wait", "-o", "json")).Must(Exit.Done).Id;
        var second = (await lab.RunAsync("request", "single", "--team", "qa", "--name", "twice", "--start", LabProcess.Later, "-o", "json")).Must(Exit.Done).Id;

        foreach (var text in new[] { second, second[..^2], second[..^4].ToUpperInvariant() })
            Assert.Equal(second, (await lab.RunAsync("show", text, "-o", "json")).Must(Exit.Done).Id);
        var ambiguous = (await lab.RunAsync("show", "twice")).Must(Exit.Invalid);
        Assert.Contains(first, ambiguous.Error, StringComparison.Ordinal);
        Assert.Contains(second, ambiguous.Error, StringComparison.Ordinal);
        Assert.Contains("may mean several labs", (await lab.RunAsync("show", first[..4])).Must(Exit.Invalid).Error, StringComparison.Ordinal);

        // Of two with a name, the living one.
        (await lab.RunAsync("end", first, "--yes", "--wait")).Must(Exit.Done);
        Assert.Equal(second, (await lab.RunAsync("show", "twice", "-o", "json")).Must(Exit.Done).Id);
        foreach (var unknown in new[] { "twic", "00000000", $"{Guid.CreateVersion7()}", "../pools", "%" }) (await lab.RunAsync("show", unknown)).Must(Exit.NotFound);
        Assert.Contains("it has web", (await lab.RunAsync("stop", "twice/nothing")).Must(Exit.NotFound).Error, StringComparison.Ordinal);
        (await lab.RunAsync("end", second, "--yes", "--wait")).Must(Exit.Done);
    }

    [Fact]
    public async Task A_pipeline_that_is_run_again_gets_its_lab_again()
    {
        using var lab = portal.Lab();
        string[] request = ["request", "single", "--team", "qa", "--idempotency-key", "pipeline-17", "-o", "json"];

        var first = (await lab.RunAsync(request)).Must(Exit.Done).Id;
        Assert.Equal(first, (await lab.RunAsync(request)).Must(Exit.Done).Id);
        (await lab.RunAsync([.. request, "--hours", "2"])).Must(Exit.Invalid);
        Assert.NotEqual(first, (await lab.RunAsync("request", "single", "--team", "qa", "-o", "json")).Must(Exit.Done).Id);
    }

    [Fact]
    public async Task A_lost_answer_never_makes_a_second_lab()
    {
        var keys = new List<string>();
        await using var losing = await PretendedPortal.StartAsync(async context =>
        {
            keys.Add(context.Request.Headers["Idempotency-Key"].ToString());
            if (keys.Count == 1)
            {
                context.Abort();
                return;
            }

            context.Response.StatusCode = 202;
            await Microsoft.AspNetCore.Http.HttpResponseJsonExtensions.WriteAsJsonAsync(context.Response, new { id = "1", name = "again" }, Cancellation);
        });
        using var lab = new LabProcess(losing.Address);

        (await lab.RunAsync("request", "single", "--team", "qa")).Must(Exit.Done);

        Assert.Equal(2, keys.Count);
        Assert.Matches("^[0-9a-f]{32}$", keys[0]);
        Assert.Equal(keys[0], keys[1]);
    }

    [Fact]
    public async Task A_quota_that_is_full_is_told_whole_with_the_flags_that_would_fit()
    {
        using var lab = portal.Lab();
        var held = (await lab.RunAsync("request", "single", "--team", "small", "--name", "holds it", "--hours", "1", "-o", "json")).Must(Exit.Done).Id;

        var refused = (await lab.RunAsync("request", "single", "--team", "small", "--hours", "1")).Must(Exit.Refused);
        foreach (var part in new[] { "lab: Conflict: ", "Who holds machines now:", "1 by holds it of bootstrap", "What would fit:", "--start 20" }) Assert.Contains(part, refused.Error, StringComparison.Ordinal);
        var start = refused.Error.Split("--start ")[1].Split([' ', '\n'])[0];
        var taken = (await lab.RunAsync("request", "single", "--team", "small", "--hours", "1", "--start", start, "-o", "json")).Must(Exit.Done);
        Assert.Equal("scheduled", (string)taken.Json["state"]!);

        var smaller = (await lab.RunAsync("request", "pair", "--team", "small", "--start", LabProcess.Later)).Must(Exit.Refused);
        Assert.Contains("lab request s", smaller.Error, StringComparison.Ordinal);
        foreach (var id in new[] { held, taken.Id }) (await lab.RunAsync("end", id, "--yes", "--wait")).Must(Exit.Done);
    }

    [Fact]
    public async Task Everything_that_is_wrong_is_told_with_its_flag()
    {
        using var lab = portal.Lab();

        var refused = (await lab.RunAsync("request", "pair", "--team", "nobody", "--param", "colour=red", "--hours", "1", "--until", "2099-01-01T00:00:00Z")).Must(Exit.Invalid);

        Assert.Contains("team (--team): ", refused.Error, StringComparison.Ordinal);
        Assert.Contains("parameters.colour (--param colour): ", refused.Error, StringComparison.Ordinal);
        Assert.Contains("lease", refused.Error, StringComparison.Ordinal);
        Assert.Contains("qa", (await lab.RunAsync("request", "pair")).Must(Exit.Invalid).Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("requst")]
    [InlineData("request")]
    [InlineData("request", "pair", "--param", "motd")]
    [InlineData("request", "pair", "--param", "motd=a", "--param", "motd=b")]
    [InlineData("request", "pair", "--start", "tomorrow")]
    [InlineData("request", "pair", "--timeout", "1x")]
    [InlineData("list", "--limit", "0")]
    [InlineData("list", "--output", "xml")]
    [InlineData("list", "--state", "asleep")]
    [InlineData("list", "--team", "nobody")]
    [InlineData("wait", "x", "--state", "asleep")]
    [InlineData("extend", "x")]
    [InlineData("show", "")]
    [InlineData("apply")]
    [InlineData("apply", "-f", "/nowhere.yaml")]
    [InlineData("completion", "fish")]
    [InlineData("help", "nothing")]
    [InlineData]
    public async Task What_was_typed_wrong_is_said_on_the_error_output_alone(params string[] arguments)
    {
        using var lab = portal.Lab();

        var ran = (await lab.RunAsync(arguments)).Must(Exit.Invalid);

        Assert.Equal("", ran.Output);
        Assert.NotEqual("", ran.Error);
    }

    [Fact]
    public async Task A_list_has_all_pages_or_as_many_as_are_asked_for()
    {
        const int labs = 205;
        using var client = portal.Client();
        var request = new JsonObject { ["blueprint"] = "single", ["team"] = "many", ["start"] = LabProcess.Later };
        await Parallel.ForAsync(0, labs, new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = Cancellation },
            async (_, cancellation) => (await client.PostAsync("labs", request.DeepClone(), cancellation)).Must(202));
        using var lab = portal.Lab();

        var all = (await lab.RunAsync("list", "--team", "many", "-o", "json")).Must(Exit.Done).Json;
        Assert.Equal(labs, all["items"]!.AsArray().Select(item => (string)item!["id"]!).Distinct().Count());
        Assert.Null(all["next"]);
        var some = (await lab.RunAsync("list", "--team", "many", "--limit", "201", "-o", "json")).Must(Exit.Done).Json;
        Assert.Equal(all["items"]!.AsArray().Take(201).Select(item => (string)item!["id"]!), some["items"]!.AsArray().Select(item => (string)item!["id"]!));
        Assert.NotNull(some["next"]);
        Assert.Equal(labs + 1, (await lab.RunAsync("list", "--team", "many")).Must(Exit.Done).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
    }

    [Fact]
    public async Task A_list_has_what_the_filters_say()
    {
        using var lab = portal.Lab();
        var ended = (await lab.RunAsync("request", "single", "--team", "qa", "--name", "filtered-1", "--wait", "-o", "json")).Must(Exit.Done).Id;
        (await lab.RunAsync("end", ended, "--yes", "--wait")).Must(Exit.Done);
        (await lab.RunAsync("request", "pair", "--team", "qa", "--name", "filtered-2", "--wait")).Must(Exit.Done);

        async Task<List<string>> NamesAsync(params string[] filters)
            => [.. (await lab.RunAsync(["list", "-q", "filtered-", "-o", "json", .. filters])).Must(Exit.Done).Json["items"]!.AsArray().Select(item => (string)item!["name"]!)];

        Assert.Equal(["filtered-2"], await NamesAsync());
        Assert.Equal(["filtered-2", "filtered-1"], await NamesAsync("--all"));
        Assert.Equal(["filtered-1"], await NamesAsync("--state", "ended", "--state", "failed"));
        Assert.Equal(["filtered-1"], await NamesAsync("--all", "--blueprint", "single"));
        Assert.Equal(["filtered-2"], await NamesAsync("--owner", "me", "--team", "qa"));
        Assert.Empty(await NamesAsync("--team", "small"));
    }

    private static DateTimeOffset End(JsonNode lab) => lab["lease"]!["end"]!.GetValue<DateTimeOffset>();

    private static async Task<IEnumerable<string>> MachinesAsync(LabProcess lab, string name)
        => (await lab.RunAsync("show", name, "-o", "json")).Must(Exit.Done).Json["machines"]!.AsArray().OrderBy(machine => (string)machine!["name"]!, StringComparer.Ordinal).Select(machine => (string)machine!["state"]!);
}
