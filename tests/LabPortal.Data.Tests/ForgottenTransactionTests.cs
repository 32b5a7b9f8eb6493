using System.Data.Common;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Data.Tests;

public sealed class ForgottenTransactionTests(TestDatabases databases)
{
    private const string Lock = "SELECT pg_advisory_xact_lock(1)";

    [Fact]
    public async Task Who_sleeps_in_a_transaction_does_not_keep_its_locks_nor_commits_when_it_wakes()
    {
        await using var database = await databases.CreateAsync(Engine.Postgres);
        var (locked, awake) = (new TaskCompletionSource(), new TaskCompletionSource());
        var sleeping = database.WriteAsync(
            async session =>
            {
                await session.ExecuteAsync(Lock);
                locked.SetResult();
                await awake.Task;
            },
            TestContext.Current.CancellationToken);
        await locked.Task;

        await database.WriteAsync(session => session.ExecuteAsync(Lock), TestContext.Current.CancellationToken);

        Assert.False(sleeping.IsCompleted);
        awake.SetResult();
        await Assert.ThrowsAnyAsync<DbException>(() => sleeping);
    }
}
