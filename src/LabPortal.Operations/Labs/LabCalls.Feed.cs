using System.Runtime.CompilerServices;
using System.Text;
using LabPortal.Data;
using LabPortal.Data.Audit;
using LabPortal.Data.Labs;
using LabPortal.Domain;
using LabPortal.Domain.Audit;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Machines;
using LabPortal.Operations.People;

namespace LabPortal.Operations.Labs;

/// <summary>The newest part of something that grows, oldest first; with <paramref name="More"/> there is something before it.</summary>
public sealed record Past<T>(IReadOnlyList<T> Items, bool More);

/// <summary>What a lab tells: its events, its machines' logs, its password.</summary>
public sealed partial class LabCalls
{
    private const int EventsAtOnce = 500;
    private const int MostPast = 500;
    private const int LogBytes = 256 * 1024;
    private const int LongestLine = 2000;
    private static readonly TimeSpan s_lookAnyway = TimeSpan.FromSeconds(30);

    /// <summary>
    /// The lab's events after <paramref name="afterVersion"/>, then each new one as it happens, from whichever process; without gap or repeat.
    /// Ends when the caller may no longer see the lab.
    /// </summary>
    public async IAsyncEnumerable<LabEvent> EventsAsync(Actor actor, LabId id, long afterVersion, [EnumeratorCancellation] CancellationToken cancellation)
    {
        // Subscribed before the first look: what happens in between is heard, and the version keeps it from being told twice.
        using var heard = database.Signals.Subscribe(Signal.Labs);
        var mine = id.ToString();
        var version = afterVersion;
        while (!cancellation.IsCancellationRequested)
        {
            IReadOnlyList<LabEvent> events;
            do
            {
                var look = await database.ReadAsync(async session => await MaySeeNowAsync(session, actor, id) ? await LabStore.EventsAsync(session, id, version, EventsAtOnce) : null, cancellation);
                if (look is null) yield break;
                events = look;
                foreach (var one in events)
                {
                    yield return one;
                    version = one.Version;
                }
            }
            while (events.Count == EventsAtOnce);

            await WaitAsync(heard, mine, cancellation);
        }
    }

    /// <summary>Until this lab was heard of, a gap, or the time is over.</summary>
    private async Task WaitAsync(Signals.Subscription heard, string mine, CancellationToken cancellation)
    {
        var until = time.GetTimestamp();
        while (true)
        {
            var left = s_lookAnyway - time.GetElapsedTime(until);
            if (left <= TimeSpan.Zero) return;
            var signals = await heard.WaitAsync(left, cancellation);
            if (signals.Any(signal => signal.Topic == Signal.Gap || signal.Payload == mine)) return;
        }
    }

    /// <summary>Rights are read anew: a role that was taken away counts while a page is open.</summary>
    private static async Task<bool> MaySeeNowAsync(Session session, Actor actor, LabId id)
        => await ActorNow.ReadAsync(session, actor) is { } now && (await SeeAsync(session, now, id)).Ok;

    /// <summary>The newest part of the lab's history, or what was before the version <paramref name="before"/>.</summary>
    public Task<Outcome<Past<LabEvent>>> HistoryAsync(Actor actor, LabId id, long? before, int limit, CancellationToken cancellation) => database.ReadAsync<Outcome<Past<LabEvent>>>(
        async session =>
        {
            var seen = await SeeAsync(session, actor, id);
            if (seen.Refusal is { } no) return no;
            limit = Math.Clamp(limit, 1, MostPast);
            return PastOf(await LabStore.LastEventsAsync(session, id, before, limit + 1), limit);
        },
        cancellation);

    /// <summary>
    /// Who last did what to the lab, or did before the line <paramref name="before"/>, refused or done. From which address somebody else did it is for
    /// those alone who read the audit.
    /// </summary>
    public Task<Outcome<Past<AuditLine>>> DoneToAsync(Actor actor, LabId id, Guid? before, int limit, CancellationToken cancellation) => database.ReadAsync<Outcome<Past<AuditLine>>>(
        async session =>
        {
            var seen = await SeeAsync(session, actor, id);
            if (seen.Refusal is { } no) return no;
            limit = Math.Clamp(limit, 1, MostPast);
            var lines = await AuditStore.ListAsync(session, new AuditFilter { ObjectKind = "lab", ObjectId = id.ToString() }, limit + 1, before);
            var all = May.Do(actor, Verb.SeeAudit);
            return PastOf<AuditLine>(
                [.. lines.Reverse().Select(row => AuditLine.Of(row) is var line && (all || row.Person == actor.Person) ? line : line with { Address = null, RequestId = null })], limit);
        },
        cancellation);

