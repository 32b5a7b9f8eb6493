using System.Globalization;
using LabPortal.Data;
using LabPortal.Data.Consoles;
using LabPortal.Data.Labs;
using LabPortal.Data.People;
using LabPortal.Domain;
using LabPortal.Domain.Consoles;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Labs;
using LabPortal.Operations.People;
using LabPortal.Operations.Pools;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Consoles;

/// <summary>What opens a console once, within <see cref="ConsoleCalls.TokenLife"/>. The token is shown to whoever asked, and nowhere else.</summary>
public sealed record ConsoleTicket(ConsoleKind Kind, string Token, Instant ExpiresAt)
{
    public override string ToString() => $"{Kind} until {ExpiresAt}";
}

/// <summary>Somebody who was let in: to which machine, in which generation; to do something there, or only to watch.</summary>
public sealed record ConsolePass(ConsoleKind Kind, Actor Actor, LabId Lab, string LabName, TeamId Team, Machine Machine, bool MayType);

/// <summary>The ways into one machine. <paramref name="IsWhole"/>: its pool could say what it has; else it may have more.</summary>
public sealed record ConsoleOffer(IReadOnlyList<ConsoleKind> Kinds, bool IsWhole);

/// <summary>How a console was used; counted from the person's side.</summary>
public sealed record ConsoleUse(Duration Length, long BytesTyped, long BytesShown, string Why);

/// <summary>
/// Who may go into which machine, and who did. A token is for one person, one session of theirs, one machine in one generation; used up by
/// one statement in the database, so that it counts once for all nodes.
/// </summary>
public sealed class ConsoleCalls(Database database, TimeProvider time, OpenPools pools, ILogger<ConsoleCalls> log)
{
    public static readonly Duration TokenLife = Duration.FromSeconds(30);

    private const string Begin = "begin-console";
    private const string End = "end-console";
    private readonly AuditedWrite _audited = new(database, time);

    /// <summary>Lets the caller into the machine once, in the same session, within <see cref="TokenLife"/>.</summary>
    public async Task<Outcome<ConsoleTicket>> AskAsync(Actor actor, LabId id, string machine, ConsoleKind kind, CancellationToken cancellation)
    {
        var token = SecretText.New();
        var draft = new AuditDraft(Verb.OpenConsole.Word(), "lab", id.ToString());
        draft.Detail["machine"] = machine.Length <= 100 ? machine : machine[..100];
        draft.Detail["kind"] = kind.Word();
        // Its pool is asked before anything is written, and outside of the transaction.
        var offered = await OfferedAsync(actor, id, machine, cancellation);
        return await _audited.DoAsync<ConsoleTicket>(actor, draft, async (session, now) =>
        {
            var allowed = await AllowAsync(session, actor, id, kind, draft);
            if (allowed.Refusal is { } no) return no;
            if (allowed.Value.Lab.Machines.FirstOrDefault(found => found.Name == machine) is not { } one) return Refusal.NotFound("machine", machine);
            if (WhyNot(allowed.Value.Lab, one) is { } closed) return closed;
            if (!offered.Contains(kind)) return Refusal.Conflict(kind == ConsoleKind.Ssh ? "console.no-address" : "console.not-here", ("machine", machine), ("kind", kind.Word()));
            if (actor is not { Person: { } person, Session: { } asked }) return new Refusal(RefusalKind.Forbidden, "console.no-session");
            var ticket = new ConsoleTicket(kind, token, now + TokenLife);
            await ConsoleTokenStore.AddAsync(session, new ConsoleToken(SecretText.Hash(token), kind, id, one.Id, one.Generation, person, asked, ticket.ExpiresAt), now);
            return ticket;
        }, cancellation);
    }

    /// <summary>The ways into a machine that its pool has, while it runs; also those that the caller may only watch.</summary>
    public async Task<IReadOnlyList<ConsoleKind>> OfferedAsync(Actor actor, LabId id, string machine, CancellationToken cancellation)
        => (await OfferedAsync(actor, id, found => found.Name == machine, cancellation)).GetValueOrDefault(machine)?.Kinds ?? [];

    /// <summary>The same for each machine of a lab, by name. No trouble of a pool is one of whoever asks.</summary>
    public Task<IReadOnlyDictionary<string, ConsoleOffer>> OfferedAsync(Actor actor, LabId id, CancellationToken cancellation) => OfferedAsync(actor, id, _ => true, cancellation);

