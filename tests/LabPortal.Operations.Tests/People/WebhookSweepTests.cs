using System.Text.Json.Nodes;
using System.Net;
using System.Net.Sockets;
using System.Text;
using LabPortal.Data;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.People;
using LabPortal.Operations.Settings;
using LabPortal.Operations.People;
using LabPortal.Operations.Tests.Labs;
using LabPortal.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace LabPortal.Operations.Tests.People;

public sealed class WebhookSweepTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData("127.0.0.1"), InlineData("169.254.169.254"), InlineData("10.1.2.3"), InlineData("172.31.0.1"), InlineData("192.168.1.1"), InlineData("100.64.0.1"), InlineData("0.0.0.0"),
     InlineData("::1"), InlineData("::"), InlineData("fe80::1"), InlineData("fd00::1"), InlineData("::ffff:127.0.0.1"), InlineData("64:ff9b::7f00:1"), InlineData("2002:7f00:1::")]
    public void An_address_inside_is_told_from_one_outside(string address) => Assert.True(OutsideAddress.IsInside(IPAddress.Parse(address)));

    [Theory, InlineData("9.9.9.9"), InlineData("172.32.0.1"), InlineData("2620:fe::fe")]
    public void An_address_outside_is_let_through(string address) => Assert.False(OutsideAddress.IsInside(IPAddress.Parse(address)));

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_notice_goes_out_signed_once_and_never_to_an_address_inside_that_nobody_listed(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var address = $"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}/hook";
        await TellAsync(labs, ada, address);

        using (var strict = new WebhookSweep(labs.Database, labs.Secrets, new LiveSettings([]), labs.Time, NullLogger<WebhookSweep>.Instance)) Assert.Equal(1, await strict.PassAsync(Cancellation));
        Assert.False(listener.Pending());
        Assert.Equal(1, await labs.CountAsync("SELECT count(*) FROM outbox WHERE sent_at IS NULL AND problem LIKE '%delivery.inside%'"));
        var calls = new WebhookCalls(labs.Database, labs.Secrets, new LiveSettings([]), labs.Time);
        var failing = Assert.Single((await calls.ListAsync(ada with { IsAdmin = true }, "qa", Cancellation)).Value).LastDelivery!;
        Assert.Equal(("failing", 1, true), (failing.State, failing.Attempts, failing.At > labs.Now));
        Assert.Equal(("delivery.inside", "127.0.0.1"), (failing.Problem!.Code, failing.Problem.Arguments["host"]));

        labs.Time.Advance(TimeSpan.FromMinutes(1));
        using var listed = new WebhookSweep(labs.Database, labs.Secrets, new LiveSettings(new JsonObject { ["webhook-hosts"] = "127.0.0.1" }), labs.Time, NullLogger<WebhookSweep>.Instance);
        var pass = listed.PassAsync(Cancellation);
        var (head, body) = await AnswerAsync(listener);
        Assert.Equal(1, await pass);
        Assert.Contains($"{WebhookSweep.SignatureHeader}: {WebhookSweep.Sign(body, "shared")}", head, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("lease.deletion-begun", Encoding.UTF8.GetString(body), StringComparison.Ordinal);
        Assert.Equal(0, await listed.PassAsync(Cancellation));
        Assert.Equal(1, await labs.CountAsync("SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL AND problem IS NULL"));
        Assert.Equal(new DeliveryView("delivered", labs.Now, 2, null), Assert.Single((await calls.ListAsync(ada with { IsAdmin = true }, "qa", Cancellation)).Value).LastDelivery);
    }

    [Theory]
    [InlineData("http", null, "delivery.connection")]
    [InlineData("http", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "delivery.status")]
    [InlineData("http", "220 mail.example.org ESMTP\r\n", "delivery.answer")]
    [InlineData("http", "", "delivery.answer")]
    [InlineData("https", "220 mail.example.org ESMTP\r\n", "delivery.tls")]
    [InlineData("http", "HTTP/1.1 503 \u001b[2J\u001b]0;evil\a<img src=x onerror=alert(1)>\r\nContent-Length: 0\r\n\r\n", "delivery.status")]
    [InlineData("http", "\u001b[2J\u001b]0;evil\a\u009b31m<img src=x onerror=alert(1)>\r\n\r\n", "delivery.answer")]
    [InlineData("http", "HTTP/1.1 200 OK\r\nX: LONG\r\n\r\n", "delivery.answer")]
    [InlineData("http", "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n", "delivery.status", "302")]
    [InlineData("http", "HTTP/1.1 503 Unavailable\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\nLONG", "delivery.status")]
    public async Task A_delivery_that_fails_says_why_by_a_code(string scheme, string? answer, string code, string status = "503")
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, Engine.Sqlite);
        var ada = await labs.TeamAsync("qa");
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        await TellAsync(labs, ada, $"{scheme}://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}/hook");
        if (answer is null) listener.Stop();

        var log = new Heard();
        using var sweep = new WebhookSweep(labs.Database, labs.Secrets, new LiveSettings(new JsonObject { ["webhook-hosts"] = "127.0.0.1" }), labs.Time, log);
        var pass = sweep.PassAsync(Cancellation);
        if (answer is not null)
        {
            using var client = await listener.AcceptTcpClientAsync(Cancellation);
            Assert.True(await client.GetStream().ReadAsync(new byte[64 * 1024], Cancellation) > 0);
            await client.GetStream().WriteAsync(Encoding.Latin1.GetBytes(answer.Replace("LONG", new string('x', 20_000), StringComparison.Ordinal)), Cancellation);
            // One that goes on without end is not waited for.
            if (!answer.Contains("chunked", StringComparison.Ordinal)) client.Client.Shutdown(SocketShutdown.Send);
            await pass;
        }

        Assert.Equal(1, await pass);
        var calls = new WebhookCalls(labs.Database, labs.Secrets, new LiveSettings([]), labs.Time);
        var problem = Assert.Single((await calls.ListAsync(ada with { IsAdmin = true }, "qa", Cancellation)).Value).LastDelivery!.Problem!;
        Assert.Equal(code, problem.Code);
        Assert.Equal(code == "delivery.status" ? status : null, problem.Arguments.GetValueOrDefault("status"));
        // Nothing that the other side sent is kept, and the log quotes it on one line.
        Assert.All(problem.Arguments.Values, word => Assert.Matches(@"^[0-9a-z.]{1,20}\z", word));
        Assert.Equal(code == "delivery.status" ? 0 : 1, log.Lines.Count);
        Assert.All(log.Lines, line => Assert.Equal(line, ForeignText.Of(line, 700)));
    }

    /// <summary>Names and messages are data of the body, whatever they hold; nothing of them comes into the head.</summary>
    [Fact]
    public async Task What_a_webhook_receives_is_what_was_told_and_nothing_leaves_its_place()
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, Engine.Sqlite);
        var ada = await labs.TeamAsync("qa");
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        await TellAsync(labs, ada, $"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}/hook");
        var told = new JsonObject { ["name"] = ForeignText.Of(HostileStrings.Everything), ["message"] = "\r\nX-Evil: 1\r\n\r\n\u001b[2J\u202e\"}" + new string('x', 10_000) };
        await labs.Database.WriteAsync(session => session.ExecuteAsync("UPDATE notices SET arguments = @told", new { told = told.ToJsonString() }), Cancellation);

        using var sweep = new WebhookSweep(labs.Database, labs.Secrets, new LiveSettings(new JsonObject { ["webhook-hosts"] = "127.0.0.1" }), labs.Time, NullLogger<WebhookSweep>.Instance);
        var pass = sweep.PassAsync(Cancellation);
        var (head, body) = await AnswerAsync(listener);
        await pass;
        Assert.Equal(["Content-Length", "Content-Type", "Host", WebhookSweep.DeliveryHeader, WebhookSweep.SignatureHeader], head.Split("\r\n").Skip(1).Select(line => line.Split(':')[0]).Order(StringComparer.Ordinal));
        Assert.All(body, one => Assert.InRange(one, (byte)' ', (byte)'~'));
        Assert.True(JsonNode.DeepEquals(told, JsonNode.Parse(body)!["arguments"]));
    }

    private sealed class Heard : ILogger<WebhookSweep>
    {
        public List<string> Lines { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            lock (Lines) Lines.Add(formatter(state, exception) + exception);
        }
    }

    [Theory, InlineData(SocketError.HostNotFound), InlineData(SocketError.NoData), InlineData(SocketError.TryAgain)]
    public void A_name_that_leads_nowhere_is_told_from_a_host_that_is_away(SocketError error)
        => Assert.Equal("delivery.name", WebhookSweep.Why(new HttpRequestException(HttpRequestError.ConnectionError, null, new SocketException((int)error)), "hooks.example.org").Code);

    /// <summary>The team's webhook, and a notice that is due for it.</summary>
    private static async Task TellAsync(LabsUnderTest labs, Actor ada, string address)
    {
        await labs.Database.WriteAsync(
            async session =>
            {
                await labs.Secrets.SaveAsync(session, "webhook/1", "shared", labs.Now);
                await session.ExecuteAsync(
                    "INSERT INTO webhooks (id, team_id, address, secret_name, created_at) VALUES ('00000000-0000-0000-0000-000000000001', @Team, @address, 'webhook/1', 0)", new { Team = ada.Teams.Keys.Single(), address });
            },
            Cancellation);
        var lab = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Value.Id;
        await labs.BecomeAsync(lab, LabState.Grace);
        labs.Time.Advance(TimeSpan.FromHours(9));
        await labs.Sweep().PassAsync(Cancellation);
    }

    private static async Task<(string Head, byte[] Body)> AnswerAsync(TcpListener listener)
    {
        using var client = await listener.AcceptTcpClientAsync(Cancellation);
        await using var stream = client.GetStream();
        var read = new List<byte>();
        var buffer = new byte[4096];
        int split;
        while ((split = Encoding.Latin1.GetString([.. read]).IndexOf("\r\n\r\n", StringComparison.Ordinal)) < 0) read.AddRange(buffer[..await stream.ReadAsync(buffer, Cancellation)]);
        var head = Encoding.Latin1.GetString([.. read], 0, split);
        var length = int.Parse(head.Split("\r\n").Single(line => line.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase)).Split(':')[1]);
        while (read.Count < split + 4 + length) read.AddRange(buffer[..await stream.ReadAsync(buffer, Cancellation)]);
        await stream.WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"u8.ToArray(), Cancellation);
        return (head, [.. read.Skip(split + 4)]);
    }
}
