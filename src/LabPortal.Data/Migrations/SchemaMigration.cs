using System.Data;
using FluentMigrator.Runner;
using Microsoft.Extensions.DependencyInjection;

namespace LabPortal.Data.Migrations;

/// <summary>Brings a database to this build's schema. Several processes may start at once: one migrates, the others wait.</summary>
public static class SchemaMigration
{
    /// <exception cref="SchemaOfAnotherBuild">The database was made by a build that this one cannot take over from; nothing was changed.</exception>
    public static Task ApplyAsync(Database database, CancellationToken cancellation) => ApplyAsync(database, () => { }, cancellation);

    /// <summary>With <paramref name="then"/> done under the same lock: what else makes its tables at the start.</summary>
    /// <exception cref="SchemaOfAnotherBuild">The database was made by a build that this one cannot take over from; nothing was changed.</exception>
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
            var runner = provider.GetRequiredService<IMigrationRunner>();
            RequireOurs(database, runner);
            runner.MigrateUp();
            then();
        }, cancellation);
    }

    private static void RequireOurs(Database database, IMigrationRunner runner)
    {
        if (!runner.Processor.TableExists(null, "VersionInfo")) return;
        var applied = Read(runner, "SELECT \"Version\" FROM \"VersionInfo\"", value => Convert.ToInt64(value, System.Globalization.CultureInfo.InvariantCulture));
        // Empty where somebody was stopped in the middle of the first migration.
        if (applied is []) return;
        var later = applied.Except(runner.MigrationLoader.LoadMigrations().Keys).ToList();
        if (later.Count > 0) throw new SchemaOfAnotherBuild($"The database {database.Dialect} was taken over by a later build, whose changes ({string.Join(", ", later)}) this one does not know: start that build.");
        var made = runner.Processor.TableExists(null, "schema_base") ? Read(runner, "SELECT fingerprint FROM schema_base", value => (string)value) : [];
        if (made is [var fingerprint] && fingerprint == Base0001.Fingerprint) return;
        throw new SchemaOfAnotherBuild(
            $"The database {database.Dialect} was made by another build, with another schema ({(made is [var other] ? other : "without a fingerprint")}; this build's is {Base0001.Fingerprint}). "
            + "Nothing is released yet, and until then no build takes over from another: start the one that made it, or name an empty LabPortal:DataFolder or LabPortal:Database. "
            + "What infra/run made is taken away by infra/run --remove.");
    }

    private static IReadOnlyList<T> Read<T>(IMigrationRunner runner, string sql, Func<object, T> read)
    {
        using var rows = runner.Processor.Read(sql);
        return [.. rows.Tables[0].Rows.Cast<DataRow>().Select(row => read(row[0]))];
    }
}

/// <summary>A database whose schema this build neither has nor can come from. Its sentence says what to do.</summary>
public sealed class SchemaOfAnotherBuild(string sentence) : Exception(sentence);
