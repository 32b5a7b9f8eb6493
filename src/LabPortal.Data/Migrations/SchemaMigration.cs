using FluentMigrator.Runner;
using Microsoft.Extensions.DependencyInjection;

namespace LabPortal.Data.Migrations;

/// <summary>Brings a database to this build's schema. Several processes may start at once: one migrates, the others wait.</summary>
public static class SchemaMigration
{
    public static Task ApplyAsync(Database database, CancellationToken cancellation) => ApplyAsync(database, () => { }, cancellation);

    /// <summary>With <paramref name="then"/> done under the same lock: what else makes its tables at the start.</summary>
    public static async Task ApplyAsync(Database database, Action then, CancellationToken cancellation)
    {
        await database.Dialect.MigrateAlone(() =>
        {
            var services = new ServiceCollection().AddFluentMigratorCore().ConfigureRunner(runner =>
            {
                database.Dialect.ConfigureMigrations(runner);
                runner.ScanIn(typeof(SchemaMigration).Assembly).For.Migrations();
            });
            using var provider = services.BuildServiceProvider(validateScopes: false);
            provider.GetRequiredService<IMigrationRunner>().MigrateUp();
            then();
        }, cancellation);
    }
}
