using LabPortal.Data;
using LabPortal.Operations.People;
using LabPortal.Testing;
using Microsoft.Extensions.DependencyInjection;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.People;

public sealed class SecretStoreTests(TestDatabases databases)
{
    private static readonly Instant s_now = Instant.FromUtc(2026, 3, 1, 9, 0);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_secret_comes_back_to_the_next_process_and_is_nowhere_in_the_database(Engine engine)
    {
        using var keys = new TestFolder();
        await using var database = await databases.CreateAsync(engine);
        await using (var first = Services(database, keys["keys"]))
            await database.WriteAsync(session => first.GetRequiredService<SecretStore>().SaveAsync(session, "pool/a", "swordfish \u00e9", s_now), Cancellation);
        await using var second = Services(database, keys["keys"]);
        var secrets = second.GetRequiredService<SecretStore>();
        Assert.Equal("swordfish \u00e9", (await secrets.FindAsync("pool/a", Cancellation))!.Reveal());
        Assert.Null(await secrets.FindAsync("pool/b", Cancellation));
        Assert.DoesNotContain("swordfish", (await database.ReadAsync(session => session.QueryAsync<string>("SELECT protected FROM secrets"), Cancellation))[0]);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, new DirectoryInfo(keys["keys"]).UnixFileMode);
        Assert.All(Directory.EnumerateFiles(keys["keys"]), file => Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, new FileInfo(file).UnixFileMode));
        await database.WriteAsync(session => session.ExecuteAsync("UPDATE secrets SET name = 'pool/b'"), Cancellation);
        await Assert.ThrowsAsync<InvalidOperationException>(() => secrets.FindAsync("pool/b", Cancellation));
        await database.WriteAsync(session => SecretStore.DeleteAsync(session, "pool/b"), Cancellation);
        Assert.Null(await secrets.FindAsync("pool/b", Cancellation));
    }

    private static ServiceProvider Services(Database database, string keys) => new ServiceCollection().AddSingleton(database).AddPortalSecrets(keys).BuildServiceProvider();
}
