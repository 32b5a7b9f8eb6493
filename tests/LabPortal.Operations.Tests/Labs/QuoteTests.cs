using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Costs;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.Labs;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Operations.Tests.Labs;

public sealed class QuoteTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_quote_says_price_and_quota_effect_of_what_would_be_made_and_changes_nothing(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa", ("team", "machines", 5), ("team", "labs", 9), ("person", "labs", 2));
        Assert.True((await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Ok);
        var before = await labs.RowsAsync();

        var quote = (await labs.Calls.QuoteAsync(ada, LabsUnderTest.Pair(hours: 1.5m), Cancellation)).Value;

        // Two machines of 1 vCPU, 1/8 GiB and 1 GiB of disk at 1, 0.5 and 0.01 an hour.
        var pool = Assert.Single(quote.Pools);
        Assert.Equal(("pretend", new Money(2_145_000, "EUR"), new Money(3_217_500, "EUR")), (pool.Pool, pool.PricePerHour, pool.PriceTotal));
        Assert.Null(pool.ReadyBy);
        Assert.Equal(
            [new("labs", "person", 2, 1, 2), new("labs", "team", 9, 1, 2), new("machines", "team", 5, 2, 4)],
            quote.Quota.OrderBy(effect => effect.Dimension, StringComparer.Ordinal).ThenBy(effect => effect.Scope, StringComparer.Ordinal));
        Assert.Null(quote.Refusal);
        Assert.Equal(before, await labs.RowsAsync());
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_quote_refuses_what_the_request_would_be_refused_and_changes_nothing(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa", ("team", "machines", 3));
        await labs.TeamAsync("others");
        Assert.True((await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Ok);
        var before = await labs.RowsAsync();

        var full = (await labs.Calls.QuoteAsync(ada, LabsUnderTest.Pair(), Cancellation)).Value;
        var wrong = (await labs.Calls.QuoteAsync(ada, LabsUnderTest.Pair(hours: 73), Cancellation)).Refusal!;
        var strange = (await labs.Calls.QuoteAsync(ada, LabsUnderTest.Pair("others"), Cancellation)).Refusal!;
        var nobody = (await labs.Calls.QuoteAsync(ada with { Person = null }, LabsUnderTest.Pair(), Cancellation)).Refusal!;

        Assert.Equal(before, await labs.RowsAsync());
        Assert.Equal(("quota.full", "team.machines", 3L, 2L, 2L), (full.Refusal!.Code, full.Refusal.Quota!.Rule, full.Refusal.Quota.Limit, full.Refusal.Quota.Held, full.Refusal.Quota.Asked));
        Assert.Equal(4, Assert.Single(full.Quota).After);
        Assert.NotEmpty(full.Pools);
        Assert.Equal("lease.beyond-ceiling", Assert.Single(wrong.Errors!).Code);
        Assert.Equal("team.unknown", Assert.Single(strange.Errors!).Code);
        Assert.Equal(RefusalKind.Forbidden, nobody.Kind);

        var asked = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Refusal!;
        Assert.Equal(asked.Quota!.Offers.Select(offer => offer.Code), full.Refusal.Quota.Offers.Select(offer => offer.Code));
        Assert.Equal((asked.Code, asked.Quota.Rule), (full.Refusal.Code, full.Refusal.Quota.Rule));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task The_catalogue_says_the_price_that_the_quote_says(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var calls = new CatalogueCalls(labs.Database, labs.Time, []);
        // Where nothing can be placed yet, there is no price.
        Assert.Null(Assert.Single(await calls.BlueprintsAsync(ada, Cancellation), view => view.Blueprint.Name == "pair").PricePerHour);

        await labs.Database.WriteAsync(async session => await PoolStore.SetProblemsAsync(session, (await PoolStore.FindAsync(session, "pretend"))!.Id, [], labs.Now), Cancellation);
        var quoted = Assert.Single((await labs.Calls.QuoteAsync(ada, LabsUnderTest.Pair(), Cancellation)).Value.Pools, pool => pool.Chosen).PricePerHour;
        Assert.Equal(new Money(2_145_000, "EUR"), quoted);
        Assert.Equal(quoted, Assert.Single(await calls.BlueprintsAsync(ada, Cancellation), view => view.Blueprint.Name == "pair").PricePerHour);
    }
}
