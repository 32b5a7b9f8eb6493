using System.Text.Json.Nodes;
using LabPortal.Testing;

namespace LabPortal.Cli.Tests;

/// <summary>What a pipeline decides by.</summary>
public sealed class ExitTests(SharedPortal portal)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static TheoryData<string> All => [.. Enum.GetNames<Exit>()];

    [Theory]
    [MemberData(nameof(All))]
    public async Task Each_exit_code_is_really_given(string name)
    {
        var exit = Enum.Parse<Exit>(name);
        using var lab = portal.Lab();

        var ran = await GivenAsync(exit, lab);

        ran.Must(exit);
        if (exit != Exit.Done) Assert.NotEqual("", ran.Error);
        Assert.DoesNotContain("   at ", ran.Error, StringComparison.Ordinal);
        Assert.DoesNotContain(PortalProcess.AdminToken, ran.Error + ran.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_help_lists_each_exit_code_once_with_what_it_means()
    {
        using var lab = new LabProcess();

        var told = (await lab.RunAsync("help", "exit-codes")).Must(Exit.Done).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);

        Assert.Equal(Enum.GetValues<Exit>().Select(exit => $"{(int)exit,3}  {exit.Meaning()}").Append($"  *  {Exits.OfOthers}"), told);
        Assert.Equal(told.Length, told.Select(line => line[5..]).Distinct().Count());
    }

    [Theory]
    [InlineData("lab.over", 409, Exit.Refused)]
    [InlineData("call.too-many", 429, Exit.Refused)]
    [InlineData("actor.may-not", 403, Exit.NotAllowed)]
    [InlineData("input.invalid", 400, Exit.Invalid)]
    [InlineData("idempotency.mismatch", 422, Exit.Invalid)]
    internal async Task A_problem_becomes_an_exit_code_by_its_status(string code, int status, Exit exit)
    {
        await using var pretended = await PretendedPortal.SayingAsync($$"""{"title":"No","status":{{status}},"code":"{{code}}","detail":"It cannot be.","traceId":"t-1"}""", status);
        using var lab = new LabProcess(pretended.Address);

        var ran = (await lab.RunAsync("pools")).Must(exit);

        Assert.Equal("lab: No: It cannot be.\n", ran.Error);
        Assert.Equal("", ran.Output);
    }

    [Fact]
    public async Task What_answers_but_is_no_portal_is_said_to_be_none()
    {
        await using var page = await PretendedPortal.StartAsync(context => Microsoft.AspNetCore.Http.HttpResponseWritingExtensions.WriteAsync(context.Response, "<html>Hello</html>"));
        await using var elsewhere = await PretendedPortal.StartAsync(context =>
        {
            context.Response.Redirect("https://labs.example.org/api/v1/pools");
            return Task.CompletedTask;
        });

        foreach (var (address, said) in new[] { (page.Address, "not as a portal does"), (elsewhere.Address, "https://labs.example.org/") })
        {
            using var lab = new LabProcess(address);
            Assert.Contains(said, (await lab.RunAsync("pools")).Must(Exit.Unreachable).Error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Interrupted_before_the_answer_to_a_request_came_it_says_how_to_hear_of_the_lab()
    {
        var asked = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var silent = await PretendedPortal.StartAsync(async context =>
        {
            asked.TrySetResult(context.Request.Headers["Idempotency-Key"].Single()!);
            await Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
        });
        using var lab = new LabProcess(silent.Address);
        using var asking = lab.Run("request", "slow", "--team", "qa");
        var key = await asked.Task.WaitAsync(Cancellation);
        asking.Signal("INT");

        var left = (await asking.EndAsync()).Must(Exit.Interrupted);

        Assert.Contains($"--idempotency-key {key}", left.Error, StringComparison.Ordinal);
    }

    /// <summary>A command that ends like this.</summary>
    private async Task<Ran> GivenAsync(Exit exit, LabProcess lab)
    {
        switch (exit)
        {
            case Exit.Done:
                return await lab.RunAsync("blueprints");
            case Exit.Unexpected:
                await using (var broken = await PretendedPortal.SayingAsync("""{"title":"Internal Server Error","status":500,"code":"portal.fault","detail":"Something went wrong.","traceId":"7e57"}""", 500))
                {
                    lab.Environment["LAB_URL"] = broken.Address.AbsoluteUri;
                    var fault = await lab.RunAsync("pools");
                    Assert.Contains("trace id 7e57", fault.Error, StringComparison.Ordinal);
                    return fault;
                }

            case Exit.Invalid:
                return await lab.RunAsync("request", "pair", "--hours", "soon");
            case Exit.Refused:
                return await lab.RunAsync("request", "pair", "--team", "small");
            case Exit.NotAllowed:
                lab.Environment["LAB_TOKEN"] = "not-a-token";
                return await lab.RunAsync("list");
            case Exit.NotFound:
                return await lab.RunAsync("show", Guid.CreateVersion7().ToString());
            case Exit.LabFailed:
                using (var waiting = lab.Run("request", "slow", "--team", "qa", "--name", "to-be-cancelled", "--wait"))
                {
                    await ProvisioningAsync("to-be-cancelled");
                    (await lab.RunAsync("cancel", "to-be-cancelled")).Must(Exit.Done);
                    return await waiting.EndAsync();
                }

            case Exit.TimedOut:
                return await lab.RunAsync("request", "slow", "--team", "qa", "--wait", "--timeout", "0.5s");
            case Exit.Unreachable:
                lab.Environment["LAB_URL"] = "http://127.0.0.1:1/";
                return await lab.RunAsync("list");
            case Exit.Interrupted:
                using (var waiting = lab.Run("request", "slow", "--team", "qa", "--name", "only-the-wait", "--wait", "--verbose"))
                {
                    await ProvisioningAsync("only-the-wait");
                    await waiting.SaysAsync("/events");
                    waiting.Signal("INT");
                    var left = await waiting.EndAsync();
                    Assert.Contains("lab wait", left.Error, StringComparison.Ordinal);
                    // Only the waiting was interrupted.
                    using var client = portal.Client();
                    var labs = (await client.GetAsync("labs?q=only-the-wait", Cancellation)).Must(200)["items"]!.AsArray();
                    Assert.Equal("provisioning", (string)labs.Single()!["state"]!);
                    return left;
                }

            default:
                throw new ArgumentOutOfRangeException(nameof(exit), exit, "Nobody has seen this exit code.");
        }
    }

    /// <summary>Whoever waits without a terminal says nothing of it.</summary>
    private async Task ProvisioningAsync(string name)
    {
        using var client = portal.Client();
        while ((await client.GetAsync($"labs?q={name}&state=provisioning", Cancellation)).Must(200)["items"]!.AsArray().Count == 0) await Task.Delay(50, Cancellation);
    }
}
