using System.Net;
using System.Net.Sockets;
using System.Text;
using LabPortal.Data;
using LabPortal.Domain.Labs;
using LabPortal.Operations.People;
using LabPortal.Operations.Tests.Labs;
using LabPortal.Testing;
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

        using (var strict = new WebhookSweep(labs.Database, labs.Secrets, new AllowedHosts([]), labs.Time)) Assert.Equal(1, await strict.PassAsync(Cancellation));
        Assert.False(listener.Pending());
        Assert.Equal(1, await labs.CountAsync("SELECT count(*) FROM outbox WHERE sent_at IS NULL AND problem LIKE '%AllowedHosts%'"));
        var calls = new WebhookCalls(labs.Database, labs.Secrets, new AllowedHosts([]), labs.Time);
        var failing = Assert.Single((await calls.ListAsync(ada with { IsAdmin = true }, "qa", Cancellation)).Value).LastDelivery!;
        Assert.Equal(("failing", 1, true), (failing.State, failing.Attempts, failing.At > labs.Now));
        Assert.Contains("AllowedHosts", failing.Problem, StringComparison.Ordinal);

        labs.Time.Advance(TimeSpan.FromMinutes(1));
        using var listed = new WebhookSweep(labs.Database, labs.Secrets, new AllowedHosts(["127.0.0.1"]), labs.Time);
        var pass = listed.PassAsync(Cancellation);
        var (head, body) = await AnswerAsync(listener);
        Assert.Equal(1, await pass);
        Assert.Contains($"{WebhookSweep.SignatureHeader}: {WebhookSweep.Sign(body, "shared")}", head, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("lease.deletion-begun", Encoding.UTF8.GetString(body), StringComparison.Ordinal);
        Assert.Equal(0, await listed.PassAsync(Cancellation));
        Assert.Equal(1, await labs.CountAsync("SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL AND problem IS NULL"));
        Assert.Equal(new DeliveryView("delivered", labs.Now, 2, null), Assert.Single((await calls.ListAsync(ada with { IsAdmin = true }, "qa", Cancellation)).Value).LastDelivery);
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
