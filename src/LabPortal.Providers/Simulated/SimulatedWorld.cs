using System.Diagnostics;
using System.Runtime.InteropServices;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using Microsoft.Data.Sqlite;
using NodaTime;

namespace LabPortal.Providers.Simulated;

/// <summary>
/// The world of simulated pools: a file that belongs to no portal. All processes that open it share it; it survives their kill; nothing
/// runs in the background, since states follow from stored instants and the clock. Tests read its history and script its faults
/// from any process. Safe for use by many threads.
/// </summary>
public sealed partial class SimulatedWorld(string path, TimeProvider time) : IAsyncDisposable
{
    private static readonly TimeSpan HangingLook = TimeSpan.FromMilliseconds(20);

    private readonly WorldFile _file = new(path);

    /// <summary>Where a pool's world is: its setting <c>world</c>, or a file of the pool's name in the data folder.</summary>
    public static string FileOf(PoolContext pool)
    {
        if (pool.Settings["world"]?.GetValue<string>() is { Length: > 0 } named) return Path.GetFullPath(named, pool.DataFolder);

        // A pool's name is free text, and a file's is not.
        return Path.Combine(pool.DataFolder, $"simulated-{Uri.EscapeDataString(pool.PoolName)}.world");
    }

    internal long Now => time.Now().ToMicroseconds();

    public ValueTask DisposeAsync() => _file.DisposeAsync();

    /// <summary>Everything that happened after this number, in order: each call that changes things, and each that suffered a fault.</summary>
    public Task<IReadOnlyList<WorldCall>> HistoryAsync(CancellationToken cancellation, long after = 0) => _file.ReadAsync<IReadOnlyList<WorldCall>>(rows => rows.Query(
        "SELECT number, at, verb, owner, effect, resources, outcome, process FROM calls WHERE number > @0 ORDER BY number",
        row => new WorldCall(row.GetInt64(0), Instants.FromMicroseconds(row.GetInt64(1)), row.GetString(2), row.Text(3), row.GetBoolean(4),
            row.GetInt32(5), row.GetString(6), row.GetInt32(7)), after), cancellation);

    /// <summary>Everything that is there now, whosever it is: the truth, without the delay of a pool's reads.</summary>
    public Task<IReadOnlyList<WorldResource>> ResourcesAsync(CancellationToken cancellation) => _file.ReadAsync<IReadOnlyList<WorldResource>>(rows => rows.Query(
        "SELECT kind, external_id, name, host, made_at FROM resources WHERE gone_at IS NULL OR gone_at > @0 ORDER BY name",
        row => new WorldResource(Enum.Parse<ResourceKind>(row.GetString(0)), row.GetString(1), row.GetString(2), row.GetString(3),
            Instants.FromMicroseconds(row.GetInt64(4))), Now), cancellation);

    public Task<WorldCount> CountAsync(CancellationToken cancellation) => _file.ReadAsync(rows =>
    {
        var seen = rows.Query("""
            SELECT coalesce(sum(max(machines, 0)), 0), coalesce(sum(max(-machines, 0)), 0), coalesce(sum(max(resources, 0)), 0), coalesce(sum(max(-resources, 0)), 0)
            FROM calls
            """, row => (Made: row.GetInt64(0), Removed: row.GetInt64(1), AllMade: row.GetInt64(2), AllRemoved: row.GetInt64(3))).Single();

        // A resource that is still going was counted as removed when its end was ordered.
        var present = rows.Query("SELECT coalesce(sum(kind = 'Machine'), 0), count(*) FROM resources WHERE gone_at IS NULL",
            row => (Machines: row.GetInt64(0), All: row.GetInt64(1))).Single();
        return new WorldCount(seen.Made, seen.Removed, present.Machines, seen.AllMade, seen.AllRemoved, present.All);
    }, cancellation);

    /// <summary>Adds a fault to the script; the answer names it for <see cref="ReleaseAsync"/> and <see cref="HangingAsync"/>.</summary>
    public Task<long> ScriptAsync(ScriptedFault fault, CancellationToken cancellation) => _file.WriteAsync(rows => rows.Value<long>("""
        INSERT INTO script (verb, subject, nth, times, moment, deed, fault, retry_after, message)
        VALUES (@0, @1, @2, @3, @4, @5, @6, @7, @8) RETURNING id
        """, fault.Verb?.Word(), fault.Subject, fault.Nth, fault.Times, (int)fault.Moment, (int)fault.Deed, (int)fault.Fault,
        fault.RetryAfter?.Ticks, fault.Message), cancellation);

    /// <summary>How many calls hang in this scripted fault now, or died there.</summary>
    public Task<long> HangingAsync(long script, CancellationToken cancellation) =>
        _file.ReadAsync(rows => rows.Value<long>("SELECT hanging FROM script WHERE id = @0", script), cancellation);

    /// <summary>Lets the calls that hang in this scripted fault go on, and all that come later.</summary>
    public Task ReleaseAsync(long script, CancellationToken cancellation) =>
        _file.WriteAsync(rows => rows.Run("UPDATE script SET released = 1 WHERE id = @0", script), cancellation);

