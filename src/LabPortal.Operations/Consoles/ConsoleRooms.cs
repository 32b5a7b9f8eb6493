using System.Collections.Concurrent;
using LabPortal.Data;
using LabPortal.Data.Consoles;
using LabPortal.Data.Images;
using LabPortal.Domain;
using LabPortal.Domain.Consoles;
using LabPortal.Domain.Pools;
using LabPortal.Operations.People;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Workflows;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Consoles;

/// <summary>The consoles that somebody of this process looks at: one room for each kind of each machine, however many look.</summary>
public sealed class ConsoleRooms(Database database, ConsoleCalls calls, OpenPools pools, SecretStore secrets, WorkerLease lease, PortalNode node, TimeProvider time, ILogger<ConsoleRooms> log)
{
    private readonly ConcurrentDictionary<(MachineId Machine, int Generation, ConsoleKind Kind), Lazy<Task<Opening>>> _rooms = new();

    /// <summary>Where the node is that has the room which this token leads to; empty where that is this one, or nobody's yet.</summary>
    public async Task<ConsoleRoomRow?> ElsewhereAsync(string token, CancellationToken cancellation)
    {
        if (node.IsAlone) return null;
        var room = await database.ReadAsync(session => ConsoleRoomStore.FindAsync(session, SecretText.Hash(token)), cancellation);
        return room is { Address: { } address } && room.Worker != lease.Id && address != node.Address() && !lease.Lapsed().Contains(room.Worker) ? room : null;
    }

    /// <summary>Where nobody listens any more there are no rooms: they are opened elsewhere, without waiting for that node's beat to lapse.</summary>
    public Task ForgetAsync(ConsoleRoomRow there, CancellationToken cancellation)
    {
        if (lease.IsFresh(there.Worker))
            log.LogWarning("Nobody listens at {Address}, where worker {Worker} should be, which beat just now. Unless it has just ended, its LabPortal:NodeAddress is wrong.", there.Address, there.Worker);
        return database.WriteAsync(session => ConsoleRoomStore.ForgetAsync(session, there), cancellation);
    }