    private async Task<IReadOnlyDictionary<string, ConsoleOffer>> OfferedAsync(Actor actor, LabId id, Func<Machine, bool> asked, CancellationToken cancellation)
    {
        var offers = new Dictionary<string, ConsoleOffer>();
        var (allowed, installation, hasKey) = await database.ReadAsync(
            async session => (await AllowAsync(session, actor, id, ConsoleKind.Serial, new AuditDraft("", "")), await Installation.ReadAsync(session),
                (await ProtectedTextStore.ExistingAsync(session, [PortalKey.NameOf(id)])).Count > 0),
            cancellation);
        if (!allowed.Ok) return offers;
        var opened = new Dictionary<PoolId, OpenPool?>();
        foreach (var machine in allowed.Value.Lab.Machines.Where(asked))
        {
            if (machine is not { State: MachineState.Running, Pool: { } home })
            {
                offers[machine.Name] = new ConsoleOffer([], IsWhole: true);
                continue;
            }

            if (!opened.TryGetValue(home, out var pool)) opened[home] = pool = await TryAsync(home, () => pools.OpenAsync(home, cancellation));
            var own = pool is null ? null : await TryAsync(home, () => Task.FromResult(Own(machine, pool)));
            // The way to an address does not need the pool.
            offers[machine.Name] = new ConsoleOffer([.. own ?? [], .. allowed.Value.MayType && Tunnel.AddressesOf(machine).Count > 0 ? [ConsoleKind.Ssh] : Array.Empty<ConsoleKind>()], own is not null);
        }

        return offers;

        IReadOnlyList<ConsoleKind> Own(Machine machine, OpenPool pool) =>
        [
            .. pool.Provider is ISerialConsoleAbility ? [ConsoleKind.Serial] : Array.Empty<ConsoleKind>(),
            .. pool.Provider is IScreenAbility screens && screens.HasScreen(new ResourceRef(machine.OwnerIn(installation), machine.Host)) ? [ConsoleKind.Vnc] : Array.Empty<ConsoleKind>(),
            .. hasKey && Tunnel.AddressesOf(machine).Count > 0 && pool.Pool.Settings["reach"]?.GetValue<string>() == "direct" ? [ConsoleKind.Terminal] : Array.Empty<ConsoleKind>(),
        ];

        async Task<T?> TryAsync<T>(PoolId pool, Func<Task<T>> ask)
            where T : class
        {
            try
            {
                return await ask();
            }
            catch (Exception fault) when (!cancellation.IsCancellationRequested)
            {
                log.LogWarning(fault, "Pool {Pool} could not say which consoles it has for machines of lab {Lab}.", pool, id);
                return null;
            }
        }
    }

    /// <summary>
    /// Uses the token up, for the person and the session that it was made for. Whatever is wrong is refused and audited: used twice, late, by
    /// another person, from another session, or from the page of another site (<paramref name="strangeOrigin"/>).
    /// </summary>
    public Task<Outcome<ConsolePass>> EnterAsync(Actor actor, string token, string? strangeOrigin, CancellationToken cancellation)
    {
        var hash = SecretText.Hash(token);
        var draft = new AuditDraft(Begin, "lab");
        return _audited.DoAsync<ConsolePass>(actor, draft, async (session, now) =>
        {
            if (await ConsoleTokenStore.FindAsync(session, hash) is not { } made) return No("console.token-unknown");
            draft.ObjectId = made.Lab.ToString();
            draft.Detail["kind"] = made.Kind.Word();
            var lab = await LabStore.FindAsync(session, made.Lab);
            var machine = lab?.Machines.FirstOrDefault(found => found.Id == made.Machine);
            draft.Team = lab?.Team;
            draft.Detail["machine"] = machine?.Name ?? made.Machine.ToString();
            if (made.Person != actor.Person) return No("console.token-of-another");
            if (made.Session != actor.Session) return No("console.other-session");
            if (strangeOrigin is not null) return new Refusal(RefusalKind.Forbidden, "console.other-origin", [("origin", strangeOrigin.Length <= 200 ? strangeOrigin : strangeOrigin[..200])]);
            if (!await ConsoleTokenStore.TakeAsync(session, hash, made.Person, made.Session, now))
                return No((await ConsoleTokenStore.FindAsync(session, hash))?.UsedAt is not null ? "console.token-used" : "console.token-late");
            var allowed = await AllowAsync(session, actor, made.Lab, made.Kind, draft);
            if (allowed.Refusal is { } no) return no;
            var (seen, mayType) = allowed.Value;
            if (!mayType) draft.Detail["watches"] = "true";
            if (machine is null || machine.Generation != made.Generation) return Refusal.Conflict("console.machine-changed");
            if (made.Kind is ConsoleKind.Ssh or ConsoleKind.Terminal) draft.Detail["hostKey"] = Word(await HostKeyStore.FindAsync(session, machine.Id, machine.Generation));
            return WhyNot(seen, machine) is { } closed ? closed : new ConsolePass(made.Kind, actor, seen.Id, seen.Name, seen.Team, machine, mayType);
        }, cancellation);

        static Refusal No(string code) => new(RefusalKind.Forbidden, code);

        // What tells this machine from another one at its address.
        static string Word(HostKeyRow? key) => key is null ? "first-seen" : key.PublicKey is null ? "seen-before" : "given";
    }