    /// <summary>Of what was read with one more than is wanted.</summary>
    private static Past<T> PastOf<T>(IReadOnlyList<T> read, int limit) => new([.. read.TakeLast(limit)], read.Count > limit);

    /// <summary>The end of what the machine printed on its serial port, as text with control characters made visible.</summary>
    public async Task<Outcome<string>> SerialLogAsync(Actor actor, LabId id, string machine, CancellationToken cancellation)
    {
        var draft = new AuditDraft(Verb.ReadSerialLog.Word(), "lab", id.ToString());
        draft.Detail["machine"] = machine.Length <= 100 ? machine : machine[..100];
        var found = await _audited.DoAsync<Machine>(actor, draft, async (session, _) =>
        {
            var seen = await SeeAsync(session, actor, id);
            if (seen.Refusal is { } no) return no;
            draft.Team = seen.Value.Team;
            if (!May.Do(actor, Verb.ReadSerialLog, seen.Value.Owner, seen.Value.Team)) return Refusal.Forbidden(Verb.ReadSerialLog.Word());
            return seen.Value.Machines.FirstOrDefault(entry => entry.Name == machine) is { } one ? one : Refusal.NotFound("machine", machine);
        }, cancellation);
        if (found.Refusal is { } refused) return refused;
        if (found.Value.Pool is not { } pool) return "";
        var installation = await database.ReadAsync(Installation.ReadAsync, cancellation);
        try
        {
            var open = await pools.OpenAsync(pool, cancellation);
            if (open.Provider is not ISerialLogAbility serial) return Refusal.Conflict("machine.no-serial-log", ("pool", open.Pool.Name));
            return Visible(await serial.ReadSerialLogAsync(new ResourceRef(found.Value.OwnerIn(installation), found.Value.Host), LogBytes, cancellation));
        }
        catch (ProviderFault fault)
        {
            return Refusal.Conflict("pool.does-not-answer", ("why", fault.Message));
        }
    }

    /// <summary>The generated password of the lab's machines, for its owner alone; audited each time. Not found where keys are used.</summary>
    public Task<Outcome<string>> RevealPasswordAsync(Actor actor, LabId id, CancellationToken cancellation)
    {
        var draft = new AuditDraft(Verb.RevealPassword.Word(), "lab", id.ToString());
        return _audited.DoAsync<string>(actor, draft, async (session, _) =>
        {
            var seen = await SeeAsync(session, actor, id);
            if (seen.Refusal is { } no) return no;
            draft.Team = seen.Value.Team;
            if (!May.Do(actor, Verb.RevealPassword, seen.Value.Owner, seen.Value.Team)) return Refusal.Forbidden(Verb.RevealPassword.Word());
            return await secrets.FindAsync(session, GuestSeeds.PasswordName(id)) is { } password ? password.Reveal() : Refusal.NotFound("password", id.ToString());
        }, cancellation);
    }

    /// <summary>
    /// What a guest printed, as text for people: control and formatting characters (escape sequences, text direction) as their code in
    /// angle brackets, lines cut, bytes that are no UTF-8 as U+FFFD.
    /// </summary>
    internal static string Visible(byte[] log)
    {
        var text = new StringBuilder();
        var column = 0;
        foreach (var rune in Encoding.UTF8.GetString(log).Replace("\r\n", "\n", StringComparison.Ordinal).EnumerateRunes())
        {
            if (rune.Value == '\n')
            {
                text.Append('\n');
                column = 0;
                continue;
            }

            if (++column > LongestLine)
            {
                if (column == LongestLine + 1) text.Append('…');
                continue;
            }

            var category = Rune.GetUnicodeCategory(rune);
            if (rune.Value == '\t') text.Append('\t');
            else if (category is System.Globalization.UnicodeCategory.Control or System.Globalization.UnicodeCategory.Format
                or System.Globalization.UnicodeCategory.LineSeparator or System.Globalization.UnicodeCategory.ParagraphSeparator) text.Append($"<{rune.Value:x2}>");
            else text.Append(rune.ToString());
        }

        return text.ToString();
    }
}