    /// <summary>A seat in the machine's room, which is opened for the first; or why there is none.</summary>
    internal async Task<(ConsoleSeat? Seat, string Why)> JoinAsync(ConsolePass pass, bool takeOver, CancellationToken cancellation)
    {
        var key = (pass.Machine.Id, pass.Machine.Generation, pass.Kind);
        while (true)
        {
            // A shell is begun by who may use it; others look on.
            if (pass is { Kind: ConsoleKind.Terminal, MayType: false } && !_rooms.ContainsKey(key)) return (null, ConsoleEnd.NobodyThere);
            var made = new Lazy<Task<Opening>>(() => OpenAsync(pass, takeOver && pass.MayType));
            var opening = _rooms.GetOrAdd(key, made);
            if (opening == made) _ = ForgetAsync(key, made);
            var opened = await opening.Value.WaitAsync(cancellation);
            if (opened.Room?.Join(pass.Actor.Person, pass.Actor.Name, pass.MayType) is { } seat) return (seat, "");
            // It was closed meanwhile, or was never open: nobody finds it any more.
            _rooms.TryRemove(KeyValuePair.Create(key, opening));
            if (opened.Room is not { } gone) return (null, opened.Why);
            // Its line is given back first: a machine's port is held by one.
            await gone.Closed.WaitAsync(cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Once it is closed, or could not be opened, nobody finds it any more, and what it printed is not kept.</summary>
    private async Task ForgetAsync((MachineId, int, ConsoleKind) key, Lazy<Task<Opening>> opening)
    {
        try
        {
            if ((await opening.Value).Room is { } room) await room.Closed;
        }
        catch (Exception)
        {
            // Whoever joins it is told why it could not be opened.
        }
        finally
        {
            _rooms.TryRemove(KeyValuePair.Create(key, opening));
        }
    }

    /// <summary>A line of the viewer's own to a machine's screen.</summary>
    internal async Task<Stream> OpenScreenAsync(ConsolePass pass, CancellationToken cancellation) => await ProviderAsync(pass, cancellation) is IScreenAbility screens
        ? await screens.OpenScreenAsync(await calls.ReferenceAsync(pass.Machine, cancellation), cancellation)
        : throw new ProviderFault(FaultKind.Rejected, "Its pool shows no screens.");

    private async Task<IProvider> ProviderAsync(ConsolePass pass, CancellationToken cancellation) => (await pools.OpenAsync(pass.Machine.Pool!.Value, cancellation)).Provider;

    /// <summary>Not one viewer's: who comes second must not lose it because the first went away.</summary>
    private async Task<Opening> OpenAsync(ConsolePass pass, bool takeOver)
    {
        var cancellation = CancellationToken.None;
        var openedAt = time.Now();
        if (!await ClaimAsync(pass, openedAt, cancellation)) return new Opening(null, ConsoleEnd.Moved);
        var opened = new Opening(null, ConsoleEnd.Broken);
        try
        {
            return opened = pass.Kind switch
            {
                ConsoleKind.Vnc => Room(pass, line: null),
                ConsoleKind.Terminal => await OpenTerminalAsync(pass, cancellation),
                _ => await OpenSerialAsync(pass, takeOver, cancellation),
            };
        }
        finally
        {
            _ = ReleaseAsync(pass, openedAt, opened.Room?.Closed ?? Task.CompletedTask);
        }
    }

    /// <summary>One node has the room of a console, for as long as it is open: viewers who come to another are passed on.</summary>
    private async Task<bool> ClaimAsync(ConsolePass pass, Instant now, CancellationToken cancellation) => node.IsAlone || lease.Id == (await database.WriteAsync(
        session => ConsoleRoomStore.ClaimAsync(
            session, pass.Machine.Id, pass.Machine.Generation, pass.Kind, new ConsoleRoomRow(lease.Id, node.Address()), lease.Lapsed(), now),
        cancellation)).Worker;

    private async Task ReleaseAsync(ConsolePass pass, Instant openedAt, Task closed)
    {
        if (node.IsAlone) return;
        await closed;
        try
        {
            await database.WriteAsync(session => ConsoleRoomStore.ReleaseAsync(session, pass.Machine.Id, pass.Machine.Generation, pass.Kind, lease.Id, openedAt), CancellationToken.None);
        }
        catch (Exception fault)
        {
            // The next who opens it here has it anyway, and others once this node is seen to be gone.
            log.LogWarning(fault, "The room of the {Kind} console of {Machine} in lab {Lab} could not be given up.", pass.Kind, pass.Machine.Name, pass.Lab);
        }
    }

    private async Task<Opening> OpenTerminalAsync(ConsolePass pass, CancellationToken cancellation)
    {
        var (machine, generation) = (pass.Machine.Id, pass.Machine.Generation);
        var (user, key, pinned) = await database.ReadAsync(
            async session => ((await ImageStore.FindAsync(session, pass.Machine.Image, pass.Machine.ImageVersion))?.User, await secrets.FindAsync(session, PortalKey.NameOf(pass.Lab)),
                (await HostKeyStore.FindAsync(session, machine, generation))?.Fingerprint),
            cancellation);
        if (user is null || key is null) return new Opening(null, ConsoleEnd.NoKey);
        var (shell, fingerprint, why) = await SshShell.OpenAsync(Tunnel.EndsOf(pass.Machine), user, key.Reveal(), pinned, cancellation);
        if (shell is null) return new Opening(null, why);
        var isKept = false;
        try
        {
            if (pinned is null && await database.WriteAsync(session => HostKeyStore.PinAsync(session, machine, generation, fingerprint, time.Now()), cancellation) != fingerprint)
                return new Opening(null, ConsoleEnd.HostChanged);
            isKept = true;
            return Room(pass, shell);
        }
        finally
        {
            if (!isKept) await shell.DisposeAsync();
        }
    }

    private async Task<Opening> OpenSerialAsync(ConsolePass pass, bool takeOver, CancellationToken cancellation)
    {
        var provider = await ProviderAsync(pass, cancellation);
        var reference = await calls.ReferenceAsync(pass.Machine, cancellation);
        if (provider is not ISerialConsoleAbility serial) throw new ProviderFault(FaultKind.Rejected, "Its pool has no serial consoles.");
        // The line first: what is printed in between is in both, and found there; the other way round it would be in neither.
        if (await serial.OpenSerialConsoleAsync(reference, takeOver, cancellation) is not { } line) return new Opening(null, ConsoleEnd.Elsewhere);
        var opened = Room(pass, line);
        try
        {
            if (provider is ISerialLogAbility before) opened.Room!.Recall(await before.ReadSerialLogAsync(reference, ConsoleRoom.Scrolled, cancellation));
        }
        catch (ProviderFault fault)
        {
            log.LogWarning(fault, "The serial log of {Machine} in lab {Lab} could not be read; its console begins with now.", pass.Machine.Name, pass.Lab);
        }

        return opened;
    }

    private Opening Room(ConsolePass pass, Stream? line)
        => new(new ConsoleRoom(line, time, fault => log.LogWarning(fault, "The {Kind} line of {Machine} in lab {Lab} broke.", pass.Kind, pass.Machine.Name, pass.Lab)), "");

    /// <summary>A room, or why there is none.</summary>
    private sealed record Opening(ConsoleRoom? Room, string Why);
}

/// <summary>This process as a node of the portal: alone on its database, or reached by the others at this address.</summary>
public sealed record PortalNode(bool IsAlone, Func<string?> Address);