    /// <summary>Why somebody who is in may not stay: a right, the session or the machine is gone. Empty while all is well.</summary>
    public Task<Refusal?> WhyNotStayAsync(ConsolePass pass, CancellationToken cancellation) => database.ReadAsync(
        async session =>
        {
            if (await ActorNow.ReadAsync(session, pass.Actor) is not { } actor || !await TokenLivesAsync(session, actor)) return Refusal.Forbidden(Verb.OpenConsole.Word());
            var allowed = await AllowAsync(session, actor, pass.Lab, pass.Kind, new AuditDraft("", ""));
            if (allowed.Refusal is { } no) return no;
            var (lab, mayType) = allowed.Value;
            // Who may only watch from now on comes in again as such.
            if (pass.MayType && !mayType) return Refusal.Forbidden(Verb.OpenConsole.Word());
            return lab.Machines.FirstOrDefault(found => found.Id == pass.Machine.Id) is { } machine && machine.Generation == pass.Machine.Generation
                ? WhyNot(lab, machine)
                : Refusal.Conflict("console.machine-changed");
        },
        cancellation);

    /// <summary>How it was used and why it ended, in the audit.</summary>
    public Task LeaveAsync(ConsolePass pass, ConsoleUse use, CancellationToken cancellation)
    {
        var draft = new AuditDraft(End, "lab", pass.Lab.ToString()) { Team = pass.Team };
        draft.Detail["name"] = pass.LabName;
        draft.Detail["machine"] = pass.Machine.Name;
        draft.Detail["kind"] = pass.Kind.Word();
        draft.Detail["seconds"] = ((long)use.Length.TotalSeconds).ToString(CultureInfo.InvariantCulture);
        draft.Detail["typed"] = use.BytesTyped.ToString(CultureInfo.InvariantCulture);
        draft.Detail["shown"] = use.BytesShown.ToString(CultureInfo.InvariantCulture);
        draft.Detail["why"] = use.Why;
        return _audited.DoAsync<Done>(pass.Actor, draft, (_, _) => Task.FromResult<Outcome<Done>>(new Done()), cancellation);
    }

    /// <summary>How its pool knows a machine.</summary>
    internal async Task<ResourceRef> ReferenceAsync(Machine machine, CancellationToken cancellation)
        => new(machine.OwnerIn(await database.ReadAsync(Installation.ReadAsync, cancellation)), machine.Host);

    /// <summary>Who may not act on a lab but sees it may look on, where there is something to look at.</summary>
    private static async Task<Outcome<(Lab Lab, bool MayType)>> AllowAsync(Session session, Actor actor, LabId id, ConsoleKind kind, AuditDraft draft)
    {
        if (await LabStore.FindAsync(session, id) is not { } lab || !May.Do(actor, Verb.SeeLab, lab.Owner, lab.Team)) return Refusal.NotFound("lab", id.ToString());
        draft.Team = lab.Team;
        draft.Detail["name"] = lab.Name;
        if (May.Do(actor, Verb.OpenConsole, lab.Owner, lab.Team)) return (lab, true);
        return kind != ConsoleKind.Ssh && May.Do(actor, Verb.WatchConsole, lab.Owner, lab.Team) ? (lab, false) : Refusal.Forbidden(Verb.OpenConsole.Word());
    }

    private static Refusal? WhyNot(Lab lab, Machine machine)
    {
        if (lab.Frozen) return Refusal.Conflict("lab.frozen", ("verb", Verb.OpenConsole.Word()));
        return machine.State == MachineState.Running ? null : Refusal.Conflict("console.not-running", ("machine", machine.Name), ("state", machine.State.Word()));
    }

    /// <summary>An API token that was taken back ends what was begun with it.</summary>
    private async Task<bool> TokenLivesAsync(Session session, Actor actor) => actor.Channel != Channel.Token
        || (await ApiTokenStore.ListAsync(session, actor.Person!.Value)).Any(token => Ids.Canonical(token.Id) == actor.Session && token.ExpiresAt > time.Now());
}