    /// <summary>Empties the script; calls that hang go on.</summary>
    public Task ForgetScriptAsync(CancellationToken cancellation) => _file.WriteAsync(rows => rows.Run("DELETE FROM script"), cancellation);

    /// <summary>The guest turns itself off; false where it does not run.</summary>
    public Task<bool> ShutDownFromInsideAsync(Owner owner, CancellationToken cancellation) => FromOutsideAsync("outside-stop", owner.ResourceName, rows =>
        (0, rows.Run("UPDATE resources SET off_at = @1 WHERE name = @0 AND kind = 'Machine' AND ready_at <= @1 AND off_at IS NULL AND gone_at IS NULL",
            owner.ResourceName, Now)), cancellation);

    /// <summary>The guest writes to its disk; what was there is gone. The disk of no machine keeps nothing.</summary>
    public Task WriteDiskAsync(Owner owner, string content, CancellationToken cancellation) => _file.WriteAsync(rows => rows.Run(
        "INSERT INTO contents SELECT name, @1 FROM resources WHERE name = @0 AND gone_at IS NULL ON CONFLICT DO UPDATE SET content = excluded.content",
        owner.ResourceName + ".disk", content), cancellation);

    /// <summary>What was written to the disk last; empty where nothing was.</summary>
    public Task<string> ReadDiskAsync(Owner owner, CancellationToken cancellation) => _file.ReadAsync(
        rows => rows.Value<string>("SELECT content FROM contents WHERE disk = @0", owner.ResourceName + ".disk") ?? "", cancellation);

    /// <summary>Somebody deletes one resource by its name, and nothing else (a machine <c>X</c>, its disk <c>X.disk</c>); false where there is none.</summary>
    public Task<bool> RemoveFromOutsideAsync(string name, CancellationToken cancellation) => FromOutsideAsync("outside-delete", name, rows =>
    {
        var machine = rows.Value<long>("SELECT count(*) FROM resources WHERE name = @0 AND kind = 'Machine' AND gone_at IS NULL", name);
        var removed = rows.Run("DELETE FROM resources WHERE name = @0 AND gone_at IS NULL", name);
        return (-(int)machine, -removed);
    }, cancellation);

    /// <summary>A host stops answering (with this sentence), or answers again (null).</summary>
    public Task HostIsAwayAsync(string host, string? why, CancellationToken cancellation) => _file.WriteAsync(rows => why is null
        ? rows.Run("DELETE FROM away WHERE host = @0", host)
        : rows.Run("INSERT INTO away VALUES (@0, @1) ON CONFLICT (host) DO UPDATE SET why = excluded.why", host, why), cancellation);

    /// <summary>The name of the guest in this machine, while it runs.</summary>
    internal Task<string?> WhoRunsAsync(string machine, CancellationToken cancellation) => _file.ReadAsync(rows => rows.Query(
        "SELECT host_name FROM resources WHERE name = @0 AND gone_at IS NULL AND ready_at <= @1 AND problem IS NULL AND (off_at IS NULL OR off_at > @1)",
        row => row.Text(0), machine, Now).FirstOrDefault(), cancellation);

    private Task<bool> FromOutsideAsync(string deed, string owner, Func<Rows, (int Machines, int Changed)> change, CancellationToken cancellation) => _file.WriteAsync(rows =>
    {
        var (machines, changed) = change(rows);
        if (changed != 0) Record(rows, deed, owner, effect: true, machines, deed == "outside-delete" ? changed : 0, "done");
        return changed != 0;
    }, cancellation);

    /// <summary>
    /// One call over the wire: its fate is drawn and its effect happens in one transaction, so that the history and the world never
    /// disagree, whenever the caller is killed. A refusal by <paramref name="effect"/> has to come before its first change.
    /// </summary>
    internal async Task<T> CallAsync<T>(WireCall call, Func<Rows, Effect<T>> effect, CancellationToken cancellation)
    {
        if (!call.Changes && !call.Odds.Any && await UndisturbedAsync(effect, cancellation) is { } undisturbed) return undisturbed.OrThrow();

        var (fate, outcome) = await _file.WriteAsync<(Fate?, Outcome<T>?)>(rows =>
        {
            var drawn = Draw(rows, call);
            if (drawn is not { Moment: Moment.BeforeEffect }) return (drawn, Apply(rows, call, effect, drawn?.Outcome ?? "done"));
            Record(rows, call.Verb.Word(), call.OwnerName, effect: false, 0, 0, drawn.Outcome);
            return (drawn, null);
        }, cancellation);
        if (fate is not null) await SufferAsync(fate, cancellation);
        outcome ??= await _file.WriteAsync(rows => Apply(rows, call, effect, "done"), cancellation);
        return outcome.OrThrow();
    }

