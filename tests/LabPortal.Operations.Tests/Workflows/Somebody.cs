using LabPortal.Data;
using LabPortal.Domain;
using Xunit;

namespace LabPortal.Operations.Tests.Workflows;

/// <summary>Somebody else's transaction: it holds what it locked until it is let go.</summary>
internal sealed class Somebody : IAsyncDisposable
{
    private readonly TaskCompletionSource _holds = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _letGo = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _transaction;

    private Somebody(Database database, string sql, object? parameters) => _transaction = database.WriteAsync(
        async session =>
        {
            await MayIdleAsync(session);
            await session.ExecuteAsync(sql, parameters);
            _holds.TrySetResult();
            await _letGo.Task;
        },
        CancellationToken.None);

    /// <summary>The portal's transactions are ended when they idle; a test's are meant to.</summary>
    public static Task MayIdleAsync(Session session) => session.ExecuteAsync("SET LOCAL idle_in_transaction_session_timeout = 0");

    public static Task<Somebody> LocksTheLabAsync(House house, LabId lab) => HoldsAsync(house, "SELECT 1 FROM labs WHERE id = @lab FOR UPDATE", new { lab });

    public static Task<Somebody> LocksThePoolAsync(House house, PoolId pool) => HoldsAsync(house, "SELECT 1 FROM pools WHERE id = @pool FOR UPDATE", new { pool });

    /// <summary>Nobody even reads a run meanwhile.</summary>
    public static Task<Somebody> LocksAllRunsAsync(House house) => HoldsAsync(house, "LOCK TABLE runs IN ACCESS EXCLUSIVE MODE");

    private static async Task<Somebody> HoldsAsync(House house, string sql, object? parameters = null)
    {
        var somebody = new Somebody(house.Database, sql, parameters);
        await await Task.WhenAny(somebody._holds.Task, somebody._transaction);
        return somebody;
    }

    /// <summary>Until so many transactions wait for a lock that another has.</summary>
    public static Task WaitsAsync(House house, int transactions) => Patience.UntilAsync(async () => await house.Database.ReadAsync(
        session => session.FindAsync<int>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"), CancellationToken.None) == transactions);

    public Task LetGoAsync()
    {
        _letGo.TrySetResult();
        return _transaction;
    }

    public async ValueTask DisposeAsync() => await LetGoAsync();
}

/// <summary>What comes to be is waited for; how long it takes on a busy machine says nothing.</summary>
internal static class Patience
{
    public static readonly TimeSpan Most = TimeSpan.FromMinutes(5);

    public static async Task UntilAsync(Func<Task<bool>> isSo)
    {
        var began = TimeProvider.System.GetTimestamp();
        while (!await isSo())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(began) < Most, "It does not come to be.");
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }
    }
}
