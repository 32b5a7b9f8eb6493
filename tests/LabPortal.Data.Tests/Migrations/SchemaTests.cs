using System.Text.RegularExpressions;
using LabPortal.Data.Migrations;
using LabPortal.Testing;
using Microsoft.Data.Sqlite;
using Xunit;

namespace LabPortal.Data.Tests.Migrations;

/// <summary>One SQL text makes both schemas; whether both databases understood the same is asked of their own catalogues.</summary>
public sealed partial class SchemaTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Both_databases_have_the_same_tables_columns_indexes_and_references()
    {
        await using var sqlite = await databases.CreateAsync(Engine.Sqlite);
        await using var postgres = await databases.CreateAsync(Engine.Postgres);

        var (embedded, server) = (await sqlite.ReadAsync(OfSqliteAsync, Cancellation), await postgres.ReadAsync(OfPostgresAsync, Cancellation));

        Assert.Equal(server.Columns, embedded.Columns);
        Assert.Equal(server.Indexes, embedded.Indexes);
        Assert.Equal(server.References, embedded.References);
        // What the text leaves without a name, PostgreSQL names itself.
        Assert.Empty(embedded.Rules.Except(server.Rules));
        Assert.Contains(new Index { Table = "webhooks", Columns = "team_id, address", Unique = true }, embedded.Indexes);
        Assert.Contains("webhooks_once", embedded.Rules);
    }

    [Fact]
    public async Task Every_rule_that_people_can_run_into_is_a_unique_rule_that_both_databases_tell_by_its_name()
    {
        await using var sqlite = await databases.CreateAsync(Engine.Sqlite);
        await using var postgres = await databases.CreateAsync(Engine.Postgres);
        var unique = await postgres.ReadAsync(
            async session => (await session.QueryAsync<Index>($"""SELECT i.relname AS name, t.relname AS "table", {IndexColumns} AS columns {FromIndexes} AND x.indisunique""")).ToDictionary(index => index.Name!),
            Cancellation);

        foreach (var rule in typeof(Rules).GetFields().Select(field => (string)field.GetRawConstantValue()!))
        {
            var violated = string.Join(", ", unique[rule].Columns.Split(", ").Select(column => $"{unique[rule].Table}.{column}"));
            Assert.Equal(rule, sqlite.Dialect.ViolatedRule(new SqliteException($"SQLite Error 19: 'UNIQUE constraint failed: {violated}'.", 19)));
        }
    }

    [Theory]
    [InlineData(Engine.Sqlite, "UPDATE schema_base SET fingerprint = 'ffffffffffffffff'", "made by another build, with another schema (ffffffffffffffff; this build's is ")]
    [InlineData(Engine.Postgres, "UPDATE schema_base SET fingerprint = 'ffffffffffffffff'", "made by another build, with another schema (ffffffffffffffff; this build's is ")]
    [InlineData(Engine.Sqlite, "DROP TABLE schema_base", "another schema (without a fingerprint; this build's is ")]
    [InlineData(Engine.Postgres, "DROP TABLE schema_base", "another schema (without a fingerprint; this build's is ")]
    [InlineData(Engine.Sqlite, Later, "taken over by a later build, whose changes (20991231)")]
    [InlineData(Engine.Postgres, Later, "taken over by a later build, whose changes (20991231)")]
    public async Task A_database_that_another_build_made_is_refused_with_what_to_do_and_stays_as_it_was(Engine engine, string madeSo, string sentence)
    {
        await using var database = await databases.CreateAsync(engine);
        await database.WriteAsync(session => session.ExecuteAsync(madeSo), Cancellation);
        var before = await database.ReadAsync(AppliedAsync, Cancellation);

        for (var start = 1; start <= 2; start++)
        {
            var refused = await Assert.ThrowsAsync<SchemaOfAnotherBuild>(() => SchemaMigration.ApplyAsync(database, () => Assert.Fail("Something was made."), Cancellation));
            Assert.Contains(sentence, refused.Message, StringComparison.Ordinal);
            Assert.Contains("start th", refused.Message, StringComparison.Ordinal);
            Assert.DoesNotContain("Password", refused.Message, StringComparison.OrdinalIgnoreCase);
        }

        Assert.Equal(before, await database.ReadAsync(AppliedAsync, Cancellation));
    }

    private const string Later = """INSERT INTO "VersionInfo" ("Version", "AppliedOn", "Description") VALUES (20991231, CURRENT_TIMESTAMP, 'later')""";

    private static Task<IReadOnlyList<long>> AppliedAsync(Session session) => session.QueryAsync<long>("""SELECT "Version" FROM "VersionInfo" ORDER BY 1""");

    private const string IndexColumns = "(SELECT string_agg(pg_get_indexdef(x.indexrelid, k, true), ', ' ORDER BY k) FROM generate_series(1, x.indnkeyatts) AS k)";

    private const string FromIndexes = """
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
        WHERE t.relnamespace = 'public'::regnamespace AND t.relname <> 'VersionInfo'
        """;

    private static async Task<Schema> OfPostgresAsync(Session session) => new(
        [.. await session.QueryAsync<Column>("""
            SELECT table_name AS "table", column_name AS name, data_type AS type, is_nullable = 'NO' AS required, regexp_replace(coalesce(column_default, ''), '::.*$', '') AS "default"
            FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'VersionInfo' ORDER BY table_name COLLATE "C", column_name COLLATE "C"
            """)],
        Sorted(await session.QueryAsync<Index>($"""SELECT t.relname AS "table", {IndexColumns} AS columns, x.indisunique AS "unique", x.indpred IS NOT NULL AS partial {FromIndexes}""")),
        Sorted(await session.QueryAsync<Reference>("""
            SELECT t.relname AS "table", a.attname AS "column", f.relname AS target, c.confdeltype = 'c' AS cascades
            FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class f ON f.oid = c.confrelid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = c.conkey[1]
            WHERE c.contype = 'f'
            """)),
        [.. await session.QueryAsync<string>("SELECT conname FROM pg_constraint"), .. await session.QueryAsync<string>("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")]);

    private static async Task<Schema> OfSqliteAsync(Session session)
    {
        const string Tables = "sqlite_master m WHERE m.type = 'table' AND m.name NOT IN ('VersionInfo', 'sqlite_sequence')";
        var from = $"FROM (SELECT m.name, m.sql FROM {Tables}) m";
        return new(
            // A primary key takes no NULL in PostgreSQL; SQLite has to be told in words, and no store of ours leaves one out.
            [.. await session.QueryAsync<Column>($"""
                SELECT m.name AS "table", c.name, lower(c.type) AS type, c."notnull" OR c.pk > 0 AS required, coalesce(c.dflt_value, '') AS "default"
                {from}, pragma_table_info(m.name) c ORDER BY m.name, c.name
                """)],
            Sorted(await session.QueryAsync<Index>($"""
                SELECT m.name AS "table", (SELECT group_concat(name, ', ') FROM (SELECT name FROM pragma_index_info(x.name) ORDER BY seqno)) AS columns, x."unique", x.partial {from}, pragma_index_list(m.name) x
                """)),
            Sorted(await session.QueryAsync<Reference>($"""
                SELECT m.name AS "table", f."from" AS "column", f."table" AS target, f.on_delete = 'CASCADE' AS cascades {from}, pragma_foreign_key_list(m.name) f
                """)),
            [
                .. (await session.QueryAsync<string>($"SELECT m.sql {from}")).SelectMany(sql => Named().Matches(sql).Select(match => match.Groups[1].Value)),
                .. await session.QueryAsync<string>("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND name NOT LIKE '%Version%'"),
            ]);
    }

    private static IReadOnlyList<T> Sorted<T>(IEnumerable<T> rows) => [.. rows.OrderBy(row => row!.ToString(), StringComparer.Ordinal)];

    [GeneratedRegex(@"CONSTRAINT (\w+)")]
    private static partial Regex Named();

    private sealed record Schema(IReadOnlyList<Column> Columns, IReadOnlyList<Index> Indexes, IReadOnlyList<Reference> References, IReadOnlyList<string> Rules);

    // Dapper fills these by name: SQLite has no booleans of its own, so no constructor fits both.
    private sealed record Column
    {
        public string Table { get; init; } = "";
        public string Name { get; init; } = "";
        public string Type { get; init; } = "";
        public bool Required { get; init; }
        public string Default { get; init; } = "";
    }

    private sealed record Index
    {
        public string Table { get; init; } = "";
        public string Columns { get; init; } = "";
        public bool Unique { get; init; }
        public bool Partial { get; init; }
        public string? Name { get; init; }
    }

    private sealed record Reference
    {
        public string Table { get; init; } = "";
        public string Column { get; init; } = "";
        public string Target { get; init; } = "";
        public bool Cascades { get; init; }
    }
}
