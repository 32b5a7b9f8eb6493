using System.Text.Json.Nodes;
using LabPortal.Testing;
using Microsoft.AspNetCore.Http;

namespace LabPortal.Cli.Tests.Labs;

/// <summary>What is seen while a lab is waited for.</summary>
public sealed class ProgressTests(SharedPortal portal)
{
    [Fact]
    public async Task Without_a_terminal_there_is_the_answer_and_nothing_else()
    {
        using var lab = portal.Lab();

        var ran = (await lab.RunAsync("request", "pair", "--team", "qa", "--name", "plain", "--wait", "-o", "json")).Must(Exit.Done);

        Assert.DoesNotContain('\u001b', ran.Output);
        Assert.Equal("ready", (string)ran.Json["state"]!);
        Assert.Equal("", ran.Error);
    }

    [Fact]
    public async Task On_a_terminal_the_steps_of_each_machine_are_drawn_and_nothing_of_it_stays()
    {
        using var lab = portal.Lab();
        using var terminal = lab.OnTerminal("lab request slow --team qa --name drawn --wait");

        await terminal.SaysAsync("\u001b[?25l");
        await terminal.SaysAsync("address (waiting)");
        using (var other = portal.Lab()) (await other.RunAsync("end", "drawn", "--yes")).Must(Exit.Done);
        var ran = (await terminal.EndAsync()).Must(Exit.LabFailed);

        // The cursor is back, and the last thing below what was drawn is why.
        Assert.Contains("\u001b[?25h", ran.Output, StringComparison.Ordinal);
        Assert.Contains("lab: drawn is ended, not ready.", ran.Output[ran.Output.LastIndexOf("\u001b[?25h", StringComparison.Ordinal)..], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Where_only_the_answer_goes_elsewhere_nothing_is_drawn()
    {
        using var lab = portal.Lab();
        using var terminal = lab.OnTerminal("lab request single --team qa --wait -o json >answer.json");

        var ran = (await terminal.EndAsync()).Must(Exit.Done);

        Assert.DoesNotContain("\u001b[?25l", ran.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("ready", ran.Output, StringComparison.Ordinal);
        Assert.StartsWith("{", await File.ReadAllTextAsync(lab["answer.json"], TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_portal_that_comes_back_is_waited_for()
    {
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["apply.yaml"], SimulatedCatalogue.Yaml(bootSeconds: 3), TestContext.Current.CancellationToken);
        var first = await PortalProcess.StartAsync(folder["data"], applyFile: folder["apply.yaml"]);
        await using var killed = first;
        using var lab = new LabProcess(first.Address);
        using var waiting = lab.Run("request", "pair", "--name", "patient", "--wait", "-o", "json", "--verbose");
        await waiting.SaysAsync("/events");
        await first.KillAsync();
        await using var second = await PortalProcess.StartAsync(folder["data"], applyFile: folder["apply.yaml"], more: new Dictionary<string, string> { ["ASPNETCORE_URLS"] = first.Address.AbsoluteUri });

        var ran = (await waiting.EndAsync()).Must(Exit.Done);
        Assert.Equal("ready", (string)ran.Json["state"]!);
        Assert.All(ran.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries), line => Assert.Matches("^[<>] ", line));
    }

    [Fact]
    public async Task A_portal_in_trouble_is_asked_again()
    {
        var calls = 0;
        await using var pretended = await PretendedPortal.StartAsync(async context =>
        {
            // It is looked at; its events fail; they are there, and end at once; it is looked at again.
            var call = Interlocked.Increment(ref calls);
            context.Response.StatusCode = call == 2 ? 503 : 200;
            context.Response.ContentType = call switch { 2 => "application/problem+json", 3 => "text/event-stream", _ => "application/json" };
            await context.Response.WriteAsync(call switch
            {
                1 => """{"id":"1","name":"troubled","state":"provisioning","version":3}""",
                2 => """{"title":"No","status":503,"detail":"Later."}""",
                3 => "id: 4\ndata: {\"version\":4,\"kind\":\"state\",\"state\":\"ready\"}\n\n",
                _ => """{"id":"1","name":"troubled","state":"ready","version":4}""",
            });
        });
        using var lab = new LabProcess(pretended.Address);

        var ran = (await lab.RunAsync("wait", Guid.CreateVersion7().ToString())).Must(Exit.Done);

        Assert.Equal("", ran.Error);
        Assert.Equal(4, calls);
    }
}
