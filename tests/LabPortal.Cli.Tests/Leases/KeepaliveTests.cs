using System.Text.Json.Nodes;

namespace LabPortal.Cli.Tests.Leases;

/// <summary>What a pipeline leaves when it is cancelled: nothing. That a lab without beats ends is the portal's, and tested there.</summary>
public sealed class KeepaliveTests(SharedPortal portal)
{
    [Fact]
    public async Task A_lab_is_tied_to_a_command_that_knows_it_and_ends_with_it()
    {
        using var lab = portal.Lab();
        var asked = (await lab.RunAsync("request", "single", "--team", "qa", "--name", "kept-by-a-command", "--keepalive", "7m", "--wait", "-o", "json")).Must(Exit.Done);
        Assert.Equal(7, (decimal)asked.Json["lease"]!["heartbeat"]!["minutes"]!);
        Assert.Contains("by a heartbeat", (await lab.RunAsync("show", asked.Id)).Must(Exit.Done).Output, StringComparison.Ordinal);

        var ran = await lab.RunAsync("keepalive", asked.Id, "--end", "--", "sh", "-c", "echo $LAB_NAME $LAB_ID; exit 9");

        Assert.Equal((9, $"kept-by-a-command {asked.Id}\n"), (ran.Exit, ran.Output));
        Assert.Contains("for 7 min", ran.Error, StringComparison.Ordinal);
        (await lab.RunAsync("wait", asked.Id, "--state", "ended")).Must(Exit.Done);
        (await lab.RunAsync("keepalive", asked.Id, "--", "true")).Must(Exit.Refused);
    }

    [Fact]
    public async Task Interrupted_it_ends_its_command_and_where_asked_the_lab_and_a_lab_is_let_go_again()
    {
        using var lab = portal.Lab();
        var id = (await lab.RunAsync("request", "single", "--team", "qa", "--name", "kept-for-a-while", "--wait", "-o", "json")).Must(Exit.Done).Id;

        using (var keeping = lab.Run("keepalive", id, "--term", "1m", "--", "sleep", "600"))
        {
            await keeping.SaysAsync("for 60 s");
            keeping.Signal("TERM");
            (await keeping.EndAsync()).Must(Exit.Interrupted);
        }

        var let = (await lab.RunAsync("keepalive", id, "--off", "-o", "json")).Must(Exit.Done).Json;
        Assert.Equal(("ready", (JsonNode?)null), ((string)let["state"]!, let["lease"]!["heartbeat"]));

        using (var keeping = lab.Run("keepalive", id, "--end"))
        {
            await keeping.SaysAsync("for 5 min");
            keeping.Signal("TERM");
            (await keeping.EndAsync()).Must(Exit.Interrupted);
        }

        (await lab.RunAsync("wait", id, "--state", "ended")).Must(Exit.Done);
    }

    [Fact]
    public async Task A_request_that_is_interrupted_or_comes_too_late_leaves_no_lab_where_asked()
    {
        using var lab = portal.Lab();
        using (var waiting = lab.Run("request", "slow", "--team", "qa", "--name", "not-left-alone", "--keepalive", "10m", "--wait", "--or-end", "--verbose"))
        {
            await waiting.SaysAsync("/events");
            waiting.Signal("TERM");
            var left = (await waiting.EndAsync()).Must(Exit.Interrupted);
            Assert.Contains("is being ended", left.Error, StringComparison.Ordinal);
            Assert.DoesNotContain("goes on without you", left.Error, StringComparison.Ordinal);
        }

        (await lab.RunAsync("request", "slow", "--team", "qa", "--name", "not-left-late", "--wait", "--or-end", "--timeout", "0.5s")).Must(Exit.TimedOut);

        foreach (var name in new[] { "not-left-alone", "not-left-late" }) Assert.Contains((string)(await lab.RunAsync("wait", name, "--state", "ended", "-o", "json")).Must(Exit.Done).Json["state"]!, (string[])["ended"]);
    }

    [Fact]
    public async Task A_lab_that_cannot_be_kept_any_more_ends_the_command()
    {
        var beats = 0;
        await using var pretended = await PretendedPortal.StartAsync(context =>
        {
            var isBeat = context.Request.Method == "POST" && context.Request.ContentLength is null or 0;
            context.Response.StatusCode = isBeat && Interlocked.Increment(ref beats) > 2 ? 409 : 200;
            context.Response.ContentType = context.Response.StatusCode == 200 ? "application/json" : "application/problem+json";
            return Microsoft.AspNetCore.Http.HttpResponseWritingExtensions.WriteAsync(context.Response, """{"id":"1","name":"ci","state":"ready","status":409,"code":"lab.over","title":"Conflict","detail":"The lab is over."}""");
        });
        using var lab = new LabProcess(pretended.Address);

        var ran = (await lab.RunAsync("keepalive", Guid.CreateVersion7().ToString(), "--term", "2s", "--", "sleep", "600")).Must(Exit.Refused);

        Assert.Contains("The lab is over.", ran.Error, StringComparison.Ordinal);
        Assert.Equal(3, beats);
    }
}