    /// <summary>A read that nothing can befall asks for no lock; null where the script may have something to say.</summary>
    private Task<Outcome<T>?> UndisturbedAsync<T>(Func<Rows, Effect<T>> effect, CancellationToken cancellation) => _file.ReadAsync(rows =>
        rows.Value<long>("SELECT EXISTS (SELECT 1 FROM script WHERE seen < nth + times - 1)") == 0 ? Look(rows, effect) : null, cancellation);

    private static Outcome<T> Look<T>(Rows rows, Func<Rows, Effect<T>> effect)
    {
        try
        {
            return new Outcome<T>(effect(rows), null);
        }
        catch (ProviderFault refusal)
        {
            return new Outcome<T>(default, refusal);
        }
    }

    private Outcome<T> Apply<T>(Rows rows, WireCall call, Func<Rows, Effect<T>> effect, string word)
    {
        var outcome = Look(rows, effect);
        if (outcome.Refusal is not null) word = "refused";
        if (call.Changes || word != "done")
            Record(rows, call.Verb.Word(), call.OwnerName, outcome.Effect.Changed, outcome.Effect.Machines, outcome.Effect.Resources, word);
        return outcome;
    }

    private void Record(Rows rows, string verb, string? owner, bool effect, int machines, int resources, string outcome) =>
        rows.Run("INSERT INTO calls (at, verb, owner, effect, machines, resources, outcome, process) VALUES (@0, @1, @2, @3, @4, @5, @6, @7)",
            Now, verb, owner, effect, machines, resources, outcome, Environment.ProcessId);

    private static Fate? Draw(Rows rows, WireCall call)
    {
        var number = rows.Value<long>("UPDATE counter SET calls = calls + 1 RETURNING calls");
        Fate? fate = null;

        // Each row counts the calls that match it, also those for which an earlier row decides.
        foreach (var (id, subject, due) in rows.Query(
            "SELECT id, subject, seen + 1 >= nth FROM script WHERE (verb IS NULL OR verb = @0) AND seen < nth + times - 1 ORDER BY id",
            row => (row.GetInt64(0), row.Text(1), row.GetBoolean(2)), call.Verb.Word()))
        {
            if (subject is not null && !call.IsAbout(subject)) continue;
            rows.Run("UPDATE script SET seen = seen + 1, hanging = hanging + @1 WHERE id = @0", id, due && fate is null ? 1 : 0);
            if (due) fate ??= rows.Query("SELECT moment, deed, fault, retry_after, message FROM script WHERE id = @0", row => ReadFate(row, id), id).Single();
        }

        return fate ?? call.Odds.Draw(number);
    }

    private static Fate ReadFate(SqliteDataReader row, long script)
    {
        var (moment, deed) = ((Moment)row.GetInt32(0), (Deed)row.GetInt32(1));
        return deed == Deed.Fail
            ? Fate.Failing(moment, (FaultKind)row.GetInt32(2), row.Long(3) is { } ticks ? TimeSpan.FromTicks(ticks) : null, row.Text(4), script)
            : new Fate(deed, moment, null, script);
    }

    private async Task SufferAsync(Fate fate, CancellationToken cancellation)
    {
        switch (fate.Deed)
        {
            case Deed.Fail:
                throw fate.Fault!;
            case Deed.Kill:
                Process.GetCurrentProcess().Kill();
                throw new UnreachableException("A killed process went on.");
            case Deed.Freeze:
                if (!OperatingSystem.IsLinux()) throw new PlatformNotSupportedException("Only Linux processes can freeze themselves.");
                await _file.BetweenTurnsAsync(() =>
                {
                    if (Raise(Stop) != 0) throw new InvalidOperationException("The process could not stop itself.");
                }, cancellation);
                break;
            default:
                // The wall clock: a test's own clock stands still while its call hangs.
                try
                {
                    while (!await _file.ReadAsync(rows => rows.Value<long?>("SELECT released FROM script WHERE id = @0", fate.Script) is null or 1, cancellation))
                        await Task.Delay(HangingLook, cancellation);
                }
                finally
                {
                    await _file.WriteAsync(rows => rows.Run("UPDATE script SET hanging = hanging - 1 WHERE id = @0", fate.Script), CancellationToken.None);
                }

                break;
        }
    }

    /// <summary>SIGSTOP on Linux, all architectures but MIPS, Alpha and SPARC (signal(7)).</summary>
    private const int Stop = 19;

    /// <summary>To this thread, which goes no further. A signal to the process may wait for another thread, while this one lets a transaction begin (pthreads(7), raise(3)).</summary>
    [LibraryImport("libc", EntryPoint = "raise")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Raise(int signal);

    private sealed record Outcome<T>(Effect<T> Effect, ProviderFault? Refusal)
    {
        public T OrThrow() => Refusal is null ? Effect.Value : throw Refusal;
    }
}

/// <summary>What a call did: its answer, and by how many machines and resources (machines among them) the world grew or shrank.</summary>
internal readonly record struct Effect<T>(T Value, bool Changed = false, int Machines = 0, int Resources = 0);
