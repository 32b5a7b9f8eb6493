using LabPortal.Data.Audit;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations.Audit;
using LabPortal.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Audit;

public sealed class AuditCallsTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Paging_by_key_gives_every_line_once_newest_first(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var time = new People.SetTime();
        var admin = Actor.Portal("sweep");
        for (var i = 0; i < 25; i++)
        {
            await database.WriteAsync(session => AuditStore.AppendAsync(
                session, admin, "end-lab", i % 5 == 0 ? "pool" : "lab", $"{i}", null, AuditStore.Done, new Dictionary<string, string> { ["n"] = $"{i}" }, time.Now(), time), Cancellation);
            time.Move(Duration.FromMilliseconds(1));
        }

        var calls = new AuditCalls(database);
        var seen = new List<string>();
        string? after = null;
        do
        {
            var page = (await calls.ListAsync(admin, null, null, 10, after, Cancellation)).Value;
            seen.AddRange(page.Items.Select(line => line.Detail["n"]));
            after = page.Next;
        }
        while (after is not null);
        Assert.Equal(Enumerable.Range(0, 25).Reverse().Select(i => $"{i}"), seen);
        Assert.Equal(5, (await calls.ListAsync(admin, "pool", null, 50, null, Cancellation)).Value.Items.Count);
        Assert.Single((await calls.ListAsync(admin, "lab", "7", 50, null, Cancellation)).Value.Items);
        Assert.Equal(RefusalKind.Forbidden, (await calls.ListAsync(admin with { IsAdmin = false }, null, null, 1, null, Cancellation)).Refusal!.Kind);
        Assert.Equal("page.key", (await calls.ListAsync(admin, null, null, 1, "'; DROP", Cancellation)).Refusal!.Errors![0].Code);
    }
}
